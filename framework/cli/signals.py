"""Ctrl-C and SIGTERM: the first lets runs stop at their next step boundary, the second ends the process.

A handler runs on the main thread between two bytecodes, so it works while a
sync node blocks its own thread, and it must not print through Python's streams.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from framework.errors import Drained

SHOW_CURSOR = b"\x1b[?25h\x1b[0m"


@contextmanager
def stopping(drain: Callable[[], None], end: Callable[[], None], *, program: str) -> Iterator[None]:
    """Handle SIGINT and SIGTERM while runs are driven.

    Args:
        drain: Called at the first signal; asks the runs to stop and says so.
        end: Called at the second, just before the process ends; must be quick.
        program: How the user called us, for the line that says how to go on.
    """
    asked = False

    def handle(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        if not asked:
            asked = True
            drain()
            return
        with suppress(Exception):
            end()
        restore_terminal()
        write_raw(f"\n{stopped_line(program)}\n")
        # Nothing is cleaned up: a node may block for ever, and what is committed is safe.
        os._exit(Drained.exit_code)

    earlier = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)


def stopped_line(program: str) -> str:
    """Say that nothing is lost, and how to go on."""
    return f"stopped; the state is safe. Go on: {program}"


def restore_terminal() -> None:
    """Show the cursor again, whatever a live view had done."""
    if sys.stderr.isatty():
        with suppress(OSError):
            os.write(2, SHOW_CURSOR)


def write_raw(text: str) -> None:
    """Write to stderr past Python's buffers, which the interrupted code may hold."""
    with suppress(OSError):
        os.write(2, text.encode())
