"""The committer: fenced per run, in order, shared, and patient with the database."""

from collections.abc import Callable
from concurrent.futures import wait
from datetime import timedelta

import psycopg
import pytest

from framework.errors import DatabaseUnavailable, LeaseLost, ThreadBusy
from framework.storage.pool import Database
from framework.storage.step_writer import Piece, StepWriter
from tests.support.storage import admit, claim

SECOND = timedelta(seconds=10)


def checkpoint(thread: str, number: int) -> tuple[str, str, str, None, str, str]:
    """A row of `checkpoints` in the committer's column order."""
    return (thread, "", f"{number:08}", None, '{"channel_values": {}, "channel_versions": {}, "v": 4}', "{}")


def saved(database: Database, thread: str) -> list[str]:
    """The checkpoint ids of a thread."""
    with database.connection() as conn:
        rows = conn.execute(
            "select checkpoint_id from checkpoints where thread_id = %s order by 1", (thread,)
        )
        return [row["checkpoint_id"] for row in rows.fetchall()]


def test_the_future_is_done_when_another_connection_sees_the_row(
    database: Database, writer: StepWriter
) -> None:
    """Returning before the commit would make `sync` a lie."""
    writer.submit(Piece(thread_id="t", checkpoints=[checkpoint("t", 1)])).result(timeout=10)
    assert saved(database, "t") == ["00000001"]


def test_a_run_that_lost_its_lease_leaves_no_row_and_its_neighbour_does(
    database: Database, writer: StepWriter, end_lease: Callable[[str], None]
) -> None:
    """The fence is checked in the statement that writes, for each run by itself."""
    lost, kept = admit(database), admit(database)
    old, good = claim(database, lost.run_id), claim(database, kept.run_id)
    assert old is not None
    assert good is not None
    end_lease(lost.run_id)
    assert claim(database, lost.run_id) is not None, "the takeover"

    first = writer.submit(
        Piece(
            lost.thread_id,
            run_id=lost.run_id,
            fence=old.run.fence,
            checkpoints=[checkpoint(lost.thread_id, 1)],
        ),
        wait_seconds=0.05,
    )
    second = writer.submit(
        Piece(
            kept.thread_id,
            run_id=kept.run_id,
            fence=good.run.fence,
            checkpoints=[checkpoint(kept.thread_id, 1)],
        ),
        wait_seconds=0.05,
    )
    wait([first, second], timeout=10)
    with pytest.raises(LeaseLost):
        first.result()
    second.result()
    assert saved(database, lost.thread_id) == []
    assert saved(database, kept.thread_id) == ["00000001"]
    assert writer.commits == 1, "both went out in one statement"


def test_a_row_that_the_database_refuses_does_not_hurt_its_neighbours(
    database: Database, writer: StepWriter
) -> None:
    """The batch is split by run, and only the guilty one fails."""
    bad, good = admit(database), admit(database)
    for run in (bad, good):
        assert claim(database, run.run_id) is not None
    broken = ("t", "", "1", None, "{not json", "{}")
    first = writer.submit(
        Piece(bad.thread_id, run_id=bad.run_id, fence=1, checkpoints=[broken]), wait_seconds=0.05
    )
    second = writer.submit(
        Piece(good.thread_id, run_id=good.run_id, fence=1, checkpoints=[checkpoint(good.thread_id, 1)]),
        wait_seconds=0.05,
    )
    wait([first, second], timeout=10)
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        first.result()
    second.result()
    assert saved(database, good.thread_id) == ["00000001"]


def test_nothing_is_saved_on_top_of_a_gap(database: Database, writer: StepWriter) -> None:
    """After a refused task write, the checkpoint that builds on it is refused too."""
    run = admit(database)
    assert claim(database, run.run_id) is not None
    broken = (run.thread_id, "", "1", "task", "", 0, "channel", "msgpack", None)
    with pytest.raises(psycopg.errors.NotNullViolation):
        writer.submit(Piece(run.thread_id, run_id=run.run_id, fence=1, plain_writes=[broken])).result(
            timeout=10
        )
    with pytest.raises(psycopg.errors.NotNullViolation):
        writer.submit(
            Piece(run.thread_id, run_id=run.run_id, fence=1, checkpoints=[checkpoint(run.thread_id, 1)])
        ).result(timeout=10)
    assert saved(database, run.thread_id) == []


def test_a_write_from_outside_is_refused_while_a_run_holds_the_thread(
    database: Database, writer: StepWriter
) -> None:
    """A library caller could otherwise move the head under a run's feet."""
    run = admit(database)
    assert claim(database, run.run_id) is not None
    with pytest.raises(ThreadBusy):
        writer.submit(Piece(run.thread_id, checkpoints=[checkpoint(run.thread_id, 1)])).result(timeout=10)
    assert saved(database, run.thread_id) == []


def test_a_killed_connection_costs_a_retry(database: Database, writer: StepWriter) -> None:
    """The statement is sent again on another connection; its rows are keyed, so twice is once."""
    writer.submit(Piece("t", checkpoints=[checkpoint("t", 1)])).result(timeout=10)
    assert writer._connection is not None
    pid = writer._connection.info.backend_pid
    with database.connection() as conn:
        assert conn.execute("select pg_terminate_backend(%s) as done", (pid,)).fetchone() == {"done": True}
    writer.submit(Piece("t", checkpoints=[checkpoint("t", 2)])).result(timeout=15)
    assert saved(database, "t") == ["00000001", "00000002"]


def test_a_database_that_stays_away_is_told_to_the_caller() -> None:
    """After the configured patience, with one clear error."""
    nowhere = Database("postgresql://nobody@127.0.0.1:1/none", patience=timedelta(milliseconds=200))
    writer = StepWriter(nowhere)
    with pytest.raises(DatabaseUnavailable, match="cannot be reached"):
        writer.submit(Piece("t", checkpoints=[checkpoint("t", 1)])).result(timeout=20)
    writer.close()


def test_writes_of_many_runs_share_commits(database: Database, writer: StepWriter) -> None:
    """Fifty runs that are ready together cost far fewer than fifty commits."""
    futures = [
        writer.submit(Piece(f"t{n}", checkpoints=[checkpoint(f"t{n}", 1)]), wait_seconds=0.05)
        for n in range(50)
    ]
    for future in futures:
        future.result(timeout=10)
    assert writer.pieces == 50
    assert writer.commits <= 5
