"""Which moments count for a day's plan."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError


def zone(name: str) -> ZoneInfo:
    """Return the time zone.

    Raises:
        ValueError: There is no such zone.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(
            f"Input 'timezone': {name!r} is no time zone; write one like Europe/Berlin"
        ) from None


def as_day(day: date | str) -> date:
    """Return the day; an input that went through JSON is text.

    Raises:
        ValueError: It is not a day.
    """
    if isinstance(day, date):
        return day
    try:
        return date.fromisoformat(day)
    except ValueError:
        raise ValueError(f"Input 'day': {day!r} is no day; write it like 2026-11-20") from None


def counted(count: int, what: str) -> str:
    """Say how many: `1 mail`, `2 mails`."""
    return f"{count} {what}" if count == 1 else f"{count} {what}s"


@dataclass(frozen=True, slots=True)
class Window:
    """The stretch of time whose messages are read: some days back, to the end of the day."""

    day: date
    zone: ZoneInfo
    lookback_days: int

    @classmethod
    def of(cls, day: date | str, timezone: str, lookback_days: int) -> Window:
        """Check the inputs and make the window.

        Raises:
            ValueError: A day or a zone that does not exist, or a negative number of days.
        """
        if lookback_days < 0:
            raise ValueError(f"lookback_days is {lookback_days}; it cannot be negative")
        return cls(as_day(day), zone(timezone), lookback_days)

    @property
    def start(self) -> datetime:
        """The first moment that counts."""
        return datetime.combine(self.day - timedelta(days=self.lookback_days), time(), self.zone)

    @property
    def end(self) -> datetime:
        """The first moment that no longer counts; a day has 23 or 25 hours when clocks change."""
        return datetime.combine(self.day + timedelta(days=1), time(), self.zone)

    def left_out(self, count_before: int, count_after: int, what: str) -> list[tuple[str, str]]:
        """Say what lay outside, as (what, why)."""
        found: list[tuple[str, str]] = []
        if count_before:
            why = f"older than {self.lookback_days} days before {self.day}"
            found.append((counted(count_before, what), why))
        if count_after:
            why = f"sent after {self.day}; to plan another day: --input day=YYYY-MM-DD"
            found.append((counted(count_after, what), why))
        return found
