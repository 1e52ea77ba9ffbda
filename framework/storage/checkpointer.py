"""LangGraph's PostgreSQL checkpointer: fenced, ordered, and safe in any thread or loop.

The rows are those of the stock saver, and the stock saver reads them. Three
things differ. A write of a run carries that run's fence and is checked in the
statement that writes it. A step's task writes are committed before, or with,
its checkpoint, and a checkpoint after a failed task write is refused. And
nothing is locked per saver: reads take a pooled connection, writes go to one
committer.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import orjson
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    DeltaChannelHistory,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres import PostgresSaver
from langgraph.checkpoint.serde.base import SerializerProtocol
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from psycopg import Cursor
from psycopg.rows import DictRow, dict_row

from framework.graph.context import RUN_CONTEXT_KEY, FaultScope, Point, RunContext
from framework.storage.pool import Database
from framework.storage.step_writer import GRACE_SECONDS, Piece, Row, StepWriter

INPUT_CLOCK_SEQ = 0x3FFF
"""How the id of an input checkpoint (step -1) says so, in 14 bits."""


class Checkpointer(PostgresSaver):
    """A checkpointer for plain LangGraph code and for Holdfast's runs alike.

    A run is recognised by the `RunContext` in its config; without one, writes
    are not fenced, but refused while a run holds the thread.
    """

    def __init__(self, database: Database, writer: StepWriter, serde: SerializerProtocol) -> None:
        """Share the database and the committer with everything else in this process."""
        # The parent's connection is used by nothing here: `_cursor` and the writes are ours.
        super().__init__(conn=database._pool, serde=serde)  # noqa: SLF001  # one pool for both
        self._database = database
        self._writer = writer

    @contextmanager
    def _cursor(self, *, pipeline: bool = False) -> Iterator[Cursor[DictRow]]:
        with self._database.connection() as conn:
            if pipeline:
                with conn.transaction(), conn.cursor(binary=True, row_factory=dict_row) as cur:
                    yield cur
            else:
                with conn.cursor(binary=True, row_factory=dict_row) as cur:
                    yield cur

    def setup(self) -> None:
        """Do nothing: `init_durability()` has set the database up, under a lock."""

    # Writing

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint; committed on return."""
        piece, saved = self._checkpoint_piece(config, checkpoint, metadata, new_versions)
        self._writer.submit(piece).result()
        return saved

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Save a checkpoint; committed on return."""
        context = run_context(config)
        if context is not None and context.fatal is not None:
            raise context.fatal
        piece, saved = self._checkpoint_piece(config, checkpoint, metadata, new_versions)
        step = metadata.get("step")
        await self._writes_first(context)
        await self._fault(context, Point.BEFORE_COMMIT, commit="checkpoint", step=step)
        await self._committed(context, self._writer.submit(piece))
        await self._fault(context, Point.AFTER_COMMIT, commit="checkpoint", step=step)
        return saved

    def put_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a task wrote; committed on return."""
        self._writer.submit(self._writes_piece(config, writes, task_id, task_path)).result()

    async def aput_writes(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = ""
    ) -> None:
        """Save what a task wrote; committed on return, with its step's checkpoint if that is near."""
        context = run_context(config)
        piece = self._writes_piece(config, writes, task_id, task_path)
        step, node = _step_after(config["configurable"]["checkpoint_id"]), _node_of(task_path)
        with _saving(context):
            await self._fault(context, Point.BEFORE_COMMIT, commit="writes", step=step, node=node)
            await self._committed(context, self._writer.submit(piece, wait_seconds=GRACE_SECONDS))
            await self._fault(context, Point.AFTER_COMMIT, commit="writes", step=step, node=node)

    async def _writes_first(self, context: RunContext | None) -> None:
        """Where a fault may strike, wait until the step's task writes are through with theirs.

        Without faults a piece is queued before anything is awaited, so the
        order of the calls is the order of the commits.
        """
        if context is None or context.faults is None:
            return
        if context.saving:
            await asyncio.wait(set(context.saving))
        if context.fatal is not None:
            raise context.fatal

    async def _committed(self, context: RunContext | None, future: Future[None]) -> None:
        try:
            await asyncio.wrap_future(future)
        except Exception as error:
            if context is not None and context.fatal is None:
                context.fatal = error
            raise

    async def _fault(
        self,
        context: RunContext | None,
        point: Point,
        *,
        commit: str,
        step: int | None,
        node: str | None = None,
    ) -> None:
        if context is None or context.faults is None or not context.faults.wants(point, node):
            return
        await context.faults.at(
            point,
            FaultScope(
                run_id=context.run_id,
                workflow=context.workflow,
                attempt=context.attempt,
                node=node,
                node_try=None,
                inputs=context.inputs,
                commit="writes" if commit == "writes" else "checkpoint",
                step=step,
            ),
        )

    def _checkpoint_piece(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> tuple[Piece, RunnableConfig]:
        settings = config["configurable"]
        thread_id, namespace = str(settings["thread_id"]), settings.get("checkpoint_ns", "")
        inline: dict[str, Any] = {}
        blobs: list[Row] = []
        for channel, value in checkpoint["channel_values"].items():
            if isinstance(value, _DeltaSnapshot):
                inline[channel] = True
            elif _survives_jsonb(value):
                inline[channel] = value
                continue
            if channel in new_versions:
                blobs.append(
                    (
                        thread_id,
                        namespace,
                        channel,
                        str(new_versions[channel]),
                        *self.serde.dumps_typed(value),
                    )
                )
        context = run_context(config)
        facts = dict(get_serializable_checkpoint_metadata(config, metadata))
        if context is not None:
            facts |= {"holdfast_run": context.run_id, "holdfast_fence": context.attempt}
        body = orjson.dumps({**checkpoint, "channel_values": inline}, default=str)
        row = (
            thread_id,
            namespace,
            checkpoint["id"],
            settings.get("checkpoint_id"),
            body.decode(),
            json.dumps(facts, default=str),
        )
        saved: RunnableConfig = {
            "configurable": {
                "thread_id": thread_id,
                "checkpoint_ns": namespace,
                "checkpoint_id": checkpoint["id"],
            }
        }
        return _piece(context, thread_id, blobs=blobs, checkpoints=[row]), saved

    def _writes_piece(
        self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str
    ) -> Piece:
        settings = config["configurable"]
        thread_id = str(settings["thread_id"])
        rows = self._dump_writes(
            thread_id,
            settings.get("checkpoint_ns", ""),
            settings["checkpoint_id"],
            task_id,
            task_path,
            writes,
        )
        # The stock saver's rule: a batch of special channels only replaces, any other never does.
        special = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        context = run_context(config)
        if special:
            return _piece(context, thread_id, special_writes=rows)
        return _piece(context, thread_id, plain_writes=rows)

    # Reading, and what asyncio callers need; the work is done in the database's threads.

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read the newest checkpoint of a thread, or the one that `config` names."""
        read = super().get_tuple
        return self._database.retry(lambda: read(config))

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Read the newest checkpoint of a thread, or the one that `config` names."""
        return await self._database.in_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002  # LangGraph's name
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """Yield the checkpoints of a thread, the newest first."""

        def read() -> list[CheckpointTuple]:
            return list(self.list(config, filter=filter, before=before, limit=limit))

        for found in await self._database.in_thread(read):
            yield found

    async def adelete_thread(self, thread_id: str) -> None:
        """Delete all checkpoints and task writes of a thread."""
        await self._database.in_thread(self.delete_thread, thread_id)

    async def aprune(self, thread_ids: Sequence[str], *, strategy: str = "keep_latest") -> None:
        """Delete what the thread's head does not need, or everything."""
        await self._database.in_thread(lambda: self.prune(thread_ids, strategy=strategy))

    async def aget_delta_channel_history(
        self, *, config: RunnableConfig, channels: Sequence[str]
    ) -> Mapping[str, DeltaChannelHistory]:
        """Read what a DeltaChannel is rebuilt from."""
        return await self._database.in_thread(
            lambda: self.get_delta_channel_history(config=config, channels=channels)
        )


@contextmanager
def _saving(context: RunContext | None) -> Iterator[None]:
    """Let the step's checkpoint know of this save, and of its failure."""
    task = asyncio.current_task()
    if context is None or task is None:
        yield
        return
    context.saving.add(task)
    try:
        yield
    except Exception as error:
        # LangGraph does not await task writes, so the next checkpoint has to know.
        context.fatal = context.fatal or error
        raise
    finally:
        context.saving.discard(task)


def run_context(config: RunnableConfig) -> RunContext | None:
    """Return the run that a LangGraph call works for, if it is one of ours."""
    found = config.get("configurable", {}).get(RUN_CONTEXT_KEY)
    return found if isinstance(found, RunContext) else None


def _piece(context: RunContext | None, thread_id: str, **rows: Any) -> Piece:  # Piece's fields
    if context is None:
        return Piece(thread_id=thread_id, **rows)
    return Piece(thread_id=thread_id, run_id=context.run_id, fence=context.attempt, **rows)


def _survives_jsonb(value: object) -> bool:
    """Whether PostgreSQL's jsonb gives back exactly this value, so that it may stand in the row itself.

    It refuses NaN, infinity, NUL and lone surrogates, and turns 1e16 into an integer.
    """
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, int):
        return -(2**63) <= value < 2**64
    if isinstance(value, float):
        return math.isfinite(value) and abs(value) < 1e15 and (value != 0 or math.copysign(1, value) > 0)
    if type(value) is not str or "\0" in value:
        return False
    return value.isascii() or not any("\ud800" <= character <= "\udfff" for character in value)


def _node_of(task_path: str) -> str | None:
    """Return the node that a task path such as `~__pregel_pull, extract` names; a Send's path names none."""
    kind, _, node = task_path.partition(", ")
    return node if kind == "~__pregel_pull" else None


def _step_after(checkpoint_id: str) -> int:
    """Return the step whose tasks write onto this checkpoint; its id's clock_seq holds the number."""
    number = UUID(checkpoint_id).clock_seq
    return 0 if number == INPUT_CLOCK_SEQ else number + 1
