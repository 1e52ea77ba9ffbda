"""Free time of a day, and taking pieces of it."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SPAN = re.compile(r"^(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})$")
STEP = timedelta(minutes=5)
SHORTEST_PIECE = 15


@dataclass(frozen=True, slots=True)
class Slot:
    """A stretch of time; the end is not part of it."""

    start: datetime
    end: datetime

    @property
    def length(self) -> timedelta:
        """How long it really is, also when clocks change in it."""
        return timedelta(seconds=self.end.timestamp() - self.start.timestamp())


def span_of(day: date, text: str, here: ZoneInfo, name: str) -> Slot | None:
    """Read `09:00-17:30` on that day; an empty text is no time at all.

    Raises:
        ValueError: It is not written like that, or ends before it begins.
    """
    if not text.strip():
        return None
    found = SPAN.match(text.strip())
    try:
        numbers = [int(number) for number in found.groups()] if found else [0, 0, 0, 0]
        start, end = time(numbers[0], numbers[1]), time(numbers[2], numbers[3])
    except ValueError:
        start = end = time()
    if start >= end:
        raise ValueError(f"{name} is {text!r}; write it like 09:00-17:30")
    return Slot(datetime.combine(day, start, here), datetime.combine(day, end, here))


def free_time(day: Slot, taken: Iterable[Slot]) -> list[Slot]:
    """Return what is left of the day, in order."""
    free: list[Slot] = []
    start = day.start
    for slot in sorted(taken, key=lambda one: (one.start, one.end)):
        if slot.end <= start or slot.start >= day.end:
            continue
        if slot.start > start:
            free.append(Slot(start, slot.start))
        start = max(start, slot.end)
    if start < day.end:
        free.append(Slot(start, day.end))
    return [slot for slot in free if slot.length >= STEP]


def take(free: list[Slot], minutes: int, before: float | None = None) -> list[Slot]:
    """Take the first stretch that is long enough, and that ends in time; empty when there is none.

    `before` is a moment in seconds since 1970.
    """
    for index, slot in enumerate(free):
        found = _beginning(slot, timedelta(minutes=minutes))
        if found is None or (before is not None and found.end.timestamp() > before):
            continue
        rest = Slot(found.end, slot.end)
        free[index : index + 1] = [rest] if rest.length >= STEP else []
        return [found]
    return []


def take_pieces(free: list[Slot], minutes: int, before: float | None = None) -> list[Slot]:
    """Take several stretches that are long enough together; nothing is taken when they are not."""
    remaining = list(free)
    pieces: list[Slot] = []
    missing = minutes
    for slot in free:
        length = min(missing, int(slot.length.total_seconds() // 60))
        if length < min(SHORTEST_PIECE, missing):
            continue
        pieces += take(remaining, length, before)
        missing = minutes - sum(int(piece.length.total_seconds() // 60) for piece in pieces)
        if missing <= 0:
            free[:] = remaining
            return pieces
    return []


def _beginning(slot: Slot, wanted: timedelta) -> Slot | None:
    if slot.length < wanted:
        return None
    # Moments of one zone are added as wall clocks, which is wrong on the night clocks change.
    end = datetime.fromtimestamp(slot.start.timestamp() + wanted.total_seconds(), slot.start.tzinfo)
    return Slot(slot.start, end)
