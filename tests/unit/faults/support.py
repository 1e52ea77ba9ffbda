"""A file in place of the database: firings that outlive a process."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

from framework.faults.injector import FaultInjector
from framework.faults.reader import parse_scenario
from framework.faults.record import FiredFault
from framework.graph.context import FaultScope, NodeTry, Point


class FileRecords:
    """Implements `FaultRecords`; a line is on disk when `record` returns."""

    def __init__(self, path: Path) -> None:
        self.path = path

    async def fired(self, run_id: str) -> Sequence[FiredFault]:
        """All firings of a run."""
        return [fault for fault in self.everything() if fault.run_id == run_id]

    async def record(self, fault: FiredFault) -> None:
        """One line, unless it is there."""
        if fault in self.everything():
            return
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(fault)) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def everything(self) -> list[FiredFault]:
        """Every firing, in order."""
        if not self.path.exists():
            return []
        lines = [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]
        return [FiredFault(**{**line, "point": Point(line["point"])}) for line in lines]


class Cuts:
    """Counts the cuts of the database."""

    def __init__(self) -> None:
        self.seen: list[timedelta | None] = []

    async def __call__(self, outage: timedelta | None) -> None:
        """Do nothing but count."""
        self.seen.append(outage)


def injector(
    path: Path, faults: str, *, seed: int = 0, name: str = "bad-day", cuts: Cuts | None = None
) -> FaultInjector:
    """An injector of one process; a second one over the same path is the next process."""
    scenario = parse_scenario(f"description: a test\nfaults:\n{faults}", f"{name}.yaml", name=name)
    return FaultInjector(scenario, seed=seed, records=FileRecords(path), cut_database=cuts or Cuts())


def a_try(
    node: str = "extract",
    number: int = 1,
    *,
    run_id: str = "run-1",
    visit: int = 1,
    attempt: int = 1,
    **more: Any,
) -> FaultScope:
    """The scope of one try of a node."""
    node_try = NodeTry(run_id, node, f"{node}:{visit}", number, visit, step=visit)
    return FaultScope(run_id, "planner", attempt, node, node_try, **more)


def a_commit(
    commit: Literal["writes", "checkpoint"],
    step: int,
    node: str | None = None,
    *,
    run_id: str = "run-1",
    attempt: int = 1,
) -> FaultScope:
    """The scope of a commit, as a checkpointer gives it."""
    return FaultScope(run_id, "planner", attempt, node, None, commit=commit, step=step)
