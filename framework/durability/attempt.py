"""One attempt at a run: what it works with, where its thread stands, and what its nodes are told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, cast

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import CheckpointTuple
from langgraph.checkpoint.base import id as checkpoint_ids
from langgraph.runtime import RunControl

from framework.durability import leases, registry
from framework.durability.definitions import DefinitionStore, FrozenDefinition
from framework.durability.journal import RunJournal
from framework.durability.run import Claim, Run
from framework.graph.context import FaultHook, NodeTry, RunContext
from framework.storage.checkpointer import Checkpointer
from framework.storage.pool import Database
from framework.storage.step_writer import StepWriter

Observer = Callable[[str, NodeTry, Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Tools:
    """What every attempt of this process shares."""

    database: Database
    writer: StepWriter
    checkpointer: Checkpointer
    definitions: DefinitionStore
    heartbeat: leases.Heartbeat
    secret: Callable[[str], str]
    faults: FaultHook | None = None


@dataclass(slots=True)
class Attempt:
    """A claim being driven; `context` is made once the definition and the head are known."""

    claim: Claim
    control: RunControl
    observe: Observer | None
    context: RunContext | None = None

    @property
    def run(self) -> Run:
        """The run as it was claimed."""
        return self.claim.run

    @property
    def required_context(self) -> RunContext:
        """The context, where it has been made."""
        if self.context is None:
            raise AssertionError("the context is made before the graph is run")
        return self.context


@dataclass(frozen=True, slots=True)
class Head:
    """The newest checkpoint of the thread; `own` when this run wrote it."""

    latest: CheckpointTuple | None
    own: CheckpointTuple | None


def thread_config(run: Run) -> RunnableConfig:
    """Address the root of a run's thread."""
    return {"configurable": {"thread_id": run.thread_id, "checkpoint_ns": ""}}


async def read_head(tools: Tools, run: Run, frozen: FrozenDefinition) -> Head:
    """Read the thread's head, and repair what a router's failure left beside it."""
    # Without the workflow's own classes on the list its state would come back as dicts, with warnings.
    checkpointer = cast(
        "Checkpointer", tools.checkpointer.with_allowlist(frozen.compiled.allowed_msgpack_modules)
    )
    names = {"run_id": run.run_id, "fence": run.fence, "thread_id": run.thread_id}
    if run.fence > 1:
        await tools.database.call(lambda conn: conn.execute(registry.SQL["repair_heads"], names) and None)
    head = await checkpointer.aget_tuple(thread_config(run))
    own = head if head is not None and head.metadata.get("holdfast_run") == run.run_id else None
    if own is None and run.fence > 1:
        # Writes of a first checkpoint that never came would be taken for this attempt's.
        await tools.database.call(
            lambda conn: conn.execute(registry.SQL["drop_orphan_writes"], names) and None
        )
    if head is not None:
        rise_above(head.checkpoint["id"])
    return Head(latest=head, own=own)


async def make_context(tools: Tools, attempt: Attempt, head: Head) -> RunContext:
    """Tell an attempt's nodes and checkpointer whom they work for, with the counts of earlier attempts."""
    run = attempt.run
    earlier = await tools.database.call(
        lambda conn: conn.execute(registry.SQL["node_runs"], {"run_id": run.run_id}).fetchall()
    )
    journal = RunJournal(
        tools.writer,
        run_id=run.run_id,
        thread_id=run.thread_id,
        fence=run.fence,
        earlier=earlier,
        tries_renewed_at=run.tries_renewed_at,
    )
    if earlier:
        base_step = min(row["step"] for row in earlier) - 2
    elif head.own is not None:
        base_step = max(-1, head.own.metadata.get("step", 0) - 1)
    else:
        base_step = head.latest.metadata.get("step", -2) + 1 if head.latest is not None else -1
    return RunContext(
        run_id=run.run_id,
        thread_id=run.thread_id,
        workflow=run.workflow,
        attempt=run.fence,
        inputs=dict(run.input),
        admission={
            **run.admission,
            "id": run.run_id,
            "thread_id": run.thread_id,
            "workflow": run.workflow,
        },
        journal=journal,
        secret=tools.secret,
        faults=tools.faults,
        base_step=base_step,
        observe=attempt.observe,
    )


def rise_above(checkpoint_id: str) -> None:
    """Make the ids of new checkpoints sort after this one, whatever this host's clock says.

    LangGraph takes the greatest id for the newest. Its generator never goes
    below the last moment it gave out, so that is where the head's moment goes;
    a test guards the name.
    """
    moment = checkpoint_ids.UUID(checkpoint_id).time
    last = checkpoint_ids._last_v6_timestamp or 0  # noqa: SLF001  # no public way; guarded by a test
    checkpoint_ids._last_v6_timestamp = max(last, moment)  # type: ignore[assignment]  # noqa: SLF001  # inferred from None
