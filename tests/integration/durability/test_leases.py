"""Claims, heartbeats, endings: who may drive a run, and what becomes of those who may not."""

import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial

import pytest

from framework.durability import control, leases, registry
from framework.durability.owner import current_owner, is_dead
from framework.durability.run import MOVES, Ending, RunStatus
from framework.errors import LeaseLost, MoveRefused, RunKeyConflict
from framework.storage.pool import Database
from tests.support.storage import admit, claim


def status_of(database: Database, run_id: str) -> RunStatus:
    return database.run(lambda conn: registry.get(conn, run_id)).status


def pretend_death(database: Database, run_id: str) -> None:
    """Make the lease look as if a process of this host had taken it and died."""
    child = subprocess.run(
        [
            sys.executable,
            "-c",
            "from framework.durability.owner import current_owner; print(current_owner())",
        ],
        check=True,
        capture_output=True,
        text=True,
    )
    with database.connection() as conn:
        for table in ("lease", "run"):
            conn.execute(
                f"update holdfast.{table} set owner = %s where run_id = %s", (child.stdout.strip(), run_id)
            )


def test_of_sixteen_claims_at_once_one_wins(database: Database) -> None:
    """The row lock decides; nobody else gets a fence."""
    run = admit(database)
    with ThreadPoolExecutor(16) as pool:
        claims = list(pool.map(lambda _: claim(database, run.run_id), range(16)))
    assert [one.run.fence for one in claims if one is not None] == [1]


def test_a_run_of_a_live_process_cannot_be_claimed_before_its_lease_ends(
    database: Database, end_lease: Callable[[str], None]
) -> None:
    """A frozen process looks alive; only the database's clock takes its run away."""
    run = admit(database)
    assert claim(database, run.run_id) is not None
    assert claim(database, run.run_id) is None
    end_lease(run.run_id)
    second = claim(database, run.run_id)
    assert second is not None
    assert second.run.fence == 2


def test_a_run_of_a_dead_process_on_this_host_is_claimed_at_once(database: Database) -> None:
    """No waiting for fifteen seconds after a `kill -9`."""
    run = admit(database)
    assert claim(database, run.run_id, seconds=3600) is not None
    pretend_death(database, run.run_id)
    second = claim(database, run.run_id)
    assert second is not None
    assert second.run.crashes == 1


def test_an_owner_of_another_boot_or_namespace_is_not_called_dead() -> None:
    """Its pid means nothing here, so the lease has to tell."""
    owner = current_owner()
    assert not is_dead(str(owner))
    elsewhere = str(owner).replace(owner.boot, "another-boot").replace(str(owner.pid), "999999")
    assert not is_dead(elsewhere)
    reused = str(owner).rsplit("/", 1)[0] + "/1"
    assert is_dead(reused), "same pid, another start: the process is gone and its number was given again"


def test_crashes_without_progress_are_counted_before_the_attempt_and_end_in_quarantine(
    database: Database, end_lease: Callable[[str], None]
) -> None:
    """A poison run is set aside at the budget, with the reason and the way back."""
    run = admit(database)
    assert claim(database, run.run_id, max_crashes=3) is not None
    for crashes in (1, 2):
        end_lease(run.run_id)
        again = claim(database, run.run_id, max_crashes=3)
        assert again is not None
        assert again.run.crashes == crashes
    end_lease(run.run_id)
    assert claim(database, run.run_id, max_crashes=3) is None
    aside = database.run(lambda conn: registry.get(conn, run.run_id))
    assert aside.status is RunStatus.QUARANTINED
    assert "3 times" in aside.error["message"]
    database.run(lambda conn: control.release(conn, aside))
    back = claim(database, run.run_id, max_crashes=3)
    assert back is not None
    assert back.run.crashes == 0


def test_progress_between_crashes_starts_the_count_anew(
    database: Database, end_lease: Callable[[str], None]
) -> None:
    """A long run on a shaky machine is not poison."""
    run = admit(database)
    assert claim(database, run.run_id, max_crashes=2) is not None
    for _ in range(4):
        with database.connection() as conn:
            conn.execute("update holdfast.run set progress = progress + 1 where run_id = %s", (run.run_id,))
        end_lease(run.run_id)
        again = claim(database, run.run_id, max_crashes=2)
        assert again is not None
        assert again.run.crashes == 1


def test_an_ending_under_an_old_fence_is_refused_and_stores_nothing(
    database: Database, end_lease: Callable[[str], None]
) -> None:
    """A zombie cannot declare the run of its successor finished."""
    run = admit(database)
    assert claim(database, run.run_id) is not None
    end_lease(run.run_id)
    assert claim(database, run.run_id) is not None
    ending = Ending(run.run_id, RunStatus.SUCCEEDED, output={"by": "the zombie"})
    with pytest.raises(LeaseLost):
        database.run(lambda conn: leases.leave(conn, ending, fence=1, outcome="succeeded"))
    now = database.run(lambda conn: registry.get(conn, run.run_id))
    assert (now.status, now.output, now.fence) == (RunStatus.RUNNING, None, 2)


def test_an_ending_may_be_sent_twice(database: Database) -> None:
    """The answer to its commit can be lost with the connection."""
    run = admit(database)
    assert claim(database, run.run_id) is not None
    ending = Ending(run.run_id, RunStatus.SUCCEEDED, output={})
    for _ in range(2):
        database.run(lambda conn: leases.leave(conn, ending, fence=1, outcome="succeeded"))
    assert status_of(database, run.run_id) is RunStatus.SUCCEEDED


def test_the_heartbeat_keeps_a_lease_alive_while_the_process_is_busy(database: Database) -> None:
    """It has a thread and a connection of its own, so a node that holds the loop cannot stop it."""
    run = admit(database)
    granted = claim(database, run.run_id, seconds=0.6)
    assert granted is not None
    beat = leases.Heartbeat(database, interval=timedelta(seconds=0.1), duration=timedelta(seconds=0.6))
    before = granted.run.lease_expires_at
    beat.watch(run.run_id, 1, lambda _: None)
    try:
        deadline = threading.Event()
        for _ in range(100):
            now = database.run(lambda conn: registry.get(conn, run.run_id))
            if now.lease_expires_at > before + timedelta(seconds=1):
                break
            deadline.wait(0.05)
        assert not now.lease_expired
        assert claim(database, run.run_id) is None
    finally:
        beat.close()


def test_the_heartbeat_tells_a_run_that_it_was_lost_or_is_to_be_cancelled(
    database: Database, end_lease: Callable[[str], None]
) -> None:
    """Within one beat, so that it stops before its next node."""
    lost, wanted = admit(database), admit(database)
    told: dict[str, list[str]] = {lost.run_id: [], wanted.run_id: []}
    both = threading.Event()

    def notify(run_id: str, what: str) -> None:
        told[run_id].append(what)
        if all(told.values()):
            both.set()

    for run in (lost, wanted):
        assert claim(database, run.run_id) is not None
    end_lease(lost.run_id)
    assert claim(database, lost.run_id) is not None
    database.run(lambda conn: control.cancel(conn, registry.get(conn, wanted.run_id)))
    beat = leases.Heartbeat(database, interval=timedelta(seconds=0.05), duration=timedelta(seconds=15))
    for run in (lost, wanted):
        beat.watch(run.run_id, 1, lambda what, run_id=run.run_id: notify(run_id, what))
    try:
        assert both.wait(timeout=10)
    finally:
        beat.close()
    assert set(told[lost.run_id]) == {"lost"}
    assert set(told[wanted.run_id]) == {"cancel"}


def test_the_second_run_of_a_thread_waits_for_the_first(database: Database) -> None:
    """Two at once would write over each other's head."""
    first, second = admit(database, thread="talk"), admit(database, thread="talk")
    assert first.thread_id == second.thread_id
    assert claim(database, second.run_id) is None, "the older one goes first"
    assert claim(database, first.run_id) is not None
    assert claim(database, second.run_id) is None
    done = Ending(first.run_id, RunStatus.SUCCEEDED, output={})
    database.run(lambda conn: leases.leave(conn, done, fence=1, outcome="succeeded"))
    assert claim(database, second.run_id) is not None


def test_a_failed_run_that_its_thread_has_passed_is_not_taken_up(database: Database) -> None:
    """Its state is under the newer run's; only a fork can go back to it."""
    first, second = admit(database, thread="talk"), admit(database, thread="talk")
    assert claim(database, first.run_id) is not None
    failed = Ending(first.run_id, RunStatus.FAILED, error={"message": "no"})
    database.run(lambda conn: leases.leave(conn, failed, fence=1, outcome="failed"))
    assert claim(database, second.run_id) is not None
    done = Ending(second.run_id, RunStatus.SUCCEEDED, output={})
    database.run(lambda conn: leases.leave(conn, done, fence=1, outcome="succeeded"))
    allowed = frozenset({RunStatus.FAILED})
    assert claim(database, first.run_id, allowed=allowed) is None
    with pytest.raises(MoveRefused, match="passed"):
        database.run(lambda conn: control.retry(conn, registry.get(conn, first.run_id)))


def test_a_run_key_starts_one_run_however_often(database: Database) -> None:
    """And another input under the same key is an error that names the run."""
    first = admit(database, run_key="k")
    assert admit(database, run_key="k").run_id == first.run_id
    with pytest.raises(RunKeyConflict, match="number") as caught:
        admit(database, run_key="k", number=2)
    assert caught.value.run_id == first.run_id
    with database.connection() as conn:
        assert conn.execute("select count(*) as n from holdfast.thread").fetchone() == {"n": 1}


@pytest.mark.parametrize("status", list(RunStatus))
def test_a_move_that_is_not_in_the_table_is_refused(database: Database, status: RunStatus) -> None:
    """One table says what leads where; the SQL and the table agree."""
    wanted = {RunStatus.CANCELLED, RunStatus.QUARANTINED} - {status}
    for target in wanted:
        run = admit(database)
        force(database, run.run_id, status)
        seen = database.run(lambda conn, run=run: registry.get(conn, run.run_id))
        if target in MOVES[status]:
            if target is RunStatus.QUARANTINED:
                continue  # with its reason, by leases.quarantine
            database.run(partial(control.move, run=seen, status=target, reason="a test"))
            assert status_of(database, run.run_id) is target
        else:
            with pytest.raises(MoveRefused):
                database.run(partial(control.move, run=seen, status=target, reason="a test"))
            assert status_of(database, run.run_id) is status


def force(database: Database, run_id: str, status: RunStatus) -> None:
    """Put a run into a status, as the CHECKs want it."""
    with database.connection() as conn:
        conn.execute(
            "update holdfast.run set status = %(s)s, started_at = now(),"
            " owner = case when %(s)s = 'running' then 'x' end,"
            " ended_at = case when %(s)s in ('failed', 'succeeded', 'cancelled') then now() end,"
            " wake_at = case when %(s)s = 'sleeping' then now() end,"
            " error = case when %(s)s in ('failed', 'quarantined') then '{}'::jsonb end"
            " where run_id = %(id)s",
            {"s": status.value, "id": run_id},
        )
