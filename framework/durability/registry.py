"""The registry of runs: admit, find, and what readers want to know.

Every function takes a connection in autocommit mode and may be repeated after
a lost answer.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from framework.durability.run import Run, RunStatus
from framework.errors import MoveRefused, RunKeyConflict, RunNotFound
from framework.storage.named_queries import load
from framework.storage.stored_text import jsonb, stored_text

SQL = load("runs.sql")

TENANT = "default"
Conn = Connection[DictRow]

_RUN_FIELDS = tuple(field.name for field in fields(Run))


@dataclass(frozen=True, slots=True)
class Admission:
    """A run to be accepted: its definition as stored, its validated input, its place."""

    workflow: str
    definition: Mapping[str, Any]
    input: Mapping[str, Any]
    facts: Mapping[str, Any]
    run_key: str | None = None
    thread: str | None = None
    tags: Sequence[str] = ()
    priority: int = 0


def generate_thread_id(workflow: str, *, at: datetime | None = None) -> str:
    """Return a new thread's name: `<workflow>-<YYYYMMDD>-<HHMMSS>-<8 hex>`, the moment in UTC."""
    moment = at or datetime.now(UTC)
    return f"{workflow}-{moment:%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"


def run_of(row: DictRow) -> Run:
    """Turn a row of `run_seen` into a `Run`."""
    values = {name: row[name] for name in _RUN_FIELDS}
    values["status"] = RunStatus(row["status"])
    values["tags"] = tuple(row["tags"])
    return Run(**values)


def store_definition(conn: Conn, definition: Mapping[str, Any]) -> None:
    """Keep a definition by its content hash; storing it again changes nothing."""
    conn.execute(
        SQL["store_definition"],
        {
            **definition,
            "topology": Jsonb(definition["topology"]),
            "fingerprints": Jsonb(definition["fingerprints"]),
        },
    )


def load_definition(conn: Conn, content_hash: str) -> DictRow:
    """Return a stored definition."""
    row = conn.execute(SQL["definition"], {"content_hash": content_hash}).fetchone()
    if row is None:
        raise AssertionError(f"run refers to definition {content_hash}, which a foreign key guarantees")
    return row


def admit(conn: Conn, admission: Admission, *, run_id: str | None = None) -> tuple[Run, bool]:
    """Accept a run: commit it with its input, before anything starts.

    Args:
        conn: Autocommit; the admission is one transaction.
        admission: What to accept.
        run_id: Drawn by the caller, so that a repeat after a lost answer is the same run.

    Returns:
        The run, and whether it is new. With a `run_key` that was used before
        with the same input, the earlier run.

    Raises:
        RunKeyConflict: The key was used before with another input.
    """
    run_id = run_id or str(uuid4())
    outside_id = admission.thread or generate_thread_id(admission.workflow)
    with conn.transaction():
        store_definition(conn, admission.definition)
        thread = conn.execute(
            SQL["open_thread"], {"thread_id": outside_id, "tenant": TENANT, "outside_id": outside_id}
        ).fetchone()
        if conn.execute(SQL["run"], {"run_id": run_id}).fetchone() is not None:
            return get(conn, run_id), False
        row = conn.execute(
            SQL["admit"],
            {
                "run_id": run_id,
                "tenant": TENANT,
                "thread_id": thread["thread_id"] if thread else outside_id,
                "workflow": admission.workflow,
                "definition": admission.definition["content_hash"],
                "input": Jsonb(admission.input),
                "admission": Jsonb(admission.facts),
                "run_key": admission.run_key,
                "tags": list(admission.tags),
                "priority": admission.priority,
            },
        ).fetchone()
        if row is not None:
            tell(conn, run_id, "accepted", {})
            return get(conn, run_id), True
        # The thread was opened for nothing; the rollback takes it away again.
        conn.execute(SQL["delete_empty_thread"], {"thread_id": outside_id})
        return _same_key(conn, admission), False


def _same_key(conn: Conn, admission: Admission) -> Run:
    row = conn.execute(
        SQL["run_by_key"],
        {"tenant": TENANT, "workflow": admission.workflow, "run_key": admission.run_key},
    ).fetchone()
    if row is None:
        raise AssertionError("a conflict on run_key names a run")
    if row["input"] != dict(admission.input):
        different = sorted(
            name
            for name in row["input"].keys() | admission.input.keys()
            if row["input"].get(name) != admission.input.get(name)
        )
        raise RunKeyConflict(
            row["run_id"],
            f"Run key {admission.run_key!r} of {admission.workflow!r} belongs to run {row['run_id']}, "
            f"which has another input ({', '.join(different)}).",
            hint=f"Take another key, or look at that run: main.py show {row['run_id']}",
        )
    return get(conn, row["run_id"])


def get(conn: Conn, run_id: str) -> Run:
    """Return one run.

    Raises:
        RunNotFound: No run has this id.
    """
    row = conn.execute(SQL["run"], {"run_id": run_id}).fetchone()
    if row is None:
        raise RunNotFound(run_id, f"There is no run {run_id}.", hint="See what there is: main.py list")
    return run_of(row)


def find(conn: Conn, reference: str) -> Run:
    """Return the run that a person means: an id or its beginning, a thread, a run key, or `last`.

    Raises:
        RunNotFound: None or several fit.
    """
    text = reference.strip()
    if text == "last":
        row = conn.execute(SQL["last_run"], {"tenant": TENANT}).fetchone()
        if row is None:
            raise RunNotFound(text, "There are no runs yet.", hint="Start one: main.py run")
        return get(conn, row["run_id"])
    try:
        return get(conn, str(UUID(text)))
    except ValueError:
        pass
    pattern = text.replace("\\", "\\\\").replace("%", r"\%").replace("_", r"\_")
    rows = conn.execute(
        SQL["runs_by_prefix"], {"tenant": TENANT, "prefix": text, "pattern": pattern}
    ).fetchall()
    if len(rows) == 1 or (rows and not any(row["run_id"].startswith(text) for row in rows)):
        return get(conn, rows[0]["run_id"])  # of a thread, the newest run
    if rows:
        some = ", ".join(row["run_id"] for row in rows[:4])
        raise RunNotFound(text, f"{text!r} begins more than one run: {some}.", hint="Type more of the id.")
    raise RunNotFound(text, f"There is no run {text!r}.", hint="See what there is: main.py list")


def list_runs(
    conn: Conn,
    *,
    statuses: Sequence[str] | None = None,
    workflow: str | None = None,
    thread_id: str | None = None,
    tag: str | None = None,
    newer: timedelta | None = None,
    older: timedelta | None = None,
    limit: int = 50,
) -> list[Run]:
    """Return runs, the newest first."""
    rows = conn.execute(
        SQL["list"],
        {
            "tenant": TENANT,
            "statuses": list(statuses) if statuses else None,
            "workflow": workflow,
            "thread_id": thread_id,
            "tag": tag,
            "newer": newer,
            "older": older,
            "limit": limit,
        },
    ).fetchall()
    return [run_of(row) for row in rows]


def unfinished(conn: Conn) -> list[Run]:
    """Return every run that has not ended, in the order in which it should be driven."""
    return [run_of(row) for row in conn.execute(SQL["unfinished"]).fetchall()]


def failed(conn: Conn) -> list[Run]:
    """Return every failed run."""
    return [run_of(row) for row in conn.execute(SQL["failed"]).fetchall()]


def decide(
    conn: Conn, run_id: str, *, by: str, action: str, reason: str, facts: Mapping[str, Any] | None = None
) -> None:
    """Store what was decided about a run, and why."""
    conn.execute(
        SQL["decide"],
        {
            "run_id": run_id,
            "made_by": by,
            "action": action,
            "reason": stored_text(reason),
            "facts": jsonb(facts or {}),
        },
    )


def decide_once(conn: Conn, run_id: str, *, by: str, action: str, reason: str) -> None:
    """Store a decision unless the last one says the same; a sweep would repeat it for ever."""
    last = conn.execute(SQL["last_decision"], {"run_id": run_id}).fetchone()
    if last != {"action": action, "reason": reason}:
        decide(conn, run_id, by=by, action=action, reason=reason)


def tell(conn: Conn, run_id: str, kind: str, payload: Mapping[str, Any]) -> None:
    """Append to the run's events."""
    conn.execute(SQL["tell"], {"run_id": run_id, "kind": kind, "payload": jsonb(payload)})


def refuse_move(run: Run, wish: str, *, hint: str | None = None) -> MoveRefused:
    """Say that the run's status does not allow what was asked."""
    return MoveRefused(
        run.run_id,
        f"Run {run.run_id} is {run.status}, so it cannot be {wish}.",
        hint=hint or f"Why it stands there: main.py why {run.run_id}",
    )


def history(conn: Conn, run_id: str) -> dict[str, list[DictRow]]:
    """Return all that is known of a run beside its row: attempts, nodes, decisions, faults and more."""
    names = ("attempts", "node_runs", "decisions", "events", "faults", "interrupts")
    return {name: conn.execute(SQL[name], {"run_id": run_id}).fetchall() for name in names}
