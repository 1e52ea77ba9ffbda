"""Deadlines in words: "by Friday", "before noon tomorrow", "EOD", "until 24 Nov"."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import dateparser

END_OF_WORK = time(17, 30)
END_OF_DAY = time(23, 59)
WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

_DAY = r"(?:mon|tue|wed|thu|fri|sat|sun)[a-z]*(?<=mon|tue|wed|thu|fri|sat|sun|day)"
_MONTH = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?"
    r"|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)\.?"
)
_NUMBER_DAY = r"(?:\d{1,2}(?:st|nd|rd|th)?)"
_TIME = r"(?:\d{1,2}:\d{2}(?:\s?[ap]m)?|\d{1,2}\s?[ap]m|noon|midday|midnight|lunch(?:time)?)"
_COUNT = r"(?:\d{1,2}|a|one|two|three|four|five|six|ten)"
_DATE = (
    rf"(?:\d{{4}}-\d{{2}}-\d{{2}}|\d{{1,2}}\.\d{{1,2}}\.(?:\d{{4}})?|\d{{1,2}}/\d{{1,2}}/\d{{4}}"
    rf"|(?:the\s+)?{_NUMBER_DAY}\s+(?:of\s+)?{_MONTH}(?:\s+\d{{4}})?|{_MONTH}\s+{_NUMBER_DAY}(?:,?\s+\d{{4}})?"
    rf"|the\s+\d{{1,2}}(?:st|nd|rd|th))"
)
_RELATIVE = (
    rf"(?:today|tonight|tomorrow|(?:this|next|coming)\s+(?:week|month|{_DAY})|{_DAY}"
    rf"|in\s+{_COUNT}\s+(?:hour|day|week)s?|within\s+{_COUNT}\s+(?:hour|day|week)s?"
    r"|this\s+(?:morning|afternoon|evening))"
)
_END = (
    r"(?:eod|eob|cob|eow|close\s+of\s+business"
    r"|(?:the\s+)?end\s+of\s+(?:the\s+|this\s+|next\s+)?(?:business\s+|working\s+)?(?:day|week|month))"
)
_PART = r"(?:morning|afternoon|evening|first\s+thing)"
_PIECE = rf"(?:{_DATE}|{_RELATIVE}|{_END}|{_TIME}|{_PART})(?!\w)"
_GLUE = r"(?:\s*,\s*|\s+)(?:at\s+|on\s+|of\s+|the\s+)?"
_PHRASE = rf"{_PIECE}(?:{_GLUE}{_PIECE}){{0,3}}"
_CUE = (
    r"(?:by|before|until|till|due(?:\s+(?:on|by|date))?:?|no\s+later\s+than|not\s+later\s+than"
    r"|deadline(?:\s+is)?:?|latest|at|on|for)"
)
CUED = re.compile(rf"\b{_CUE}\s+(?:the\s+)?(?P<phrase>{_PHRASE})", re.IGNORECASE)
# Without a cue, only words that say little else than when something is wanted.
BARE = re.compile(
    rf"\b(?P<phrase>(?:{_END}|today|tonight|tomorrow|this\s+(?:morning|afternoon|week)"
    rf"|(?:in|within)\s+{_COUNT}\s+(?:hour|day|week)s?)"
    rf"(?:{_GLUE}{_PIECE}){{0,2}})(?!['\w])",
    re.IGNORECASE,
)
URGENT = re.compile(
    r"\b(?P<phrase>asap|as soon as possible|urgent(?:ly)?|right away|immediately)\b", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class Deadline:
    """When something is due; `words` is the piece of text that says so.

    Without a time of day, `due` is the end of that day.
    """

    due: datetime
    has_time: bool
    words: str


def find_deadline(text: str, sent_at: datetime, zone: ZoneInfo) -> Deadline | None:
    """Return the first deadline that a text names, counted from when it was sent."""
    base = sent_at.astimezone(zone)
    for pattern in (CUED, BARE, URGENT):
        for found in pattern.finditer(text):
            due = _resolve(found.group("phrase"), base)
            if due is not None:
                moment, has_time = due
                return Deadline(moment.replace(tzinfo=zone), has_time, found.group(0))
    return None


def _resolve(phrase: str, base: datetime) -> tuple[datetime, bool] | None:
    """Return a moment without zone, and whether a time of day was said."""
    words = " ".join(phrase.lower().replace(",", " ").split())
    if URGENT.fullmatch(words):
        return datetime.combine(base.date(), END_OF_DAY), False
    words, at = _time_of_day(words)
    if not words:
        # "by 5pm", said in the evening, means the next day.
        day = base.date()
        if at is not None and datetime.combine(day, at) < base.replace(tzinfo=None):
            day += timedelta(days=1)
        return datetime.combine(day, at or END_OF_DAY), at is not None
    span = re.fullmatch(r"(?:in|within) (\w+) hours?", words)
    if span:
        moment = _parse(words.replace("within", "in"), base)
        return (moment.replace(second=0), True) if moment else None
    found_day = _day(words, base)
    return None if found_day is None else (datetime.combine(found_day, at or END_OF_DAY), at is not None)


def _time_of_day(words: str) -> tuple[str, time | None]:
    """Take the time of day out of a phrase; return what is left, and the time."""
    named = (
        (r"noon|midday|lunch(?:time)?", time(12, 0)),
        (r"midnight", END_OF_DAY),
        (
            r"eod|eob|cob|close of business|(?:the )?end of (?:the |this )?(?:business |working )?day",
            END_OF_WORK,
        ),
        (r"(?:this )?morning|first thing", time(12, 0)),
        (r"(?:this )?afternoon", time(17, 0)),
        (r"(?:this )?evening", time(20, 0)),
        (r"tonight", time(20, 0)),
    )
    for pattern, at in named:
        rest, count = re.subn(rf"\b(?:{pattern})\b", " ", words)
        if count:
            return _tidy(rest), at
    found = re.search(r"\b(?P<hour>\d{1,2})(?::(?P<minute>\d{2})\s?(?:[ap]m)?|\s?[ap]m)(?!\w)", words)
    if found:
        hour, minute = int(found["hour"]), int(found["minute"] or 0)
        if found.group(0).endswith("m"):
            hour = hour % 12 + 12 * found.group(0).endswith("pm")
        if hour < 24 and minute < 60:
            return _tidy(f"{words[: found.start()]} {words[found.end() :]}"), time(hour, minute)
    return _tidy(words), None


def _tidy(words: str) -> str:
    words = " ".join(words.split())
    return re.sub(r"^(?:(?:on|of|at|the)\b\s*)+|\s*\b(?:on|of|at|the)$", "", words).strip()


def _day(words: str, base: datetime) -> date | None:
    today = base.date()
    monday = today - timedelta(days=today.weekday())
    if words in ("eow", "this week") or re.fullmatch(
        r"end of (?:the |this )?(?:business |working )?week", words
    ):
        return max(today, monday + timedelta(days=4))
    if words in ("next week", "end of next week"):
        return monday + timedelta(days=11)
    if re.fullmatch(r"end of (?:the |this )?month|this month", words):
        return (today.replace(day=28) + timedelta(days=4)).replace(day=1) - timedelta(days=1)
    named = re.fullmatch(rf"(next |this |coming )?({_DAY})", words)
    if named:
        number = next(index for index, day in enumerate(WEEKDAYS) if day.startswith(named.group(2)[:3]))
        if named.group(1) == "next ":
            return monday + timedelta(days=7 + number)
        # Said on a Friday, "by Friday" is today.
        return today + timedelta(days=(number - today.weekday()) % 7)
    parsed = _parse(words.replace("within", "in"), base)
    if parsed is None:
        return None
    found = parsed.date()
    if not re.search(r"\d{4}", words) and (found - today).days > 300:
        # "by 3 Nov", read on the 20th, is overdue rather than a year ahead.
        found = found.replace(year=found.year - 1) if (found.month, found.day) != (2, 29) else found
    return found


def _parse(words: str, base: datetime) -> datetime | None:
    # One language and two parsers: quick, and the same answer on every machine.
    found: datetime | None = dateparser.parse(
        words,
        languages=["en"],
        settings={
            "RELATIVE_BASE": base.replace(tzinfo=None),
            "PREFER_DATES_FROM": "future",
            "DATE_ORDER": "DMY",
            "PARSERS": ["relative-time", "absolute-time"],
        },
    )
    return found
