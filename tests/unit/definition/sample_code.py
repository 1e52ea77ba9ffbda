"""Modules that the workflow files of these tests name; written into a folder by a fixture."""

FILES: dict[str, str] = {
    "nodes.py": '''\
"""Functions that the workflow files of these tests name."""

import functools
import os
from os import system  # noqa: F401  # must be refused

from .models import Task


def work():
    """Take nothing."""


def greet(user, size=3):
    """Take one parameter that must be given."""


async def read(state, ctx, runtime):
    """Take only what is injected."""


def anything(**given):
    """Take everything."""


def by_position(value, /):
    """Cannot be called by name."""


def newest(so_far, update):
    """Reduce."""
    return update


def lonely(so_far):
    """Is no reducer."""


async def slow_newest(so_far, update):
    """Is no reducer either."""
    return update


class Unlucky(Exception):
    """Raised."""


class Stop(BaseException):
    """May not be caught."""


class Caller:
    """Instances can be called."""

    def __call__(self, user):
        """Do nothing."""


caller = Caller()
partial = functools.partial(work)
number = 5
TASK = Task(id=1)
_private = work
path_join = os.path.join
''',
    "models.py": '''\
"""Types that the workflow files of these tests name."""

from dataclasses import dataclass
from datetime import date
from enum import StrEnum

from pydantic import BaseModel


class Task(BaseModel):
    """A model."""

    id: int
    title: str = ""
    due: date | None = None
    _hidden: int = 1

    def method(self):
        """Must not be reachable from an expression."""


class Size(StrEnum):
    """An enum."""

    SMALL = "small"
    LARGE = "large"


@dataclass
class Point:
    """A dataclass."""

    x: int
    y: int = 0
''',
    "broken.py": '''\
"""Fails while it is imported."""

import json

LIMITS = json.loads("{}")["limits"]
''',
    "unreadable.py": """\
def work(:
""",
    "needy.py": '''\
"""Needs what is not installed."""

import a_library_that_nobody_has
''',
    "leaving.py": '''\
"""Ends the process, it thinks."""

raise SystemExit(3)
''',
}
