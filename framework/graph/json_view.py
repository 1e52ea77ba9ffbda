"""State as JSON: what a run returns, and what a page or a terminal can show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json, to_json


def as_json(value: Any) -> Any:  # JSON in, JSON out
    """Return a value as JSON: models and dataclasses as mappings, moments in ISO form.

    NaN and the infinities become their names, bytes base64; what has no form
    in JSON becomes its `repr`, since a page is better than an error.
    """
    # Through the text: the direct way leaves NaN as it is.
    return from_json(to_json(value, bytes_mode="base64", inf_nan_mode="strings", fallback=_described))


def as_json_mapping(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return a mapping as JSON, key by key."""
    return {str(key): as_json(value) for key, value in values.items()}


def _described(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001  # a user's __repr__ may raise anything
        return f"<{type(value).__name__}: {type(error).__name__} in its repr>"
