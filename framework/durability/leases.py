"""Claim, renew and give up the right to drive a run.

Lock order: lease, run, the rest. A claim raises the run's fence, and every
write of an attempt checks it, so a process that lost its lease writes nothing.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import Connection, errors
from psycopg.rows import DictRow

from framework.durability import registry
from framework.durability.owner import current_owner, is_dead
from framework.durability.registry import SQL, Conn
from framework.durability.run import Claim, Ending, RunStatus
from framework.errors import DatabaseUnavailable
from framework.storage.pool import Database
from framework.storage.step_writer import lease_lost
from framework.storage.stored_text import jsonb, stored_text

LOOK_SECONDS = 1.0
"""How soon a driver hears that somebody wants its run cancelled."""


@dataclass(frozen=True, slots=True)
class ClaimRequest:
    """Who wants to drive a run, for how long at a time, and from which statuses."""

    run_id: str
    duration: timedelta
    max_crashes: int
    worker: str | None
    reason: str
    action: str = "resume"
    allowed: frozenset[RunStatus] = frozenset({RunStatus.PENDING, RunStatus.RUNNING})


def claim(conn: Conn, request: ClaimRequest) -> Claim | None:
    """Take the right to drive a run, in one transaction.

    A run whose owner died is counted as crashed first, in the same
    transaction, so a crash that follows is never uncounted; at `max_crashes`
    without progress in between it is quarantined instead.

    Returns:
        None when somebody else drives it, its thread is taken, it was
        quarantined, or its status is not among `allowed`.
    """
    try:
        with conn.transaction():
            return _claim(conn, request)
    except errors.UniqueViolation:
        # Another run of the thread got past pending at the same moment; the index decides.
        return None


def _claim(conn: Conn, request: ClaimRequest) -> Claim | None:
    names = {"run_id": request.run_id}
    lease = conn.execute(SQL["lock_lease"], names).fetchone()
    row = conn.execute(SQL["lock_run"], names).fetchone()
    if row is None:
        return None
    previous = RunStatus(row["status"])
    if previous not in request.allowed or row["not_yet"]:
        return None
    if previous is RunStatus.RUNNING:
        if lease is None or lease["fence"] != row["fence"]:
            # Another claim came in between our two locks, unless the lease is really missing.
            # Waiting for its lease while holding the run would be the wrong lock order.
            if conn.execute(SQL["lease"], names).fetchone() is not None:
                return None
        elif not lease["expired"] and not is_dead(lease["owner"]):
            return None
        if _count_crash(conn, row, request):
            return None
    thread = {"thread_id": row["thread_id"], "run_id": request.run_id, "created_at": row["created_at"]}
    if previous is RunStatus.FAILED and conn.execute(SQL["thread_has_moved_on"], thread).fetchone() == {
        "moved_on": True
    }:
        return None
    if previous in {RunStatus.PENDING, RunStatus.FAILED} and conn.execute(
        SQL["thread_is_taken"], thread
    ).fetchone() == {"taken": True}:
        return None
    owner = str(current_owner())
    taken = conn.execute(SQL["take"], {**names, "owner": owner}).fetchone()
    fence = taken["fence"] if taken else 0
    conn.execute(
        SQL["grant_lease"],
        {
            **names,
            "thread_id": row["thread_id"],
            "fence": fence,
            "owner": owner,
            "duration": request.duration,
        },
    )
    conn.execute(SQL["close_attempts"], {**names, "number": fence})
    conn.execute(SQL["open_attempt"], {**names, "number": fence, "owner": owner, "worker": request.worker})
    registry.decide(conn, request.run_id, by=owner, action=request.action, reason=request.reason)
    registry.tell(conn, request.run_id, "attempt", {"number": fence, "from": previous})
    return Claim(run=registry.get(conn, request.run_id), previous=previous)


def _count_crash(conn: Conn, row: DictRow, request: ClaimRequest) -> bool:
    """Count the crash that ended the last attempt; True when the run is quarantined for it."""
    stuck = row["crash_progress"] is not None and row["crash_progress"] == row["progress"]
    crashes = row["crashes"] + 1 if stuck else 1
    conn.execute(SQL["count_crash"], {"run_id": row["run_id"], "crashes": crashes})
    if crashes < request.max_crashes:
        return False
    quarantine(
        conn,
        row["run_id"],
        expected=RunStatus.RUNNING,
        fence=row["fence"],
        error={
            "code": "crashed-too-often",
            "message": f"It ended its process {crashes} times in a row without saving anything in between.",
            "hint": f"See in which node: main.py show {row['run_id']}; then: main.py release {row['run_id']}",
        },
    )
    return True


def quarantine(conn: Conn, run_id: str, *, expected: RunStatus, fence: int, error: Mapping[str, Any]) -> bool:
    """Set a run aside until a person releases it; False when it moved meanwhile."""
    names = {"run_id": run_id}
    conn.execute(SQL["drop_lease"], names)
    moved = conn.execute(
        SQL["move"],
        {
            **names,
            "status": "quarantined",
            "expected": expected,
            "fence": fence,
            "ended": False,
            "error": jsonb(error),
        },
    ).fetchone()
    if moved is None:
        return False
    conn.execute(SQL["close_attempts"], {**names, "number": fence + 1})
    registry.decide(
        conn,
        run_id,
        by=str(current_owner()),
        action="quarantine",
        reason=str(error.get("message")),
        facts=error,
    )
    registry.tell(conn, run_id, "quarantined", error)
    return True


def leave(conn: Conn, ending: Ending, *, fence: int, outcome: str) -> None:
    """End an attempt: store how it ended and give up the lease, in one transaction.

    Repeating it after a lost answer is harmless: a run that already stands
    where this attempt left it counts as done.

    Raises:
        LeaseLost: Another process drives the run; nothing was stored.
    """
    status = ending.status
    if status is None:
        raise ValueError("an ending without a status leaves the run where it is")
    names = {"run_id": ending.run_id, "fence": fence}
    with conn.transaction():
        lease = conn.execute(SQL["give_up_lease"], names).fetchone()
        moved = (
            lease
            and conn.execute(
                SQL["leave"],
                {
                    **names,
                    "status": status,
                    "ended": status.ended,
                    "output": jsonb(ending.output),
                    "error": jsonb(ending.error),
                },
            ).fetchone()
        )
        if not moved:
            run = registry.get(conn, ending.run_id)
            if run.fence == fence and run.status is status:
                return
            raise lease_lost(ending.run_id)
        for question in ending.questions:
            conn.execute(
                SQL["ask"], {"run_id": ending.run_id, **question, "question": jsonb(question["question"])}
            )
        still_open = [question["interrupt_id"] for question in ending.questions]
        conn.execute(SQL["consume_answers"], {"run_id": ending.run_id, "still_open": still_open})
        conn.execute(
            SQL["end_attempt"], {**names, "outcome": outcome, "detail": stored_text(ending.detail[:2000])}
        )
        registry.tell(conn, ending.run_id, str(status), {"detail": ending.detail[:500]})


class Heartbeat:
    """Renews the leases of all runs of this process, on a thread and a connection of its own.

    A node that blocks the event loop cannot stop it. A process that is frozen
    as a whole stops renewing, and its leases end on the database's clock.
    """

    def __init__(self, database: Database, *, interval: timedelta, duration: timedelta) -> None:
        """Nothing runs until the first lease is watched."""
        self._database = database
        self._interval = interval.total_seconds()
        self._duration = duration
        self._lock = threading.Lock()
        self._watched: dict[str, tuple[int, Callable[[str], None]]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, run_id: str, fence: int, notify: Callable[[str], None]) -> None:
        """Renew this lease from now on.

        Args:
            run_id: Of the run.
            fence: Of the claim.
            notify: Called from the heartbeat's thread with `lost` or `cancel`; must not block.
        """
        with self._lock:
            self._watched[run_id] = (fence, notify)
            if self._thread is None:
                self._thread = threading.Thread(target=self._beat, name="holdfast-heartbeat", daemon=True)
                self._thread.start()

    def unwatch(self, run_id: str) -> None:
        """Stop renewing this lease."""
        with self._lock:
            self._watched.pop(run_id, None)

    def close(self) -> None:
        """Stop; leases that are still watched end by themselves."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def _beat(self) -> None:
        connection: Connection[DictRow] | None = None
        due = time.monotonic() + self._interval
        while not self._stop.wait(min(LOOK_SECONDS, max(0.0, due - time.monotonic()))):
            try:
                if connection is None or connection.closed:
                    connection = self._database.connect()
                if time.monotonic() >= due:
                    self._renew(connection)
                    due = time.monotonic() + self._interval
                else:
                    self._look_for_cancels(connection)
            except (psycopg.Error, DatabaseUnavailable):
                # The fence protects the runs meanwhile: without the database nothing can be written either.
                if connection is not None:
                    with suppress(psycopg.Error):
                        connection.close()
                    connection = None
                due = time.monotonic() + min(0.5, self._interval)
        if connection is not None:
            connection.close()

    def _look_for_cancels(self, conn: Connection[DictRow]) -> None:
        with self._lock:
            watched = dict(self._watched)
        if watched:
            rows = conn.execute(SQL["cancelled_among"], {"run_ids": list(watched)}).fetchall()
            for row in rows:
                watched[row["run_id"]][1]("cancel")

    def _renew(self, conn: Connection[DictRow]) -> None:
        with self._lock:
            watched = dict(self._watched)
        if not watched:
            return
        rows = conn.execute(
            SQL["renew_leases"],
            {
                "run_ids": list(watched),
                "fences": [fence for fence, _ in watched.values()],
                "duration": self._duration,
            },
        ).fetchall()
        answered = {row["run_id"]: row["cancel"] for row in rows}
        for run_id, (fence, notify) in watched.items():
            with self._lock:
                if self._watched.get(run_id, (None,))[0] != fence:
                    continue  # it ended meanwhile
            if run_id not in answered:
                notify("lost")
            elif answered[run_id]:
                notify("cancel")
