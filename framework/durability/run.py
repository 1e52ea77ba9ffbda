"""A run: its statuses, the moves between them, and what a reader sees of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from types import MappingProxyType
from typing import Any


class RunStatus(StrEnum):
    """Where a run stands; DESIGN §3 says what leads out of each."""

    PENDING = "pending"
    RUNNING = "running"
    SLEEPING = "sleeping"
    WAITING = "waiting"
    PAUSED = "paused"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    SUCCEEDED = "succeeded"
    CANCELLED = "cancelled"

    @property
    def ended(self) -> bool:
        """Whether nothing but a person takes the run up again."""
        return self in ENDED


ENDED = frozenset({RunStatus.FAILED, RunStatus.SUCCEEDED, RunStatus.CANCELLED})

_ANY_WAIT = {RunStatus.SLEEPING, RunStatus.WAITING, RunStatus.PAUSED}

MOVES: Mapping[RunStatus, frozenset[RunStatus]] = MappingProxyType(
    {
        # claim; cancel
        RunStatus.PENDING: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED, RunStatus.QUARANTINED}),
        # takeover after a crash; how a step or the run ended; hand-back
        RunStatus.RUNNING: frozenset(RunStatus),
        RunStatus.SLEEPING: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED}),
        RunStatus.WAITING: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED}),
        RunStatus.PAUSED: frozenset({RunStatus.RUNNING, RunStatus.CANCELLED}),
        # release
        RunStatus.QUARANTINED: frozenset({RunStatus.PENDING, RunStatus.CANCELLED}),
        # taken up at the next start; retry
        RunStatus.FAILED: frozenset({RunStatus.RUNNING, RunStatus.PENDING, RunStatus.QUARANTINED}),
        RunStatus.SUCCEEDED: frozenset(),
        RunStatus.CANCELLED: frozenset(),
    }
)
"""The only moves there are; tests hold the SQL and the diagram of ARCHITECTURE.md to this table."""


@dataclass(frozen=True, slots=True)
class Run:
    """One execution, as the registry knows it. Moments are UTC, from the database's clock."""

    run_id: str
    thread_id: str
    workflow: str
    definition: str
    status: RunStatus
    input: Mapping[str, Any]
    admission: Mapping[str, Any]
    fence: int
    crashes: int
    progress: int
    crash_progress: int | None
    run_key: str | None
    tags: tuple[str, ...]
    priority: int
    owner: str | None
    output: Any
    error: Mapping[str, Any] | None
    created_at: datetime
    updated_at: datetime
    started_at: datetime | None
    progressed_at: datetime | None
    ended_at: datetime | None
    cancel_requested_at: datetime | None
    tries_renewed_at: datetime | None
    lease_expires_at: datetime | None = None
    lease_expired: bool = True
    age_seconds: float = 0.0
    """Since the last progress, or since it was accepted."""
    passed: bool = False
    """A newer run of its thread has begun, so this one can only be forked."""
    answered: bool = False
    """It asked something, and the answer is there."""
    accepted_code: Mapping[str, str] | None = None

    @property
    def stuck(self) -> bool:
        """Whether nothing was saved since the last counted crash."""
        return self.crash_progress == self.progress

    @property
    def attempts(self) -> int:
        """Turns that processes had at it; the number of the last one is the fence."""
        return self.fence


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to drive a run: its row as claimed, under `run.fence`."""

    run: Run
    previous: RunStatus


@dataclass(frozen=True, slots=True)
class Ending:
    """How one attempt at a run ended.

    `status` is what the run moved to; None when this process may not say,
    because it lost the lease or the database.
    """

    run_id: str
    status: RunStatus | None
    detail: str = ""
    output: Any = None
    error: Mapping[str, Any] | None = None
    questions: tuple[Mapping[str, Any], ...] = field(default=())
