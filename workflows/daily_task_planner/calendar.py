"""The node `calendar_collector`: an .ics file (or a folder of them) → the day's meetings."""

from __future__ import annotations

from datetime import date, datetime, time
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import recurring_ical_events
from icalendar import Calendar, Event

from mocks.effects import Context, record
from workflows.daily_task_planner.models import Meeting
from workflows.daily_task_planner.paths import find_input
from workflows.daily_task_planner.window import Window


def collect_calendar(calendar: str, day: date | str, timezone: str, ctx: Context) -> dict[str, Any]:
    """Return the meetings that touch the day, in the user's time zone."""
    path = find_input("calendar", calendar)
    window = Window.of(day, timezone, 0)
    files = sorted(path.glob("*.ics")) if path.is_dir() else [path]
    if not files:
        raise ValueError(f"Input 'calendar': {path} has no .ics file")
    found = {(meeting.uid, meeting.start): meeting for file in files for meeting in meetings_of(file, window)}
    meetings = sorted(found.values(), key=lambda meeting: (meeting.start, meeting.end, meeting.uid))
    ctx.progress(f"{len(meetings)} meetings")
    record(ctx)
    return {"meetings": meetings, "calendar_note": ""}


def meetings_of(file: Path, window: Window) -> list[Meeting]:
    """Return one file's meetings that touch the window's day; cancelled ones are left out.

    Raises:
        ValueError: The file is no calendar.
    """
    text = file.read_bytes().decode("utf-8-sig", "replace")
    try:
        calendars = Calendar.from_ical(text, multiple=True)
    except (ValueError, KeyError, IndexError) as error:
        raise ValueError(f"Input 'calendar': {file.name} is no calendar: {error}") from error
    if not calendars:
        raise ValueError(f"Input 'calendar': {file.name} is no calendar: it has no VCALENDAR")
    meetings: list[Meeting] = []
    for calendar in calendars:
        occurrences = recurring_ical_events.of(calendar, skip_bad_series=True).between(
            window.start, window.end
        )
        held = (event for event in occurrences if str(event.get("STATUS", "")).upper() != "CANCELLED")
        meetings.extend(_meeting(event, window.zone) for event in held)
    return meetings


def _meeting(event: Event, zone: ZoneInfo) -> Meeting:
    start, end = event.start, event.end
    all_day = not isinstance(start, datetime)
    begins = _in_zone(start, zone)
    title = str(event.get("SUMMARY") or "(no title)").strip()
    return Meeting(
        uid=str(event.get("UID") or f"{title}@{begins.isoformat()}"),
        title=" ".join(title.split()),
        start=begins,
        end=max(begins, _in_zone(end, zone)),
        all_day=all_day,
        busy=_is_busy(event, all_day=all_day),
        location=" ".join(str(event.get("LOCATION") or "").split()),
        organizer=_address(event.get("ORGANIZER")),
        declined_by=_declined(event),
    )


def _in_zone(moment: date, zone: ZoneInfo) -> datetime:
    if not isinstance(moment, datetime):
        return datetime.combine(moment, time(), zone)
    # A time without a zone means: wherever the reader is.
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment.astimezone(zone)


def _is_busy(event: Event, *, all_day: bool) -> bool:
    shown = str(event.get("X-MICROSOFT-CDO-BUSYSTATUS") or "").upper()
    if str(event.get("TRANSP") or "").upper() == "TRANSPARENT" or shown == "FREE":
        return False
    # Birthdays and holidays are rarely marked as free; an absence says so itself.
    return not all_day or shown == "OOF"


def _address(value: Any) -> str:
    return str(value or "").lower().removeprefix("mailto:")


def _declined(event: Event) -> list[str]:
    attendees = event.get("ATTENDEE") or []
    listed = attendees if isinstance(attendees, list) else [attendees]
    return sorted(
        _address(one) for one in listed if str(one.params.get("PARTSTAT", "")).upper() == "DECLINED"
    )
