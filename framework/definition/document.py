"""A parsed file: its plain data, where each part of it stands, and how both are written in messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SHOWN = 80
"""No message repeats more characters of a value than this."""

Key = str | int
_ESCAPES = {"x": 4, "u": 6, "U": 10}


@dataclass(frozen=True, slots=True)
class Location:
    """Where something stands; `line` and `column` count from 1, `width` is in characters."""

    line: int
    column: int
    width: int = 1


@dataclass(slots=True)
class Node:
    """Position of a value; `entries` leads to its parts, with the position of their keys."""

    location: Location
    start: int
    end: int
    entries: dict[Key, tuple[Location, Node]] | None = None


class Document:
    """A parsed file: its plain data, and where each part of it stands."""

    def __init__(self, text: str, file_name: str, data: Any, root: Node) -> None:
        self.text = text
        self.file_name = file_name
        self.data = data
        self._root = root

    def locate(self, path: Sequence[Key], *, key: bool = False) -> Location:
        """Return where the value at `path` stands, or its key; the deepest part that exists."""
        node, location = self._root, self._root.location
        for part in path:
            entry = (node.entries or {}).get(part)
            if entry is None:
                # The value is not there, so its nearest parent's key is what a reader looks for.
                return location
            key_location, node = entry
            location = key_location
        return location if key else node.location

    def locate_text(self, path: Sequence[Key], offset: int, width: int = 1) -> Location:
        """Return where the character at `offset` of the text at `path` stands.

        Exact for text on one line, quoted or not, and for `|` blocks; for
        folded text, the place where it begins.
        """
        node = self._root
        for part in path:
            entry = (node.entries or {}).get(part)
            if entry is None:
                return self.locate(path)
            node = entry[1]
        raw = self.text[node.start : node.end]
        if raw.startswith("|"):
            return self._locate_in_block(node, raw, path, offset, width)
        if "\n" in raw or "\r" in raw:
            return node.location
        return Location(node.location.line, node.location.column + _raw_offset(raw, offset), width)

    def _locate_in_block(
        self, node: Node, raw: str, path: Sequence[Key], offset: int, width: int
    ) -> Location:
        value: Any = self.data
        for part in path:
            value = value[part]
        before = value[:offset]
        row = before.count("\n")
        lines = raw.splitlines()[1:]
        indent = next((len(line) - len(line.lstrip(" ")) for line in lines if line.strip()), 0)
        column = offset - (before.rfind("\n") + 1)
        return Location(node.location.line + 1 + row, indent + column + 1, width)


def _raw_offset(raw: str, offset: int) -> int:
    """How far into a one-line scalar's source the character at `offset` of its value stands."""
    if not raw or raw[0] not in "'\"":
        return min(offset, len(raw))
    position = 1
    for _ in range(offset):
        if position >= len(raw) - 1:
            break
        if raw[0] == "'" and raw.startswith("''", position):
            position += 2
        elif raw[0] == '"' and raw[position] == "\\":
            position += _ESCAPES.get(raw[position + 1 : position + 2], 2)
        else:
            position += 1
    return position


def shown(value: object) -> str:
    """Quote a value for a message, cut to 80 characters."""
    # The slice comes first: the repr of a large value costs what the value costs.
    if isinstance(value, str):
        text = repr(value[: SHOWN + 1])
    elif value is None or isinstance(value, bool):
        text = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, int | float):
        text = repr(value) if abs(value) < 10**SHOWN else "a very large number"
    elif isinstance(value, dict):
        text = "a mapping"
    elif isinstance(value, list | tuple):
        text = "a list"
    else:
        text = f"a {type(value).__name__}"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def path_text(path: Sequence[Key]) -> str:
    """Write a key path as people do: `nodes.fetch.retry`, `edges[2].route[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{shown_key(part)}"
    text = text.removeprefix(".")
    return text if len(text) <= 2 * SHOWN else text[: 2 * SHOWN] + "…"


def shown_key(key: str) -> str:
    """A key as it stands in a path, cut to 80 characters."""
    key = key.replace("\n", " ")
    return key if len(key) <= SHOWN else key[: SHOWN - 1] + "…"
