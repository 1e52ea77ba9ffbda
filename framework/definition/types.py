"""Types in words (`list[Message]`, `int | None`) → Python types, and values of the file that fit them.

The words are parsed, never evaluated: names, `|`, null and the subscripts of
a few containers are all there is.
"""

from __future__ import annotations

import ast
import datetime as dt
import json
import pathlib
from collections.abc import Mapping
from dataclasses import is_dataclass
from decimal import Decimal
from enum import Enum
from types import ModuleType, UnionType
from typing import Any, Union, get_origin
from uuid import UUID

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError

from framework.definition.words import suggest
from framework.errors import CallableRefused

_SCALARS: Mapping[str, Any] = {
    "str": str, "int": int, "float": float, "bool": bool, "bytes": bytes, "date": dt.date,
    "datetime": dt.datetime, "time": dt.time, "timedelta": dt.timedelta, "Decimal": Decimal,
    "UUID": UUID, "Path": pathlib.Path, "object": Any, "Any": Any, "any": Any, "None": None, "null": None,
}  # fmt: skip
_CONTAINERS: Mapping[str, tuple[Any, int]] = {
    "list": (list, 1), "dict": (dict, 2), "set": (set, 1), "frozenset": (frozenset, 1),
}  # fmt: skip
_INSTEAD: Mapping[str, str] = {
    "string": "str", "text": "str", "integer": "int", "number": "float", "boolean": "bool",
    "mapping": "dict", "array": "list",
}  # fmt: skip
# The serializer gives these back as something else, silently.
_NEVER_STORED: Mapping[str, str] = {"tuple": "list", "complex": "list[float]", "bytearray": "bytes"}
_EXAMPLES = "for instance int, object, list[Task], dict[str, int] or Plan | None"
_MAX_LENGTH = 200


def declared_types(module: ModuleType | None) -> dict[str, Any]:
    """Names of a `types` module that a state key can have: its classes and aliases of types."""
    names: dict[str, Any] = {}
    for name, value in vars(module).items() if module is not None else ():
        if name.startswith("_"):
            continue
        model = isinstance(value, type) and (issubclass(value, BaseModel | Enum) or is_dataclass(value))
        if model or isinstance(value, UnionType) or get_origin(value) is not None:
            names[name] = value
    return names


def resolve_type(text: str, names: Mapping[str, Any]) -> Any:
    """Return the Python type that a state key declares; `object` means anything.

    Args:
        text: As it stands in the file.
        names: What `declared_types()` found.

    Raises:
        CallableRefused: There is no such type.
    """
    if len(text) > _MAX_LENGTH:
        raise CallableRefused(f"the type {text[:40]!r}… is too long")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise CallableRefused(f"{text[:80]!r} is not a type", hint=_EXAMPLES) from None
    return _read(tree, names, text)


def _read(tree: ast.expr, names: Mapping[str, Any], text: str) -> Any:
    match tree:
        case ast.Constant(value=None):
            return None
        case ast.Name(id=name):
            return _named(name, names)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return Union[_read(left, names, text), _read(right, names, text)]  # noqa: UP007  # X | None is not always an operator
        case ast.Subscript(value=ast.Name(id=name), slice=inside) if name in _CONTAINERS:
            kind, arity = _CONTAINERS[name]
            parts = inside.elts if isinstance(inside, ast.Tuple) else [inside]
            if len(parts) != arity:
                many = "two types" if arity == 2 else "one type"
                raise CallableRefused(f"{name} takes {many} in its brackets", hint=_EXAMPLES)
            return kind[tuple(_read(part, names, text) for part in parts)]
        case ast.Subscript(value=ast.Name(id=name)):
            _named(name, names)
            raise CallableRefused(f"{name} takes no brackets", hint=_EXAMPLES)
    raise CallableRefused(f"{text[:80]!r} is not a type that a state key can have", hint=_EXAMPLES)


def _named(name: str, names: Mapping[str, Any]) -> Any:
    if name in names:
        return names[name]
    if name in _SCALARS:
        return _SCALARS[name]
    if name in _CONTAINERS:
        return _CONTAINERS[name][0]
    if name in _NEVER_STORED:
        raise CallableRefused(f"a {name} is not stored as one", hint=f"use {_NEVER_STORED[name]}")
    if name in _INSTEAD:
        raise CallableRefused(f"there is no type {name!r}", hint=f"did you mean {_INSTEAD[name]!r}?")
    known = {*names, *_SCALARS, *_CONTAINERS} - {"None", "Any", "any"}
    hint = suggest(name, known, kind="types")
    if not names and (hint is None or not hint.startswith("did")):
        hint = "name the module that defines it: types: models"
    raise CallableRefused(f"there is no type {name[:80]!r}", hint=hint)


def misfit(value: Any, declared: Any) -> str | None:
    """Say why a value of the file does not fit a type; None when it does."""
    if declared is Any:
        return None
    try:
        # As JSON: a date is text there, and 1 is no text, just as in the file.
        TypeAdapter(declared).validate_json(json.dumps(value), strict=True)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        return f"{place}: {first['msg']}"[:200] if place else first["msg"][:200]
    except (PydanticUserError, RecursionError, TypeError, NameError):
        # A class that pydantic does not know is the business of the node that fills it.
        return None
    return None
