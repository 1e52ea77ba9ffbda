"""Which classes of a workflow the strict serializer may build when it reads a checkpoint."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import is_dataclass
from enum import Enum
from types import ModuleType
from typing import Any

from langgraph._internal._serde import (
    collect_allowlist_from_schemas,
)  # follows fields, as strict mode itself does
from pydantic import BaseModel

_BASES = ("builtins", "enum", "pydantic.main")
"""Where classes come from that nobody has instances of: a `types` module imports them to derive its own."""


def classes_of(module: ModuleType | None) -> list[type]:
    """Return the classes of a `types` module whose instances can stand in a state."""
    if module is None:
        return []
    return [value for name, value in vars(module).items() if not name.startswith("_") and _is_data(value)]


def allowed_modules(types: Iterable[Any]) -> frozenset[tuple[str, str]]:
    """Return `(module, class)` of every class in these types, those of nested fields included."""
    types = list(types)
    found = {key[:2] for key in collect_allowlist_from_schemas(schemas=types)}
    found.update(
        (kind.__module__, kind.__name__) for kind in types if isinstance(kind, type) and _is_data(kind)
    )
    return frozenset((module, name) for module, name in found if module not in _BASES)


def _is_data(value: object) -> bool:
    if not isinstance(value, type):
        return False
    named_tuple = issubclass(value, tuple) and hasattr(value, "_fields")
    return issubclass(value, BaseModel | Enum) or is_dataclass(value) or named_tuple
