"""The shape of a compiled graph as JSON: stored with a definition, compared before a resume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langgraph.channels.base import BaseChannel
from langgraph.constants import START as LANGGRAPH_START
from langgraph.graph.state import CompiledStateGraph

from framework.graph.fingerprint import home_of
from framework.graph.state import State, StateChannel

VERSION = 1


def topology(
    graph: CompiledStateGraph[Any, Any, Any, Any],
    *,
    state: State | None,
    ways: Mapping[str, Sequence[str]],
    joins: Mapping[str, Sequence[str]],
    branches: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """Describe a compiled graph.

    Args:
        graph: Compiled, with or without a checkpointer.
        state: The workflow file's state; None for a wrapped graph.
        ways: Where each node can lead to, as far as that is known.
        joins: What each target of a join waits for.
        branches: For a wrapped graph, the names of each node's routers.
    """
    return {
        "version": VERSION,
        "kind": "wrapped" if state is None else "file",
        "nodes": {
            name: {"triggers": sorted(node.triggers), "leads_to": sorted(ways.get(name, ()))}
            for name, node in graph.nodes.items()
            if name != LANGGRAPH_START
        },
        "start": sorted(ways.get("start", ways.get(LANGGRAPH_START, ()))),
        "joins": {target: sorted(members) for target, members in joins.items()},
        "branches": {source: sorted(names) for source, names in branches.items()},
        "deferred": sorted(_deferred(graph)),
        "keys": {name: _channel(name, channel, state) for name, channel in _state_channels(graph)},
        "channels": sorted(str(name) for name in graph.channels),
    }


def shown_name(node: str) -> str:
    """A node's name as people write it: LangGraph's `__start__` is `start`."""
    return "start" if node == LANGGRAPH_START else node


def _state_channels(
    graph: CompiledStateGraph[Any, Any, Any, Any],
) -> list[tuple[str, BaseChannel[Any, Any, Any]]]:
    return [(str(name), channel) for name, channel in graph.builder.channels.items()]


def _channel(name: str, channel: BaseChannel[Any, Any, Any], state: State | None) -> dict[str, str]:
    if state is not None and isinstance(channel, StateChannel):
        key = state.keys[name]
        return {"type": key.words, "reducer": key.reducer_name}
    reducer = getattr(channel, "operator", None) or getattr(channel, "reducer", None)
    words = type(channel).__name__
    if reducer is not None:
        words = home_of(reducer)
    elif words == "LastValue":
        words = "last"
    return {"type": _type_name(getattr(channel, "typ", None)), "reducer": words}


def _type_name(annotation: Any) -> str:  # any type form
    return annotation.__qualname__ if type(annotation) is type else str(annotation)


def _deferred(graph: CompiledStateGraph[Any, Any, Any, Any]) -> list[str]:
    return [name for name, spec in graph.builder.nodes.items() if spec.defer]
