"""How durations are written in YAML, in the environment and on the screen: `500ms`, `15s`, `8h`."""

from __future__ import annotations

import re
from datetime import timedelta

UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
}
EXPECTED = "write a number and a unit, such as 500ms, 15s, 5m, 8h or 7d"

_DURATION = re.compile(r"(?a:(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|m|h|d))")
_NUMBER = re.compile(r"(?a:[+-]?\d+(?:\.\d+)?)")


def parse_duration(text: object) -> timedelta:
    """Read one duration; a number without a unit is refused, since nobody can know what it counts.

    Raises:
        ValueError: Not a duration; the message says what was expected.
    """
    if isinstance(text, timedelta):
        return text
    written = text.strip() if isinstance(text, str) else text
    if isinstance(written, str):
        if found := _DURATION.fullmatch(written):
            try:
                return float(found[1]) * UNITS[found[2]]
            except OverflowError:
                raise ValueError(f"{written!r} is longer than any clock can count") from None
        unitless = _NUMBER.fullmatch(written) is not None
    else:
        unitless = isinstance(written, int | float) and not isinstance(written, bool)
    if unitless:
        raise ValueError(f"{written} has no unit; did you mean {written}s? {EXPECTED}")
    raise ValueError(f"{written!r} is not a duration; {EXPECTED}")


def format_duration(duration: timedelta) -> str:
    """Write a duration so that `parse_duration` reads the same back, in the largest unit that fits."""
    microseconds = duration // timedelta(microseconds=1)
    if not microseconds:
        return "0s"
    for name, unit in reversed(UNITS.items()):
        size = unit // timedelta(microseconds=1)
        if microseconds % size == 0:
            return f"{microseconds // size}{name}"
    return f"{microseconds / 1000:.3f}".rstrip("0").rstrip(".") + "ms"
