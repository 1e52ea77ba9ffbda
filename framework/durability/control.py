"""What people do to a run that no process drives: answer, cancel, retry, release, delete.

Each is one transaction, guarded by the status that the caller saw, so of two
people who act at once one wins and the other is told.
"""

from __future__ import annotations

from typing import Any

from psycopg.types.json import Jsonb

from framework.durability import registry
from framework.durability.owner import current_owner, is_dead
from framework.durability.registry import SQL, Conn
from framework.durability.run import MOVES, Run, RunStatus
from framework.errors import InputInvalid, MoveRefused
from framework.storage.stored_text import can_be_stored


def move(conn: Conn, run: Run, status: RunStatus, reason: str) -> None:
    """Move a run that no process drives; repeating it after a lost answer changes nothing.

    Raises:
        MoveRefused: A process drives it, it has moved meanwhile, or there is no such move.
    """
    if status not in MOVES[run.status]:
        raise registry.refuse_move(run, status.value)
    names = {"run_id": run.run_id}
    with conn.transaction():
        lease = conn.execute(SQL["lock_lease"], names).fetchone()
        if lease is not None and not lease["expired"] and not is_dead(lease["owner"]):
            raise registry.refuse_move(run, status.value, hint="A process drives it right now.")
        conn.execute(SQL["drop_lease"], names)
        facts = {
            "status": status,
            "expected": run.status,
            "fence": run.fence,
            "ended": status.ended,
            "error": None,
        }
        if conn.execute(SQL["move"], {**names, **facts}).fetchone() is None:
            now = registry.get(conn, run.run_id)
            if now.status is status:
                return
            raise MoveRefused(run.run_id, f"Run {run.run_id} has moved to {now.status} meanwhile.")
        conn.execute(SQL["close_attempts"], {**names, "number": run.fence + 1})
        _record(conn, run, status.value, reason)


def cancel(conn: Conn, run: Run) -> RunStatus:
    """Cancel a run, or ask the process that drives it to stop at its next step boundary.

    Returns:
        `cancelled`, or `running` when the driver was asked.
    """
    if run.status is RunStatus.CANCELLED:
        return run.status
    if run.status is RunStatus.RUNNING and not run.lease_expired and not is_dead(run.owner or ""):
        conn.execute(SQL["request_cancel"], {"run_id": run.run_id})
        registry.decide(
            conn, run.run_id, by=str(current_owner()), action="cancel", reason="a person asked for it"
        )
        return RunStatus.RUNNING
    move(conn, run, RunStatus.CANCELLED, "a person asked for it")
    return RunStatus.CANCELLED


def answer(conn: Conn, run: Run, data: Any) -> None:  # any JSON value
    """Store the answer to the question that a run waits for; the first answer wins.

    With several questions open, `data` maps their ids to answers.

    Raises:
        MoveRefused: The run waits for nothing, or was answered already.
        InputInvalid: Several questions are open and `data` does not say which it answers.
    """
    if run.status is not RunStatus.WAITING:
        raise registry.refuse_move(run, "answered")
    rows = conn.execute(SQL["interrupts"], {"run_id": run.run_id}).fetchall()
    asked = [row["interrupt_id"] for row in rows if row["consumed_at"] is None]
    unanswered = [row["interrupt_id"] for row in rows if row["answered_at"] is None]
    if not unanswered:
        raise registry.refuse_move(
            run,
            "answered: it asks nothing that is still open",
            hint=f"Let it go on: main.py resume {run.run_id}" if asked or not rows else None,
        )
    answers: dict[str, Any]
    if isinstance(data, dict) and set(data) <= set(unanswered) and data:
        answers = data
    elif len(unanswered) == 1:
        answers = {unanswered[0]: data}
    else:
        raise InputInvalid(
            f"Run {run.run_id} asks {len(unanswered)} questions; the answer does not say which it answers.",
            hint="Give a mapping: --data '{" + ", ".join(f'"{one}": …' for one in unanswered) + "}'",
        )
    if not can_be_stored(answers):
        raise InputInvalid(
            "The answer holds a character that the database cannot store: NUL, or half of a surrogate pair.",
            hint="Leave it out, and answer again.",
        )
    with conn.transaction():
        for interrupt_id, value in answers.items():
            conn.execute(
                SQL["answer"],
                {"run_id": run.run_id, "interrupt_id": interrupt_id, "answer": Jsonb(value)},
            )
        _record(conn, run, "answer", "a person answered")


def retry(conn: Conn, run: Run) -> None:
    """Renew the tries of a failed run and put it back in line.

    Raises:
        MoveRefused: It has not failed, or a newer run of its thread has passed it.
    """
    if run.status is not RunStatus.FAILED:
        raise registry.refuse_move(run, "retried")
    if run.passed:
        raise registry.refuse_move(run, "retried: a newer run of its thread has passed it")
    _reset(conn, run, "renew_tries", "retry", "a person asked for it; its tries are renewed")


def release(conn: Conn, run: Run) -> None:
    """Put a quarantined run back in line, its crashes forgiven and its changed code accepted.

    Raises:
        MoveRefused: It is not quarantined.
    """
    if run.status is not RunStatus.QUARANTINED:
        raise registry.refuse_move(run, "released")
    _reset(conn, run, "release", "release", "a person released it")


def delete(conn: Conn, run: Run) -> None:
    """Delete a run and, with the last one of its thread, the thread's checkpoints; in one transaction.

    Raises:
        MoveRefused: It has not ended.
    """
    with conn.transaction():
        row = conn.execute(SQL["delete_run"], {"run_id": run.run_id}).fetchone()
        if row is None:
            raise registry.refuse_move(run, "deleted", hint=f"Cancel it first: main.py cancel {run.run_id}")
        names = {"thread_id": row["thread_id"]}
        if conn.execute(SQL["delete_empty_thread"], names).fetchone() is not None:
            for name in ("delete_checkpoints", "delete_blobs", "delete_writes"):
                conn.execute(SQL[name], names)


def _reset(conn: Conn, run: Run, query: str, action: str, reason: str) -> None:
    with conn.transaction():
        if conn.execute(SQL[query], {"run_id": run.run_id}).fetchone() is None:
            raise MoveRefused(run.run_id, f"Run {run.run_id} has moved meanwhile.")
        _record(conn, run, action, reason)


def _record(conn: Conn, run: Run, action: str, reason: str) -> None:
    registry.decide(conn, run.run_id, by=str(current_owner()), action=action, reason=reason)
    registry.tell(conn, run.run_id, action, {"reason": reason})
