"""Classes of a workflow's `types` module: which come back from a checkpoint, and which must be tried."""

from __future__ import annotations

import datetime as dt
import types
from collections.abc import Set as AbstractSet
from dataclasses import fields, is_dataclass
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from typing import Any, Literal, Union, get_args, get_origin
from uuid import UUID

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

_PLAIN_LEAVES = frozenset(
    {str, int, float, bool, bytes, type(None), Decimal, UUID, dt.date, dt.datetime, dt.timedelta}
)


@lru_cache(maxsize=1024)
def is_plain_model(kind: type[BaseModel]) -> bool:
    """Whether a model's instances survive when each of their fields does.

    False only means that somebody has to try: a validator, an alias, a nested
    model or a union can turn a stored value into another one.
    """
    marks = kind.__pydantic_decorators__
    touched = (
        marks.validators, marks.field_validators, marks.root_validators, marks.field_serializers,
        marks.model_serializers, marks.model_validators, marks.computed_fields,
    )  # fmt: skip
    config = kind.model_config
    return (
        not any(touched)
        and not kind.__private_attributes__
        and kind.__init__ is BaseModel.__init__
        and kind.model_post_init is BaseModel.model_post_init
        and kind.model_dump is BaseModel.model_dump
        and config.get("extra") in (None, "ignore", "forbid")
        and not ({"alias_generator", "str_to_lower", "str_to_upper", "str_strip_whitespace"} & set(config))
        and all(_is_plain_field(field) for field in kind.model_fields.values())
    )


def _is_plain_field(field: FieldInfo) -> bool:
    constraints_only = all(
        type(mark).__module__ == "annotated_types" or type(mark).__name__ == "Strict"
        for mark in field.metadata
    )
    return (
        constraints_only
        and field.alias is None
        and field.validation_alias is None
        and not field.exclude
        and field.init is not False
        and _is_plain(field.annotation)
    )


def _is_plain(annotation: Any) -> bool:  # any type form
    if annotation in _PLAIN_LEAVES or (isinstance(annotation, type) and issubclass(annotation, Enum)):
        return True
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return True
    if origin in (Union, types.UnionType):
        # With more than one member beside None, the first that fits would win.
        return len(arguments) == 2 and type(None) in arguments and all(map(_is_plain, arguments))
    return origin in (list, dict) and all(map(_is_plain, arguments))


@lru_cache(maxsize=1024)
def dumps_to_itself(kind: type[Any]) -> bool:
    """Whether an instance is its fields: nothing is computed, hidden or changed when it is built."""
    if issubclass(kind, BaseModel):
        return is_plain_model(kind)
    if is_dataclass(kind):
        return (
            all(field.init for field in fields(kind))
            and not hasattr(kind, "__post_init__")
            and not hasattr(kind, "__pydantic_validator__")
        )
    return issubclass(kind, Enum | tuple)


def survives(value: object, allowed: AbstractSet[tuple[str, ...]]) -> bool:
    """Whether the strict serializer gives back an equal value of the same types."""
    serializer = _serializer(frozenset(allowed))
    try:
        again = serializer.loads_typed(serializer.dumps_typed(value))
        return _same(value, again) and bool(value == again)
    except Exception:  # noqa: BLE001  # encoding and comparing call the user's code
        return False


@lru_cache(maxsize=32)
def _serializer(allowed: frozenset[tuple[str, ...]]) -> JsonPlusSerializer:
    return JsonPlusSerializer(allowed_msgpack_modules=sorted(allowed) or None)


def _same(one: object, other: object) -> bool:
    """Whether two values have the same types all the way down; equality alone calls 1 and True the same."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(_same(item, other[key]) for key, item in one.items())
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dt.datetime) and isinstance(other, dt.datetime):
        return type(one.tzinfo) is type(other.tzinfo)
    if hasattr(one, "__dict__") and not isinstance(one, type | Enum):
        return _same(vars(one), vars(other))
    return True
