"""What a view knows of the runs that are being driven: one line per node, told by the nodes' wrappers."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Protocol

from framework.cli import render
from framework.durability.run import Ending, Run, RunStatus
from framework.graph.context import NodeTry

ENTRY = "start"
"""The node that a routed start becomes; shown only when something happens in it that matters."""


class Mark(Enum):
    """A symbol and a word for each state of a node: never colour alone."""

    AHEAD = ("·", "", "dim")
    SAVED = ("⤼", "saved earlier", "cyan")
    RUNNING = ("▶", "running", "bold blue")
    RETRYING = ("↻", "retry", "yellow")
    DONE = ("✓", "done", "green")
    CONTINUED = ("↷", "failed, went on", "yellow")
    FAILED = ("✗", "failed", "bold red")
    WAITING = ("•", "waiting", "magenta")
    STOPPED = ("◌", "stopped", "dim")

    def __init__(self, symbol: str, word: str, style: str) -> None:
        self.symbol = symbol
        self.word = word
        self.style = style


_ENDED = {
    "succeeded": Mark.DONE,
    "failed": Mark.FAILED,
    "continued": Mark.CONTINUED,
    "interrupted": Mark.WAITING,
    "abandoned": Mark.STOPPED,
}

STATUS_MARKS: Mapping[RunStatus, Mark] = {
    RunStatus.PENDING: Mark.AHEAD,
    RunStatus.RUNNING: Mark.RUNNING,
    RunStatus.SLEEPING: Mark.WAITING,
    RunStatus.WAITING: Mark.WAITING,
    RunStatus.PAUSED: Mark.WAITING,
    RunStatus.QUARANTINED: Mark.FAILED,
    RunStatus.FAILED: Mark.FAILED,
    RunStatus.SUCCEEDED: Mark.DONE,
    RunStatus.CANCELLED: Mark.STOPPED,
}


@dataclass(slots=True)
class NodeLine:
    """One node as the view shows it. Moments are `time.monotonic()`."""

    name: str
    mark: Mark = Mark.AHEAD
    started_at: float = 0.0
    took_seconds: float | None = None
    number: int = 0
    max_tries: int | None = None
    visit: int = 1
    error: str = ""
    next_try_at: float = 0.0
    note: str = ""

    @property
    def of_tries(self) -> str:
        """`2 of 4`, or `2` where nobody knows how many there may be, or a new start gave one more."""
        known = self.max_tries is not None and self.number <= self.max_tries
        return f"{self.number} of {self.max_tries}" if known else str(self.number)

    def tell(self, kind: str, node_try: NodeTry, facts: Mapping[str, Any]) -> None:
        """Take in one observation."""
        now = time.monotonic()
        self.visit = node_try.visit
        if kind == "started":
            self.mark, self.number, self.started_at = Mark.RUNNING, node_try.number, now
            self.took_seconds, self.error, self.note = None, "", ""
        elif kind == "retrying":
            self.mark, self.number = Mark.RETRYING, node_try.number + 1
            self.next_try_at = now + float(facts.get("pause_seconds", 0.0))
            self.error = error_line(facts.get("error"))
        elif kind == "ended":
            self.mark = _ENDED.get(str(facts.get("outcome")), Mark.STOPPED)
            self.took_seconds, self.error = now - self.started_at, error_line(facts.get("error"))
        elif kind == "progress":
            self.note = first_line(str(facts.get("text", "")))

    def words(self) -> str:
        """Say what the node does right now: `running`, `retry 2 of 4 in 1.5 s`."""
        if self.mark is Mark.RETRYING:
            left = max(0.0, self.next_try_at - time.monotonic())
            return f"retry {self.of_tries} in {left:.1f} s"
        if self.mark is Mark.RUNNING and self.number > 1:
            return f"running, try {self.of_tries}"
        if self.mark is Mark.FAILED and self.number > 1:
            return f"failed, try {self.of_tries}"
        return self.mark.word

    def time_shown(self) -> str:
        """Return how long it has been at it, or how long it took."""
        if self.mark is Mark.RUNNING:
            seconds = time.monotonic() - self.started_at
            return f"{seconds:.1f} s" if seconds < 60 else render.elapsed(seconds)
        return "" if self.took_seconds is None else render.elapsed(self.took_seconds)


@dataclass(slots=True)
class Card:
    """One run that this process drives."""

    run: Run
    nodes: dict[str, NodeLine]
    saved: frozenset[str]
    began_at: float = field(default_factory=time.monotonic)
    ended_at: float | None = None
    status: RunStatus | None = None
    apart: bool = False
    """It is driven in a process of its own, so nothing is known of its nodes."""

    @property
    def name(self) -> str:
        """The workflow and the beginning of the id."""
        return f"{self.run.workflow} {short(self.run.run_id)}"

    @property
    def elapsed_seconds(self) -> float:
        """Since this process took it up."""
        return (self.ended_at or time.monotonic()) - self.began_at

    @property
    def done(self) -> int:
        """Nodes whose result is saved."""
        return sum(line.mark in {Mark.DONE, Mark.SAVED, Mark.CONTINUED} for line in self.nodes.values())

    @property
    def active(self) -> list[NodeLine]:
        """Nodes that are at work."""
        return [line for line in self.nodes.values() if line.mark in {Mark.RUNNING, Mark.RETRYING}]

    def tell(self, kind: str, node_try: NodeTry, facts: Mapping[str, Any]) -> NodeLine:
        """Take in one observation; return the node's line."""
        line = self.nodes.get(node_try.node)
        if line is None:
            line = self.nodes[node_try.node] = NodeLine(node_try.node)
        line.tell(kind, node_try, facts)
        return line


class View(Protocol):
    """Shows runs while they are driven. Nothing here may block or raise into the run."""

    def say(self, text: str, *, style: str = "") -> None:
        """Show a line of prose, above whatever moves."""
        ...

    def opened(self, card: Card) -> None:
        """A run is taken up."""
        ...

    def observe(self, kind: str, node_try: NodeTry, facts: Mapping[str, Any]) -> None:
        """A node started, ended, or tells something."""
        ...

    def closed(self, ending: Ending) -> None:
        """An attempt ended."""
        ...

    def stopping(self) -> None:
        """Somebody asked us to stop; called from a signal handler."""
        ...

    def finish(self) -> None:
        """Nothing moves any more; what is printed now stands below."""
        ...


def new_card(run: Run, order: Sequence[str], tries: Mapping[str, int], saved: Iterable[str]) -> Card:
    """Make a card whose saved nodes are marked so."""
    known = frozenset(saved)
    nodes = {
        name: NodeLine(name, Mark.SAVED if name in known else Mark.AHEAD, max_tries=tries.get(name))
        for name in order
        if name != ENTRY
    }
    return Card(run, nodes, known)


def graph_order(topology: Mapping[str, Any], written: Sequence[str] = ()) -> list[str]:
    """Return the nodes in the order in which a run comes to them.

    Each node stands after those that lead to it, loops aside; nodes that can
    run side by side stand as they were written, otherwise by name.
    """
    nodes: Mapping[str, Any] = topology.get("nodes", {})
    place = {name: index for index, name in enumerate(written)}

    def sorted_names(names: Iterable[str]) -> list[str]:
        return sorted(
            (name for name in names if name in nodes), key=lambda name: (place.get(name, len(place)), name)
        )

    found: list[str] = []
    seen: set[str] = set()

    def visit(name: str) -> None:
        # Depth first, the last written first: turned round, this is an order in which edges lead forward.
        stack = [(name, iter(reversed(sorted_names(nodes[name].get("leads_to", ())))))]
        seen.add(name)
        while stack:
            current, targets = stack[-1]
            target = next((one for one in targets if one not in seen), None)
            if target is None:
                found.append(current)
                stack.pop()
            else:
                seen.add(target)
                stack.append((target, iter(reversed(sorted_names(nodes[target].get("leads_to", ()))))))

    for name in reversed(sorted_names(topology.get("start", ()))):
        if name not in seen:
            visit(name)
    order = found[::-1]
    return order + [name for name in sorted_names(nodes) if name not in seen]


def short(run_id: str) -> str:
    """Return as much of an id as people type."""
    return run_id[:8]


def first_line(text: str, width: int = 300) -> str:
    """Return the first line that says something, cut to a width."""
    line = next((one.strip() for one in text.splitlines() if one.strip()), "")
    line = render.clean(line)
    return line if len(line) <= width else line[: width - 1] + "…"


def error_line(error: Mapping[str, Any] | None) -> str:
    """Write an error as `ConnectionError: slack.com: connection refused`."""
    if not error:
        return ""
    message = first_line(str(error.get("message") or ""))
    kind = str(error.get("type") or "").rpartition(".")[2]
    if not kind or message.startswith(f"{kind}:") or error.get("code") not in {None, "node-failed"}:
        return message or kind
    return f"{kind}: {message}" if message else kind
