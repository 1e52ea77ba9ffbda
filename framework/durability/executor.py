"""Drives one run under one lease: from the claim to how the attempt ended.

What is true if the process dies at any line here: the run stands as `running`
with a lease that ends, its head is its last committed step, and the next
process takes it up. Nothing in this module must happen twice to be safe, and
everything may.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from typing import TYPE_CHECKING, Any, cast

import psycopg
from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphDrained
from langgraph.runtime import RunControl
from langgraph.types import Command, StateSnapshot

from framework.durability import endings, leases, registry
from framework.durability.attempt import Attempt, Head, Observer, Tools, make_context, read_head
from framework.durability.definitions import FrozenDefinition
from framework.durability.pinning import choose_definition, held_for_code
from framework.durability.run import Claim, Ending, Run, RunStatus
from framework.errors import (
    CallableRefused,
    DatabaseUnavailable,
    DefinitionChanged,
    DefinitionInvalid,
    LeaseLost,
)
from framework.graph.context import RUN_CONTEXT_KEY, RunContext
from framework.graph.failure import NodeFailure
from framework.graph.fit import pending_problems

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

RECURSION_LIMIT = 1_000_000_000
"""LangGraph's own bound, out of the way: `limits.max_steps` counts over resumes, this one does not."""


class Executor:
    """Drives claimed runs; one instance per process."""

    def __init__(self, tools: Tools) -> None:
        """Nothing is driven yet."""
        self._tools = tools
        self._graphs: dict[str, CompiledStateGraph[Any, Any, Any, Any]] = {}
        self._controls: dict[str, RunControl] = {}
        self._cancelled: set[str] = set()

    @property
    def driving(self) -> frozenset[str]:
        """Runs that this process drives right now."""
        return frozenset(self._controls)

    def drain(self, reason: str = "shutdown") -> None:
        """Ask every run to stop at its next step boundary and to be handed back."""
        for control in list(self._controls.values()):
            control.request_drain(reason)

    async def drive(self, claim: Claim, *, observe: Observer | None = None, latest: bool = False) -> Ending:
        """Drive a claimed run until it ends, waits, is drained, or is lost.

        Args:
            claim: From `leases.claim`; its fence goes with every write.
            observe: Told what nodes do, for a live view.
            latest: Move the run to today's file first; refused when it does not fit.

        Returns:
            How the attempt ended; already stored, unless its `status` is None.

        Raises:
            DefinitionChanged: `latest` was asked for and does not fit; the run was put back.
        """
        run = claim.run
        control = RunControl()
        self._controls[run.run_id] = control
        loop = asyncio.get_running_loop()
        attempt = Attempt(claim, control, observe)

        def notify(what: str) -> None:
            if what == "cancel":
                self._cancelled.add(run.run_id)
            elif attempt.context is not None and attempt.context.fatal is None:
                attempt.context.fatal = LeaseLost(run.run_id, f"Run {run.run_id} was taken over.")
            loop.call_soon_threadsafe(control.request_drain, what)

        self._tools.heartbeat.watch(run.run_id, run.fence, notify)
        try:
            return await self._drive(attempt, latest=latest)
        finally:
            self._tools.heartbeat.unwatch(run.run_id)
            self._tools.writer.forget(run.run_id)
            self._controls.pop(run.run_id, None)
            self._cancelled.discard(run.run_id)

    async def _drive(self, attempt: Attempt, *, latest: bool) -> Ending:
        run = attempt.run
        try:
            ending = await self._attempt(attempt, latest=latest)
            if attempt.context is not None:
                await attempt.context.journal.flush()
            await self._tools.database.call(
                lambda conn: leases.leave(conn, ending, fence=run.fence, outcome=endings.outcome(ending))
            )
        except LeaseLost as error:
            return Ending(run.run_id, None, detail=error.message)
        except DatabaseUnavailable as error:
            # The lease ends by itself; whoever starts next takes the run up from its last step.
            return Ending(run.run_id, None, detail=error.message)
        except DefinitionChanged as error:
            back = Ending(run.run_id, _put_back(attempt.claim), detail=error.message, error=run.error)
            if back.status is RunStatus.FAILED:
                back = Ending(run.run_id, back.status, detail=error.message, error=endings.error_of(error))
            await self._tools.database.call(
                lambda conn: leases.leave(conn, back, fence=run.fence, outcome="refused")
            )
            raise
        return ending

    async def _attempt(self, attempt: Attempt, *, latest: bool) -> Ending:
        run = attempt.run
        try:
            frozen = await choose_definition(self._tools, attempt, latest=latest)
        except (DefinitionInvalid, CallableRefused) as error:
            return endings.set_aside(run, "definition-gone", error.message, error.hint)
        held = await held_for_code(self._tools, run, frozen)
        if held is not None:
            return held
        graph = self._graph(frozen)
        head = await read_head(self._tools, run, frozen)
        problems = pending_problems(frozen.row["topology"], head.own, frozen.compiled)
        if problems:
            return endings.set_aside(
                run,
                "definition-changed",
                "The code no longer fits the run's state: " + "; ".join(problems),
                "Bring the code back, then: main.py release " + run.run_id,
            )
        attempt.context = await make_context(self._tools, attempt, head)
        try:
            return await self._go_on(attempt, frozen, graph, head)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # the boundary of the user's code: any ending has to be stored
            return self._ending_of(attempt, error)

    def _graph(self, frozen: FrozenDefinition) -> CompiledStateGraph[Any, Any, Any, Any]:
        key = frozen.row["content_hash"]
        if key not in self._graphs:
            checkpointer = self._tools.checkpointer.with_allowlist(frozen.compiled.allowed_msgpack_modules)
            self._graphs[key] = frozen.compiled.graph(checkpointer)
        return self._graphs[key]

    async def _go_on(
        self,
        attempt: Attempt,
        frozen: FrozenDefinition,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        head: Head,
    ) -> Ending:
        run, context = attempt.run, attempt.required_context
        config: RunnableConfig = {
            "configurable": {"thread_id": run.thread_id, RUN_CONTEXT_KEY: context},
            "recursion_limit": RECURSION_LIMIT,
            "run_name": run.workflow,
            "tags": list(run.tags),
        }
        start: Any
        if head.own is None:
            start = frozen.compiled.initial_input(run.input, fresh_thread=head.latest is None)
        else:
            snapshot = await graph.aget_state(config)
            if not snapshot.tasks:
                return self._succeeded(run, frozen, snapshot, context)
            start = await self._answers(run, snapshot)
            if start is None and snapshot.interrupts:
                return endings.waiting(run, snapshot)
        await self._stream(attempt, graph, start, config)
        return await self._reached(attempt, frozen, graph, config)

    async def _stream(
        self,
        attempt: Attempt,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        start: Any,
        config: RunnableConfig,
    ) -> None:
        context = attempt.required_context
        if not attempt.control.drain_requested:
            stream = graph.astream(
                start, config, durability="sync", control=attempt.control, stream_mode="updates"
            )
            async with contextlib.aclosing(cast("AsyncGenerator[Any, None]", stream)) as updates:
                async for _ in updates:
                    if context.fatal is not None:
                        # A write was refused: what follows could not be saved either.
                        raise context.fatal
        if context.fatal is not None:
            raise context.fatal

    async def _reached(
        self,
        attempt: Attempt,
        frozen: FrozenDefinition,
        graph: CompiledStateGraph[Any, Any, Any, Any],
        config: RunnableConfig,
    ) -> Ending:
        """Tell from the snapshot what the run has come to; that the stream ended proves nothing (D4)."""
        run = attempt.run
        snapshot = await graph.aget_state(config)
        if snapshot.metadata is None:
            return self._stopped(run)  # drained before its first checkpoint
        if not snapshot.tasks:
            return self._succeeded(run, frozen, snapshot, attempt.required_context)
        if snapshot.interrupts:
            return endings.waiting(run, snapshot)
        if attempt.control.drain_requested:
            return self._stopped(run)
        if snapshot.next:
            return endings.waiting(run, snapshot)
        raise RuntimeError("the graph stopped with tasks that neither failed nor wait")

    async def _answers(self, run: Run, snapshot: StateSnapshot) -> Command[Any] | None:
        """Return the answers to the questions that the head still holds.

        LangGraph forgets a resume by interrupt id at a crash, so it is sent
        again until the checkpoint no longer holds the question.
        """
        if not snapshot.interrupts:
            return None
        rows = await self._tools.database.call(
            lambda conn: conn.execute(registry.SQL["interrupts"], {"run_id": run.run_id}).fetchall()
        )
        answers = {row["interrupt_id"]: row["answer"] for row in rows if row["answered_at"] is not None}
        resume = {
            question.id: answers[question.id] for question in snapshot.interrupts if question.id in answers
        }
        return Command(resume=resume) if resume else None

    def _succeeded(
        self, run: Run, frozen: FrozenDefinition, snapshot: StateSnapshot, context: RunContext
    ) -> Ending:
        output = frozen.compiled.outputs(snapshot.values, context)
        return Ending(run.run_id, RunStatus.SUCCEEDED, output=output)

    def _stopped(self, run: Run) -> Ending:
        if run.run_id in self._cancelled:
            return Ending(run.run_id, RunStatus.CANCELLED, detail="cancelled at a step boundary")
        return Ending(run.run_id, RunStatus.PENDING, detail="stopped at a step boundary and handed back")

    def _ending_of(self, attempt: Attempt, error: BaseException) -> Ending:
        run, context = attempt.run, attempt.context
        fatal = context.fatal if context is not None else None
        if isinstance(error, (LeaseLost, DatabaseUnavailable)):
            raise error
        if isinstance(fatal, (LeaseLost, DatabaseUnavailable)):
            raise fatal from error
        if isinstance(error, GraphDrained):
            return self._stopped(run)
        if isinstance(error, NodeFailure):
            return endings.failed(run, error, dict(error.error))
        if fatal is None and isinstance(error, psycopg.OperationalError):
            raise DatabaseUnavailable(
                f"The database failed in mid-step: {endings.first_line(error)}"
            ) from error
        return endings.failed(run, fatal or error)


def _put_back(claim: Claim) -> RunStatus:
    return claim.previous if claim.previous is not RunStatus.RUNNING else RunStatus.PENDING
