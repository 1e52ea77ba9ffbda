"""Ways through the graph: unreachable nodes, dead ends, loops without a limit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from framework.definition.models import END, NAME_PATTERN, START
from framework.definition.normal import Draft

RESERVED = frozenset({START, END, "__start__", "__end__"})
Ways = Mapping[str, tuple[str, ...]]


def ways_on(draft: Draft) -> dict[str, tuple[str, ...]]:
    """Everything that each node, and `start`, can lead to; unknown names left out."""
    workflow = draft.workflow
    known = {START, END, *workflow.nodes}
    ways: dict[str, dict[str, None]] = {name: {} for name in (START, *workflow.nodes)}
    for edge in workflow.edges:
        for source in edge.sources:
            if source in ways:
                ways[source].update(dict.fromkeys(target for target in edge.targets if target in known))
    for route in workflow.routes:
        for branch in route.branches:
            if route.source in ways:
                ways[route.source].update(dict.fromkeys(t for t in branch.targets if t in known))
    for name, node in workflow.nodes.items():
        if node.on_error is not None and node.on_error.goto in known:
            ways[name][str(node.on_error.goto)] = None
    return {name: tuple(targets) for name, targets in ways.items()}


def check_reach(draft: Draft, ways: Ways, *, whole: bool) -> None:
    """Every node is reached from `start`, and reaches `end`.

    Args:
        draft: With its edges read.
        ways: As `ways_on()` returns them.
        whole: Whether every edge could be read; otherwise a gap proves nothing.
    """
    workflow, problems = draft.workflow, draft.problems
    if not ways[START]:
        if whole:
            problems.add(("edges",), "no edge begins at 'start'", "add: start -> <first node>", key=True)
        return
    reached = _closure([START], ways)
    leading = {name for edge in workflow.edges for name in edge.sources}
    leading.update(route.source for route in workflow.routes)
    dead_ends = {name for name in workflow.nodes if name not in leading}
    # A node before a dead end has its cause there; only what cannot even reach one is reported.
    ending = _closure(
        [END, *dead_ends, *(name for name, leads in ways.items() if not leads)], backwards(ways)
    )
    for name in workflow.nodes:
        path = ("nodes", name)
        if name in RESERVED or not re.fullmatch(NAME_PATTERN, name):
            continue  # No edge can name it.
        if name not in ending:
            problems.add(path, "no way leads from here to 'end'", "add an edge out of the loop", key=True)
        elif not whole:
            continue
        elif name not in reached:
            hint = "add an edge, or remove the node"
            problems.add(path, "no edge leads here from 'start'", hint, key=True)
        elif name in dead_ends:
            problems.add(path, "no edge leads on from here", f"add: {name} -> end", key=True)


def backwards(ways: Ways) -> dict[str, list[str]]:
    """For each node, those that can lead to it."""
    found: dict[str, list[str]] = {}
    for source, targets in ways.items():
        for target in targets:
            found.setdefault(target, []).append(source)
    return found


def _closure(names: Iterable[str], ways: Mapping[str, Iterable[str]]) -> set[str]:
    seen: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in seen:
            seen.add(name)
            todo.extend(ways.get(name, ()))
    return seen


def check_loops(draft: Draft, ways: Ways) -> None:
    """Every loop goes through a node whose visits are limited, or the run's steps are."""
    if draft.explicit_max_steps:
        return
    limited = draft.workflow.limits.max_visits
    for loop in _loops({name: targets for name, targets in ways.items() if name not in limited}):
        way = " -> ".join([*loop, loop[0]]) if len(loop) <= 8 else f"{loop[0]} -> … -> {loop[0]}"
        hint = f"add limits: {{max_visits: {{{loop[0]}: 3}}}}, or limits: {{max_steps: 200}}"
        draft.problems.add(("nodes", loop[0]), f"a loop without a limit: {way}", hint, key=True)


def _loops(ways: Ways) -> list[list[str]]:
    """One loop of each part of the graph that has any; depth first, without recursion."""
    done: set[str] = set()
    found: list[list[str]] = []
    for root in ways:
        trail: list[str] = []
        on_trail: set[str] = set()
        stack: list[tuple[str, bool]] = [(root, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                trail.pop()
                on_trail.discard(name)
                done.add(name)
                continue
            if name in done or name not in ways:
                continue
            if name in on_trail:
                found.append(trail[trail.index(name) :])
                if len(found) >= 20:
                    return found
                continue
            trail.append(name)
            on_trail.add(name)
            stack.append((name, True))
            stack.extend((target, False) for target in ways[name])
    return found
