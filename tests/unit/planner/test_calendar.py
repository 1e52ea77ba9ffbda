"""Calendars: series, exceptions, zones, whole days, the nights when clocks change."""

from __future__ import annotations

import pytest

from tests.unit.planner.support import DAY, ZONE
from workflows.daily_task_planner.calendar import collect_calendar
from workflows.daily_task_planner.models import Owner
from workflows.daily_task_planner.plan import plan_day
from workflows.daily_task_planner.slots import Slot, free_time, span_of, take, take_pieces
from workflows.daily_task_planner.window import Window, zone

HERE = zone(ZONE)


def meetings(tmp_path, ctx, *lines: str, day: str = DAY, timezone: str = ZONE):
    text = "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *lines, "END:VCALENDAR", ""])
    (tmp_path / "c.ics").write_text(text)
    found = collect_calendar(str(tmp_path / "c.ics"), day, timezone, ctx)["meetings"]
    return [f"{one.start:%d %H:%M}-{one.end:%H:%M} {one.title}" for one in found]


def event(*lines: str, uid: str = "1") -> list[str]:
    return ["BEGIN:VEVENT", f"UID:{uid}", "SUMMARY:Talk", *lines, "END:VEVENT"]


@pytest.mark.parametrize(
    ("lines", "found"),
    [
        (event("DTSTART:20261120T090000Z", "DTEND:20261120T100000Z"), ["20 10:00-11:00 Talk"]),
        (event("DTSTART:20261120T090000", "DURATION:PT45M"), ["20 09:00-09:45 Talk"]),
        (event("DTSTART;TZID=America/New_York:20261120T090000", "DURATION:PT1H"), ["20 15:00-16:00 Talk"]),
        (
            event("DTSTART;TZID=W. Europe Standard Time:20261120T090000", "DURATION:PT1H"),
            ["20 09:00-10:00 Talk"],
        ),
        (event("DTSTART:20261119T223000Z", "DTEND:20261119T233000Z"), ["19 23:30-00:30 Talk"]),
        (event("DTSTART:20261119T220000Z", "DTEND:20261119T230000Z"), []),
        (event("DTSTART;VALUE=DATE:20261119", "DTEND;VALUE=DATE:20261120"), []),
        (event("DTSTART;VALUE=DATE:20261119", "DTEND;VALUE=DATE:20261121"), ["19 00:00-00:00 Talk"]),
        (event("DTSTART:20261120T090000Z", "STATUS:CANCELLED"), []),
        (event("DTSTART:20261113T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY"), ["20 10:00-11:00 Talk"]),
        (
            event(
                "DTSTART:20261113T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY", "EXDATE:20261120T090000Z"
            ),
            [],
        ),
        (event("DTSTART:20261113T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY;COUNT=1"), []),
        (
            event("DTSTART:20261113T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY")
            + event("RECURRENCE-ID:20261120T090000Z", "DTSTART:20261120T130000Z", "DURATION:PT1H"),
            ["20 14:00-15:00 Talk"],
        ),
        (
            event("DTSTART:20261113T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY")
            + event("RECURRENCE-ID:20261120T090000Z", "DTSTART:20261121T130000Z", "DURATION:PT1H"),
            [],
        ),
        (
            event("DTSTART:20261113T090000Z", "DURATION:PT1H", "RRULE:FREQ=WEEKLY")
            + event("RECURRENCE-ID:20261120T090000Z", "DTSTART:20261120T090000Z", "STATUS:CANCELLED"),
            [],
        ),
    ],
)
def test_only_what_touches_the_day_is_found(tmp_path, ctx, lines, found):
    assert meetings(tmp_path, ctx, *lines) == found


def test_a_series_keeps_its_wall_clock_over_the_change_of_clocks(tmp_path, ctx):
    """09:30 in Berlin stays 09:30 in Berlin, but moves for a reader in New York."""
    series = event("DTSTART;TZID=Europe/Berlin:20261023T093000", "DURATION:PT15M", "RRULE:FREQ=DAILY")

    assert meetings(tmp_path, ctx, *series, day="2026-10-24") == ["24 09:30-09:45 Talk"]
    assert meetings(tmp_path, ctx, *series, day="2026-10-26") == ["26 09:30-09:45 Talk"]
    assert meetings(tmp_path, ctx, *series, day="2026-10-24", timezone="America/New_York") == [
        "24 03:30-03:45 Talk"
    ]
    assert meetings(tmp_path, ctx, *series, day="2026-10-26", timezone="America/New_York") == [
        "26 04:30-04:45 Talk"
    ]


def test_a_day_has_23_24_or_25_hours():
    def hours(day: str) -> float:
        window = Window.of(day, ZONE, 0)
        return (window.end.timestamp() - window.start.timestamp()) / 3600

    assert [hours(day) for day in ("2026-03-29", "2026-06-01", "2026-10-25")] == [23, 24, 25]


def test_time_is_taken_in_real_minutes_when_clocks_change():
    """Between 01:30 and 04:00 on the last Sunday of March lie 90 minutes, not 150."""
    night = span_of(Window.of("2026-03-29", ZONE, 0).day, "01:30-04:00", HERE, "x")
    assert night is not None
    free = [night]

    assert take(free, 120) == []
    found = take(free, 60)
    assert f"{found[0].end:%H:%M}" == "03:30"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("hello", "is no calendar"),
        ("", "is no calendar"),
        ("BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n", "is no calendar"),
    ],
)
def test_what_is_no_calendar_is_said(tmp_path, ctx, content, words):
    (tmp_path / "c.ics").write_text(content)

    with pytest.raises(ValueError, match=words):
        collect_calendar(str(tmp_path / "c.ics"), DAY, ZONE, ctx)


def test_a_folder_of_calendars_is_one_calendar(tmp_path, ctx):
    for number in (1, 2):
        lines = event(f"DTSTART:20261120T{number + 8:02}0000Z", "DURATION:PT1H", uid=str(number))
        text = "\r\n".join(["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:x", *lines, "END:VCALENDAR", ""])
        (tmp_path / f"{number}.ics").write_text(text)

    assert len(collect_calendar(str(tmp_path), DAY, ZONE, ctx)["meetings"]) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"day": "yesterday"}, "Input 'day': 'yesterday' is no day"),
        ({"timezone": "Berlin/Europe"}, "Input 'timezone'"),
        ({"timezone": "../../etc/passwd"}, "Input 'timezone'"),
        ({"working_hours": "9 to 5"}, "working_hours is '9 to 5'"),
        ({"working_hours": "18:00-09:00"}, "working_hours"),
        ({"lunch": "25:00-26:00"}, "lunch"),
    ],
)
def test_a_wrong_setting_names_itself(ctx, change, words):
    settings = {"day": DAY, "timezone": ZONE, **change}
    with pytest.raises(ValueError, match=words):
        plan_day({"owner": Owner()}, ctx=ctx, **settings)


def slots(*texts: str) -> list[Slot]:
    found = [span_of(Window.of(DAY, ZONE, 0).day, text, HERE, "x") for text in texts]
    return [slot for slot in found if slot is not None]


def shown(found: list[Slot]) -> list[str]:
    return [f"{slot.start:%H:%M}-{slot.end:%H:%M}" for slot in found]


def test_free_time_is_what_meetings_leave():
    day = slots("09:00-17:00")[0]

    taken = slots("08:00-09:30", "10:00-11:00", "10:30-10:45", "11:00-11:58", "16:57-18:00")
    assert shown(free_time(day, taken)) == ["09:30-10:00", "11:58-16:57"]
    assert shown(free_time(day, slots("08:00-18:00"))) == []


def test_a_task_is_cut_in_pieces_only_when_they_suffice():
    free = slots("09:00-09:20", "10:00-10:10", "11:00-11:30")

    assert take_pieces(free, 60) == []
    assert shown(free) == ["09:00-09:20", "10:00-10:10", "11:00-11:30"]
    assert shown(take_pieces(free, 45)) == ["09:00-09:20", "11:00-11:25"]
    assert shown(free) == ["10:00-10:10", "11:25-11:30"]
