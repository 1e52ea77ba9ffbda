"""The composition root: settings → a database, or a manager with the active scenario's faults.

Verbs that only read take `open_registry`, which costs no LangGraph; verbs that
drive runs take `open_runtime`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.rows import DictRow

from framework.cli.app import Invocation
from framework.errors import UsageError
from framework.settings import Settings
from framework.storage.fault_records import FaultTable
from framework.storage.named_queries import load
from framework.storage.pool import Database
from framework.storage.server import resolve_server

if TYPE_CHECKING:
    from framework.durability.manager import DurabilityManager
    from framework.faults.record import FiredFault
    from framework.faults.scenario import Scenario
    from framework.graph.context import FaultHook

SCHEMA = load("migrations.sql")
SERVER = load("server.sql")


def require_durability(settings: Settings, wish: str) -> None:
    """Refuse what only saved runs can do.

    Raises:
        UsageError: `durability.enabled` is false.
    """
    if not settings.durability.enabled:
        raise UsageError(
            f"Nothing can be {wish}: durability.enabled is false, so runs live in memory and none is saved.",
            hint="set `enabled: true` in config/durability_config.yaml",
        )


@contextmanager
def open_registry(invocation: Invocation) -> Iterator[Database]:
    """Open the database for reading and for moves that drive nothing; sets it up if it is new."""
    settings = invocation.settings
    postgres = settings.durability.postgres
    server = resolve_server(settings)
    database = Database(
        server.url,
        pool_size=2,
        pool_timeout=postgres.pool_timeout,
        patience=postgres.connect_timeout,
        name=f"holdfast cli {os.getpid()}",
    )
    database.open()
    try:
        if not database.run(_is_set_up):
            # Costs LangGraph's import, once in a database's life.
            from framework.storage.migrations import migrate

            migrate(server.url, timeout=postgres.setup_timeout, patience=postgres.connect_timeout)
        yield database
    finally:
        database.close()


def _is_set_up(conn: Any) -> bool:
    if conn.execute(SCHEMA["has_schema_version"]).fetchone() != {"present": True}:
        return False
    row = conn.execute(SERVER["applied_migrations"]).fetchone()
    folder = resources.files("framework.storage").joinpath("migrations")
    known = sum(entry.name.endswith(".sql") for entry in folder.iterdir())
    return row is not None and row["applied"] >= known


@dataclass
class Runtime:
    """What a verb that drives runs has in hand."""

    invocation: Invocation
    manager: DurabilityManager
    scenario: Scenario | None
    children: ChildProcesses

    @property
    def settings(self) -> Settings:
        """All settings."""
        return self.invocation.settings


@contextmanager
def open_runtime(invocation: Invocation) -> Iterator[Runtime]:
    """Open a manager on the configured database, with the active scenario's faults.

    Raises:
        ScenarioInvalid: The active scenario is wrong; found before anything is opened.
        DatabaseError: The server does not answer, or cannot be set up in time.
    """
    settings = invocation.settings
    scenario = active_scenario(settings)
    children = ChildProcesses(invocation)
    with contextlib.ExitStack() as stack:
        # LangGraph is imported here, and only for verbs that drive runs.
        from framework.durability.manager import open_manager

        def faults(manager: DurabilityManager) -> FaultHook | None:
            if scenario is None or not scenario.rules:
                return None
            table = FaultTable(manager.database)
            stack.callback(table.close)
            return _injector(settings, scenario, table)

        manager = open_manager(settings, faults=faults, isolate=children.drive)
        stack.enter_context(manager)
        yield Runtime(invocation, manager, scenario, children)


def active_scenario(settings: Settings) -> Scenario | None:
    """Return the scenario that plays; None when `mock.enabled` is false.

    Raises:
        UsageError: There is no such scenario.
        ScenarioInvalid: With every problem of its file.
    """
    if not settings.mock.enabled:
        return None
    from framework.faults.reader import SCENARIO_FOLDER, load_scenario

    folder = settings.root / SCENARIO_FOLDER
    if settings.mock.active_scenario == "default" and not (folder / "default.yaml").is_file():
        return None  # a project without mocks
    return load_scenario(folder, settings.mock.active_scenario)


def _injector(settings: Settings, scenario: Scenario, table: FaultTable) -> FaultHook:
    from framework.faults.injector import FaultInjector

    return FaultInjector(scenario, seed=settings.mock.seed, records=_Records(table), cut_database=table.cut)


class _Records:
    """Implements `FaultRecords` on the database."""

    def __init__(self, table: FaultTable) -> None:
        self._table = table

    async def fired(self, run_id: str) -> Sequence[FiredFault]:
        return [fault_of(run_id, row) for row in await self._table.fired(run_id)]

    async def record(self, fault: FiredFault) -> None:
        await self._table.insert(
            {
                "run_id": fault.run_id,
                "rule": fault.rule,
                "ordinal": fault.ordinal,
                "rule_key": fault.rule_key,
                "scenario": fault.scenario,
                "node": fault.node,
                "point": str(fault.point),
                "task_key": fault.task_key,
                "try": fault.try_number,
                "action": fault.action,
                "detail": dict(fault.detail),
                "attempt": fault.attempt,
            }
        )


def fault_of(run_id: str, row: DictRow | Mapping[str, Any]) -> FiredFault:
    """Turn a row of `fault` into what the scenario knows."""
    from framework.faults.record import FiredFault
    from framework.graph.context import Point

    return FiredFault(
        run_id=run_id,
        scenario=row["scenario"],
        rule=row["rule"],
        rule_key=row["rule_key"],
        ordinal=row["ordinal"],
        node=row["node"],
        point=Point(row["point"]),
        task_key=row["task_key"] or "",
        try_number=row["try"] or 1,
        attempt=row["attempt"] or 0,
        action=row["action"],
        detail=row["detail"],
    )


@dataclass
class ChildProcesses:
    """Drives runs that are suspected of killing their process, each in a child of its own."""

    invocation: Invocation
    _running: set[asyncio.subprocess.Process] = field(default_factory=set)

    async def drive(self, run_id: str) -> int:
        """Drive one run in a child; return its exit code, negative when a signal ended it."""
        # What a child prints would mix with the view of its parent; -v shows it.
        output = None if self.invocation.verbosity else subprocess.DEVNULL
        child = await asyncio.create_subprocess_exec(
            *self._command(run_id),
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr.fileno() if self.invocation.verbosity else subprocess.DEVNULL,
            stderr=output,
            # Ctrl-C goes to the parent alone, which passes it on once.
            start_new_session=True,
        )
        self._running.add(child)
        try:
            return await child.wait()
        finally:
            self._running.discard(child)

    def stop(self, number: int = signal.SIGTERM) -> None:
        """Send a signal to every child; may be called from a signal handler."""
        for child in list(self._running):
            with contextlib.suppress(ProcessLookupError):
                child.send_signal(number)

    def kill(self) -> None:
        """End every child at once; what it saved is safe, and its lease ends by itself."""
        self.stop(signal.SIGKILL)

    def _command(self, run_id: str) -> list[str]:
        script = Path(sys.argv[0])
        if script.name == "main.py" and script.is_file():
            begin = [sys.executable, str(script.resolve())]
        else:
            begin = [sys.executable, "-c", "from framework.cli.app import entry_point; entry_point()"]
        sets = [
            word for key, value in self.invocation.overrides.items() for word in ("--set", f"{key}={value}")
        ]
        verbose = ["-" + "v" * self.invocation.verbosity] if self.invocation.verbosity else []
        return [*begin, "--root", str(self.invocation.root), *sets, *verbose, "resume", run_id, "--isolated"]
