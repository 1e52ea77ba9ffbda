"""Every SQL statement is a named query in `queries/*.sql`; this reads them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib import resources
from types import MappingProxyType
from typing import LiteralString, cast

HEADER = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


def load(file_name: str) -> Mapping[str, LiteralString]:
    """Map each query's name to its text.

    Args:
        file_name: A file in `framework/storage/queries`, such as `runs.sql`.
    """
    text = resources.files("framework.storage").joinpath("queries", file_name).read_text("utf-8")
    _, *parts = HEADER.split(text)
    queries = dict(zip(parts[::2], parts[1::2], strict=True))
    # The cast is true: the files ship with us, so no outside text can be in them.
    return MappingProxyType(cast("dict[str, LiteralString]", queries))
