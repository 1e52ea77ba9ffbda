"""One visit of a node: which run, which task, how often already, and what may go wrong on purpose."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.runtime import Runtime

from framework.definition.models import Limits
from framework.errors import LimitExceeded
from framework.graph.context import FaultScope, NodeTry, Point, RunContext, StandIn, TryOutcome
from framework.graph.failure import NodeFailure, describe_error
from framework.graph.library import run_context
from framework.graph.node_context import tell


@dataclass(frozen=True, slots=True)
class Visit:
    """One task of LangGraph's, as its run sees it."""

    context: RunContext
    node: str
    task_key: str
    step: int
    number: int

    def begin(self) -> NodeTry:
        """Open a try: the journal and the live view are told that it started.

        Raises:
            BaseException: What made a write of this run fail. Nothing more can be
                saved, so nothing more may be done.
        """
        context = self.context
        if context.fatal is not None:
            raise context.fatal
        node_try = self._try(context.journal.tries_started(self.task_key) + 1)
        context.journal.started(node_try)
        tell(context.observe, "started", node_try, {})
        return node_try

    def end(self, node_try: NodeTry, outcome: TryOutcome, error: Mapping[str, Any] | None = None) -> None:
        """Close a try."""
        self.context.journal.ended(node_try, outcome, error=error)
        facts: dict[str, Any] = {"outcome": outcome.value}
        if error is not None:
            facts["error"] = error
        tell(self.context.observe, "ended", node_try, facts)

    async def fault(self, point: Point, node_try: NodeTry, state: Mapping[str, Any]) -> StandIn | None:
        """Let a scenario strike here, if there is one that wants to."""
        faults = self.context.faults
        if faults is None or not faults.wants(point, self.node):
            return None
        context = self.context
        if point is Point.BEFORE:
            # A fault that ends the process must not hide that this try had begun.
            await context.journal.flush()
        scope = FaultScope(
            run_id=context.run_id,
            workflow=context.workflow,
            attempt=context.attempt,
            node=self.node,
            node_try=node_try,
            inputs=context.inputs,
            state=state,
        )
        return await faults.at(point, scope)

    def check(self, limits: Limits) -> None:
        """Hold the run to its limits.

        Raises:
            NodeFailure: With `LimitExceeded` as its cause.
        """
        used = self.step - self.context.base_step - 1
        allowed_visits = limits.max_visits.get(self.node)
        if used > limits.max_steps:
            self._exceed(f"The run has taken more than {limits.max_steps} steps.", "limits.max_steps")
        if allowed_visits is not None and self.number > allowed_visits:
            times = f"{allowed_visits} time{'s' if allowed_visits != 1 else ''}"
            self._exceed(
                f"The run came to node {self.node!r} more than {times}.", f"limits.max_visits.{self.node}"
            )

    def _exceed(self, message: str, setting: str) -> None:
        error = LimitExceeded(
            self.context.run_id,
            self.node,
            message,
            hint=f"Raise {setting} in the workflow file if that is right.",
        )
        node_try = self._try(self.context.journal.tries_started(self.task_key) + 1)
        raise NodeFailure(node_try, error, describe_error(error, node_try))

    def _try(self, number: int) -> NodeTry:
        return NodeTry(self.context.run_id, self.node, self.task_key, number, self.number, self.step)


def open_visit(
    node: str, workflow: str, limits: Limits, config: RunnableConfig, runtime: Runtime[Any]
) -> Visit:
    """Return the visit that LangGraph calls a node for.

    Raises:
        NodeFailure: The run is over one of its limits.
    """
    context, known = run_context(config, workflow)
    info = runtime.execution_info
    # An error handler's task has no execution info of its own; the config always knows.
    task_key = (config.get("configurable") or {}).get("checkpoint_ns") or (info.checkpoint_ns if info else "")
    step = (config.get("metadata") or {}).get("langgraph_step", 0)
    visit = Visit(context, node, task_key, step, context.journal.visits(node, task_key) + 1)
    if known:
        visit.check(limits)
    return visit
