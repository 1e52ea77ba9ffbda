"""Classes that tests store: at the top of a module, as a workflow's `types` are."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from enum import Enum, Flag, IntEnum, StrEnum
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, computed_field, field_validator


class Colour(Enum):
    RED = "red"
    PAIR = (1, 2)


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    YES = "yes"


class Rights(Flag):
    READ = 1
    WRITE = 2


class Message(BaseModel):
    id: str
    body: str = ""
    tags: list[str] = []
    colour: Colour | None = None
    when: dt.datetime | None = None


class Inner(BaseModel):
    n: int = 0


class Derived(Inner):
    extra_field: str = "x"


class Outer(BaseModel):
    inner: Inner
    pair: tuple[int, int] = (1, 2)


class Loose(BaseModel):
    anything: Any = None


class Aliased(BaseModel):
    value: int = Field(alias="Value")
    inner: Inner | None = None


class Hidden(BaseModel):
    value: int = Field(default=1, exclude=True)


class Private(BaseModel):
    value: int = 1
    _secret: int = PrivateAttr(default=0)


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    inner: Inner

    @computed_field
    def twice(self) -> int:
        return self.inner.n * 2


class Shouting(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def add_mark(cls, text: str) -> str:
        return text + "!"


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")
    value: int = 1


@dataclass
class Point:
    x: int
    y: Any = 0


@dataclass
class Counted:
    x: int
    n: int = field(default=0, init=False)


@dataclass
class Doubling:
    x: int

    def __post_init__(self) -> None:
        self.x *= 2


@dataclass
class Checked:
    x: int

    def __post_init__(self) -> None:
        self.x = abs(self.x)


class Pair(NamedTuple):
    left: int
    right: Any


class Holder:
    class Nested(BaseModel):
        n: int = 1

    @dataclass
    class NestedData:
        n: int = 1


class Undeclared(BaseModel):
    n: int = 1


DECLARED = [
    Colour,
    Level,
    Word,
    Rights,
    Message,
    Inner,
    Derived,
    Outer,
    Loose,
    Aliased,
    Hidden,
    Private,
    Computed,
    Shouting,
    Open,
    Point,
    Counted,
    Doubling,
    Checked,
    Pair,
]
ALLOWED = frozenset((kind.__module__, kind.__name__) for kind in DECLARED) | {
    (Holder.Nested.__module__, "Nested"),
    (Holder.Nested.__module__, "NestedData"),
}
