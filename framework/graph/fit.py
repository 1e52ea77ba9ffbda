"""Why a head that another version of a graph wrote does not fit this one.

LangGraph refuses no change: a pending node that was renamed makes the run end
early and look finished. These checks read the stored topology and the head,
run nothing, and say for each thing that a resume would lose, skip or repeat
which node or key it is about.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import is_dataclass
from typing import Any

from langgraph.checkpoint.base import CheckpointTuple
from langgraph.types import Send
from pydantic import BaseModel, ValidationError

from framework.graph.compiled import CompiledWorkflow
from framework.graph.state import State
from framework.graph.topology import shown_name

_SENDS = "__pregel_tasks"
_START = "__start__"
_BRANCH = "branch:to:"
_JOIN = "join:"


def pending_problems(
    stored_topology: Mapping[str, Any], head: CheckpointTuple | None, compiled: CompiledWorkflow
) -> list[str]:
    """Say in sentences what a resume of this head under this graph would lose, skip or repeat.

    Args:
        stored_topology: `topology` of the compiled workflow that wrote the head.
        head: The thread's latest checkpoint with its pending writes; None before the first.
        compiled: The graph that a resume would run.

    Returns:
        Empty when the head fits. What a change adds for later steps is no problem.
    """
    if head is None or not stored_topology:
        return []
    change = _Change(stored_topology, compiled.topology, head)
    problems = [
        *change.nodes(),
        *change.sends(),
        *change.ways(),
        *change.waiting(),
        *change.pending_writes(),
        *change.keys(compiled.state),
        *_misfits(head, compiled),
    ]
    return list(dict.fromkeys(problems))


class _Change:
    """Two topologies and a head."""

    def __init__(self, old: Mapping[str, Any], new: Mapping[str, Any], head: CheckpointTuple) -> None:
        self.old = old
        self.new = new
        self.old_nodes: Mapping[str, Any] = old["nodes"]
        self.new_nodes: Mapping[str, Any] = new["nodes"]
        self.values: Mapping[str, Any] = head.checkpoint["channel_values"]
        self.writes: Sequence[tuple[str, str, Any]] = head.pending_writes or []
        self.due = _due(old, head)

    def nodes(self) -> Iterator[str]:
        for name in self.due:
            if name not in self.new_nodes:
                yield f"Node {name!r} is due to run and no longer exists."
        if self._input_waits():
            yield from self._start()

    def _input_waits(self) -> bool:
        """Whether the head is the input itself, so that nothing has been decided yet but where to begin."""
        return _START in self.values

    def _start(self) -> Iterator[str]:
        # The writes of the start itself are stored: where to begin has been decided.
        for _task, channel, _value in self.writes:
            name = channel.removeprefix(_BRANCH)
            if channel.startswith(_BRANCH) and name not in self.new_nodes:
                yield f"Node {name!r} is due to run and no longer exists."

    def sends(self) -> Iterator[str]:
        packets = [
            *_packets(self.values.get(_SENDS)),
            *(value for _, chan, value in self.writes if chan == _SENDS),
        ]
        for packet in packets:
            if isinstance(packet, Send) and packet.node not in self.new_nodes:
                yield f"Node {packet.node!r} was sent work that is waiting, and no longer exists."

    def ways(self) -> Iterator[str]:
        """Find nodes that now stand before one that is due: they would be skipped."""
        for name in self.due:
            if name not in self.new_nodes:
                continue
            before = _predecessors(self.old, name)
            now = _predecessors(self.new, name)
            for source in sorted(before - now):
                if source in self.new_nodes or source == _START:
                    yield _detour(name, source, now - before)
            joined = set(self.new["joins"].get(name, ())) - set(self.old["joins"].get(name, ()))
            for member in sorted(joined - before):
                yield (
                    f"Node {name!r} is due to run, and now waits for {member!r}, "
                    "which would not be waited for."
                )
            if self.writes and self.old_nodes[name]["triggers"] != self.new_nodes[name]["triggers"]:
                yield (
                    f"What starts node {name!r} has changed while it is due: "
                    "work of it that is done would be repeated."
                )

    def waiting(self) -> Iterator[str]:
        """Find half-filled joins of a wrapped graph, and deferred nodes, that nothing would fill any more."""
        channels = set(self.new["channels"])
        for channel, value in self.values.items():
            if channel.startswith(_JOIN) and channel not in channels and value:
                members, _, target = channel.removeprefix(_JOIN).rpartition(":")
                yield (
                    f"Node {target!r} waits for {members.replace('+', ', ')}; "
                    "that join no longer exists as it was."
                )
            elif channel.startswith(_BRANCH) and channel not in channels:
                yield f"Node {channel.removeprefix(_BRANCH)!r} is due to run and no longer exists."

    def pending_writes(self) -> Iterator[str]:
        """Find finished work of the step whose result would be dropped."""
        channels = set(self.new["channels"])
        for _task, channel, _value in self.writes:
            if channel in channels or channel.startswith("__"):
                continue
            if channel.startswith(_BRANCH):
                name = channel.removeprefix(_BRANCH)
                yield f"A node that has finished leads to {name!r}, which no longer exists."
            elif channel.startswith(_JOIN):
                join = channel.removeprefix(_JOIN)
                yield f"A node that has finished is one of a join that no longer exists: {join}."
            else:
                yield f"A node that has finished wrote state key {channel!r}, which no longer exists."

    def keys(self, state: State | None) -> Iterator[str]:
        """Find state that would be dropped, overwritten, or no longer fit its type."""
        written = {channel for _task, channel, _value in self.writes}
        for name, old in self.old["keys"].items():
            held = self.values.get(name)
            if name not in self.values and name not in written:
                continue
            new = self.new["keys"].get(name)
            if new is None:
                yield f"State key {name!r} holds a value and no longer exists, so the value would be dropped."
                continue
            if new["reducer"] != old["reducer"] and (reason := _reducer_problem(name, new, held, state)):
                change = f"changed from {old['reducer']} to {new['reducer']}"
                yield f"The reducer of state key {name!r} {change}: {reason}."
            if new["type"] != old["type"] and state is not None and name in self.values:
                yield from _type_problem(name, old, new, held, state)


def _detour(name: str, source: str, new_sources: AbstractSet[str]) -> str:
    """Say that the edge which made a node due is gone, and what stands there now."""
    gone = f"Node {name!r} is due to run because {shown_name(source)!r} led to it. That edge is gone; "
    if not new_sources:
        return gone + "it would run all the same."
    instead = ", ".join(repr(shown_name(other)) for other in sorted(new_sources))
    return gone + f"{instead} leads to it now and would be skipped."


def _due(topology: Mapping[str, Any], head: CheckpointTuple) -> list[str]:
    """Return the nodes of the old graph that the head is about to run, finished siblings included."""
    checkpoint = head.checkpoint
    versions, seen = checkpoint["channel_versions"], checkpoint["versions_seen"]
    due = []
    for name, node in topology["nodes"].items():
        for channel in node["triggers"]:
            version, last = versions.get(channel), seen.get(name, {}).get(channel)
            newer = version is not None and (last is None or version > last)  # type: ignore[operator]  # one type
            if newer and _available(channel, checkpoint["channel_values"], topology):
                due.append(name)
                break
    return due


def _available(channel: str, values: Mapping[str, Any], topology: Mapping[str, Any]) -> bool:
    """Whether a trigger is set, not merely touched: a barrier has to be full."""
    if channel not in values:
        return False
    if channel.startswith(_JOIN):
        _members, _, target = channel.removeprefix(_JOIN).rpartition(":")
        members = channel.removeprefix(_JOIN).removesuffix(f":{target}").split("+")
        held = values[channel]
        # A barrier with `defer` stores (members seen, finished).
        filled: Any = (
            held[0] if isinstance(held, list | tuple) and held and isinstance(held[0], set | list) else held
        )
        return target in topology["deferred"] or set(filled or ()) >= set(members)
    return True


def _packets(held: object) -> list[Any]:
    return list(held) if isinstance(held, list | tuple) else []


def _predecessors(topology: Mapping[str, Any], name: str) -> AbstractSet[str]:
    found = {source for source, node in topology["nodes"].items() if name in node["leads_to"]}
    return found | ({_START} if name in topology["start"] else set())


def _reducer_problem(name: str, new: Mapping[str, str], held: object, state: State | None) -> str | None:
    if new["reducer"] == "last":
        return "the next update would overwrite what was gathered"
    key = state.keys.get(name) if state is not None else None
    if key is None or key.reducer is None or not key.reducer.typed:
        return "nobody can tell whether it takes the value that is there"
    if held is None:
        return None
    problem = key.reducer.problem(held)
    return f"it cannot go on from the value that is there, since {problem}" if problem else None


def _type_problem(
    name: str, old: Mapping[str, str], new: Mapping[str, str], held: object, state: State
) -> Iterator[str]:
    check = state.keys[name].check
    if check is None or held is None:
        return
    try:
        check(held)
    except ValidationError:
        yield (
            f"The type of state key {name!r} changed from {old['type']} to {new['type']}, "
            "and the value that is there does not fit it."
        )


def _misfits(head: CheckpointTuple, compiled: CompiledWorkflow) -> Iterator[str]:
    """Find state classes of a wrapped graph that refuse the stored values: they would fail at each read."""
    if compiled.state is not None:
        return
    values = head.checkpoint["channel_values"]
    for schema, channels in compiled.builder.schemas.items():
        checks = isinstance(schema, type) and (issubclass(schema, BaseModel) or is_dataclass(schema))
        # Before the first node has run there is nothing that such a class could be made of.
        if not checks or not any(name in values for name in channels):
            continue
        try:
            schema(**{name: values[name] for name in channels if name in values})
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            yield f"The stored state does not fit {schema.__name__}: {where}: {first['msg']}."
        except Exception as error:  # noqa: BLE001  # the user's own class decides here
            yield f"The stored state does not fit {schema.__name__}: {type(error).__name__}: {error}."
