"""What is remembered of a fault that struck, in the database, over all processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from framework.faults.actions import ENDS_PROCESS
from framework.graph.context import Point


@dataclass(frozen=True, slots=True)
class FiredFault:
    """One firing; `(run_id, rule, ordinal)` is unique.

    `rule` is the fault's index in its scenario, from 0; `rule_key` tells it
    from another fault that stood there before the file was edited. `ordinal`
    counts the firings at this index from 1. `task_key` is the task's, or one
    of ours for a step's checkpoint; `try_number` is what `attempts:` was held
    against; `attempt` is the process's turn at the run.
    """

    run_id: str
    scenario: str
    rule: int
    rule_key: str
    ordinal: int
    node: str | None
    point: Point
    task_key: str
    try_number: int
    attempt: int
    action: str
    detail: Mapping[str, Any] = field(default_factory=dict)

    @property
    def ends_process(self) -> bool:
        """Whether the process that recorded it is gone."""
        return self.action in ENDS_PROCESS


class FaultRecords(Protocol):
    """Where firings are kept; the database in production, a file in tests."""

    async def fired(self, run_id: str) -> Sequence[FiredFault]:
        """Return all earlier firings of this run, in any process."""
        ...

    async def record(self, fault: FiredFault) -> None:
        """Return once the firing is committed; the same one again changes nothing."""
        ...
