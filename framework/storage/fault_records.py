"""Faults of a mock scenario, as the database remembers them, and the cut of this process's own connections.

Both use connections of their own, under another name: a firing is committed
before it takes effect, whatever happens to the run's connections.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import psycopg
from psycopg import Connection
from psycopg.rows import DictRow
from psycopg.types.json import Jsonb

from framework.storage.named_queries import load
from framework.storage.pool import Database

RUNS = load("runs.sql")
SERVER = load("server.sql")

CUT_WAIT_MS = 500
"""How long the first cut waits for each session to be gone."""


class FaultTable:
    """Rows of `holdfast.fault`, and the outages that a scenario asks for."""

    def __init__(self, database: Database) -> None:
        """Open connections to the same server.

        Args:
            database: The one that the runs use; its sessions are what `cut()` ends.
        """
        self._victim = database.name
        self._database = Database(
            database.url, pool_size=2, patience=database.patience, name=f"holdfast faults {os.getpid()}"
        )
        self._database.open()

    def close(self) -> None:
        """Give back the connections; an outage that still lasts ends here."""
        self._database.close()

    def rows(self, run_id: str) -> list[DictRow]:
        """Return all firings of a run, in any process, the earliest first."""
        return self._database.run(lambda conn: conn.execute(RUNS["faults"], {"run_id": run_id}).fetchall())

    async def fired(self, run_id: str) -> Sequence[DictRow]:
        """Return the same without blocking the event loop."""
        return await self._database.in_thread(self.rows, run_id)

    async def insert(self, values: Mapping[str, Any]) -> None:
        """Commit one firing; the same one again changes nothing."""
        row = {**values, "detail": Jsonb(values["detail"])}
        await self._database.call(lambda conn: conn.execute(RUNS["record_fault"], row) and None)

    async def cut(self, outage: timedelta | None) -> None:
        """End this process's sessions now; with a duration, each new one too until that is over."""
        if outage is not None:
            # Its connection stands before the first cut, so nothing slips through between the two.
            conn = await self._database.in_thread(self._database.connect)
            deadline = time.monotonic() + outage.total_seconds()
            threading.Thread(
                target=self._keep_away, args=(conn, deadline), name="holdfast-outage", daemon=True
            ).start()
        await self._database.in_thread(self._terminate)

    def _terminate(self) -> None:
        names = {"name": self._victim, "wait_ms": CUT_WAIT_MS}
        self._database.run(lambda conn: conn.execute(SERVER["terminate_backends"], names).fetchall())

    def _keep_away(self, conn: Connection[DictRow], deadline: float) -> None:
        # When the server itself is gone, or we are closing, there is nothing left to cut.
        with suppress(psycopg.Error), conn:
            names = {"name": self._victim, "wait_ms": 0}
            # Without a pause: a new session must not live long enough to commit a step.
            while time.monotonic() < deadline:
                conn.execute(SERVER["terminate_backends"], names)
