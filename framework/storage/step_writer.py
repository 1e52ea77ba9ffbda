"""One committer for all runs of a process: their writes go out together, fenced, in order.

A caller hands over a `Piece` and gets a future that is done when the piece is
committed. The committer is a thread with a connection of its own, so it serves
sync callers and any number of event loops alike.

What a crash leaves behind: a batch is one statement, so it is there as a whole
or not at all. A piece whose future is not done may or may not be committed;
each row is keyed, so sending it again changes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow

from framework.errors import DatabaseUnavailable, LeaseLost, ThreadBusy
from framework.storage.named_queries import load
from framework.storage.pool import Database, describe, is_connection_trouble, pauses

SQL = load("step.sql")

GRACE_SECONDS = 0.002
"""Task writes wait so long for the checkpoint of their step, to share its commit."""
LAZY_SECONDS = 0.5
"""The start of a node is told to other processes after so long, if no commit came before."""

Row = tuple[Any, ...]
T = TypeVar("T")


@dataclass(slots=True)
class TimelineRow:
    """One try of a node. Moments are `time.monotonic()`; the server turns them into its own clock."""

    run_id: str
    task_key: str
    number: int
    node: str
    visit: int
    step: int
    attempt: int
    started: float
    ended: float | None = None
    outcome: str | None = None
    error_json: str | None = None


@dataclass(slots=True)
class Piece:
    """What one call of a checkpointer, or one entry of a timeline, wants written.

    Rows are in the column order of `save_batch`, without the run. A piece
    without a run (`run_id` None) is written unless a lease names its thread.
    """

    thread_id: str
    run_id: str | None = None
    fence: int = 0
    blobs: Sequence[Row] = ()
    plain_writes: Sequence[Row] = ()
    special_writes: Sequence[Row] = ()
    checkpoints: Sequence[Row] = ()
    timeline: Sequence[TimelineRow] = ()
    due: float = 0.0
    future: Future[None] = field(default_factory=Future)

    @property
    def owner(self) -> tuple[str | None, int]:
        """Whose piece it is: a run under one fence."""
        return (self.run_id, self.fence)

    @property
    def is_progress(self) -> bool:
        """Whether it saves work, rather than telling about it."""
        return bool(self.plain_writes or self.special_writes or self.checkpoints)


class StepWriter:
    """Commits the pieces of all runs of this process together."""

    def __init__(self, database: Database) -> None:
        """Take the database; the thread starts with the first piece."""
        self._database = database
        self._condition = threading.Condition()
        self._queue: list[Piece] = []
        self._broken: dict[tuple[str | None, int], BaseException] = {}
        self._thread: threading.Thread | None = None
        self._closing = False
        self._connection: Connection[DictRow] | None = None
        self.commits = 0
        self.pieces = 0

    def submit(self, piece: Piece, *, wait_seconds: float = 0.0) -> Future[None]:
        """Queue a piece; its future is done once it is committed.

        Args:
            piece: Committed after all that its run submitted before.
            wait_seconds: How long it may wait for company.

        The future raises `LeaseLost` (another process drives the run),
        `ThreadBusy`, `DatabaseUnavailable`, or the server's refusal of a row.
        After a failure every later piece of the same run and fence fails with
        the same error, so nothing is saved on top of a gap.
        """
        piece.due = time.monotonic() + wait_seconds
        with self._condition:
            if self._closing:
                piece.future.set_exception(
                    DatabaseUnavailable("This process is stopping; nothing more is saved.")
                )
                return piece.future
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="holdfast-writer", daemon=True)
                self._thread.start()
            self._queue.append(piece)
            self._condition.notify()
        return piece.future

    def forget(self, run_id: str) -> None:
        """Drop what is remembered of a run's failures, once its attempt is over."""
        with self._condition:
            for owner in [owner for owner in self._broken if owner[0] == run_id]:
                del self._broken[owner]

    def close(self) -> None:
        """Commit what is queued, then stop."""
        with self._condition:
            self._closing = True
            self._condition.notify()
        if self._thread is not None:
            self._thread.join(timeout=self._database.patience.total_seconds() + 5)
        if self._connection is not None:
            self._connection.close()

    def _work(self) -> None:
        while batch := self._next_batch():
            self._save(batch)

    def _next_batch(self) -> list[Piece]:
        with self._condition:
            while True:
                if self._queue:
                    wait = min(piece.due for piece in self._queue) - time.monotonic()
                    if wait <= 0 or self._closing:
                        batch, self._queue = self._queue, []
                        return batch
                    self._condition.wait(wait)
                elif self._closing:
                    return []
                else:
                    self._condition.wait()

    def _save(self, batch: list[Piece]) -> None:
        batch = self._without_broken(batch)
        if not batch:
            return
        try:
            row = self._send(batch)
        except DatabaseUnavailable as error:
            self._fail(batch, error)
        except psycopg.Error as error:
            groups = _by_owner(batch)
            if len(groups) == 1:
                self._fail(batch, error)
                return
            # One run's row is refused; its neighbours must not suffer for it.
            for group in groups:
                self._save(group)
        except Exception as error:  # noqa: BLE001  # the thread's boundary: whoever waits must be told
            self._fail(batch, error)
        else:
            self.commits += 1
            self.pieces += len(batch)
            self._settle(batch, held=set(row["held"]), free=set(row["free"]))

    def _without_broken(self, batch: list[Piece]) -> list[Piece]:
        """Fail the pieces of runs that already lost one, and those of an older fence."""
        newest: dict[str | None, int] = {}
        for piece in batch:
            newest[piece.run_id] = max(newest.get(piece.run_id, 0), piece.fence)
        good = []
        for piece in batch:
            broken = self._broken.get(piece.owner) if piece.run_id else None
            if broken is not None:
                piece.future.set_exception(broken)
            elif piece.run_id and piece.fence < newest[piece.run_id]:
                self._fail([piece], lease_lost(piece.run_id))
            else:
                good.append(piece)
        return good

    def _settle(self, batch: list[Piece], *, held: set[str], free: set[str]) -> None:
        for piece in batch:
            if piece.run_id is None and piece.thread_id not in free:
                busy = ThreadBusy(
                    "",
                    f"A run holds thread {piece.thread_id!r}; only that run may write to it.",
                    hint=f"See it: main.py list --thread {piece.thread_id}",
                )
                piece.future.set_exception(busy)
            elif piece.run_id is not None and piece.run_id not in held:
                self._fail([piece], lease_lost(piece.run_id))
            else:
                piece.future.set_result(None)

    def _fail(self, pieces: Iterable[Piece], error: BaseException) -> None:
        for piece in pieces:
            if piece.run_id is not None:
                with self._condition:
                    self._broken.setdefault(piece.owner, error)
            piece.future.set_exception(error)

    def _send(self, batch: list[Piece]) -> DictRow:
        parameters = batch_parameters(batch)
        deadline = time.monotonic() + self._database.patience.total_seconds()
        for pause in pauses():
            try:
                if self._connection is None or self._connection.closed:
                    self._connection = self._database.connect()
                row = self._connection.execute(
                    SQL["save_batch"], parameters, prepare=True, binary=True
                ).fetchone()
            except psycopg.Error as error:
                if not is_connection_trouble(error):
                    raise
                self._drop_connection()
                if time.monotonic() + pause > deadline:
                    waited = self._database.patience.total_seconds()
                    raise DatabaseUnavailable(
                        f"The database did not take a step for {waited:g} s: {describe(error)}"
                    ) from error
                time.sleep(pause)
            else:
                if row is None:
                    raise AssertionError("save_batch always answers one row")
                return row
        raise AssertionError("pauses() never ends")

    def _drop_connection(self) -> None:
        if self._connection is not None:
            with suppress(psycopg.Error):
                self._connection.close()
            self._connection = None


def lease_lost(run_id: str) -> LeaseLost:
    """Say that another process drives the run."""
    return LeaseLost(
        run_id,
        f"Run {run_id} is driven by another process now; this one stopped and saved nothing more.",
        hint=f"See who: main.py show {run_id}",
    )


def _by_owner(batch: list[Piece]) -> list[list[Piece]]:
    groups: dict[tuple[Any, ...], list[Piece]] = {}
    for piece in batch:
        # Pieces without a run depend on each other only within a thread.
        key = piece.owner if piece.run_id else (None, piece.thread_id)
        groups.setdefault(key, []).append(piece)
    return list(groups.values())


def _columns(rows: Sequence[Row], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[] for _ in range(width)]


def batch_parameters(batch: Sequence[Piece]) -> dict[str, Any]:
    """Turn pieces into the arrays of `save_batch`; of two rows with one key the right one stays.

    Plain task writes and blobs never change once written, so the first of two
    wins; special task writes, checkpoints and the timeline are replaced.
    """
    blobs: dict[Row, Row] = {}
    plain: dict[Row, Row] = {}
    special: dict[Row, Row] = {}
    checkpoints: dict[Row, Row] = {}
    timeline: dict[Row, TimelineRow] = {}
    fences: dict[str, int] = {}
    free: set[str] = set()
    progress: set[str] = set()
    for piece in batch:
        if piece.run_id is None:
            free.add(piece.thread_id)
        else:
            fences[piece.run_id] = piece.fence
            if piece.is_progress:
                progress.add(piece.run_id)
        for row in piece.blobs:
            blobs.setdefault(row[:4], (piece.run_id, *row))
        for row in piece.plain_writes:
            plain.setdefault((*row[:4], row[5]), (piece.run_id, *row))
        for row in piece.special_writes:
            special[(*row[:4], row[5])] = (piece.run_id, *row)
        for row in piece.checkpoints:
            checkpoints[row[:3]] = (piece.run_id, *row)
        for entry in piece.timeline:
            timeline[entry.run_id, entry.task_key, entry.number] = entry
    for key in special:
        plain.pop(key, None)
    parameters: dict[str, Any] = {
        "run_ids": list(fences),
        "fences": list(fences.values()),
        "free_threads": sorted(free),
        "progress": sorted(progress),
    }
    write_names = ("run", "thread", "ns", "checkpoint", "task", "path", "idx", "channel", "type", "blob")
    _add(parameters, "b", ("run", "thread", "ns", "channel", "version", "type", "blob"), blobs.values())
    _add(parameters, "w", write_names, plain.values())
    _add(parameters, "s", write_names, special.values())
    _add(parameters, "c", ("run", "thread", "ns", "id", "parent", "body", "metadata"), checkpoints.values())
    _add(
        parameters,
        "n",
        ("run", "key", "try", "node", "visit", "step", "attempt", "started", "ended", "outcome", "error"),
        [_timeline_values(row) for row in timeline.values()],
    )
    return parameters


def _add(parameters: dict[str, Any], prefix: str, names: Sequence[str], rows: Iterable[Row]) -> None:
    columns = _columns(list(rows), len(names))
    parameters.update({f"{prefix}_{name}": column for name, column in zip(names, columns, strict=True)})


def _timeline_values(row: TimelineRow) -> Row:
    now = time.monotonic()
    ended_ago = None if row.ended is None else timedelta(seconds=now - row.ended)
    return (
        row.run_id,
        row.task_key,
        row.number,
        row.node,
        row.visit,
        row.step,
        row.attempt,
        timedelta(seconds=now - row.started),
        ended_ago,
        row.outcome,
        row.error_json,
    )
