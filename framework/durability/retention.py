"""Removes what has ended long ago, in small transactions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from framework.durability import control, registry
from framework.durability.registry import SQL
from framework.errors import MoveRefused
from framework.storage.pool import Database

BATCH = 100


@dataclass(frozen=True, slots=True)
class Pruned:
    """How many runs went, or would go."""

    runs: int
    definitions: int


def prune(database: Database, *, older_than: timedelta, dry_run: bool = False) -> Pruned:
    """Delete ended runs whose end is older, with their checkpoints, one transaction a run.

    A process that dies on the way leaves every run either whole or gone, and
    the next prune goes on. Pinned definitions and threads that still have a
    run stay.
    """
    if dry_run:
        rows = database.run(
            lambda conn: conn.execute(SQL["prunable"], {"age": older_than, "limit": None}).fetchall()
        )
        return Pruned(runs=len(rows), definitions=0)
    runs = 0
    while batch := database.run(
        lambda conn: conn.execute(SQL["prunable"], {"age": older_than, "limit": BATCH}).fetchall()
    ):
        before = runs
        for row in batch:
            runs += _delete(database, row["run_id"])
        if runs == before:
            break  # all of them moved meanwhile
    definitions = database.run(lambda conn: conn.execute(SQL["delete_unused_definitions"]).rowcount)
    return Pruned(runs=runs, definitions=definitions)


def _delete(database: Database, run_id: str) -> int:
    try:
        database.run(lambda conn: control.delete(conn, registry.get(conn, run_id)))
    except MoveRefused:
        return 0  # a person took it up between the two statements
    return 1
