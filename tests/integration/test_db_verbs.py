"""`main.py db …` as a person types it, on an embedded server and on one that is named."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from framework.errors import DatabaseError, SettingsError, UsageError
from framework.settings import DurabilitySettings, PostgresSettings, Settings
from framework.storage import backup
from framework.storage.embedded import EmbeddedServer, leave, server_state, wait_until_stopped
from framework.storage.embedded_minder import stop_server
from framework.storage.server import Server, named_server, resolve_server
from tests.support.postgres import database_address

ROOT = Path(__file__).resolve().parents[2]
MAIN = """
import sys
from pathlib import Path
from framework.cli.app import entry_point
entry_point(Path(sys.argv[1]), sys.argv[2:])
"""
Main = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def project() -> Iterator[Path]:
    """A folder with nothing in it, whose embedded server is ended afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="hf-verbs-"))
    folder.chmod(0o755)
    yield folder
    data_dir = folder / ".holdfast/postgres"
    leave(data_dir)
    stop_server(data_dir)
    shutil.rmtree(folder)


@pytest.fixture
def main(project: Path) -> Main:
    """Run a command line in the project, without a DATABASE_URL unless one is given."""

    def run(*words: str, **env: str) -> subprocess.CompletedProcess[str]:
        clean = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
        return subprocess.run(
            [sys.executable, "-c", MAIN, str(project), *words],
            cwd=project,
            env={**clean, "PYTHONPATH": str(ROOT), "NO_COLOR": "1", **env},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


@pytest.fixture
def server(database_url: str) -> Server:
    """The test's database, as if it were named by DATABASE_URL."""
    return Server(url=database_url, kind="external", display="the test's")


def test_an_embedded_database_from_nothing_to_restored(main: Main, project: Path) -> None:
    """One life of a database, by the words of the manual."""
    assert "made when it is first needed" in main("db", "status").stdout
    assert not (project / ".holdfast").exists()

    assert "version 1" in main("db", "migrate").stdout
    status = json.loads(main("db", "status", "--json").stdout)
    assert status["kind"] == "embedded"
    assert status["reachable"] is True
    assert status["role"] == "holdfast"
    assert status["schema_version"] == status["known_schema_version"]
    assert "checkpoints" in status["langgraph_tables"]

    url = main("db", "url").stdout
    psql = backup.find_program("psql", Server(url=url, kind="embedded", display=""))
    done = subprocess.run(
        [psql, url.strip(), "-Atc", "select current_user"], capture_output=True, text=True, check=True
    )
    assert done.stdout == "holdfast\n"
    assert len(url.splitlines()) == 1

    assert main("db", "psql", "-Atc", "select 6 * 7").stdout == "42\n"
    assert main("db", "psql", "-c", "select nonsense").returncode == 1
    assert main("db", "backup", "a.dump").returncode == 0
    assert (project / "a.dump").stat().st_mode & 0o777 == 0o600
    main("db", "psql", "-c", "drop schema holdfast cascade; drop table checkpoints")
    assert main("db", "restore", "a.dump").returncode == 0
    assert json.loads(main("db", "status", "--json").stdout) | {"size_bytes": 0} == status | {"size_bytes": 0}


def test_up_leaves_a_server_running_and_down_stops_it(main: Main, project: Path) -> None:
    """For tools that know nothing of us."""
    data_dir = project / ".holdfast/postgres"
    url = main("db", "up").stdout.strip()
    # Longer than the linger time, which is what this is about.
    assert not wait_until_stopped(data_dir, timedelta(seconds=4.5))
    with psycopg.connect(url) as conn:
        assert conn.execute("select 1").fetchone() == (1,)
        assert "still use" in main("db", "down").stdout

    assert "stopped" in main("db", "down").stdout
    assert not server_state(data_dir).is_running
    assert "not running" in main("db", "down").stdout


def test_a_named_server_is_used_as_it_is(main: Main, project: Path, database_url: str) -> None:
    """DATABASE_URL goes before the embedded server, which then is neither made nor started."""
    status = json.loads(main("db", "status", "--json", DATABASE_URL=database_url).stdout)
    assert (status["kind"], status["reachable"], status["data_dir"]) == ("external", True, None)
    assert main("db", "url", DATABASE_URL=database_url).stdout.strip() == database_url
    for verb in ("up", "down"):
        refused = main("db", verb, DATABASE_URL=database_url)
        assert refused.returncode == 2
        assert "not ours to start or stop" in refused.stderr
    assert not (project / ".holdfast").exists()


def test_a_server_that_does_not_answer_is_reported_without_its_password(main: Main) -> None:
    """And with an exit code that a script can read; never by another database in its place."""
    done = main("db", "status", DATABASE_URL="postgresql://ana:hush@127.0.0.1:1/x")

    assert done.returncode == 2
    assert "reachable             no" in done.stdout
    assert "hush" not in done.stdout + done.stderr


def test_a_restore_refuses_to_replace_runs_unless_forced(server: Server, tmp_path: Path) -> None:
    """What is in the database is worth more than what somebody typed."""
    file = tmp_path / "empty.dump"
    backup.back_up(server, file)
    _add_run(server)

    with pytest.raises(UsageError, match="has runs already"):
        backup.restore(server, file, overwrite=False)
    assert backup.has_runs(server.url)

    backup.restore(server, file, overwrite=True)
    assert not backup.has_runs(server.url)


def test_a_restore_brings_back_rows_and_leaves_other_tables_alone(server: Server, tmp_path: Path) -> None:
    """The round trip, into a database that a newer program has added a table to."""
    _add_run(server)
    backup.back_up(server, tmp_path / "a.dump")
    with psycopg.connect(server.url) as conn:
        conn.execute("create table holdfast.newer (run_id uuid references holdfast.run)")
        conn.execute("create table public.yours as select 1 as kept")
        conn.execute("update holdfast.run set workflow = 'changed'")

    backup.restore(server, tmp_path / "a.dump", overwrite=True)

    with psycopg.connect(server.url) as conn:
        assert conn.execute("select workflow from holdfast.run").fetchall() == [("w",)]
        assert conn.execute("select kept from public.yours").fetchall() == [(1,)]
        assert conn.execute("select to_regclass('holdfast.newer')").fetchone() == (None,)


def test_a_restore_that_breaks_in_the_middle_changes_nothing(server: Server, tmp_path: Path) -> None:
    """One transaction: our tables are gone already when a view of somebody's is in the way."""
    _add_run(server)
    dump_of_a_clash = tmp_path / "clash.dump"
    with psycopg.connect(server.url) as conn:
        conn.execute("create function public.f() returns int language sql as 'select 1'")
    backup.back_up(server, dump_of_a_clash)
    with psycopg.connect(server.url) as conn:
        conn.execute("create view public.in_the_way as select public.f()")

    with pytest.raises(DatabaseError, match="in_the_way"):
        backup.restore(server, dump_of_a_clash, overwrite=True)

    assert backup.has_runs(server.url)


def test_a_restore_waits_for_nobody_for_ever(server: Server, tmp_path: Path) -> None:
    """A session that holds a table is named by an error, and nothing has changed."""
    backup.back_up(server, tmp_path / "a.dump")
    _add_run(server)
    with psycopg.connect(server.url) as other:
        other.execute("select * from holdfast.run")
        with pytest.raises(DatabaseError, match="lock timeout"):
            backup.restore(server, tmp_path / "a.dump", overwrite=True)
    assert backup.has_runs(server.url)


def test_what_is_no_backup_is_refused(server: Server, tmp_path: Path) -> None:
    """Before anything is touched."""
    (tmp_path / "letter.txt").write_text("dear all")
    with pytest.raises(UsageError, match="is not a backup"):
        backup.restore(server, tmp_path / "letter.txt", overwrite=True)
    with pytest.raises(UsageError, match="no file"):
        backup.restore(server, tmp_path / "missing", overwrite=True)


def test_a_backup_that_fails_leaves_the_one_before(postgres_server: EmbeddedServer, tmp_path: Path) -> None:
    """The file under its name is always a whole one."""
    gone = Server(url=database_address(postgres_server, "no_such"), kind="external", display="")
    (tmp_path / "a.dump").write_text("the one before")

    with pytest.raises(DatabaseError, match="no_such"):
        backup.back_up(gone, tmp_path / "a.dump")

    assert [file.name for file in tmp_path.iterdir()] == ["a.dump"]
    assert (tmp_path / "a.dump").read_text() == "the one before"


def test_a_password_is_not_among_the_arguments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`ps` shows them to everybody on the machine."""
    program = tmp_path / "psql"
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/arguments; echo "$PGPASSWORD" > {tmp_path}/secret\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")

    server = Server(url="postgresql://ana:hush@db/x", kind="external", display="")
    assert backup.run_psql(server, ["-c", "select 'a b'"]) == 0

    arguments = (tmp_path / "arguments").read_text()
    assert "hush" not in arguments
    assert arguments.endswith("-c\nselect 'a b'\n")
    assert (tmp_path / "secret").read_text() == "hush\n"
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_the_order_in_which_a_server_is_looked_for(tmp_path: Path) -> None:
    """An address, then a host with its parts, then ours; never anything else."""
    parts = {"host": "db", "port": 5433, "user": "a/b", "password": "p@:?", "database": "d"}
    assert named_server(PostgresSettings(url="postgres+asyncpg://x@y/z", **parts)).url == "postgresql://x@y/z"
    named = named_server(PostgresSettings(**parts))
    assert named.url == "postgresql://a%2Fb:p%40%3A%3F@db:5433/d"
    assert "p@" not in named.display
    assert "p%40" not in named.display
    socket = named_server(PostgresSettings(host="/run/pg"))
    assert socket.url == "postgresql://postgres@/langgraph?host=%2Frun%2Fpg&port=5432"
    assert "@[::1]:5432/" in named_server(PostgresSettings(host="::1")).url
    assert named_server(PostgresSettings()) is None
    durability = DurabilitySettings(postgres=PostgresSettings(embedded=False))
    with pytest.raises(SettingsError, match="No database is configured"):
        resolve_server(Settings(root=tmp_path, durability=durability))


def test_an_embedded_server_that_died_can_be_revived(project: Path) -> None:
    """What a process does before it connects anew."""
    server = resolve_server(Settings(root=project))
    stop_server(server.data_dir)

    server.revive()

    with psycopg.connect(server.url) as conn:
        assert conn.execute("select 1").fetchone() == (1,)


def _add_run(server: Server) -> None:
    with psycopg.connect(server.url) as conn:
        conn.execute(
            "insert into holdfast.definition"
            " (content_hash, text_hash, workflow, source, source_path, topology, fingerprints)"
            " values ('c', 't', 'w', '', '', '{}', '{}')"
        )
        conn.execute("insert into holdfast.thread (thread_id, outside_id) values ('t', 't')")
        conn.execute(
            "insert into holdfast.run (run_id, thread_id, workflow, definition, input, admission)"
            " values (gen_random_uuid(), 't', 'w', 'c', '{}', '{}')"
        )
