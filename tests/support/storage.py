"""A database, its committer and a registry of hand-made runs, for tests below the executor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from framework.durability import leases, registry
from framework.durability.registry import Admission
from framework.durability.run import Claim, Run, RunStatus
from framework.storage.checkpointer import Checkpointer
from framework.storage.pool import Database
from framework.storage.step_writer import StepWriter

DEFINITION = {
    "content_hash": "0" * 64,
    "text_hash": "1" * 64,
    "workflow": "made-up",
    "source": "version: 1\n",
    "source_path": "workflows/made_up/workflow.yaml",
    "host": None,
    "topology": {},
    "fingerprints": {},
}


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """Connections to a fresh database."""
    opened = Database(database_url, pool_size=4, patience=timedelta(seconds=15))
    opened.open()
    yield opened
    opened.close()


@pytest.fixture
def writer(database: Database) -> Iterator[StepWriter]:
    """The committer of this test's process."""
    made = StepWriter(database)
    yield made
    made.close()


@pytest.fixture
def checkpointer(database: Database, writer: StepWriter) -> Checkpointer:
    """Our checkpointer, with LangGraph's safe types only."""
    return Checkpointer(database, writer, JsonPlusSerializer(allowed_msgpack_modules=None))


def admit(
    database: Database, *, thread: str | None = None, run_key: str | None = None, number: int = 1
) -> Run:
    """Accept a run of a workflow that does not exist."""
    admission = Admission(
        workflow="made-up",
        definition=DEFINITION,
        input={"number": number},
        facts={},
        run_key=run_key,
        thread=thread,
    )
    return database.run(lambda conn: registry.admit(conn, admission))[0]


def claim(
    database: Database,
    run_id: str,
    *,
    seconds: float = 15,
    max_crashes: int = 5,
    allowed: frozenset[RunStatus] = frozenset({RunStatus.PENDING, RunStatus.RUNNING}),
) -> Claim | None:
    """Claim a run for this process."""
    request = leases.ClaimRequest(
        run_id=run_id,
        duration=timedelta(seconds=seconds),
        max_crashes=max_crashes,
        worker="test",
        reason="a test",
        allowed=allowed,
    )
    return database.run(lambda conn: leases.claim(conn, request))


@pytest.fixture
def end_lease(database: Database) -> Callable[[str], None]:
    """Move a lease's end into the past, instead of sleeping until it is there."""

    def move(run_id: str) -> None:
        with database.connection() as conn:
            moved = conn.execute(
                "update holdfast.lease set expires_at = clock_timestamp() - interval '1 s' where run_id = %s",
                (run_id,),
            )
            assert moved.rowcount == 1

    return move
