"""The pure functions of the expression language, and how large their results may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any
from zoneinfo import ZoneInfo

from pydantic_core import PydanticSerializationError, to_json

MAX_SIZE = 1_000_000
MAX_INTEGER = 10**30


class Unfit(Exception):
    """A value that an operation cannot take; the evaluation adds where that is."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass(frozen=True, slots=True)
class Moments:
    """What `now()` and `today()` give; one per run, made when the run is accepted."""

    now: datetime

    @classmethod
    def at(cls, text: str) -> Moments:
        """Read what `str()` wrote."""
        return cls(datetime.fromisoformat(text))

    def __str__(self) -> str:
        return self.now.astimezone(UTC).isoformat()

    def today(self, zone: str = "UTC") -> str:
        """The date in a time zone, in ISO form."""
        return self.now.astimezone(time_zone(zone)).date().isoformat()


def time_zone(name: object) -> ZoneInfo:
    """Return a zone by its name, such as Europe/Berlin."""
    if not isinstance(name, str):
        raise Unfit("a time zone is text, such as 'Europe/Berlin'")
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        hint = "use a name of the IANA database, such as 'Europe/Berlin'"
        raise Unfit(f"unknown time zone {name[:80]!r}", hint) from None


def measured(value: Any) -> Any:
    """Return a result as it is, unless it is larger than any workflow needs."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        if abs(value) > MAX_INTEGER:
            raise Unfit("the number is larger than 10^30")
    elif isinstance(value, float):
        if not math.isfinite(value):
            raise Unfit("the number is too large")
    elif isinstance(value, str | list) and len(value) > MAX_SIZE:
        what = "text" if isinstance(value, str) else "list"
        raise Unfit(f"the {what} is longer than {MAX_SIZE:,}")
    return value


def text_of(value: Any) -> str:
    """Write a value as text: YAML's words for null and booleans, JSON for lists and mappings."""
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, str):
        return str(value)
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, int | float):
        return repr(measured(value))
    try:
        text = to_json(value).decode()
    except (PydanticSerializationError, ValueError, RecursionError):
        raise Unfit(f"a {type(value).__name__} cannot be written as text") from None
    return str(measured(text))


def _text(value: Any, function: str) -> str:
    if not isinstance(value, str):
        hint = "say what null means: default(value, '')" if value is None else None
        raise Unfit(f"{function}() needs text, not {'null' if value is None else text_kind(value)}", hint)
    return value


def text_kind(value: Any) -> str:
    """The type of a value, in a word."""
    return "null" if value is None else f"a {type(value).__name__}"


def _list(value: Any, function: str) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        hint = "say what null means: default(value, [])" if value is None else None
        raise Unfit(f"{function}() needs a list, not {text_kind(value)}", hint)
    return value


def _len(value: Any) -> int:
    if isinstance(value, str | list | tuple | Mapping):
        return len(value)
    hint = "say what null means: default(value, [])" if value is None else None
    raise Unfit(f"len() needs text, a list or a mapping, not {text_kind(value)}", hint)


def _number(value: Any, function: str) -> Any:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise Unfit(f"{function}() needs a number, not {text_kind(value)}")
    return value


def _extreme(function: str, choose: Callable[[Any], Any]) -> Callable[..., Any]:
    def extreme(*values: Any) -> Any:
        items = _list(values[0], function) if len(values) == 1 else values
        if not items:
            raise Unfit(f"{function}() of an empty list")
        if any(item is None for item in items):
            raise Unfit(f"{function}() cannot compare null")
        return choose(items)

    return extreme


def _sum(values: Any) -> Any:
    total: Any = 0
    for value in _list(values, "sum"):
        total = measured(total + _number(value, "sum"))
    return total


def _contains(holder: Any, item: Any) -> bool:
    if holder is None:
        return False
    if isinstance(holder, str):
        return _text(item, "contains") in holder
    if isinstance(holder, list | tuple | Mapping):
        return item in holder
    raise Unfit(f"contains() needs text, a list or a mapping, not {text_kind(holder)}")


def _round(value: Any, digits: Any = None) -> Any:
    number = _number(value, "round")
    if digits is None:
        return round(number)
    if isinstance(digits, bool) or not isinstance(digits, int) or abs(digits) > 30:
        raise Unfit("round() takes a whole number of digits, at most 30")
    return round(number, digits)


def _int(value: Any) -> int:
    if isinstance(value, str):
        try:
            return int(value) if len(value) <= 64 else MAX_INTEGER + 1
        except ValueError:
            raise Unfit(f"{value[:80]!r} is not a whole number") from None
    if isinstance(value, int | float):
        return int(value)
    raise Unfit(f"int() needs text or a number, not {text_kind(value)}")


def _float(value: Any) -> float:
    if isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            raise Unfit(f"{value[:80]!r} is not a number") from None
    if isinstance(value, int | float):
        return float(value)
    raise Unfit(f"float() needs text or a number, not {text_kind(value)}")


def _join(values: Any, separator: Any = ", ") -> str:
    between = _text(separator, "join")
    parts: list[str] = []
    size = 0
    for value in _list(values, "join"):
        parts.append(text_of(value))
        # Counted on the way: the whole would be built before its length is known.
        size += len(parts[-1]) + len(between)
        if size > MAX_SIZE + len(between):
            raise Unfit(f"the text is longer than {MAX_SIZE:,}")
    return between.join(parts)


def _now(moments: Moments) -> str:
    return str(moments)


def _today(moments: Moments, zone: Any = "UTC") -> str:
    time_zone(zone)
    return moments.today(zone)


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the language; a timely one is given the run's moments first."""

    call: Callable[..., Any]
    least: int
    most: int
    timely: bool = False

    @property
    def arity(self) -> str:
        """How many values it takes, in words."""
        if self.least == self.most:
            return f"{self.least} value{'' if self.least == 1 else 's'}"
        return f"{self.least} to {self.most} values"


FUNCTIONS: Mapping[str, Function] = {
    "len": Function(_len, 1, 1),
    "min": Function(_extreme("min", min), 1, 100),
    "max": Function(_extreme("max", max), 1, 100),
    "abs": Function(lambda value: abs(_number(value, "abs")), 1, 1),
    "any": Function(lambda values: any(_list(values, "any")), 1, 1),
    "all": Function(lambda values: all(_list(values, "all")), 1, 1),
    "sum": Function(_sum, 1, 1),
    "lower": Function(lambda text: _text(text, "lower").lower(), 1, 1),
    "upper": Function(lambda text: _text(text, "upper").upper(), 1, 1),
    "contains": Function(_contains, 2, 2),
    "startswith": Function(lambda a, b: _text(a, "startswith").startswith(_text(b, "startswith")), 2, 2),
    "endswith": Function(lambda a, b: _text(a, "endswith").endswith(_text(b, "endswith")), 2, 2),
    "default": Function(lambda value, other: other if value is None else value, 2, 2),
    "round": Function(_round, 1, 2),
    "int": Function(_int, 1, 1),
    "float": Function(_float, 1, 1),
    "str": Function(text_of, 1, 1),
    "join": Function(_join, 1, 2),
    "today": Function(_today, 0, 1, timely=True),
    "now": Function(_now, 0, 0, timely=True),
}
