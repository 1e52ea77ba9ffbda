"""Whether a value comes back from a checkpoint exactly as it was.

LangGraph's serializer raises for some values, a step too late, and changes
others without a word (a tuple becomes a list, an unknown class a mapping).
This walk finds both before a node counts as done, and says where.
`tests/unit/graph/test_storable.py` holds it to the real serializer.
"""

from __future__ import annotations

import datetime as dt
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, fields, is_dataclass
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network
from pathlib import PosixPath, WindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from langgraph.checkpoint.serde._msgpack import SAFE_MSGPACK_TYPES
from pydantic import BaseModel

from framework.graph.round_trip import dumps_to_itself, is_plain_model, survives

MAX_DEPTH = 100
MAX_SIZE_BYTES = 64 * 1024 * 1024

_ATOMS = frozenset({bool, float, type(None), bytes, dt.date, dt.timedelta, Decimal, UUID})
_FRIENDS = frozenset(
    {PosixPath, WindowsPath, re.Pattern}
    | {IPv4Address, IPv4Interface, IPv4Network, IPv6Address, IPv6Interface, IPv6Network}
)
_KEYS = frozenset({str, int, bool, float, type(None), bytes})
_HINTS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (tuple, "A tuple comes back as a list: return a list."),
    (memoryview, "Return bytes(value)."),
    (BaseException, "Return str(error)."),
    (str, "Return str(value)."),
    (bool, "Return bool(value)."),
    (int, "Return int(value)."),
    (float, "Return float(value)."),
    (dict, "Return dict(value)."),
    (list, "Return list(value)."),
    (range, "Return list(value)."),
    (complex, "Return its real and imaginary parts."),
    (type, "Return its name."),
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Where in a value something cannot be stored unchanged, what, why, and what to do.

    `path` reads like Python (`[3]['when'].zone`), empty for the value itself.
    `changed` is true where something near it would be stored: a list for a tuple, a dict for a subclass.
    """

    path: str
    found: str
    reason: str
    hint: str | None = None
    changed: bool = False

    def __str__(self) -> str:
        """Say it in a sentence."""
        return f"{self.found} at {self.path}: {self.reason}" if self.path else f"{self.found}: {self.reason}"


def check_storable(value: object, *, allowed: AbstractSet[tuple[str, ...]] = frozenset()) -> Refusal | None:
    """Say why a value would not come back unchanged from a checkpoint, or None when it would.

    Args:
        value: What a node returned for one state key.
        allowed: `(module, class)` of the classes that the strict serializer may build.
    """
    return _Walk(allowed).visit(value, 0)


class _Walk:
    """One walk over one value."""

    __slots__ = ("allowed", "ancestors", "path", "size_bytes")

    def __init__(self, allowed: AbstractSet[tuple[str, ...]]) -> None:
        self.allowed = allowed
        self.path: list[str] = []
        self.ancestors: set[int] = set()
        self.size_bytes = 0

    def visit(self, value: object, depth: int) -> Refusal | None:
        kind = type(value)
        if kind is str:
            return self._text(value)  # type: ignore[arg-type]  # its exact type was just looked at
        if kind is int:
            if -(2**63) <= value < 2**64:  # type: ignore[operator]  # likewise
                return None
            return self._refuse(value, "it needs more than 64 bits", "Return str(value), or a Decimal.")
        if kind in _ATOMS:
            return self._grow(len(value)) if kind is bytes else None  # type: ignore[arg-type]
        if depth > MAX_DEPTH:
            return self._refuse(value, f"it is nested more than {MAX_DEPTH} levels deep", None)
        visit = _VISITS.get(kind)
        if visit is None:
            return self._other(value, depth)
        if id(value) in self.ancestors:
            return self._refuse(value, "it contains itself", "Store references by key.")
        self.ancestors.add(id(value))
        refusal = visit(self, value, depth + 1)
        self.ancestors.discard(id(value))
        return refusal

    def _grow(self, size_bytes: int) -> Refusal | None:
        self.size_bytes += size_bytes
        if self.size_bytes <= MAX_SIZE_BYTES:
            return None
        return Refusal(
            "", f"more than {MAX_SIZE_BYTES // 2**20} MB", "it is too big for a checkpoint",
            "Write it to a file or a table, and return where it is.",
        )  # fmt: skip

    def _text(self, value: str) -> Refusal | None:
        if not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError as error:
                return self._refuse(
                    value, f"a lone surrogate at {error.start} would be stored as '?'",
                    "Decode with errors='replace'.", changed=True,
                )  # fmt: skip
        return self._grow(len(value))

    def _items(self, values: Iterable[object], depth: int) -> Refusal | None:
        for index, item in enumerate(values):
            self.path.append(f"[{index}]")
            refusal = self.visit(item, depth)
            if refusal is not None:
                return refusal
            self.path.pop()
        return self._grow(8)

    def mapping(self, value: dict[object, object], depth: int) -> Refusal | None:
        for key, item in value.items():
            kind = type(key)
            if kind not in _KEYS:
                hint = "Use a string as the key."
                return self._refuse(key, "it cannot be the key of a stored mapping", hint)
            self.path.append(f"[{key!r}]" if kind is not str or len(key) < 80 else "[…]")  # type: ignore[arg-type]
            refusal = self.visit(key, depth) or self.visit(item, depth)
            if refusal is not None:
                return refusal
            self.path.pop()
        return self._grow(8)

    def sequence(self, value: list[object], depth: int) -> Refusal | None:
        return self._items(value, depth)

    def queue(self, value: deque[object], depth: int) -> Refusal | None:
        if value.maxlen is not None:
            reason = "its maxlen is lost when it is stored"
            return self._refuse(value, reason, "Return list(value).", changed=True)
        return self._items(value, depth)

    def moment(self, value: dt.datetime | dt.time, _depth: int) -> Refusal | None:
        if isinstance(value.tzinfo, ZoneInfo) and type(value) is dt.datetime:
            return self._refuse(
                value, f"its zone {value.tzinfo.key} is stored as the offset of that moment",
                "Return it as UTC, and the zone's name beside it.", changed=True,
            )  # fmt: skip
        if value.tzinfo is not None and type(value.tzinfo) not in (dt.timezone, ZoneInfo):
            reason = f"its zone is a {type(value.tzinfo).__name__}"
            return self._refuse(value, reason, "Return it as UTC: value.astimezone(UTC).", changed=True)
        if value.fold and type(value) is dt.datetime:
            reason = "its fold is lost when it is stored"
            return self._refuse(value, reason, "Return it as UTC.", changed=True)
        return None

    def zone(self, value: ZoneInfo, _depth: int) -> Refusal | None:
        return None if value.key else self._refuse(value, "it has no name", None)

    def passes(self, _value: object, _depth: int) -> Refusal | None:
        return None

    def _other(self, value: Any, depth: int) -> Refusal | None:
        kind: type[Any] = type(value)
        numpy = sys.modules.get("numpy")
        if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
            return self._array(value, numpy)
        members = _members(value)
        if members is None:
            return self._unknown(value)
        if (refusal := self._class(value)) is not None:
            return refusal
        if id(value) in self.ancestors:
            return self._refuse(value, "it contains itself", "Store references by key.")
        if isinstance(value, BaseModel) and not is_plain_model(kind):  # type: ignore[arg-type]  # a class has a hash
            # Its validators may turn a list back into a tuple, or may not: only a try can tell.
            return None if survives(value, self.allowed) else self._lost(value)
        self.ancestors.add(id(value))
        for name, member in members:
            self.path.append(f".{name}")
            refusal = self.visit(member, depth + 1)
            if refusal is not None:
                return refusal
            self.path.pop()
        self.ancestors.discard(id(value))
        if dumps_to_itself(kind) or survives(value, self.allowed):  # type: ignore[arg-type]  # likewise
            return None
        return self._lost(value)

    def _lost(self, value: object) -> Refusal:
        return self._refuse(
            value, "it does not come back equal when it is built again from its fields",
            "Give it plain fields (no aliases, no excluded or computed ones).",
        )  # fmt: skip

    def _class(self, value: object) -> Refusal | None:
        kind = type(value)
        if kind.__qualname__ != kind.__name__:
            reason = "its class is defined inside another class or a function, so it cannot be found again"
            return self._refuse(value, reason, "Move the class to the top of its module.")
        key = (kind.__module__, kind.__name__)
        if key not in self.allowed and key not in SAFE_MSGPACK_TYPES:
            return self._refuse(
                value, "its class is not declared, so it would come back as a plain mapping",
                "Define the class in the module that the workflow names as `types`.",
            )  # fmt: skip
        if getattr(sys.modules.get(kind.__module__), kind.__name__, None) is not kind:
            reason = f"{kind.__module__}.{kind.__name__} is not this class"
            return self._refuse(value, reason, "Define the class once, by its own name.")
        return None

    def _array(self, value: Any, numpy: Any) -> Refusal | None:  # numpy may be absent
        if isinstance(value, numpy.generic):
            return self._refuse(value, "a NumPy scalar cannot be stored", "Return value.item().")
        if type(value) is not numpy.ndarray or value.dtype.kind not in "biuf" or value.ndim == 0:
            reason = f"an array of dtype {value.dtype} is not stored unchanged"
            return self._refuse(value, reason, "Return value.tolist().")
        return self._grow(int(value.nbytes))

    def _unknown(self, value: object) -> Refusal:
        for kinds, hint in _HINTS:
            if isinstance(value, kinds):
                changed = kinds not in (BaseException, range, complex, type)
                return self._refuse(value, "it is not stored as what it is", hint, changed=changed)
        return self._refuse(value, "it cannot be stored", "Return plain data that describes it.")

    def _refuse(self, value: object, reason: str, hint: str | None, *, changed: bool = False) -> Refusal:
        kind = type(value)
        name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
        return Refusal("".join(self.path), name, reason, hint, changed)


_VISITS: dict[type, Callable[[_Walk, Any, int], Refusal | None]] = {
    dict: _Walk.mapping,
    list: _Walk.sequence,
    set: _Walk.sequence,
    frozenset: _Walk.sequence,
    deque: _Walk.queue,
    dt.datetime: _Walk.moment,
    dt.time: _Walk.moment,
    dt.timezone: _Walk.passes,
    ZoneInfo: _Walk.zone,
    **dict.fromkeys(_FRIENDS, _Walk.passes),
}


def _members(value: object) -> list[tuple[str, object]] | None:
    """Return what a value of a declared class is made of; None for a class of no known kind."""
    if isinstance(value, type) or type(value).__module__.startswith("langgraph."):
        # A Command inside a value would be an instruction that nobody carries out.
        return None
    if isinstance(value, BaseModel):
        return [*value.__dict__.items(), *(value.__pydantic_extra__ or {}).items()]
    if isinstance(value, Enum):
        return [("value", value.value)]
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return list(value._asdict().items())
    if is_dataclass(value):
        return [(field.name, getattr(value, field.name, None)) for field in fields(value)]
    return None
