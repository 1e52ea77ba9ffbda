"""The façade: everything that a command, a server or a library caller does with runs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from framework.definition.expressions import Moments
from framework.definition.inputs import validate_inputs
from framework.definition.loader import LoadedWorkflow
from framework.durability import control, leases, recovery, registry
from framework.durability.attempt import Observer, Tools
from framework.durability.definitions import DefinitionStore
from framework.durability.executor import Executor
from framework.durability.owner import current_owner, is_dead
from framework.durability.recovery import Action, Decision, Policy
from framework.durability.registry import Admission
from framework.durability.run import Ending, Run, RunStatus
from framework.errors import InputInvalid, SettingsError
from framework.graph.context import FaultHook
from framework.settings import Settings
from framework.storage.checkpointer import Checkpointer
from framework.storage.migrations import migrate
from framework.storage.pool import Database
from framework.storage.server import resolve_server
from framework.storage.step_writer import StepWriter
from framework.storage.stored_text import can_be_stored

Isolate = Callable[[str], Awaitable[int]]
"""Drives one run in a child process; returns its exit code, negative when a signal ended it."""


@dataclass(slots=True)
class RecoveryReport:
    """What a recovery did: every decision, and how the runs that it drove ended."""

    decisions: list[Decision] = field(default_factory=list)
    endings: list[Ending] = field(default_factory=list)

    @property
    def taken_up(self) -> list[Run]:
        """Runs that were driven."""
        return [d.run for d in self.decisions if d.action in {Action.RESUME, Action.ISOLATE}]

    @property
    def left(self) -> list[Decision]:
        """Runs that were left where they are, with the reason."""
        return [d for d in self.decisions if d.action is Action.LEAVE]


class DurabilityManager:
    """Runs, their checkpoints and their recovery, in one process.

    Use it as a context manager, or `close()` it. Everything but `drive`,
    `resume` and `recover` is synchronous and may be called from any thread.
    """

    def __init__(
        self,
        settings: Settings,
        database: Database,
        *,
        faults: Callable[[DurabilityManager], FaultHook | None] | None = None,
        isolate: Isolate | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        """Build the parts; `open_manager` and `init_durability` are the ways to get one.

        Args:
            settings: As loaded.
            database: Open and migrated.
            faults: Makes the fault hook of the active scenario, if there is one.
            isolate: How to drive a suspect in a process of its own; without it suspects wait.
            environ: Where `${secret:…}` is looked up; `os.environ` unless given.
        """
        self.settings = settings
        self.database = database
        self._environ = os.environ if environ is None else environ
        self._writer = StepWriter(database)
        # Nothing but LangGraph's own safe types, until a workflow's `types` are added to a copy.
        self.checkpointer = Checkpointer(
            database, self._writer, JsonPlusSerializer(allowed_msgpack_modules=None)
        )
        self.definitions = DefinitionStore(
            settings.root, allowed_packages=settings.framework.workflows.allowed_packages
        )
        lease = settings.durability.lease
        self._heartbeat = leases.Heartbeat(database, interval=lease.heartbeat, duration=lease.duration)
        self.executor = Executor(
            Tools(
                database=database,
                writer=self._writer,
                checkpointer=self.checkpointer,
                definitions=self.definitions,
                heartbeat=self._heartbeat,
                secret=self._secret,
                faults=faults(self) if faults is not None else None,
            )
        )
        self._isolate = isolate
        self._draining = False

    def __enter__(self) -> Self:
        """Return itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close."""
        self.close()

    def close(self) -> None:
        """Commit what is queued and give back all connections. Leases that are held end by themselves."""
        self._writer.close()
        self._heartbeat.close()
        self.database.close()

    def generate_thread_id(self, workflow: str = "thread") -> str:
        """Return the name of a new thread."""
        return registry.generate_thread_id(workflow)

    @property
    def policy(self) -> Policy:
        """The settings of recovery, as at a start."""
        resume = self.settings.durability.resume
        return Policy(
            at_start=True,
            auto_resume=resume.auto_resume,
            max_age_hours=resume.max_age_hours,
            max_crashes=resume.max_crashes,
            resume_failed=resume.failed == "at_start",
        )

    def submit(
        self,
        loaded: LoadedWorkflow,
        given: Mapping[str, Any],
        *,
        run_key: str | None = None,
        thread: str | None = None,
        tags: Sequence[str] = (),
        priority: int = 0,
    ) -> tuple[Run, bool]:
        """Accept a run: it is committed with its input when this returns, and nothing has started.

        Returns:
            The run and whether it is new; with a `run_key` used before, the earlier one.

        Raises:
            InputInvalid: An input is missing, unknown or of the wrong type; nothing was stored.
            RunKeyConflict: The key was used before with another input.
        """
        now = datetime.now(UTC)
        values = validate_inputs(loaded.workflow, given, moments=Moments(now=now))
        for name, value in values.items():
            if not can_be_stored(value):
                raise InputInvalid(
                    f"Input {name!r} holds what the database cannot store: NUL, half of a surrogate pair, "
                    "or a number that is none.",
                    hint="Leave it out, or give the path of a file that holds it.",
                )
        frozen = self.definitions.freeze(loaded)
        admission = Admission(
            workflow=loaded.workflow.name,
            definition=frozen.row,
            input=values,
            facts={"now": now.isoformat()},
            run_key=run_key,
            thread=thread,
            tags=tags,
            priority=priority,
        )
        run_id = str(uuid4())
        return self.database.run(lambda conn: registry.admit(conn, admission, run_id=run_id))

    def find(self, reference: str) -> Run:
        """Return the run that a person means: an id or its beginning, a thread, a run key, or `last`."""
        return self.database.run(lambda conn: registry.find(conn, reference))

    def get(self, run_id: str) -> Run:
        """Return one run by its id."""
        return self.database.run(lambda conn: registry.get(conn, run_id))

    def decide(
        self, *, at_start: bool = True, only: Run | None = None, include_failed: bool = True
    ) -> list[Decision]:
        """Look at what is unfinished and decide about it; changes nothing.

        Args:
            at_start: Whether a person has just started us; the background sweep has not been started by one.
            only: Decide about this run alone, as somebody asked for it.
            include_failed: Whether failed runs are looked at.
        """

        def read(conn: registry.Conn) -> list[Run]:
            if only is not None:
                return [registry.get(conn, only.run_id)]
            found = registry.unfinished(conn)
            return found + registry.failed(conn) if at_start and include_failed else found

        policy = self.policy
        if not at_start:
            policy = Policy(False, policy.auto_resume, policy.max_age_hours, policy.max_crashes, False)
        decisions = recovery.plan(self.database.run(read), policy, is_dead=is_dead, asked=only is not None)
        mine = self.executor.driving
        return [decision for decision in decisions if decision.run.run_id not in mine]

    async def drive(
        self,
        run: Run,
        *,
        reason: str,
        action: str = "resume",
        observe: Observer | None = None,
        latest: bool = False,
        allowed: Iterable[RunStatus] = (),
    ) -> Ending | None:
        """Claim a run and drive it; None when another process has it or its status forbids it."""
        request = leases.ClaimRequest(
            run_id=run.run_id,
            duration=self.settings.durability.lease.duration,
            max_crashes=self.settings.durability.resume.max_crashes,
            worker=self.settings.framework.worker_name,
            reason=reason,
            action=action,
            allowed=frozenset({RunStatus.PENDING, RunStatus.RUNNING, *allowed}),
        )
        if self._draining:
            return None
        claim = await self.database.call(lambda conn: leases.claim(conn, request))
        if claim is None:
            return None
        return await self.executor.drive(claim, observe=observe, latest=latest)

    async def recover(
        self,
        *,
        only: Run | None = None,
        observe: Observer | None = None,
        on_decision: Callable[[Decision], None] | None = None,
        on_ending: Callable[[Ending], None] | None = None,
        latest: bool = False,
        isolate: bool = True,
    ) -> RecoveryReport:
        """Take up what was interrupted, each run once, and drive it to its end.

        One bad run never stops the others: each ending is caught and reported
        by itself. A suspect that ends its child process is counted, and taken
        up again in another child until its budget is spent.

        Args:
            only: This run alone.
            observe: For the live view.
            on_decision: Told of each decision before it is acted on.
            on_ending: Told of each ending.
            latest: See `Executor.drive`.
            isolate: False inside a child that was made to drive a suspect.
        """
        report = RecoveryReport()
        limit = asyncio.Semaphore(self.settings.durability.resume.concurrency)

        async def take_up(decision: Decision) -> None:
            async with limit:
                ending = await self._act(decision, observe=observe, latest=latest, isolate=isolate)
            if ending is not None:
                report.endings.append(ending)
                if on_ending is not None:
                    on_ending(ending)

        decisions = await self.database.in_thread(lambda: self.decide(only=only))
        for decision in decisions:
            report.decisions.append(decision)
            if on_decision is not None:
                on_decision(decision)
        await self.database.in_thread(self._remember, [d for d in decisions if d.action is Action.LEAVE])
        results = await asyncio.gather(*(take_up(decision) for decision in decisions), return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result
        return report

    async def _act(
        self, decision: Decision, *, observe: Observer | None, latest: bool, isolate: bool
    ) -> Ending | None:
        run = decision.run
        match decision.action:
            case Action.LEAVE | Action.RUNNING:
                return None
            case Action.CANCEL:
                return await self.database.in_thread(self._cancel_dead, run)
            case Action.ISOLATE if isolate and self._isolate is not None:
                return await self._apart(run)
            case _:
                return await self.drive(
                    run, reason=decision.reason, observe=observe, latest=latest, allowed=[run.status]
                )

    async def _apart(self, run: Run) -> Ending | None:
        """Drive a suspect in child processes until it ends or its crash budget is spent."""
        if self._isolate is None:
            raise AssertionError("asked for isolation without a way to isolate")
        for _ in range(self.settings.durability.resume.max_crashes):
            if self._draining:
                return None
            await self._isolate(run.run_id)
            now = await self.database.in_thread(self.get, run.run_id)
            if now.status is not RunStatus.RUNNING:
                return Ending(run.run_id, now.status, output=now.output, error=now.error)
        # The child that died last has not been counted yet; this claim counts it and sets the run aside.
        await self.drive(run, reason="its child process died again", action="count")
        now = await self.database.in_thread(self.get, run.run_id)
        return Ending(run.run_id, now.status, output=now.output, error=now.error)

    def _remember(self, decisions: Sequence[Decision]) -> None:
        by = str(current_owner())

        def store(conn: registry.Conn) -> None:
            for decision in decisions:
                registry.decide_once(conn, decision.run.run_id, by=by, action="leave", reason=decision.reason)

        if decisions:
            self.database.run(store)

    def _cancel_dead(self, run: Run) -> Ending:
        self.database.run(
            lambda conn: control.move(conn, run, RunStatus.CANCELLED, "cancelled after its process was gone")
        )
        return Ending(run.run_id, RunStatus.CANCELLED)

    def answer(self, run: Run, data: Any) -> None:  # any JSON value
        """Store the answer to what a run waits for; it goes on at its next resume. The first answer wins."""
        self.database.run(lambda conn: control.answer(conn, run, data))

    def cancel(self, run: Run) -> RunStatus:
        """Cancel a run, or ask the process that drives it to; returns where the run stands now."""
        return self.database.run(lambda conn: control.cancel(conn, run))

    def retry(self, run: Run) -> None:
        """Renew the tries of a failed run and put it back in line."""
        self.database.run(lambda conn: control.retry(conn, run))

    def release(self, run: Run) -> None:
        """Put a quarantined run back in line, its crashes forgiven."""
        self.database.run(lambda conn: control.release(conn, run))

    def delete(self, run: Run) -> None:
        """Delete a run that nobody drives, with all that is known of it."""
        self.database.run(lambda conn: control.delete(conn, run))

    def request_drain(self, reason: str = "shutdown") -> None:
        """Ask every run to stop at its next step boundary; safe to call from a signal handler."""
        self._draining = True
        self.executor.drain(reason)

    @property
    def draining(self) -> bool:
        """Whether somebody asked us to stop."""
        return self._draining

    def _secret(self, name: str) -> str:
        value = self._environ.get(name)
        if value is None:
            path = Path("/run/secrets") / name
            if "/" not in name and path.is_file():
                return path.read_text("utf-8").rstrip("\n")
            raise SettingsError(
                f"The secret {name!r} is not set.",
                hint=f"Set the environment variable {name}, in .env for instance.",
            )
        return value


def open_manager(
    settings: Settings,
    *,
    faults: Callable[[DurabilityManager], FaultHook | None] | None = None,
    isolate: Isolate | None = None,
    environ: Mapping[str, str] | None = None,
) -> DurabilityManager:
    """Find the database, set it up, and return a manager on it.

    Raises:
        DatabaseError: The server does not answer, or cannot be set up in time.
    """
    return DurabilityManager(
        settings, open_database(settings), faults=faults, isolate=isolate, environ=environ
    )


def open_database(settings: Settings) -> Database:
    """Return the configured database, open and migrated."""
    postgres = settings.durability.postgres
    server = resolve_server(settings)
    migrate(server.url, timeout=postgres.setup_timeout, patience=postgres.connect_timeout)
    database = Database(
        server.url,
        pool_size=postgres.pool_size,
        pool_timeout=postgres.pool_timeout,
        patience=postgres.connect_timeout,
        name=f"holdfast {settings.framework.worker_name or ''} {os.getpid()}".replace("  ", " "),
        revive=server.revive,
    )
    database.open()
    return database
