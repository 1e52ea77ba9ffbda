"""Validators for the declared types of state keys."""

from __future__ import annotations

import datetime as dt
import json
import pathlib
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, Union, get_args, get_origin
from uuid import UUID

from pydantic import Strict, TypeAdapter

Check = Callable[[Any], Any]
"""Gives back a value of the type, with mappings made into models; raises `ValidationError`."""

_SCALARS = frozenset(
    {str, int, float, bool, bytes, dt.datetime, dt.date, dt.time, dt.timedelta, Decimal, UUID, pathlib.Path}
)
_CONTAINERS = frozenset({list, set, frozenset, dict})


def checker(annotation: Any) -> Check | None:
    """Return what validates a node's value for a key of this type; None when anything goes.

    Numbers, texts and containers must be what is declared (`"5"` is no int);
    a mapping becomes the model that is declared.
    """
    if annotation is Any:
        return None
    return TypeAdapter(_strict(annotation)).validate_python


def from_file(annotation: Any, value: Any) -> Any:
    """Return a value of the workflow file as this type: a date is text there, a model a mapping.

    Raises:
        ValidationError: It does not fit.
    """
    return (
        value if annotation is Any else TypeAdapter(annotation).validate_json(json.dumps(value), strict=True)
    )


def _strict(annotation: Any) -> Any:
    if annotation in _SCALARS or annotation in _CONTAINERS:
        return Annotated[annotation, Strict()]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in _CONTAINERS:
        return Annotated[origin[tuple(map(_strict, arguments))], Strict()]
    if arguments and origin is not Literal and origin is not Annotated:
        return Union[tuple(map(_strict, arguments))]  # noqa: UP007  # built at run time
    return annotation
