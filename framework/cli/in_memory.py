"""`durability.enabled: false`: a run in memory, with LangGraph's own saver, and nothing that survives."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from framework.cli import render
from framework.cli.app import Invocation
from framework.cli.composition import active_scenario
from framework.cli.live import open_view
from framework.cli.progress import graph_order, new_card
from framework.cli.report import ending_lines, exit_code, run_document
from framework.durability.registry import generate_thread_id
from framework.durability.run import Ending, Run, RunStatus
from framework.errors import HoldfastError, SettingsError
from framework.graph.context import NodeTry, RunContext, TryOutcome

if TYPE_CHECKING:
    from framework.definition.loader import LoadedWorkflow
    from framework.faults.record import FiredFault
    from framework.graph.compiled import CompiledWorkflow
    from framework.graph.context import FaultHook

LOUD = (
    "warning: durability.enabled is false: this run lives in memory, and nothing of it survives this process"
)


def run_in_memory(
    invocation: Invocation, loaded: LoadedWorkflow, given: Mapping[str, Any], *, json: bool
) -> int:
    """Drive a workflow without a database; return the exit code."""
    from framework.definition.expressions import Moments
    from framework.definition.inputs import validate_inputs
    from framework.graph.compiler import compile_workflow

    now = datetime.now(UTC)
    inputs = validate_inputs(loaded.workflow, given, moments=Moments(now=now))
    compiled = compile_workflow(loaded)
    run = _new_run(compiled.name, inputs, now)
    render.print_note(LOUD)
    view = open_view(json=json)
    order = graph_order(compiled.topology, list(loaded.workflow.nodes))
    tries = {name: node.retry.max_attempts for name, node in loaded.workflow.nodes.items()}
    card = new_card(run, order, tries, ())
    view.opened(card)
    context = RunContext(
        run_id=run.run_id,
        thread_id=run.thread_id,
        workflow=run.workflow,
        attempt=1,
        inputs=inputs,
        admission={**run.admission, "id": run.run_id, "thread_id": run.thread_id, "workflow": run.workflow},
        journal=_Counts(),
        secret=_secret,
        faults=_faults(invocation),
        observe=view.observe,
    )
    try:
        with render.stdout_kept_clean() if json else contextlib.nullcontext():
            ending = asyncio.run(_drive(compiled, context))
        view.closed(ending)
    finally:
        view.finish()
    ended = _ended(run, ending)
    took = render.elapsed(card.elapsed_seconds)
    for text, style in ending_lines(ended, program=invocation.program, took=took, saved=None)[:-1]:
        view.say(text, style=style)
    if json:
        render.print_json(run_document(ended))
    return exit_code(ended.status)


async def _drive(compiled: CompiledWorkflow, context: RunContext) -> Ending:
    from langgraph.checkpoint.memory import InMemorySaver
    from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

    from framework.graph.context import RUN_CONTEXT_KEY
    from framework.graph.failure import NodeFailure

    saver = InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=compiled.allowed_msgpack_modules))
    graph = compiled.graph(saver)
    config: Any = {
        "configurable": {"thread_id": context.thread_id, RUN_CONTEXT_KEY: context},
        "recursion_limit": 1_000_000_000,
    }
    start = compiled.initial_input(context.inputs, fresh_thread=True)
    try:
        await graph.ainvoke(start, config, durability="sync")
        snapshot = await graph.aget_state(config)
        if snapshot.tasks:
            return Ending(context.run_id, RunStatus.WAITING)
        return Ending(context.run_id, RunStatus.SUCCEEDED, output=compiled.outputs(snapshot.values, context))
    except NodeFailure as failure:
        return Ending(context.run_id, RunStatus.FAILED, error=failure.error)
    except HoldfastError as error:
        return Ending(
            context.run_id,
            RunStatus.FAILED,
            error={"type": type(error).__name__, "message": error.message, "hint": error.hint},
        )
    except Exception as error:  # noqa: BLE001  # the boundary of the user's code: a router, a reducer
        return Ending(
            context.run_id, RunStatus.FAILED, error={"type": type(error).__name__, "message": str(error)}
        )


@dataclass
class _Counts:
    """Implements `Journal` for one run in one process."""

    _started: Counter[str] = field(default_factory=Counter)
    _failed: Counter[str] = field(default_factory=Counter)
    _finished: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    def tries_started(self, task_key: str) -> int:
        return self._started[task_key]

    def tries_failed(self, task_key: str) -> int:
        return self._failed[task_key]

    def visits(self, node: str, task_key: str) -> int:
        return len(self._finished[node] - {task_key})

    def started(self, node_try: NodeTry) -> None:
        self._started[node_try.task_key] = node_try.number

    def ended(
        self,
        node_try: NodeTry,
        outcome: TryOutcome,
        *,
        error: Mapping[str, Any] | None = None,  # noqa: ARG002  # the protocol's parameter
    ) -> None:
        if outcome is TryOutcome.FAILED:
            self._failed[node_try.task_key] += 1
        elif outcome in {TryOutcome.SUCCEEDED, TryOutcome.CONTINUED}:
            self._finished[node_try.node].add(node_try.task_key)

    async def flush(self) -> None:
        """Nothing to commit."""


@dataclass
class _Fired:
    """Implements `FaultRecords` for one process."""

    _all: list[FiredFault] = field(default_factory=list)

    async def fired(self, run_id: str) -> list[FiredFault]:
        return [fault for fault in self._all if fault.run_id == run_id]

    async def record(self, fault: FiredFault) -> None:
        self._all.append(fault)


def _faults(invocation: Invocation) -> FaultHook | None:
    scenario = active_scenario(invocation.settings)
    if scenario is None or not scenario.rules:
        return None
    from framework.faults.injector import FaultInjector

    async def cut_database(_outage: object) -> None:
        """There is no database to cut."""

    return FaultInjector(
        scenario, seed=invocation.settings.mock.seed, records=_Fired(), cut_database=cut_database
    )


def _secret(name: str) -> str:
    with contextlib.suppress(KeyError):
        return os.environ[name]
    raise SettingsError(f"The secret {name!r} is not set.", hint=f"export {name}=…")


def _new_run(workflow: str, inputs: Mapping[str, Any], now: datetime) -> Run:
    return Run(
        run_id=str(uuid4()),
        thread_id=generate_thread_id(workflow),
        workflow=workflow,
        definition="",
        status=RunStatus.RUNNING,
        input=inputs,
        admission={"now": now.isoformat()},
        fence=1,
        crashes=0,
        progress=0,
        crash_progress=None,
        run_key=None,
        tags=(),
        priority=0,
        owner=None,
        output=None,
        error=None,
        created_at=now,
        updated_at=now,
        started_at=now,
        progressed_at=None,
        ended_at=None,
        cancel_requested_at=None,
        tries_renewed_at=None,
    )


def _ended(run: Run, ending: Ending) -> Run:
    from dataclasses import replace

    return replace(run, status=ending.status or RunStatus.FAILED, output=ending.output, error=ending.error)
