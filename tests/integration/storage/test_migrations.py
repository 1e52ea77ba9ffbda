"""Setting a database up: alone, all at once, behind somebody's lock, and after a crash."""

import signal
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import psycopg
import pytest

from framework.errors import DatabaseError, MigrationBlocked
from framework.storage.migrations import apply, migrate, schema_state
from framework.storage.pool import Database

MIGRATE = "import sys; from framework.storage.migrations import migrate; assert migrate(sys.argv[1]).current"


def test_eight_processes_set_up_an_empty_database_at_once(empty_database_url: str) -> None:
    """Stock setup() fails for most of them; ours for none, and the schema is complete."""
    children = [subprocess.Popen([sys.executable, "-c", MIGRATE, empty_database_url]) for _ in range(8)]
    assert [child.wait(timeout=60) for child in children] == [0] * 8
    with Database(empty_database_url).connect() as conn:
        assert schema_state(conn).current
        assert conn.execute("select count(*) as n from holdfast.schema_version").fetchone() == {"n": 1}


def test_waiting_for_the_lock_ends_and_names_who_holds_it(empty_database_url: str) -> None:
    """A supervisor can start us again; a person reads whom to ask."""
    with psycopg.connect(empty_database_url, autocommit=True, application_name="a forgotten shell") as holder:
        holder.execute("select pg_advisory_lock(%s)", (apply.LOCK_KEY,))
        with pytest.raises(MigrationBlocked, match="a forgotten shell") as caught:
            migrate(empty_database_url, timeout=timedelta(milliseconds=300))
    assert caught.value.exit_code == 2


def test_a_process_killed_in_mid_migration_is_healed_by_the_next(empty_database_url: str) -> None:
    """The lock goes with the connection, and a half-done set-up goes on where it stopped."""
    killed_at = """
        import os, signal, sys
        from psycopg import Connection
        from framework.storage.migrations import migrate
        plain, left = Connection.execute, int(sys.argv[2])
        def execute(self, *arguments, **options):
            global left
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return plain(self, *arguments, **options)
        Connection.execute = execute
        migrate(sys.argv[1])
    """
    deaths = 0
    for statement in range(6, 20):
        child = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(killed_at), empty_database_url, str(statement)],
            check=False,
            timeout=30,
        )
        deaths += child.returncode == -signal.SIGKILL
        if child.returncode == 0:
            break
    assert deaths >= 4, "the process has to die in the middle for this to prove anything"
    assert migrate(empty_database_url).current


def test_a_half_built_index_of_langgraph_is_built_anew(empty_database_url: str) -> None:
    """CREATE INDEX CONCURRENTLY that was interrupted leaves an index that IF NOT EXISTS would keep."""
    migrate(empty_database_url)
    with Database(empty_database_url).connect() as conn:
        conn.execute("drop schema holdfast cascade")
        conn.execute("delete from checkpoint_migrations where v >= 6")
        conn.execute("drop index checkpoints_thread_id_idx")
        conn.execute(
            "insert into checkpoints (thread_id, checkpoint_id, checkpoint)"
            " values ('a', '1', '{}'), ('a', '2', '{}')"
        )
        with pytest.raises(psycopg.errors.UniqueViolation):
            conn.execute(
                "create unique index concurrently checkpoints_thread_id_idx on checkpoints (thread_id)"
            )
        assert conn.execute(apply.SQL["invalid_indexes"]).fetchall()
        migrate(empty_database_url)
        assert not conn.execute(apply.SQL["invalid_indexes"]).fetchall()


def test_a_database_of_a_newer_program_is_refused(empty_database_url: str) -> None:
    """Going on would write rows that the newer program does not expect."""
    migrate(empty_database_url)
    with Database(empty_database_url).connect() as conn:
        conn.execute(
            "insert into holdfast.schema_version (version, name, checksum) values (999, 'later', 'x')"
        )
    with pytest.raises(DatabaseError, match="999"):
        migrate(empty_database_url)


def test_a_second_call_changes_nothing_and_takes_no_lock(empty_database_url: str) -> None:
    """Every start calls it; it must be free when there is nothing to do."""
    migrate(empty_database_url)
    with psycopg.connect(empty_database_url, autocommit=True) as holder:
        holder.execute("select pg_advisory_lock(%s)", (apply.LOCK_KEY,))
        with ThreadPoolExecutor(4) as pool:
            states = list(pool.map(lambda _: migrate(empty_database_url, timeout=timedelta(0)), range(4)))
    assert all(state.current for state in states)
