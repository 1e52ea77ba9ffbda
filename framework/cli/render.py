"""The only module that prints: errors, JSON, lines and tables, for people and for pipes.

Nothing that comes from a run's state reaches a terminal as it is: control
characters are shown, not obeyed, and passwords are masked.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

from framework.database_url import mask
from framework.errors import HoldfastError

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 200
"""Columns of a table that no person sees: wide enough to cut nothing that matters."""

_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Make control characters visible, so that stored text cannot steer the terminal."""
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def print_error(error: HoldfastError) -> None:
    """Write what went wrong and what to do about it to stderr."""
    # A file's report begins with file:line:column, which editors turn into links.
    begins_with_place = re.match(r"[^\s:]+:\d+", error.message) is not None
    # Waiting (3) and stopping (130) are no errors, though they end the same way.
    prefix = "" if begins_with_place or error.exit_code not in {1, 2} else _red("error: ")
    _write_error(prefix + clean(mask(error.message)))
    if error.hint:
        _write_error(f"hint: {clean(mask(error.hint))}")


def print_note(text: str) -> None:
    """Write a remark to stderr, beside the result."""
    _write_error(clean(mask(text)))


def print_line(text: str = "") -> None:
    """Write one result line to stdout."""
    sys.stdout.write(text + "\n")


@contextmanager
def stdout_kept_clean() -> Iterator[None]:
    """Send what nodes, and programs that they start, write to stdout to stderr instead.

    Under `--json` stdout is one document, whatever a node prints.
    """
    sys.stdout.flush()
    saved = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(saved, 1)
        os.close(saved)


def print_json(document: Any) -> None:
    """Write one JSON document to stdout; moments and durations in the forms that people write."""
    print_line(json.dumps(document, indent=2, ensure_ascii=False, default=_to_json))


def print_table(
    headings: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None
) -> None:
    """Write a table to stdout; without a terminal it has no frame and nothing is cut."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    console = stdout()
    table = Table(
        *headings,
        title=title,
        title_justify="left",
        box=box.SIMPLE_HEAD if console.is_terminal else None,
        pad_edge=False,
        header_style="bold",
    )
    for column in table.columns:
        column.overflow = "fold"
    for row in rows:
        # Text, not markup: a value such as "[red]" is shown as it is.
        table.add_row(*(Text("" if value is None else clean(str(value))) for value in row))
    console.print(table)


@cache
def stdout() -> Console:
    """Return the console for results."""
    return _console(stderr=False)


@cache
def stderr() -> Console:
    """Return the console for everything beside the result."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console

    terminal = (sys.stderr if stderr else sys.stdout).isatty()
    # rich follows NO_COLOR and TERM by itself.
    # A pipe has no columns, whatever the shell around it exports.
    width = None if terminal else PIPE_WIDTH
    return Console(stderr=stderr, width=width, highlight=False, emoji=False)


def elapsed(duration: timedelta | float | None) -> str:
    """Write how long something took: `340 ms`, `2.4 s`, `3 m 05 s`, `2 h 10 m`, `4 d 3 h`."""
    if duration is None:
        return ""
    seconds = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if seconds < 0.9995:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} m"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"


def moment(at: datetime | None) -> str:
    """Write a moment in UTC, to the second."""
    return "" if at is None else f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def _to_json(value: Any) -> Any:
    from dataclasses import asdict, is_dataclass

    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    return str(value)


def _write_error(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _red(text: str) -> str:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb" or not sys.stderr.isatty()
    return text if plain else f"\x1b[31m{text}\x1b[0m"
