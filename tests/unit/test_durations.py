"""Durations read and write the same way everywhere."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framework.durations import format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("15s", timedelta(seconds=15)),
        ("5m", timedelta(minutes=5)),
        ("8h", timedelta(hours=8)),
        ("7d", timedelta(days=7)),
        ("1.5s", timedelta(seconds=1.5)),
        (" 15 s ", timedelta(seconds=15)),
        ("0s", timedelta()),
    ],
)
def test_a_duration_is_a_number_and_a_unit(text: str, expected: timedelta) -> None:
    assert parse_duration(text) == expected


@pytest.mark.parametrize("text", [15, 1.5, "15", "15.0", -3])
def test_a_number_without_a_unit_is_refused_with_a_suggestion(text: object) -> None:
    with pytest.raises(ValueError, match=f"did you mean {text}s"):
        parse_duration(text)


@pytest.mark.parametrize("text", ["", "s", "-5s", "5 years", "1h30m", "١s", True, None, [], "5s\n6s"])
def test_anything_else_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="500ms, 15s"):
        parse_duration(text)


def test_a_duration_beyond_every_clock_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than"):
        parse_duration("999999999999d")


@given(st.integers(min_value=0, max_value=365 * 24 * 3600 * 1000))
def test_what_is_written_reads_back(milliseconds: int) -> None:
    duration = timedelta(milliseconds=milliseconds)

    assert parse_duration(format_duration(duration)) == duration


def test_the_largest_unit_that_fits_is_used() -> None:
    assert [format_duration(timedelta(**{unit: 1})) for unit in ("days", "hours", "minutes", "seconds")] == [
        "1d",
        "1h",
        "1m",
        "1s",
    ]
    assert format_duration(timedelta(seconds=90)) == "90s"
    assert format_duration(timedelta(microseconds=1500)) == "1.5ms"
