"""Text and JSON in the form that PostgreSQL takes.

What a node raised, or a model answered, may hold what `text` and `jsonb`
refuse: NUL, lone surrogates, NaN. Nothing of that may keep a run from being
told how it ended.
"""

from __future__ import annotations

import json
import math
from typing import Any

from psycopg.types.json import Jsonb


def stored_text(text: str) -> str:
    """Return text without NUL and lone surrogates; each becomes a visible sign."""
    return text.replace("\0", "␀").encode("utf-8", "replace").decode("utf-8")


def stored_json(value: object) -> str:
    """Return JSON that jsonb takes; what JSON cannot say is told by its `str()`."""
    text = json.dumps(value, default=str, ensure_ascii=True)
    if "\\u0000" in text or "\\ud" in text or "NaN" in text or "Infinity" in text:
        text = json.dumps(_clean(json.loads(text)), ensure_ascii=True)
    return text


def can_be_stored(value: object) -> bool:
    """Whether jsonb gives back exactly this JSON value."""
    return bool(json.loads(stored_json(value)) == value)


def jsonb(value: object) -> Jsonb | None:
    """Wrap a value as a parameter; None stays SQL's null."""
    return None if value is None else Jsonb(value, dumps=stored_json)


def _clean(value: Any) -> Any:
    if isinstance(value, dict):
        return {stored_text(str(key)): _clean(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, str):
        return stored_text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value
