"""What a scalar without quotes means: YAML 1.2's core schema, without what cannot be stored."""

from __future__ import annotations

import math
import re
from typing import Any

MAX_INTEGER = 10**30

_NULL = re.compile(r"~|null|Null|NULL|")
_BOOLEAN = re.compile(r"true|True|TRUE|false|False|FALSE")
_INTEGER = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_A_NUMBER = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def plain_value(text: str) -> tuple[Any, str | None]:
    """Return the value, and why it is refused, if it is.

    `on` and `no` are text, as are dates and `12:30`; `010` is ten.
    """
    if text and text[0] not in "~nNtTfF.-+0123456789":
        return text, None
    if _NULL.fullmatch(text):
        return None, None
    if _BOOLEAN.fullmatch(text):
        return text.lower() == "true", None
    if _INTEGER.fullmatch(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        # Python takes its time over thousands of digits.
        number = int(text, base) if len(text) <= 64 else MAX_INTEGER + 1
        return number, "the number is larger than 10^30" if abs(number) > MAX_INTEGER else None
    if _FLOAT.fullmatch(text):
        value = float(text)
        return value, "the number is too large" if math.isinf(value) else None
    if _NOT_A_NUMBER.fullmatch(text):
        return 0.0, f"{text} is not allowed: it cannot be stored"
    return text, None
