"""Counts and times of a run's nodes, over all the processes that drove it.

The rows ride in the commits of the steps. A crash loses at most the start of
the tries that were in flight, and those nodes run again anyway.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from psycopg.rows import DictRow

from framework.graph.context import NodeTry, TryOutcome
from framework.storage.step_writer import LAZY_SECONDS, Piece, StepWriter, TimelineRow
from framework.storage.stored_text import stored_json

FINISHED = frozenset({TryOutcome.SUCCEEDED, TryOutcome.CONTINUED})


class RunJournal:
    """The timeline of one run; implements `framework.graph.context.Journal`."""

    def __init__(
        self,
        writer: StepWriter,
        *,
        run_id: str,
        thread_id: str,
        fence: int,
        earlier: Iterable[DictRow],
        tries_renewed_at: datetime | None,
    ) -> None:
        """Start from the rows of earlier attempts.

        Args:
            writer: Where the rows go.
            run_id: Of the run.
            thread_id: Of the run.
            fence: Of this attempt.
            earlier: Rows of `node_run`.
            tries_renewed_at: Failed tries before this moment are forgiven.
        """
        self._writer = writer
        self._run_id = run_id
        self._thread_id = thread_id
        self._fence = fence
        self._started: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        self._finished: defaultdict[str, set[str]] = defaultdict(set)
        self._open: dict[tuple[str, int], TimelineRow] = {}
        for row in earlier:
            key = row["task_key"]
            self._started[key] = max(self._started[key], row["try"])
            renewed = tries_renewed_at is not None and row["started_at"] < tries_renewed_at
            if row["outcome"] == TryOutcome.FAILED and not renewed:
                self._failed[key] += 1
            if row["outcome"] in FINISHED:
                self._finished[row["node"]].add(key)

    def tries_started(self, task_key: str) -> int:
        """Tries of this task so far, in all processes."""
        return self._started[task_key]

    def tries_failed(self, task_key: str) -> int:
        """Of these, the ones that raised and count against the retry policy."""
        return self._failed[task_key]

    def visits(self, node: str, task_key: str) -> int:
        """Tasks of this node that ended before this one."""
        return len(self._finished[node] - {task_key})

    def started(self, node_try: NodeTry) -> None:
        """A try begins now; other processes see it after half a second or with the next commit."""
        self._started[node_try.task_key] = max(self._started[node_try.task_key], node_try.number)
        row = TimelineRow(
            run_id=self._run_id,
            task_key=node_try.task_key,
            number=node_try.number,
            node=node_try.node,
            visit=node_try.visit,
            step=node_try.step,
            attempt=self._fence,
            started=time.monotonic(),
        )
        self._open[node_try.task_key, node_try.number] = row
        self._submit(row)

    def ended(
        self, node_try: NodeTry, outcome: TryOutcome, *, error: Mapping[str, Any] | None = None
    ) -> None:
        """A try ended now."""
        begun = self._open.pop((node_try.task_key, node_try.number), None)
        if outcome is TryOutcome.FAILED:
            self._failed[node_try.task_key] += 1
        if outcome in FINISHED:
            self._finished[node_try.node].add(node_try.task_key)
        now = time.monotonic()
        self._submit(
            TimelineRow(
                run_id=self._run_id,
                task_key=node_try.task_key,
                number=node_try.number,
                node=node_try.node,
                visit=node_try.visit,
                step=node_try.step,
                attempt=self._fence,
                started=begun.started if begun else now,
                ended=now,
                outcome=str(outcome),
                error_json=stored_json(error) if error is not None else None,
            )
        )

    async def flush(self) -> None:
        """Return once everything told so far is committed."""
        await asyncio.wrap_future(self._writer.submit(self._piece()))

    def _submit(self, row: TimelineRow) -> None:
        self._writer.submit(self._piece(row), wait_seconds=LAZY_SECONDS)

    def _piece(self, *rows: TimelineRow) -> Piece:
        return Piece(thread_id=self._thread_id, run_id=self._run_id, fence=self._fence, timeline=rows)
