"""The wrapper around every node of a workflow file: tries, timeouts, faults, journal, routing."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.errors import GraphBubbleUp, GraphInterrupt
from langgraph.runtime import Runtime
from langgraph.types import Command

from framework.definition.bindings import Binding
from framework.definition.models import Limits
from framework.errors import LeaseLost
from framework.graph.context import NodeTry, Point, RunContext, TryOutcome
from framework.graph.failure import NodeFailure, describe_error
from framework.graph.library import moments_of
from framework.graph.node_context import tell
from framework.graph.node_kinds import NodeKind, Work
from framework.graph.results import Results
from framework.graph.retrying import Retries, ask_again_from_the_first
from framework.graph.routing import JoinGate, WayOn
from framework.graph.visit import Visit, open_visit


@dataclass(frozen=True, slots=True)
class Rescue:
    """`on_error`, compiled: an update in place of the node's own, or another way on."""

    update: Mapping[str, Binding] | None
    goto: str | None


@dataclass(frozen=True, slots=True)
class NodeRunner:
    """Runs one node whenever LangGraph says that it is its turn."""

    name: str
    workflow: str
    kind: NodeKind
    results: Results
    way_on: WayOn
    retries: Retries
    timeout_seconds: float | None
    rescue: Rescue | None
    limits: Limits
    gate: JoinGate | None

    async def run(
        self, state: Mapping[str, Any], config: RunnableConfig, runtime: Runtime[Any]
    ) -> Command[Any]:
        """Do the node's work, or wait a step for the rest of a join.

        Raises:
            NodeFailure: The tries are spent, or the run is over a limit. The
                siblings of the step go on and are saved.
            GraphBubbleUp: What the node itself raised to talk to LangGraph.
        """
        if self.gate is not None and not self.gate.is_open(config):
            return Command(goto=[self.name])
        visit = open_visit(self.name, self.workflow, self.limits, config, runtime)
        failed = visit.context.journal.tries_failed(visit.task_key)
        left = self.retries.left(failed)
        while True:
            node_try = visit.begin()
            work = _work(visit.context, node_try, state, runtime)
            try:
                command = await self._try(visit, work)
            except BaseException as error:
                outcome = how_it_ended(error, visit.context)
                if outcome is not TryOutcome.FAILED:
                    visit.end(node_try, outcome)
                    raise
                problem: BaseException = error
            else:
                visit.end(node_try, TryOutcome.SUCCEEDED)
                return command
            failed, left = failed + 1, left - 1
            described = describe_error(problem, node_try)
            if left <= 0 or not self.retries.covers(problem):
                return self._give_up(visit, work, problem, described)
            visit.end(node_try, TryOutcome.FAILED, described)
            pause_seconds = self.retries.pause_seconds(failed)
            facts = {"pause_seconds": pause_seconds, "error": described}
            tell(visit.context.observe, "retrying", node_try, facts)
            # Nothing of the failed try may stay alive through the pause: its frames hold the node's data.
            del problem, work
            await asyncio.sleep(pause_seconds)
            config = ask_again_from_the_first(config)

    async def _try(self, visit: Visit, work: Work) -> Command[Any]:
        run_id = work.context.run_id
        stand_in = await visit.fault(Point.BEFORE, work.node_try, work.state)
        result = stand_in.value if stand_in else await self._timed(visit, work)
        update = self.results.update(run_id, result, work.names, work.moments)
        stand_in = await visit.fault(Point.AFTER, work.node_try, work.state)
        if stand_in:
            update = self.results.update(run_id, stand_in.value, work.names, work.moments)
        return self._command(work, update)

    async def _timed(self, visit: Visit, work: Work) -> Any:  # what the node returned
        """Do the work under the node's timeout.

        What cannot be stopped is left to finish, and is late then: its result is dropped.
        """
        began = time.monotonic()
        try:
            async with asyncio.timeout(self.timeout_seconds) as deadline:
                stand_in = await visit.fault(Point.INSIDE, work.node_try, work.state)
                if stand_in:
                    return stand_in.value
                if self.kind.can_be_stopped:
                    return await self.kind.work(work)
        except TimeoutError:
            if deadline.expired():
                raise self._late() from None
            raise
        result = await self.kind.work(work)
        if self.timeout_seconds is not None and time.monotonic() - began > self.timeout_seconds:
            raise self._late()
        return result

    def _late(self) -> TimeoutError:
        return TimeoutError(
            f"Node {self.name!r} took longer than its timeout of {self.timeout_seconds:g} seconds."
        )

    def _command(self, work: Work, update: Mapping[str, Any]) -> Command[Any]:
        names = work.names
        if self.way_on.routes and update:
            names = {**names, "state": self.results.after(work.state, update)}
        return Command(update=dict(update), goto=self.way_on.targets(names, work.moments))

    def _give_up(
        self, visit: Visit, work: Work, problem: BaseException, described: Mapping[str, Any]
    ) -> Command[Any]:
        """Do what `on_error` says, or fail the node."""
        command: Command[Any] | None = None
        if self.rescue is not None:
            try:
                command = self._rescued(work, self.rescue, described)
            except Exception as error:  # noqa: BLE001  # whatever it is, the node has failed now
                error.__context__ = problem
                problem, described = error, describe_error(error, work.node_try)
        if command is None:
            visit.end(work.node_try, TryOutcome.FAILED, described)
            raise NodeFailure(work.node_try, problem, described)
        visit.end(work.node_try, TryOutcome.CONTINUED, described)
        return command

    def _rescued(self, work: Work, rescue: Rescue, described: Mapping[str, Any]) -> Command[Any]:
        if rescue.goto is not None:
            return Command(goto=[rescue.goto])
        more = {"error": described}
        values = {key: work.resolve(binding, more) for key, binding in (rescue.update or {}).items()}
        return self._command(work, self.results.accept(work.context.run_id, values, work.state))


def _work(context: RunContext, node_try: NodeTry, state: Mapping[str, Any], runtime: Runtime[Any]) -> Work:
    names = {"inputs": context.inputs, "state": state, "run": context.admission}
    return Work(context, node_try, state, names, moments_of(context), runtime)


def how_it_ended(error: BaseException, context: RunContext) -> TryOutcome:
    """Say what an exception means for a try; anything but FAILED is not the node's fault and goes on up."""
    if isinstance(error, GraphInterrupt):
        return TryOutcome.INTERRUPTED
    if isinstance(error, NodeFailure):
        return TryOutcome.FAILED
    if isinstance(error, GraphBubbleUp | GeneratorExit | LeaseLost):
        return TryOutcome.ABANDONED
    if isinstance(error, asyncio.CancelledError):
        task = asyncio.current_task()
        # A node that raises CancelledError by itself was cancelled by nobody: it failed.
        return TryOutcome.ABANDONED if task is not None and task.cancelling() else TryOutcome.FAILED
    return TryOutcome.ABANDONED if context.fatal is not None else TryOutcome.FAILED
