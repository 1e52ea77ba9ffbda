"""How a request becomes a task's title, and how long it may take."""

from __future__ import annotations

import re

MAX_TITLE = 90
LEAD_IN = re.compile(
    r"^.*?\b(?:would you mind|(?:can|could|would|will) (?:you|one of you|someone|somebody|anyone)"
    r"(?: please| pls| kindly| also| maybe)*"
    r"|(?:i|we)(?:'d| would)? (?:still )?need you to|i'?d like you to|you (?:need|have) to"
    r"|(?:don'?t|do not) forget to|remember to|(?:can|could) you)\s+(?=\w)",
    re.IGNORECASE,
)
NEED_YOUR = re.compile(
    r"^.*?\b(?:i|we) (?:still )?need "
    r"(your (?:approval|sign-?off|signature|feedback|input|opinion|confirmation))",
    re.IGNORECASE,
)
PLEASE = re.compile(r"^.*?\b(?:please|kindly|pls)\b,?\s+(?=\w+ )", re.IGNORECASE)
TRAILING = re.compile(
    # Separators stand behind each word only: on both sides, the ways to match would double with each word.
    r"[\s,;\u2013-]*(?:\b(?:please|pls|thanks|thank you|thx|cheers|when you get a chance|if possible"
    r"|if you can|and let me know)\b[\s,;\u2013-]*)+[.!?]*$",
    re.IGNORECASE,
)
FILLERS = re.compile(r"^(?:just|quickly|also|maybe|and|then|so|but|to)\s+", re.IGNORECASE)
TOLD = re.compile(
    r"(?:about|takes?|~|for|in)?\s*(\d{1,3})[\s-]?(min(?:ute)?s?|h|hours?)\b"
    r"(?!\s+(?:call|ago|later|before|after|delay))",
    re.IGNORECASE,
)
# fmt: off
WITHOUT_E = frozenset({
    "tak", "writ", "schedul", "prepar", "shar", "updat", "approv", "invit", "mak", "giv", "mov",
    "chang", "clos", "decid", "compar", "com", "us", "resolv", "arrang", "organiz", "organis",
    "fil", "not", "stor", "hav",
})
# fmt: on
WORK = (
    (
        re.compile(
            r"\b(?:write|draft|prepare|design|analy[sz]e|rework|slides|deck|proposal|report)\b", re.IGNORECASE
        ),
        90,
    ),
    (
        re.compile(
            r"\b(?:fix|investigate|look into|debug|test|plan|budget|forecast|estimate)\b", re.IGNORECASE
        ),
        60,
    ),
    (
        re.compile(
            r"\b(?:review|proofread|read|check|go through|compare|update|feedback|comments?)\b", re.IGNORECASE
        ),
        45,
    ),
    (
        re.compile(
            r"\b(?:confirm|approve|sign|ok|reply|answer|forward|invite|book|order|rsvp|pick|choose)\b",
            re.IGNORECASE,
        ),
        15,
    ),
    (re.compile(r"\b(?:call|phone|ask|decide|send|share|upload|add|tell)\b", re.IGNORECASE), 30),
)


def make_title(words: str, deadline_words: str = "") -> str:
    """Turn a request into a title: no courtesies, no deadline (it is shown beside), one line.

    Relative words such as "tomorrow" would be wrong a day later.
    """
    text = " ".join(words.split())
    if deadline_words:
        text = re.sub(rf"[\s,(\u2013-]*{re.escape(deadline_words)}(?!')\)?", "", text, count=1)
    text = NEED_YOUR.sub(r"Give \1", text)
    for pattern in (LEAD_IN, PLEASE):
        shorter = pattern.sub("", text, count=1)
        if len(shorter.split()) >= 2:
            text = shorter
    text = TRAILING.sub("", text)
    if re.search(r"\bwould you mind\b", words, re.IGNORECASE):
        text = re.sub(r"^(\w+?)ing\b", _verb, text)
    text = FILLERS.sub("", text).strip(" ,;:\u2013-.!")
    if not re.match(
        r"(?:what|when|where|who|why|how|which|are|is|do|did|have|has|will|would|were|was|should)\b",
        text,
        re.IGNORECASE,
    ):
        text = text.rstrip("?")
    if len(text) > MAX_TITLE:
        text = text[:MAX_TITLE].rsplit(" ", 1)[0].rstrip(" ,;:\u2013-") + "…"
    return text[:1].upper() + text[1:]


def _verb(found: re.Match[str]) -> str:
    """Turn "calling" into "call", "sharing" into "share", "getting" into "get"."""
    stem = found.group(1)
    if stem.lower() in WITHOUT_E:
        return f"{stem}e"
    return stem[:-1] if re.search(r"([^aeiouls])\1$", stem) else stem


def make_question(words: str) -> str:
    """Keep a question as it was asked, on one line."""
    text = " ".join(words.split())
    text = text[:1].upper() + text[1:]
    return text if len(text) <= MAX_TITLE else text[:MAX_TITLE].rsplit(" ", 1)[0] + "…"


def estimate_minutes(words: str, following: str = "") -> int:
    """Guess how long it takes: what the text, or the sentence after it, says; else by the kind of work."""
    told = TOLD.search(words) or TOLD.search(following)
    if told:
        minutes = int(told.group(1)) * (60 if told.group(2).lower().startswith("h") else 1)
        return min(max(minutes, 5), 240)
    # The first verb says what is to be done: "send the report" is not writing one.
    found = [(match.start(), minutes) for pattern, minutes in WORK if (match := pattern.search(words))]
    return min(found)[1] if found else 30


def normal_words(text: str) -> frozenset[str]:
    """Return the words that carry meaning, to compare two titles."""
    words = re.findall(r"[^\W_]+", text.casefold())
    # "calling" and "call" are the same wish.
    return frozenset(
        re.sub(r"(?<=\w{4})ing$", "", word)
        for word in words
        if (len(word) > 2 or not word.isalpha()) and word not in STOP_WORDS
    )


# fmt: off
STOP_WORDS = frozenset({
    "the", "and", "for", "with", "from", "that", "this", "your", "you", "our", "can", "could",
    "would", "please", "not", "but", "are", "was", "have", "has", "will", "its", "all", "any",
})
# fmt: on
