"""Plain data → a shape, with every misfit reported and cut out, so that checking can go on."""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from framework.definition.problems import Problems
from framework.definition.shape import LATER_EFFECTS, NOT_YET_SUPPORTED, OTHER_KINDS
from framework.definition.source import Key, shown
from framework.definition.words import suggest

ShapeT = TypeVar("ShapeT", bound=BaseModel)

PLACEHOLDER = "<missing>"
"""Stands where a required text is missing; later checks leave it alone."""

_STAND_INS: Mapping[str, Any] = {"version": 1, "name": "unnamed", "use": PLACEHOLDER, "from": PLACEHOLDER}
_EXPECTED = {
    "string_type": "text is expected",
    "int_type": "a whole number is expected",
    "int_from_float": "a whole number is expected",
    "float_type": "a number is expected",
    "bool_type": "true or false is expected",
    "dict_type": "a mapping is expected",
    "model_type": "a mapping is expected",
    "model_attributes_type": "a mapping is expected",
    "list_type": "a list is expected",
}
_ROUNDS = 4


def checked(shape: type[ShapeT], data: Any, path: Sequence[Key], problems: Problems) -> ShapeT | None:
    """Validate one mapping of the file; what does not fit is reported and left out.

    Returns:
        None when nothing sensible is left.
    """
    if not isinstance(data, dict):
        problems.add(path, f"a mapping is expected, not {shown(data)}")
        return None
    data = _copy(data)
    for _ in range(_ROUNDS):
        try:
            return shape.model_validate(data)
        except ValidationError as error:
            found = error.errors(include_url=False)
            for detail in found:
                _report(shape, data, detail, path, problems)
            for detail in reversed(found):
                _cut_out(data, detail)
    return None


def _copy(value: Any) -> Any:
    """Copy plain data; an alias becomes a value of its own, so that cutting out hits one place."""
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value


def _report(
    shape: type[BaseModel], data: Any, detail: ErrorDetails, path: Sequence[Key], problems: Problems
) -> None:
    place = tuple(detail["loc"])
    kind, value = detail["type"], detail["input"]
    full = (*path, *place)
    if problems.full:
        return
    if kind == "extra_forbidden":
        owner = _shape_at(shape, place[:-1])
        key = str(place[-1])
        if key in NOT_YET_SUPPORTED.get(owner, ()):
            problems.add(full, "not supported yet", key=True)
        else:
            hint = suggest(key, _keys(owner), kind="known keys")
            problems.add(full, "unknown key", hint, key=True)
    elif kind == "missing":
        parent = _at(data, place[:-1])
        if isinstance(parent, dict) and OTHER_KINDS & parent.keys() and place[-1] == "use":
            return
        problems.add(full, f"'{place[-1]}' is missing", key=True)
    else:
        problems.add(full, *_misfit(place, detail, value))


def _misfit(place: Sequence[Key], detail: ErrorDetails, value: Any) -> tuple[str, str | None]:
    kind, context = detail["type"], detail.get("ctx", {})
    last = place[-1] if place else ""
    if last == "version":
        return f"version {shown(value)} is not supported", "write 1"
    if kind in _EXPECTED:
        return f"{_EXPECTED[kind]}, not {shown(value)}", _quoting_hint(kind, value)
    if kind == "literal_error":
        if isinstance(value, str) and value in LATER_EFFECTS and last == "effects":
            return f"{value} is not supported yet", None
        words = [word.strip("'") for word in str(context["expected"]).replace(" or ", ", ").split(", ")]
        return f"{shown(value)} is not one of: {', '.join(words)}", _near(value, words)
    if kind == "greater_than_equal":
        return f"must be at least {context['ge']:g}, not {shown(value)}", None
    if kind == "less_than_equal":
        return f"must be at most {context['le']:g}, not {shown(value)}", None
    if kind in ("string_too_short", "too_short"):
        return "must not be empty", None
    if kind == "duration":
        return str(context["reason"])[:300], None
    return detail["msg"][:200], None


def _near(value: Any, words: list[str]) -> str | None:
    hint = suggest(value, words, kind="known") if isinstance(value, str) else None
    return hint if hint and hint.startswith("did") else None


def _quoting_hint(kind: str, value: Any) -> str | None:
    if kind == "string_type" and isinstance(value, int | float | bool):
        return "put it in quotes"
    if kind == "string_type" and isinstance(value, dict):
        return 'text that begins with { needs quotes; an expression too: "${{ … }}"'
    if kind in ("int_type", "float_type", "bool_type") and isinstance(value, str):
        return (
            "write it without quotes, and in digits"
            if kind != "bool_type"
            else "write true or false, without quotes"
        )
    return None


def _cut_out(data: Any, detail: ErrorDetails) -> None:
    place = detail["loc"]
    parent = _at(data, place[:-1])
    if detail["type"] == "missing" or (len(place) == 1 and place[0] in ("version", "name")):
        if isinstance(parent, dict):
            parent[str(place[-1])] = _STAND_INS.get(str(place[-1]))
    elif place and place[0] in ("nodes", "state", "inputs") and len(place) == 2:
        # Its name stays known, so that an edge to it is not a second problem.
        parent[place[1]] = {"use": PLACEHOLDER} if place[0] == "nodes" else {}
    elif place and place[-1] in ("use", "from"):
        parent[place[-1]] = PLACEHOLDER
    elif isinstance(parent, dict):
        parent.pop(place[-1], None)
    elif isinstance(parent, list) and isinstance(place[-1], int) and place[-1] < len(parent):
        del parent[place[-1]]


def _at(data: Any, path: Sequence[Key]) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _keys(shape: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in shape.model_fields.items()]


def _shape_at(shape: type[BaseModel], path: Sequence[Key]) -> type[BaseModel]:
    """The shape that a path inside another one leads to."""
    for part in path:
        for name, field in shape.model_fields.items():
            if part in (name, field.alias):
                inner = _inner_shape(field.annotation)
                shape = inner or shape
    return shape


def _inner_shape(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in typing.get_args(annotation):
        inner = _inner_shape(argument)
        if inner is not None:
            return inner
    return None
