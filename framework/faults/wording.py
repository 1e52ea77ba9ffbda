"""What pydantic found wrong in a scenario file, in words of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import ErrorDetails

from framework.definition.source import Key, shown
from framework.definition.words import did_you_mean, suggest
from framework.faults.file_model import FaultShape, OutageShape, RaiseShape, ScenarioShape, Shape

_EXPECTED = {
    "string_type": "text is expected",
    "int_type": "a whole number is expected",
    "int_from_float": "a whole number is expected",
    "float_type": "a number is expected",
    "list_type": "a list is expected",
    "model_type": "a mapping is expected",
    "dict_type": "a mapping is expected",
}
_BOUNDS = {
    "greater_than_equal": "must be at least {ge}",
    "greater_than": "must be more than {gt:g}",
    "less_than_equal": "must be at most {le:g}",
    "too_short": "an empty list would never match",
    "string_too_short": "must not be empty",
}
_PATTERNS = {
    "node": (
        "is not the name of a node",
        "small letters, digits, '_' and '-', beginning with a letter; or '*'",
    ),
    "workflow": (
        "is not the name of a workflow",
        "small letters, digits, '_' and '-', beginning with a letter",
    ),
    "type": ("is not the name of an exception", "write a builtin's name or module:Class"),
}
_EXAMPLES = {
    "attempts": "write a list: [1] or [1, 2]",
    "raise": 'write {type: ConnectionError, message: "refused"}',
    "faults": "write a list, each entry beginning with '- node: …'; [] for no faults",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One problem, where it stands, and what to do."""

    path: tuple[Key, ...]
    message: str
    hint: str | None = None
    at_key: bool = False
    is_missing: bool = False
    meant: str | None = None


def explain(error: ErrorDetails, data: Any) -> Finding | None:
    """Translate one error; None for the branch of a union that was not meant."""
    # `cut_database` is true or a mapping; that it is one of these has been checked.
    if "literal[True]" in error["loc"]:
        return None
    kind = error["type"]
    path = _path(error["loc"], data, missing=kind == "missing")
    key = path[-1] if path else ""
    context: Mapping[str, Any] = error.get("ctx", {})
    value = error["input"]
    if kind == "missing":
        return Finding(path, "this key is missing", _EXAMPLES.get(str(key)), is_missing=True)
    if kind == "extra_forbidden":
        known = _keys_beside(path)
        hint = suggest(str(key), known, kind="keys")
        return Finding(path, "unknown key", hint, at_key=True, meant=did_you_mean(str(key), known))
    if kind == "literal_error":
        return _literal(path, value, context)
    if kind in _EXPECTED:
        if not path:
            return Finding(path, "a mapping with 'description' and 'faults' is expected")
        hint = _EXAMPLES.get(str(key)) or ("put it in quotes" if kind == "string_type" else None)
        return Finding(path, f"{_EXPECTED[kind]}, not {shown(value)}", hint)
    if kind in _BOUNDS:
        return Finding(path, _BOUNDS[kind].format(**context))
    if kind == "string_pattern_mismatch" and key in _PATTERNS:
        message, hint = _PATTERNS[str(key)]
        return Finding(path, f"{shown(value)} {message}", hint)
    message = str(context["error"]) if "error" in context else error["msg"]
    return Finding(path, message)


def _literal(path: tuple[Key, ...], value: Any, context: Mapping[str, Any]) -> Finding:
    if context.get("expected") == "True":
        return Finding(
            path, f"only true is possible, not {shown(value)}", "to switch it off, remove the line"
        )
    words = str(context.get("expected", "")).replace(" or ", ", ").replace("'", "").split(", ")
    hint = suggest(value, words, kind="one of") if isinstance(value, str) else f"one of: {', '.join(words)}"
    return Finding(path, f"{shown(value)} is not possible here", hint)


def _path(loc: tuple[int | str, ...], data: Any, *, missing: bool) -> tuple[Key, ...]:
    """Keep what leads through the file; pydantic also names the branches of a union."""
    path: list[Key] = []
    part = data
    for place, step in enumerate(loc):
        if isinstance(part, dict) and step in part:
            part = part[str(step)]
        elif isinstance(part, list) and isinstance(step, int):
            part = part[step]
        elif not (missing and place == len(loc) - 1):
            continue
        path.append(step)
    return tuple(path)


def _keys_beside(path: tuple[Key, ...]) -> list[str]:
    """Return the keys that are known where an unknown one stands."""
    nested: Mapping[str, type[Shape]] = {"raise": RaiseShape, "cut_database": OutageShape}
    shape = nested.get(str(path[-2]), FaultShape) if len(path) > 1 else ScenarioShape
    return [field.alias or name for name, field in shape.model_fields.items()]
