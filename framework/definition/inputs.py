"""A run's inputs: text from a command line or JSON values → what the workflow declares."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

from framework.definition.bindings import compile_binding
from framework.definition.expressions import Moments
from framework.definition.models import Input, InputType, Workflow
from framework.definition.source import shown
from framework.definition.words import suggest
from framework.errors import ExpressionError, InputInvalid

_EXPECTED: Mapping[InputType, str] = {
    InputType.STRING: "text",
    InputType.INTEGER: "a whole number",
    InputType.NUMBER: "a number",
    InputType.BOOLEAN: "true or false",
    InputType.DATE: "a date such as 2025-11-03",
    InputType.DATETIME: "a date and time such as 2025-11-03T18:00:00+01:00",
    InputType.PATH: "a path",
    InputType.LIST: "a list, in JSON",
    InputType.OBJECT: "a mapping, in JSON",
}
_MAX_INTEGER = 10**30


class _Misfit(Exception):
    """The value is not of the declared type."""


def validate_inputs(
    workflow: Workflow,
    given: Mapping[str, Any],
    *,
    moments: Moments,
    env: Callable[[str], str | None] = os.environ.get,
) -> dict[str, Any]:
    """Return a complete set of inputs, in values that JSON can hold.

    Defaults are evaluated here, once, with the moment at which the run is
    accepted: a resumed run has the same `today()`.

    Args:
        workflow: What declares them.
        given: By name; text is converted to the declared type.
        moments: What `today()` and `now()` give.
        env: Where `${env:…}` of a default is looked up.

    Raises:
        InputInvalid: An input is unknown, missing, or of another type.
    """
    for name in given:
        if name not in workflow.inputs:
            hint = suggest(str(name), workflow.inputs, kind="inputs") or "this workflow takes no inputs"
            raise InputInvalid(f"{workflow.name} has no input {shown(str(name))}.", hint=hint)
    values: dict[str, Any] = {}
    for name, declared in workflow.inputs.items():
        if name in given:
            values[name] = _converted(name, declared, given[name])
        elif declared.has_default:
            values[name] = _default(name, declared, values, moments, env)
        elif declared.required:
            expected = _EXPECTED[declared.type]
            hint = f"--input {name}=…" + (f"   ({declared.description})" if declared.description else "")
            raise InputInvalid(f"Input {name!r} is missing; {expected} is expected.", hint=hint)
        else:
            values[name] = None
    return values


def _default(
    name: str,
    declared: Input,
    values: Mapping[str, Any],
    moments: Moments,
    env: Callable[[str], str | None],
) -> Any:
    try:
        value = compile_binding(declared.default).resolve(
            {"inputs": values}, env=env, secret=_no_secret, moments=moments
        )
    except ExpressionError as error:
        raise InputInvalid(f"The default of input {name!r}: {error.message}", hint=error.hint) from None
    return None if value is None else _converted(name, declared, value)


def _no_secret(name: str) -> str:
    raise ExpressionError(f"the secret {name} would be stored with the inputs")


def _converted(name: str, declared: Input, value: Any) -> Any:
    if value is None and not declared.required:
        return None
    try:
        return _CONVERT[declared.type](value)
    except _Misfit:
        found = shown(value)
        expected = _EXPECTED[declared.type]
        raise InputInvalid(f"Input {name!r} is {found}; {expected} is expected.") from None


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise _Misfit
    if "\0" in value or any("\ud800" <= char <= "\udfff" for char in value):
        # PostgreSQL can store neither.
        raise _Misfit
    return value


def _integer(value: Any) -> int:
    if isinstance(value, str):
        try:
            value = int(value.strip()) if len(value) <= 64 else None
        except ValueError:
            raise _Misfit from None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or abs(value) > _MAX_INTEGER:
        raise _Misfit
    return value


def _number(value: Any) -> int | float:
    if isinstance(value, str):
        try:
            return _integer(value)
        except _Misfit:
            pass
        try:
            value = float(value)
        except ValueError:
            raise _Misfit from None
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or (abs(value) > _MAX_INTEGER and isinstance(value, int))
    ):
        raise _Misfit
    if isinstance(value, float) and not math.isfinite(value):
        raise _Misfit
    return value


def _boolean(value: Any) -> bool:
    words = {
        "true": True,
        "yes": True,
        "1": True,
        "on": True,
        "false": False,
        "no": False,
        "0": False,
        "off": False,
    }
    if isinstance(value, str) and value.strip().lower() in words:
        return words[value.strip().lower()]
    if not isinstance(value, bool):
        raise _Misfit
    return value


def _date(value: Any) -> str:
    if isinstance(value, date) and not isinstance(value, datetime):
        return value.isoformat()
    try:
        return date.fromisoformat(_string(value).strip()).isoformat()
    except ValueError:
        raise _Misfit from None


def _datetime(value: Any) -> str:
    if isinstance(value, datetime):
        return value.isoformat()
    try:
        return datetime.fromisoformat(_string(value).strip()).isoformat()
    except ValueError:
        raise _Misfit from None


def _structure(kind: type) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = json.loads(value, parse_constant=_no_constant)
            except (ValueError, RecursionError):
                raise _Misfit from None
        if not isinstance(value, kind):
            raise _Misfit
        try:
            # What is accepted is what will be stored; the copy is the caller's no longer.
            return json.loads(json.dumps(value, allow_nan=False))
        except (TypeError, ValueError, RecursionError):
            raise _Misfit from None

    return convert


def _no_constant(text: str) -> Any:
    raise ValueError(text)


def _path(value: Any) -> str:
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not _string(text):
        raise _Misfit
    return str(text)


_CONVERT: Mapping[InputType, Callable[[Any], Any]] = {
    InputType.STRING: _string,
    InputType.INTEGER: _integer,
    InputType.NUMBER: _number,
    InputType.BOOLEAN: _boolean,
    InputType.DATE: _date,
    InputType.DATETIME: _datetime,
    InputType.PATH: _path,
    InputType.LIST: _structure(list),
    InputType.OBJECT: _structure(dict),
}
