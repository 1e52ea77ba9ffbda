"""Text → plain data, with the position of every part; bounded in time and memory.

The file is read as a stream of libyaml's events, so a bomb is refused before
anything is built: building from nodes, as `yaml.load` does, recurses in C and
ends the process on 200 kB of `[`. Scalars follow YAML 1.2: `on` and `no` are
text, `12:30` is text, `010` is ten.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml
from yaml import CSafeLoader

from framework.definition.document import Document, Key, Location, Node, path_text, shown, shown_key
from framework.definition.files import MAX_BYTES, TOO_LARGE, read_text
from framework.definition.scalars import plain_value
from framework.definition.yaml_hints import explain_syntax_error
from framework.errors import DefinitionInvalid, FileInvalid, Problem

__all__ = [
    "Document",
    "Key",
    "Location",
    "path_text",
    "read_document",
    "read_file",
    "read_text",
    "shown",
    "shown_key",
]

MAX_DEPTH = 64
MAX_NODES = 50_000
MAX_ALIASES = 100
MAX_EXPANSION = 10
_FORBIDDEN = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]|\ufeff")
_CONTENT = re.compile(r"^[ \t]*([^\s#])", re.MULTILINE)
_PIECE = re.compile(r"#[^\r\n]*|\.\.\.|\S")
_LINE_END = re.compile("\r\n|[\n\r\x85\u2028\u2029]")
_TAB_INDENT = re.compile(r"^ *(\t)[ \t]*[^\s#]", re.MULTILINE)


def read_document(text: str, file_name: str, *, error: type[FileInvalid] = DefinitionInvalid) -> Document:
    """Parse YAML text, refusing what is dangerous or ambiguous.

    Raises:
        DefinitionInvalid: Or `error`; with every problem of the content, or
            with the one that made reading on impossible.
    """
    text = text.removeprefix("\ufeff")
    if len(text) > MAX_BYTES or len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise error(file_name, "", [TOO_LARGE])
    return _Reader(text, file_name, error).read()


def read_file(
    path: Path, file_name: str | None = None, *, error: type[FileInvalid] = DefinitionInvalid
) -> Document:
    """Read and parse a file; a missing or unreadable one is the same kind of error."""
    name = file_name or str(path)
    return read_document(read_text(path, name, error=error), name, error=error)


@dataclass(slots=True)
class _Frame:
    """A mapping or list that is being read."""

    value: Any
    node: Node
    anchor: str | None
    nodes_before: int
    chars_before: int
    key: str | None = None
    key_location: Location | None = None
    height: int = 1
    """Levels in it, its own included; aliases count as what they stand for."""


@dataclass(frozen=True, slots=True)
class _Anchored:
    """What an alias stands for, and what it costs to write it out."""

    value: Any
    node: Node
    nodes: int
    chars: int
    height: int


class _Reader:
    """Builds a document from the event stream, counting as it goes."""

    def __init__(self, text: str, file_name: str, error: type[FileInvalid]) -> None:
        self.text = text
        self.file_name = file_name
        self.error = error
        self.problems: list[Problem] = []
        self.stack: list[_Frame] = []
        self.anchors: dict[str, _Anchored] = {}
        self.open_anchors: set[str] = set()
        self.written = 0
        self.nodes = 0
        self.chars = 0
        self.aliases = 0
        self.last_alias: yaml.Event | None = None
        self.value: Any = None
        self.root = Node(Location(1, 1), 0, 0)
        # Text in which a tab at the beginning of a line is content, not indentation.
        self.free_text: list[tuple[int, int]] = []

    def read(self) -> Document:
        self._check_characters()
        try:
            self._read_events()
        except yaml.MarkedYAMLError as problem:
            found = explain_syntax_error(problem, self.text)
            raise self.error(self.file_name, self.text, [found]) from None
        except yaml.YAMLError as problem:
            found = Problem(1, 1, 1, "", f"not valid YAML: {str(problem)[:200]}")
            raise self.error(self.file_name, self.text, [found]) from None
        self._check_tabs()
        if self.problems:
            raise self.error(self.file_name, self.text, self.problems)
        return Document(self.text, self.file_name, self.value, self.root)

    # Before parsing ---------------------------------------------------------------------------

    def _check_characters(self) -> None:
        match = _FORBIDDEN.search(self.text)
        if match:
            code = ord(match.group())
            name = "a lone surrogate" if 0xD800 <= code <= 0xDFFF else "a control character"
            self._stop_at(match.start(), f"U+{code:04X} is {name}, which no text may hold")
        match = _CONTENT.search(self.text)
        if match and match.group(1) == "%":
            self._stop_at(match.start(1), "directives are not used here", "remove the line")

    def _stop_at(self, index: int, message: str, hint: str | None = None) -> None:
        before = (self.text[:index] + "|").splitlines()
        problem = Problem(len(before), len(before[-1]), 1, "", message, hint)
        # A lone surrogate in the report could not be printed.
        source = self.text.encode("utf-8", "replace").decode("utf-8")
        raise self.error(self.file_name, source, [problem])

    # Events -----------------------------------------------------------------------------------

    def _read_events(self) -> None:
        for event in yaml.parse(self.text, Loader=CSafeLoader):
            if isinstance(event, yaml.ScalarEvent):
                self._scalar(event)
            elif isinstance(event, yaml.SequenceStartEvent | yaml.MappingStartEvent):
                self._open(event)
            elif isinstance(event, yaml.SequenceEndEvent | yaml.MappingEndEvent):
                self._close(event)
            elif isinstance(event, yaml.AliasEvent):
                self._alias(event)
            elif isinstance(event, yaml.DocumentEndEvent):
                # What follows is not parsed: a second document could hold anything.
                self._check_rest(event)
                break
        if self.last_alias is not None:
            self._check_expansion(self.last_alias)

    def _check_rest(self, event: yaml.Event) -> None:
        start = _marks(event)[0].index
        for piece in _PIECE.finditer(self.text, start):
            if piece.group()[0] != "#" and piece.group() != "...":
                self._stop_at(piece.start(), "a second document begins here", "one file holds one workflow")

    def _count(self, event: yaml.Event, nodes: int, chars: int) -> None:
        self.nodes += nodes
        self.chars += chars
        if self.nodes > MAX_NODES:
            aliased = self.written < self.nodes
            reason = " once its aliases are written out" if aliased else ""
            self._stop(event, f"the file has more than {MAX_NODES:,} values{reason}")

    def _check_expansion(self, event: yaml.Event) -> None:
        nodes = self.nodes > MAX_EXPANSION * self.written + 100
        if nodes or self.chars > MAX_EXPANSION * len(self.text):
            self._stop(event, f"aliases make the file more than {MAX_EXPANSION} times larger")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        self.written += 1
        self._count(event, 1, len(event.value))
        location = _location(event)
        if event.tag is not None:
            self._add(event, f"the tag {_tag(event.tag)} is not allowed", "remove it")
        first, last = _marks(event)
        plain = bool(event.implicit[0])
        if not plain and last.line > first.line:
            self.free_text.append((first.line, last.line))
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key_location is None:
            self._key(frame, event, location, plain=plain)
            return
        value = self._plain(event) if plain else event.value
        node = Node(location, first.index, last.index)
        self._place(value, node)
        if event.anchor:
            self.anchors[event.anchor] = _Anchored(value, node, 1, len(event.value), 0)

    def _key(self, frame: _Frame, event: yaml.ScalarEvent, location: Location, *, plain: bool) -> None:
        key: str = event.value
        if plain and key == "<<":
            self._add(event, "merge keys (<<) are not allowed", "write the keys out")
        elif plain and not isinstance(plain_value(key)[0], str):
            self._add(event, f"a key must be text, {shown_key(key) or 'nothing'} is not", "put it in quotes")
        elif key in frame.value:
            first = frame.node.entries[key][0].line if frame.node.entries else 0
            self._add(event, f"duplicate key {shown(key)}", f"it is first given at line {first}")
        frame.key, frame.key_location = key, location
        if event.anchor:
            self._stop(event, "a key cannot have an anchor")

    def _plain(self, event: yaml.ScalarEvent) -> Any:
        value, refusal = plain_value(event.value)
        if refusal is not None:
            self._add(event, refusal, "put it in quotes if it is text")
        return value

    def _open(self, event: yaml.SequenceStartEvent | yaml.MappingStartEvent) -> None:
        self.written += 1
        self._count(event, 1, 0)
        if len(self.stack) >= MAX_DEPTH:
            self._stop(event, f"more than {MAX_DEPTH} levels inside each other")
        if event.tag is not None:
            self._add(event, f"the tag {_tag(event.tag)} is not allowed", "remove it")
        self._refuse_as_key(event)
        mapping = isinstance(event, yaml.MappingStartEvent)
        node = Node(_location(event, width=1), *_indexes(event), {})
        frame = _Frame({} if mapping else [], node, event.anchor, self.nodes - 1, self.chars)
        if event.anchor:
            self.open_anchors.add(event.anchor)
        self.stack.append(frame)

    def _close(self, event: yaml.Event) -> None:
        frame = self.stack.pop()
        frame.node.end = _indexes(event)[1]
        self._place(frame.value, frame.node, frame.height)
        if frame.anchor:
            self.open_anchors.discard(frame.anchor)
            self.anchors[frame.anchor] = _Anchored(
                frame.value,
                frame.node,
                self.nodes - frame.nodes_before,
                self.chars - frame.chars_before,
                frame.height,
            )

    def _alias(self, event: yaml.AliasEvent) -> None:
        self.written += 1
        self.aliases += 1
        if self.aliases > MAX_ALIASES:
            self._stop(event, f"more than {MAX_ALIASES} aliases")
        self._refuse_as_key(event)
        name = event.anchor or ""
        if name in self.open_anchors:
            self._stop(event, f"the alias *{shown_key(name)} stands inside what it names")
        anchored = self.anchors.get(name)
        if anchored is None:
            hint = "text that begins with * needs quotes"
            raise self._stopped(event, f"no anchor &{shown_key(name)} stands before this alias", hint)
        self._count(event, anchored.nodes, anchored.chars)
        self.last_alias = event
        node = Node(_location(event), *_indexes(event), anchored.node.entries)
        if len(self.stack) + anchored.height > MAX_DEPTH:
            self._stop(event, f"more than {MAX_DEPTH} levels inside each other")
        self._place(anchored.value, node, anchored.height)

    def _refuse_as_key(self, event: yaml.Event) -> None:
        frame = self.stack[-1] if self.stack else None
        if frame is not None and isinstance(frame.value, dict) and frame.key_location is None:
            hint = 'put an expression in quotes: "${{ … }}"'
            self._stop(event, "a key must be text, not a list, a mapping or an alias", hint)

    def _place(self, value: Any, node: Node, height: int = 0) -> None:
        if not self.stack:
            self.value, self.root = value, node
            return
        frame = self.stack[-1]
        frame.height = max(frame.height, height + 1)
        entries = frame.node.entries
        assert entries is not None
        if isinstance(frame.value, list):
            entries[len(frame.value)] = (node.location, node)
            frame.value.append(value)
        else:
            assert frame.key is not None
            assert frame.key_location is not None
            if frame.key not in frame.value:
                entries[frame.key] = (frame.key_location, node)
                frame.value[frame.key] = value
            frame.key = frame.key_location = None

    # Problems ---------------------------------------------------------------------------------

    def _path(self) -> list[Key]:
        path: list[Key] = []
        for frame in self.stack:
            if isinstance(frame.value, list):
                path.append(len(frame.value))
            elif frame.key is not None:
                path.append(frame.key)
        return path

    def _problem(self, event: yaml.Event, message: str, hint: str | None) -> Problem:
        at = _location(event)
        return Problem(at.line, at.column, at.width, path_text(self._path()), message, hint)

    def _add(self, event: yaml.Event, message: str, hint: str | None = None) -> None:
        self.problems.append(self._problem(event, message, hint))
        if len(self.problems) >= 100:
            raise self.error(self.file_name, self.text, self.problems)

    def _stop(self, event: yaml.Event, message: str, hint: str | None = None) -> None:
        raise self._stopped(event, message, hint)

    def _stopped(self, event: yaml.Event, message: str, hint: str | None = None) -> FileInvalid:
        problems = [*self.problems, self._problem(event, message, hint)]
        return self.error(self.file_name, self.text, problems)

    def _check_tabs(self) -> None:
        found = list(islice(_TAB_INDENT.finditer(self.text), MAX_NODES))
        if not found:
            return
        starts = [first for first, _ in self.free_text]
        line_starts = [0, *(match.end() for match in _LINE_END.finditer(self.text))]
        for match in found:
            line = bisect_right(line_starts, match.start(1)) - 1
            place = bisect_right(starts, line) - 1
            # The first line of such text still holds the key that it belongs to.
            if place >= 0 and self.free_text[place][0] < line <= self.free_text[place][1]:
                continue
            column = match.start(1) - line_starts[line] + 1
            message = "a tab is used as indentation"
            self.problems.append(Problem(line + 1, column, 1, "", message, "indent with spaces"))
            if len(self.problems) >= 100:
                break


def _tag(tag: str) -> str:
    return shown_key(tag.replace("tag:yaml.org,2002:", "!!"))


def _marks(event: yaml.Event) -> tuple[Any, Any]:
    return event.start_mark, event.end_mark


def _indexes(event: yaml.Event) -> tuple[int, int]:
    start, end = _marks(event)
    return start.index, end.index


def _location(event: yaml.Event, width: int | None = None) -> Location:
    start, end = _marks(event)
    if width is None:
        width = max(1, end.column - start.column) if end.line == start.line else 1
    return Location(start.line + 1, start.column + 1, width)
