"""Where edges lead: unknown and unreachable nodes, dead ends, loops without a limit."""

from __future__ import annotations

import re

from framework.definition.edges import Mention
from framework.definition.models import END, NAME_PATTERN, START
from framework.definition.normal import Draft
from framework.definition.rules.reach import RESERVED, check_loops, check_reach, ways_on
from framework.definition.source import shown
from framework.definition.words import suggest


def check_flow(draft: Draft) -> None:
    """Check nodes' names, edges, reachability and loops."""
    workflow, problems = draft.workflow, draft.problems
    _check_kind(draft)
    _check_node_names(draft)
    if workflow.graph is not None or not workflow.nodes:
        return
    if not workflow.edges and not workflow.routes:
        if not problems.any_under("edges"):
            problems.add(("nodes",), "no edges connect the nodes", "add edges: [start -> … -> end]", key=True)
        return
    _check_mentions(draft)
    ways = ways_on(draft)
    # Where an edge is lost or leads nowhere, what it does not reach is no second problem.
    check_reach(draft, ways, whole=not problems.any_under("edges"))
    _check_duplicates(draft)
    check_loops(draft, ways)


def _check_kind(draft: Draft) -> None:
    workflow, problems, data = draft.workflow, draft.problems, draft.document.data
    if workflow.graph is None:
        if "nodes" not in data and "graph" not in data:
            problems.add((), "the workflow has neither 'nodes' nor 'graph'", "add nodes and edges")
        elif not workflow.nodes and data.get("nodes") in ({}, None):
            problems.add(("nodes",), "the workflow has no nodes", key=True)
        for key in ("interrupt_before", "interrupt_after"):
            if key in data:
                hint = "they stand beside graph:"
                problems.add((key,), f"'{key}' is for a wrapped graph only", hint, key=True)
        return
    for key in ("nodes", "edges", "state", "defaults"):
        if key in data:
            hint = "a wrapped graph brings its own nodes, edges and state"
            problems.add((key,), f"'{key}' cannot stand beside 'graph'", hint, key=True)


def _check_node_names(draft: Draft) -> None:
    for name in draft.workflow.nodes:
        if name in RESERVED:
            message = f"{shown(name)} is reserved: it is where every run begins or ends"
            draft.problems.add(("nodes", name), message, "give the node another name", key=True)
        elif not re.fullmatch(NAME_PATTERN, name):
            hint = "use lower-case letters, digits, - and _, beginning with a letter; at most 63"
            draft.problems.add(("nodes", name), f"{shown(name)} is not a name for a node", hint, key=True)


def _check_mentions(draft: Draft) -> None:
    for written in draft.written.edges:
        _check_sources(draft, written.sources)
        _check_targets(draft, written.targets)
    for route in draft.written.routes:
        _check_sources(draft, (route.source,))
        for branch in route.branches:
            _check_targets(draft, branch.targets)
    for name, node in draft.workflow.nodes.items():
        goto = node.on_error.goto if node.on_error is not None else None
        if goto is not None:
            mention = Mention(goto, ("nodes", name, "on_error", "goto"), 0)
            _check_targets(draft, (mention,))
            if mention.name == name:
                hint = "raise retry.max_attempts instead"
                _add(draft, mention, "a node that failed cannot be its own way out", hint)
    for name in draft.workflow.limits.max_visits:
        if name not in draft.workflow.nodes:
            near = suggest(name, draft.workflow.nodes, kind="nodes")
            draft.problems.add(
                ("limits", "max_visits", name), f"there is no node {shown(name)}", near, key=True
            )


def _check_sources(draft: Draft, mentions: tuple[Mention, ...]) -> None:
    for mention in mentions:
        if mention.name == END:
            _add(draft, mention, "nothing follows 'end'")
        elif mention.name == START and len(mentions) > 1:
            _add(draft, mention, "'start' cannot be waited for", "write start -> … on a line of its own")
        elif mention.name != START:
            _check_known(draft, mention)
    _check_twice(draft, mentions)


def _check_targets(draft: Draft, mentions: tuple[Mention, ...]) -> None:
    for mention in mentions:
        if mention.name == START:
            _add(draft, mention, "nothing leads to 'start'", "name the first node instead")
        elif mention.name != END:
            _check_known(draft, mention)
    _check_twice(draft, mentions)


def _check_known(draft: Draft, mention: Mention) -> None:
    if mention.name not in draft.workflow.nodes:
        hint = suggest(mention.name, [*draft.workflow.nodes, START, END], kind="nodes")
        _add(draft, mention, f"there is no node {shown(mention.name)}", hint)


def _check_twice(draft: Draft, mentions: tuple[Mention, ...]) -> None:
    seen: set[str] = set()
    for mention in mentions:
        if mention.name in seen:
            _add(draft, mention, f"{shown(mention.name)} is named twice")
        seen.add(mention.name)


def _add(draft: Draft, mention: Mention, message: str, hint: str | None = None) -> None:
    draft.problems.add(mention.path, message, hint, offset=mention.offset, width=len(mention.name))


def _check_duplicates(draft: Draft) -> None:
    """The same edge twice, two routes after one node, or a route beside plain edges."""
    plain: dict[str, Mention] = {}
    pairs: set[tuple[tuple[str, ...], str]] = set()
    for written in draft.written.edges:
        for source in written.sources:
            plain.setdefault(source.name, source)
        sources = tuple(sorted(set(written.edge.sources)))
        for target in written.targets:
            if (sources, target.name) in pairs:
                _add(draft, target, f"the edge {' + '.join(sources)} -> {target.name} is written twice")
        pairs.update((sources, target.name) for target in written.targets)
    routed: set[str] = set()
    for route in draft.written.routes:
        name = route.source.name
        if name in routed:
            _add(draft, route.source, f"{shown(name)} has two routes", "put all branches into one")
        routed.add(name)
        if name in plain:
            hint = "a node leads on either by edges or by one route"
            _add(draft, plain[name], f"{shown(name)} has a route and an edge", hint)
