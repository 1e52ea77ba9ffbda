"""One sentence → what it asks of the user, by rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from workflows.daily_task_planner.models import TaskKind

GREETING = re.compile(
    r"^(?:(?:hi|hello|hey|dear|morning|good morning|ok|okay|so|and|also|great"
    r"|quick one|one more thing|by the way|btw|ps)\b[\s,:!\u2013-]*)+",
    re.IGNORECASE,
)
NAMED = re.compile(r"^@?(?P<name>[^\W\d_][\w'-]*)(?: [A-Z][\w'-]+)?(?P<sign>\s*[,:\u2013-]\s*|\s+)")
MARKED = re.compile(
    r"^(?:[-*•\u2013]\s*)?(?P<box>\[[ xX]?\]|☐|☑)?\s*"
    r"(?:(?P<word>TODO|To-?do|Action(?: item)?|AI)\b)?\s*"
    r"(?:\(?@?(?P<owner>[^\W\d_][\w' -]*?)\)?)?\s*[:\u2013-]\s*(?P<rest>\S.*)$"
)
BOXED = re.compile(r"^(?:[-*•\u2013]\s*)?(?P<box>\[[ xX]?\]|☐|☑)\s*(?P<rest>\S.*)$")
COURTESY = re.compile(
    r"\bplease (?:find|see (?:attached|below)|note|ignore|feel free|don'?t hesitate|do not (?:hesitate|reply)"
    r"|be aware|disregard|accept (?:my|our))\b"
    r"|\blet me know if you (?:have|need)|\bcan you (?:believe|imagine)\b"
    r"|\bif you (?:can|could|please)\b.*\bfine\b"
    r"|\bsee you\b|\bhave a (?:nice|great|good)\b|\bhow are you\b",
    re.IGNORECASE,
)
REQUEST = re.compile(
    r"\b(?:can|could|would|will) (?:you|one of you|someone|somebody|anyone)\b|\bplease\b|\bkindly\b|\bpls\b"
    r"|\b(?:i|we)(?:'d| would)? (?:still )?need (?:you to|your)\b|\bneeds your\b|\bwould you mind\b"
    r"|\b(?:don'?t|do not) forget to\b|\bremember to\b|\bmake sure (?:to|that|you)\b"
    r"|\bwaiting (?:for|on) your\b"
    r"|\b(?:i|we) (?:still )?need (?:the|a|an|all|some)\b.*\b(?:by|before|until|today|tonight|asap|eod)\b"
    r"|\bi'?d like you to\b|\byou (?:need|have) to\b|\byour (?:approval|sign-?off|signature) (?:is|on)\b",
    re.IGNORECASE,
)
IMPERATIVE = re.compile(
    r"^(?:send|share|check|review|approve|sign|book|call|confirm|update|prepare|write|draft|fix|reply"
    r"|answer|order|add|remove|upload|forward|schedule|invite|ask|look at|look into"
    r"|test|file|pay|submit|finish|decide)\b",
    re.IGNORECASE,
)
AVAILABILITY = re.compile(
    r"^(?:can|could|will|would) you (?:make it|join|come|be there)\b"
    r"|^(?:are|were|do|did|have|is|was|would you (?:be|like|want|rather))\b",
    re.IGNORECASE,
)
NO_REAL_QUESTION = re.compile(
    r"^(?:right|ok|okay|no|yes|really|deal|all good|everything ok|sounds good|makes sense|how are you"
    r"|how's it going|what do you think|thoughts)\?$|\bright\?$|\bisn't it\?$",
    re.IGNORECASE,
)
PROMISE = re.compile(
    r"\b(?:i'll|i will|i'm going to|i am going to)\s+(?P<rest>"
    r"(?:send|share|check|review|book|call|confirm|update|prepare|write|draft|fix|reply|answer|order|upload|forward|schedule|invite|ask|look|test"
    r"|submit|finish|get back|come back|have)\b.*)",
    re.IGNORECASE,
)
REMINDER = re.compile(
    r"\b(?:gentle |friendly |quick )?(?:reminder|nudge)\b|\bany (?:update|news)\b|\bfollowing up\b"
    r"|\bstill (?:waiting|need)\b|^ping\b|\bchasing\b",
    re.IGNORECASE,
)
DONE = re.compile(
    r"\b(?:done|sent|shipped|uploaded|attached|fixed|booked|merged|approved|signed|ordered|paid|submitted"
    r"|confirmed|here (?:it is|you go|they are)|took care of)\b",
    re.IGNORECASE,
)
NOT_DONE = re.compile(
    r"\b(?:not|isn't|haven't|hasn't|will be|to be|once|when|as soon as|after|if)\b", re.IGNORECASE
)
WITHDRAWN = re.compile(
    r"\b(?:never ?mind|no longer need(?:ed)?|forget (?:it|about)|scratch that|ignore my|all sorted)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Ask:
    """What a sentence asks for. `names_user` when the sentence itself speaks to the user."""

    kind: TaskKind
    words: str
    names_user: bool


def find_ask(sentence: str, *, names: set[str], others: set[str], questions_count: bool) -> Ask | None:
    """Return what the sentence asks of the user, or None.

    Args:
        sentence: One of `sentences()`.
        names: What the user is called, in lower case.
        others: First names of everyone else, in lower case: what is asked of them is not ours.
        questions_count: Whether a question that asks for no act is meant for the user.
    """
    marked = _marked(sentence, names, others)
    if marked is not None:
        return marked or None
    words, named = _addressee(GREETING.sub("", sentence).strip(), names | others)
    if named and named not in names:
        return None
    speaks_to_user = bool(named) or any(
        re.search(rf"@{re.escape(name)}\b", words, re.IGNORECASE) for name in names
    )
    if COURTESY.search(words):
        return None
    is_question = words.endswith("?")
    asks_for_act = REQUEST.search(words) or (named in names and IMPERATIVE.match(words))
    if (
        is_question
        and (questions_count or speaks_to_user)
        and (AVAILABILITY.match(words) or not asks_for_act)
    ):
        enough = len(words.split()) >= 3 and not NO_REAL_QUESTION.search(words)
        return Ask(TaskKind.QUESTION, words, speaks_to_user) if enough else None
    if asks_for_act and not _asks_another(words, others):
        return Ask(TaskKind.REQUEST, words, speaks_to_user)
    return None


def find_promise(sentence: str) -> str:
    """Return what the writer promises to do, or an empty text."""
    found = PROMISE.search(sentence)
    return found.group("rest") if found and not sentence.endswith("?") else ""


def is_done(text: str) -> bool:
    """Whether an answer says that the thing is done, rather than that it will be."""
    return any(DONE.search(part) and not NOT_DONE.search(part) for part in re.split(r"[.!?\n]", text))


def _marked(sentence: str, names: set[str], others: set[str]) -> Ask | Literal[False] | None:
    """Read a to-do marker; False when it is done or somebody else's, None when there is none."""
    found = BOXED.match(sentence) or MARKED.match(sentence)
    if found is None:
        return None
    groups = found.groupdict()
    box, owner, rest = groups.get("box") or "", (groups.get("owner") or "").strip(), groups["rest"]
    if not box and not groups.get("word"):
        return None
    if "owner" not in groups:
        # "[ ] Ana: send it": the name stands inside the text.
        rest, owner = _addressee(rest, names | others, only_with_sign=True)
    person = owner.casefold().split(" ")[0]
    if box.lower() in ("[x]", "☑") or (person and person not in names):
        return False
    return Ask(TaskKind.TODO, rest, bool(person))


def _addressee(words: str, known: set[str], *, only_with_sign: bool = False) -> tuple[str, str]:
    """Take a name off the beginning; return the rest and the name in lower case."""
    found = NAMED.match(words)
    if found is None or found["name"].casefold() not in known:
        return words, ""
    called = bool(found["sign"].strip()) or (words.startswith("@") and not only_with_sign)
    # "Ana will send it" speaks about Ana; "Ana can you" speaks to her.
    if not called and (only_with_sign or not REQUEST.match(words[found.end("name") :].strip())):
        return words, ""
    rest = words[found.end() :]
    return GREETING.sub("", rest).strip(), found["name"].casefold()


def _asks_another(words: str, others: set[str]) -> bool:
    found = re.search(r"@(?P<name>[^\W\d_][\w'-]*)", words)
    return bool(found and found["name"].casefold() in others)
