"""What a fault does once it strikes."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import logging
import os
import signal
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar, NoReturn

from framework.durations import format_duration
from framework.graph.context import StandIn

CutDatabaseNow = Callable[[timedelta | None], Awaitable[None]]
"""Ends this process's database connections and returns at once.

With a duration, none can be made for that long.
"""


class Action(ABC):
    """One kind of failure; `name` is its key in a scenario file."""

    name: ClassVar[str]

    @abstractmethod
    def in_words(self) -> str:
        """Say what it does, as the end of a sentence that begins with the moment."""

    def detail(self) -> Mapping[str, Any]:
        """Return its parameters as JSON, for the record of the firing."""
        return {}


@dataclass(frozen=True, slots=True)
class Raise(Action):
    """An exception, as if the node's own code had raised it."""

    name: ClassVar[str] = "raise"
    exception: type[Exception]
    message: str

    def build(self) -> Exception:
        """Return a new exception: one object for all would collect tracebacks."""
        return self.exception(self.message) if self.message else self.exception()

    def in_words(self) -> str:
        """Name the exception and its message."""
        return f"raises {self.exception.__name__}" + (f" ({self.message})" if self.message else "")

    def detail(self) -> Mapping[str, Any]:
        """Type and message."""
        return {"type": self.exception.__name__, "message": self.message}


@dataclass(frozen=True, slots=True)
class Delay(Action):
    """A pause; then everything goes on."""

    name: ClassVar[str] = "delay"
    duration: timedelta

    def in_words(self) -> str:
        """Say how long."""
        return f"waits {format_duration(self.duration)}, then goes on"

    def detail(self) -> Mapping[str, Any]:
        """Seconds."""
        return {"seconds": self.duration.total_seconds()}


@dataclass(frozen=True, slots=True)
class Hang(Action):
    """A wait without end."""

    name: ClassVar[str] = "hang"

    def in_words(self) -> str:
        """Say what ends it."""
        return "hangs for ever, unless a timeout or a cancel ends it"


@dataclass(frozen=True, slots=True)
class Kill(Action):
    """SIGKILL to this very process: nothing can be cleaned up."""

    name: ClassVar[str] = "kill"

    def in_words(self) -> str:
        """Say how."""
        return "kills the process (kill -9)"


@dataclass(frozen=True, slots=True)
class ExitProcess(Action):
    """The process ends at once, with an exit code and without cleaning up."""

    name: ClassVar[str] = "exit"
    code: int

    def in_words(self) -> str:
        """Say with which code."""
        return f"ends the process at once with exit code {self.code}"

    def detail(self) -> Mapping[str, Any]:
        """The exit code."""
        return {"code": self.code}


@dataclass(frozen=True, slots=True)
class CutDatabase(Action):
    """The database goes away under this process, for a moment or for a while."""

    name: ClassVar[str] = "cut_database"
    outage: timedelta | None

    def in_words(self) -> str:
        """Say for how long."""
        words = "cuts this process's database connections"
        if self.outage is not None:
            words += f" and keeps the database away for {format_duration(self.outage)}"
        return words

    def detail(self) -> Mapping[str, Any]:
        """How long, if it is more than a moment."""
        return {} if self.outage is None else {"seconds": self.outage.total_seconds()}


@dataclass(frozen=True, slots=True)
class Return(Action):
    """Stand-in data in place of what the node's function returns."""

    name: ClassVar[str] = "return"
    value: Any

    def in_words(self) -> str:
        """Show the data, cut short."""
        text = repr(self.value)
        return f"gives {text if len(text) <= 60 else text[:59] + '…'} in place of the node's own result"


ENDS_PROCESS = frozenset({Kill.name, ExitProcess.name})
"""Actions after which only another process can go on."""


async def perform(action: Action, *, cut_database: CutDatabaseNow) -> StandIn | None:
    """Make it happen. A value that comes back replaces the node's own result."""
    match action:
        case Raise():
            raise action.build()
        case Delay(duration):
            await asyncio.sleep(duration.total_seconds())
        case Hang():
            # Awaited by the node's wrapper, also for a sync node, so a timeout or a cancel ends it.
            await asyncio.get_running_loop().create_future()
        case Kill():
            kill_this_process()
        case ExitProcess(code):
            flush_output()
            os._exit(code)
        case CutDatabase(outage):
            await cut_database(outage)
        case Return(value):
            # A copy: what a reducer changes in it must not be seen by the next try.
            return StandIn(copy.deepcopy(value))
        case _:
            raise AssertionError(f"no effect is known for the action {action.name!r}")
    return None


def kill_this_process() -> NoReturn:
    """Die as `kill -9` does it; what was printed so far is seen."""
    flush_output()
    os.kill(os.getpid(), signal.SIGKILL)
    # Another thread may be given the signal first, and this one must not do one more thing.
    while True:
        time.sleep(1)


def flush_output() -> None:
    """Write out what was printed and logged: a dying process says its last words."""
    for stream in (sys.stdout, sys.stderr, *logging.getLogger().handlers):
        # A closed stream has nothing to say, and is no reason to go on living.
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
