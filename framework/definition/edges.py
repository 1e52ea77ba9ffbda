"""Edges as people write them → `Edge` and `Route`, each name with its place in the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from framework.definition.checked import PLACEHOLDER, checked
from framework.definition.models import Branch, Edge, Route
from framework.definition.problems import Problems
from framework.definition.shape import BranchShape, EdgeShape
from framework.definition.source import Key, shown

_TOKEN = re.compile(r"\s*(->|\[|\]|,|[A-Za-z_0-9](?:[A-Za-z_0-9]|-(?!>))*|\S)")
_ARROW_HINT = "write a -> b, a -> [b, c] or [a, b] -> c"


@dataclass(frozen=True, slots=True)
class Mention:
    """A node's name, `offset` characters into the text at `path`."""

    name: str
    path: tuple[Key, ...]
    offset: int


@dataclass(frozen=True, slots=True)
class WrittenEdge:
    """An edge with its places."""

    edge: Edge
    sources: tuple[Mention, ...]
    targets: tuple[Mention, ...]


@dataclass(frozen=True, slots=True)
class WrittenBranch:
    """A branch of a route with its places; `shift` is what precedes the condition in its text."""

    branch: Branch
    path: tuple[Key, ...]
    shift: int
    targets: tuple[Mention, ...]


@dataclass(frozen=True, slots=True)
class WrittenRoute:
    """A route with its places."""

    route: Route
    source: Mention
    branches: tuple[WrittenBranch, ...]


@dataclass(slots=True)
class WrittenEdges:
    """Everything that stands under `edges:`."""

    edges: list[WrittenEdge] = field(default_factory=list)
    routes: list[WrittenRoute] = field(default_factory=list)


def read_edges(items: Sequence[Any], problems: Problems) -> WrittenEdges:
    """Read the list under `edges:`; what cannot be read is reported and left out."""
    written = WrittenEdges()
    for index, item in enumerate(items):
        path: tuple[Key, ...] = ("edges", index)
        if isinstance(item, str):
            written.edges += _read_chain(item, path, problems)
        elif isinstance(item, dict):
            _read_mapping(item, path, problems, written)
        else:
            problems.add(path, f"an edge is expected, not {shown(item)}", _ARROW_HINT)
        if problems.full:
            break
    return written


def _read_chain(text: str, path: tuple[Key, ...], problems: Problems) -> list[WrittenEdge]:
    """`a -> [b, c] -> d`: each arrow makes one edge."""
    tokens = [(match.group(1), match.start(1)) for match in _TOKEN.finditer(text)]
    groups: list[tuple[Mention, ...]] = []
    position = 0
    while True:
        group, position = _read_group(tokens, position, path, text, problems)
        if not group:
            return []
        groups.append(group)
        if position >= len(tokens):
            break
        token, offset = tokens[position]
        if token != "->":  # noqa: S105  # an arrow, not a secret
            message = f"'->' is expected, not {shown(token)}"
            problems.add(path, message, _ARROW_HINT, offset=offset, width=len(token))
            return []
        position += 1
    if len(groups) < 2:
        problems.add(path, "an edge leads from one node to another", _ARROW_HINT)
        return []
    return [_edge(sources, targets) for sources, targets in pairwise(groups)]


def _read_group(
    tokens: list[tuple[str, int]], position: int, path: tuple[Key, ...], text: str, problems: Problems
) -> tuple[tuple[Mention, ...], int]:
    """One name, or `[a, b]`."""

    def unexpected(at: int, what: str) -> tuple[tuple[Mention, ...], int]:
        token, offset = tokens[at] if at < len(tokens) else ("the end", len(text))
        found = shown(token) if at < len(tokens) else token
        problems.add(path, f"{what} is expected, not {found}", _ARROW_HINT, offset=offset, width=len(token))
        return (), at

    if position < len(tokens) and _is_name(tokens[position][0]):
        name, offset = tokens[position]
        return (Mention(name, path, offset),), position + 1
    if position >= len(tokens) or tokens[position][0] != "[":
        return unexpected(position, "a node's name")
    group: list[Mention] = []
    position += 1
    while True:
        if position >= len(tokens) or not _is_name(tokens[position][0]):
            return unexpected(position, "a node's name")
        group.append(Mention(tokens[position][0], path, tokens[position][1]))
        position += 1
        if position < len(tokens) and tokens[position][0] == ",":
            position += 1
        elif position < len(tokens) and tokens[position][0] == "]":
            return tuple(group), position + 1
        else:
            return unexpected(position, "',' or ']'")


def _is_name(token: str) -> bool:
    return token[0].isalnum() or token[0] == "_"


def _edge(sources: tuple[Mention, ...], targets: tuple[Mention, ...]) -> WrittenEdge:
    edge = Edge(
        sources=tuple(mention.name for mention in sources),
        targets=tuple(mention.name for mention in targets),
    )
    return WrittenEdge(edge, sources, targets)


def _read_mapping(
    item: dict[str, Any], path: tuple[Key, ...], problems: Problems, written: WrittenEdges
) -> None:
    shape = checked(EdgeShape, item, path, problems)
    if shape is None or shape.from_ == PLACEHOLDER:
        return
    sources = _mentions(shape.from_, (*path, "from"), problems)
    if (shape.to is None) == (shape.route is None):
        problems.add(path, "an edge has either 'to' or 'route'", key=True)
        return
    if shape.route is None:
        targets = _mentions(shape.to, (*path, "to"), problems)
        if sources and targets:
            written.edges.append(_edge(sources, targets))
        return
    if len(sources) > 1:
        problems.add((*path, "from"), "a route begins at one node", "join into a node, and route from there")
        return
    branches = _read_branches(item.get("route"), (*path, "route"), problems)
    if sources and branches:
        route = Route(source=sources[0].name, branches=tuple(written.branch for written in branches))
        written.routes.append(WrittenRoute(route, sources[0], branches))


def _read_branches(items: Any, path: tuple[Key, ...], problems: Problems) -> tuple[WrittenBranch, ...]:
    branches: list[WrittenBranch] = []
    if not isinstance(items, list):
        return ()
    if not items:
        problems.add(path, "a route without branches leads nowhere")
    for index, item in enumerate(items):
        place = (*path, index)
        # Its misfits were reported with the edge; the copy without them is made here again.
        shape = checked(BranchShape, item, place, problems)
        if shape is None:
            continue
        if shape.else_ is not None and (shape.if_ is not None or shape.to is not None):
            problems.add(place, "a branch is either {if: …, to: …} or {else: …}")
            continue
        if shape.else_ is None and (shape.if_ is None or shape.to is None):
            missing = "if" if shape.if_ is None else "to"
            # One that is there but of a wrong type was reported as that.
            if item.get(missing) is None:
                problems.add(place, f"the branch lacks '{missing}'", "write {if: …, to: …} or {else: …}")
            continue
        where = (*place, "to" if shape.else_ is None else "else")
        targets = _mentions(shape.to if shape.else_ is None else shape.else_, where, problems)
        condition, shift = bare_condition(shape.if_)
        branch = Branch(condition=condition, targets=tuple(mention.name for mention in targets))
        branches.append(WrittenBranch(branch, place, shift, targets))
    _check_else(branches, path, problems)
    return tuple(branches)


def _check_else(branches: list[WrittenBranch], path: tuple[Key, ...], problems: Problems) -> None:
    last = len(branches) - 1
    others = [place for place, branch in enumerate(branches) if branch.branch.condition is None]
    for place in others:
        if place != last:
            where = (*branches[place].path, "else")
            problems.add(where, "'else' is not the last branch, so those after it are never taken", key=True)
    if branches and not others:
        problems.add(path, "the route has no 'else'", "add {else: end}, or another node", key=True)


def bare_condition(text: str | None) -> tuple[str | None, int]:
    """Take `${{ }}` off a condition; also return how many characters that removed in front."""
    if text is None:
        return None, 0
    match = re.fullmatch(r"(\s*\$\{\{)(.*)\}\}\s*", text, re.DOTALL)
    if match and "${{" not in match[2]:
        return match[2], len(match[1])
    return text, 0


def _mentions(value: Any, path: tuple[Key, ...], problems: Problems) -> tuple[Mention, ...]:
    if isinstance(value, str):
        return (Mention(value.strip(), path, len(value) - len(value.lstrip())),)
    if isinstance(value, list) and value:
        mentions = []
        for index, item in enumerate(value):
            if not isinstance(item, str):
                problems.add((*path, index), f"a node's name is expected, not {shown(item)}")
                continue
            mentions.append(Mention(item.strip(), (*path, index), len(item) - len(item.lstrip())))
        return tuple(mentions)
    problems.add(path, f"a node's name, or a list of them, is expected, not {shown(value)}")
    return ()
