"""What a node's wrapper needs to know of the run it works for, and the hooks it can be given.

Production code knows only these protocols: `faults` implements `FaultHook`,
`durability` implements `Journal`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

RUN_CONTEXT_KEY = "__holdfast_run"
"""Key in `config["configurable"]`. The two underscores keep it out of LangGraph's stored metadata."""


class Point(StrEnum):
    """Where in a node's life a fault can be put."""

    BEFORE = "before"
    INSIDE = "inside"
    AFTER = "after"
    BEFORE_COMMIT = "before_commit"
    AFTER_COMMIT = "after_commit"


@dataclass(frozen=True, slots=True)
class NodeTry:
    """One execution of a node.

    `task_key` is LangGraph's checkpoint namespace of the task: the same over
    crashes and resumes, another for each visit. `number` counts from 1 over
    all processes; `visit` counts from 1.
    """

    run_id: str
    node: str
    task_key: str
    number: int
    visit: int
    step: int


class TryOutcome(StrEnum):
    """How a try ended; a try that has no outcome was in flight when its process died."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CONTINUED = "continued"
    INTERRUPTED = "interrupted"
    ABANDONED = "abandoned"


@dataclass(frozen=True, slots=True)
class StandIn:
    """What a fault hook returns to replace a node's own result."""

    value: Any


@dataclass(frozen=True, slots=True)
class FaultScope:
    """What a scenario's `only_if` can see, and where the fault would strike.

    `attempt` is the process's turn at the run (the fence); `node_try` is None at
    a commit that belongs to no single node (the input checkpoint, for one).
    """

    run_id: str
    workflow: str
    attempt: int
    node: str | None
    node_try: NodeTry | None
    inputs: Mapping[str, Any] = field(default_factory=dict)
    state: Mapping[str, Any] = field(default_factory=dict)
    commit: Literal["writes", "checkpoint"] | None = None
    """At a commit: the result of one task (then `node` and `node_try` say which), or a step's checkpoint."""
    step: int | None = None
    """At a commit: LangGraph's step; -1 is the input, 0 the start, 1 the first nodes.

    The result of a task counts to the step that its node runs in, not to the
    checkpoint that it is stored beside.
    """


class FaultHook(Protocol):
    """Makes something go wrong, at an exact point. Without a scenario there is none."""

    def wants(self, point: Point, node: str | None) -> bool:
        """Whether any rule could fire here; cheap, asked at every point."""
        ...

    async def at(self, point: Point, scope: FaultScope) -> StandIn | None:
        """Fire what the scenario says: raise, wait, end the process, or replace the result.

        The firing is committed to the database before it takes effect, so a
        fault that ends the process is known to the next one.
        """
        ...


class Journal(Protocol):
    """Counts and times of a run's nodes, kept across processes.

    Nothing here waits for a commit, except `flush()`: the rows ride in the
    transaction that commits the step.
    """

    def tries_started(self, task_key: str) -> int:
        """Tries of this task so far, in all processes."""
        ...

    def tries_failed(self, task_key: str) -> int:
        """Of these, the ones that raised and count against `retry.max_attempts`."""
        ...

    def visits(self, node: str, task_key: str) -> int:
        """Tasks of this node that ended before this one (this one not counted)."""
        ...

    def started(self, node_try: NodeTry) -> None:
        """A try begins now."""
        ...

    def ended(
        self, node_try: NodeTry, outcome: TryOutcome, *, error: Mapping[str, Any] | None = None
    ) -> None:
        """A try ended now."""
        ...

    async def flush(self) -> None:
        """Return once everything told so far is committed."""
        ...


@dataclass(slots=True)
class RunContext:
    """One attempt at one run, as its nodes and its checkpointer see it.

    `admission` holds what expressions see as `run.`, and the moments that
    `today()` and `now()` were evaluated to when the run was accepted.
    `base_step` is the step of this run's input checkpoint, -1 on a new thread;
    its first nodes run at `base_step + 2`, which `max_steps` counts as one.
    """

    run_id: str
    thread_id: str
    workflow: str
    attempt: int
    inputs: Mapping[str, Any]
    admission: Mapping[str, Any]
    journal: Journal
    secret: Callable[[str], str]
    faults: FaultHook | None = None
    base_step: int = -1
    fatal: BaseException | None = None
    """Set by the checkpointer when a write of this run failed: nothing more may be saved."""
    saving: set[asyncio.Task[Any]] = field(default_factory=set)
    """Task writes on their way to the database."""
    observe: Callable[[str, NodeTry, Mapping[str, Any]], None] | None = None
    """Told of each `started`, `ended`, `retrying` for the live view; must not raise."""
