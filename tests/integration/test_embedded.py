"""The embedded server under everything that kills, confuses or crowds it; real processes throughout."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Self

import psutil
import psycopg
import pytest

from framework.errors import EmbeddedPostgresError
from framework.storage import embedded, embedded_platform
from framework.storage.embedded import (
    EmbeddedServer,
    keep_alive,
    leave,
    release,
    server_state,
    start_embedded,
    wait_until_stopped,
)
from framework.storage.embedded_minder import find_postmaster, is_held

ROOT = Path(__file__).resolve().parents[2]
REAL_PROGRAMS = embedded_platform.find_binaries()
SOON = timedelta(seconds=15)
NO_LINGER = timedelta(0)

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become other accounts")
linux = pytest.mark.skipif(sys.platform != "linux", reason="uses /proc or prctl")

JOIN = """
import sys
from datetime import timedelta
from pathlib import Path
from framework.storage.embedded import start_embedded
from framework.storage.embedded_minder import find_postmaster
server = start_embedded(Path(sys.argv[1]), fsync=False, linger=timedelta(0))
print(find_postmaster(server.data_dir), server.socket_dir, flush=True)
sys.stdin.read()
"""
# Adopts the postmaster and never waits for it, like the PID 1 of many containers.
JOIN_AND_NEVER_REAP = "import ctypes; assert ctypes.CDLL(None).prctl(36, 1, 0, 0, 0) == 0\n" + JOIN


class User:
    """A process that uses the server until it is told to go."""

    def __init__(self, data_dir: Path, code: str = JOIN, *, account: str | None = None, **env: str) -> None:
        python = sys.executable if account is None else _python_for(account)
        self.process = subprocess.Popen(
            [python, "-c", code, str(data_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            user=account,
            group=pwd.getpwnam(account).pw_gid if account else None,
            extra_groups=[] if account else None,
            cwd="/",
            env={**os.environ, "PYTHONPATH": str(ROOT), "HOLDFAST_PG_BIN": str(REAL_PROGRAMS), **env},
        )

    def joined(self) -> tuple[int, Path]:
        """Wait until the server answers this user; return its pid and its socket's folder."""
        assert self.process.stdout
        assert self.process.stderr
        words = self.process.stdout.readline().split(maxsplit=1)
        assert words, self.process.stderr.read()
        return int(words[0]), Path(words[1].rstrip("\n"))

    def go(self) -> None:
        """End as programs end."""
        self.process.communicate(timeout=20)

    def die(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End as programs are ended."""
        self.process.send_signal(number)
        self.process.communicate(timeout=20)
        assert self.process.returncode == -number

    def __enter__(self) -> Self:
        """Leave it to the caller when it goes."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nobody behind when a test fails."""
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty place that other accounts may pass; whatever runs in it is ended afterwards."""
    place = Path(tempfile.mkdtemp(prefix="hf-"))
    place.chmod(0o755)
    yield place
    for data_dir in [entry.parent for entry in place.rglob("users.lock")]:
        leave(data_dir)
        _kill_everything(data_dir)
        shutil.rmtree(embedded_platform.find_home(data_dir).socket_dir, ignore_errors=True)
    shutil.rmtree(place)


@pytest.fixture(scope="session")
def finished_cluster() -> Iterator[Path]:
    """One cluster for most tests, and for copies: initdb is the slow part of a cold start."""
    data_dir = Path(tempfile.mkdtemp(prefix="hf-shared-"))
    start_embedded(data_dir, fsync=False, linger=NO_LINGER)
    leave(data_dir)
    assert wait_until_stopped(data_dir, SOON)
    yield data_dir
    shutil.rmtree(data_dir)


@pytest.fixture
def data_dir(finished_cluster: Path) -> Iterator[Path]:
    """A data directory that was used before, often by a server that was killed, and where nothing runs."""
    yield finished_cluster
    leave(finished_cluster)
    (finished_cluster / "keep_alive").unlink(missing_ok=True)
    _kill_everything(finished_cluster)


@pytest.fixture
def copied_data_dir(folder: Path, finished_cluster: Path) -> Path:
    """A data directory that the test may spoil."""
    target = folder / "data"
    _copy_cluster(finished_cluster, target)
    return target


def start(data_dir: Path) -> EmbeddedServer:
    """Use the server from this process."""
    return start_embedded(data_dir, fsync=False, linger=NO_LINGER)


def query(server: EmbeddedServer, statement: str) -> list[tuple[object, ...]]:
    """Ask as the runtime role."""
    with psycopg.connect(server.url, autocommit=True) as conn:
        return conn.execute(statement.encode()).fetchall()


def stops(data_dir: Path) -> bool:
    """Wait for the end of the server."""
    return wait_until_stopped(data_dir, SOON)


def test_a_cold_start_makes_a_private_server_without_a_superuser_at_run_time(folder: Path) -> None:
    """What an outsider, or an SQL injection, would find: no TCP, no password, no privileges."""
    server = start_embedded(folder / "data", linger=NO_LINGER)

    rights = "rolsuper or rolcreatedb or rolcreaterole or rolbypassrls or rolreplication"
    assert query(server, f"select current_user, {rights} from pg_roles where rolname = current_user") == [
        ("holdfast", False)
    ]
    assert query(server, "select pg_get_userbyid(datdba) from pg_database where datname = 'langgraph'") == [
        ("holdfast",)
    ]
    for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums"):
        assert query(server, f"show {name}") == [("on",)]
    assert query(server, "show listen_addresses") == [("",)]
    assert query(server, "show unix_socket_permissions") == [("0700",)]
    assert query(server, "show max_connections") == [("200",)]
    assert query(server, "show idle_in_transaction_session_timeout") == [("10min",)]
    assert [line.split()[0] for line in _lines(server.data_dir / "pg/pg_hba.conf")] == ["local"]
    for private in (server.data_dir, server.data_dir / "pg", server.socket_dir):
        assert private.stat().st_mode & 0o777 == 0o700
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        query(server, "create database mine")
    with psycopg.connect(server.admin_url) as conn:
        assert conn.execute("select usesuper from pg_user where usename = current_user").fetchone() == (True,)


def test_joining_a_server_that_runs_is_quick(data_dir: Path) -> None:
    """Every command of the program pays this."""
    start(data_dir)
    leave(data_dir)
    with User(data_dir) as other:
        other.joined()
        before = time.perf_counter()
        start(data_dir)
        assert time.perf_counter() - before < 0.3


def test_processes_share_one_server_which_outlives_the_first(data_dir: Path) -> None:
    """Whoever comes first owns nothing."""
    with User(data_dir) as first, User(data_dir) as second:
        assert first.joined() == second.joined()
        first.go()
        assert query(start(data_dir), "select 1") == [(1,)]
        second.go()
    leave(data_dir)
    assert stops(data_dir)
    assert not server_state(data_dir).is_running


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_server_stops_after_its_last_user_was_ended(data_dir: Path, number: signal.Signals) -> None:
    """No atexit runs under either signal; the kernel gives the lock back."""
    with User(data_dir) as user:
        postmaster, _ = user.joined()
        user.die(number)
    assert stops(data_dir)
    assert not _is_running(postmaster)


def test_a_connection_counts_as_a_user(data_dir: Path) -> None:
    """An open psql knows nothing of our locks: psql "$(main.py db url)" must not be cut off."""
    server = start(data_dir)
    with psycopg.connect(server.url) as conn:
        leave(data_dir)
        assert not wait_until_stopped(data_dir, timedelta(seconds=1.5))
        assert server_state(data_dir).is_in_use
        assert conn.execute("select 1").fetchone() == (1,)
    assert stops(data_dir)


def test_the_server_lingers(data_dir: Path) -> None:
    """The next command within the window finds a server that is still warm."""
    server = start_embedded(data_dir, fsync=False, linger=timedelta(seconds=60))
    postmaster = find_postmaster(server.data_dir)
    leave(data_dir)
    # Three looks of the minder's.
    assert not wait_until_stopped(data_dir, timedelta(seconds=1.5))
    with User(data_dir) as user:
        assert user.joined()[0] == postmaster
    _minder(data_dir).kill()
    start(data_dir)


def test_a_minder_that_was_killed_is_replaced_by_the_next_user(data_dir: Path) -> None:
    """Otherwise nobody would ever stop the server."""
    with User(data_dir) as first:
        postmaster, _ = first.joined()
        _minder(data_dir).kill()
        first.go()
        with User(data_dir) as second:
            assert second.joined()[0] == postmaster
            second.die()
    assert stops(data_dir)


def test_a_launcher_killed_while_the_server_starts_leaves_no_server(folder: Path, data_dir: Path) -> None:
    """The minder is there before the server is."""
    programs = _programs(folder, pg_ctl='"$real/pg_ctl" "$@"; touch arrived; sleep 60')
    with User(data_dir, HOLDFAST_PG_BIN=str(programs)) as user:
        _until((data_dir / "arrived").exists)
        assert find_postmaster(data_dir)
        user.die()
    (sleeper,) = (
        process
        for process in psutil.process_iter(["name", "cwd"])
        if process.info["name"] == "sleep" and process.info["cwd"] == str(data_dir)
    )
    sleeper.kill()
    assert stops(data_dir)


def test_a_killed_postmaster_is_restarted_and_what_was_committed_is_there(data_dir: Path) -> None:
    """Recovery from the log, on the next start, by whoever comes."""
    server = start(data_dir)
    with psycopg.connect(server.url) as conn:
        conn.execute("create table kept as select 42 as answer")
    _kill_postmaster(data_dir)

    assert query(start(data_dir), "select answer from kept") == [(42,)]


@pytest.mark.parametrize(
    "pid_file",
    ["", "\n", "{me}", "{me}\n{cluster}\n1700000000\n5432\n{socket}\n\n 5432001 1\nready   \n", "x\0\xff"],
)
def test_lock_files_that_lie_are_not_believed(data_dir: Path, pid_file: str) -> None:
    """A power cut truncates them; after a container's restart their pid is another program's."""
    socket_dir = start(data_dir).socket_dir
    _kill_postmaster(data_dir)
    text = pid_file.format(me=os.getpid(), cluster=data_dir / "pg", socket=socket_dir)
    (data_dir / "pg/postmaster.pid").write_bytes(text.encode("latin-1"))
    (socket_dir / ".s.PGSQL.5432.lock").write_text(text, "latin-1")

    assert find_postmaster(data_dir) is None, "nobody's process may get our signals"
    assert query(start(data_dir), "select 1") == [(1,)]


@linux
def test_a_zombie_postmaster_does_not_count_as_alive(data_dir: Path) -> None:
    """PID 1 of a container may never reap it, and PostgreSQL takes its pid for alive."""
    with User(data_dir, JOIN_AND_NEVER_REAP) as parent:
        postmaster, _ = parent.joined()
        os.kill(postmaster, signal.SIGKILL)
        _until(lambda: psutil.Process(postmaster).status() == psutil.STATUS_ZOMBIE)

        assert query(start(data_dir), "select 1") == [(1,)]
        assert psutil.Process(postmaster).status() == psutil.STATUS_ZOMBIE


def test_a_backend_that_outlives_its_postmaster_is_ended(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two servers on one cluster would destroy it, and waiting for ever is no answer either."""
    monkeypatch.setattr(embedded, "PATIENCE_SECONDS", 0.3)
    server = start(data_dir)
    with psycopg.connect(server.url, autocommit=True) as conn:
        backend = psutil.Process(conn.info.backend_pid)
        backend.suspend()
        _kill_postmaster(data_dir)

        assert query(start(data_dir), "select 1") == [(1,)]
        assert not _is_running(backend.pid)


def test_a_server_whose_socket_was_deleted_is_restarted(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cleaners of /tmp do that; such a server runs and nobody can reach it."""
    monkeypatch.setattr(embedded, "PATIENCE_SECONDS", 0.3)
    server = start(data_dir)
    (server.socket_dir / ".s.PGSQL.5432").unlink()

    assert query(start(data_dir), "select 1") == [(1,)]


def test_starts_at_the_edge_of_the_linger_window_all_succeed(data_dir: Path) -> None:
    """A newcomer finds a server that runs or none, never one that is about to go."""
    for tenths in range(3, 9):
        start(data_dir)
        leave(data_dir)
        time.sleep(tenths / 10)
        assert query(start(data_dir), "select 1") == [(1,)]


def test_a_newcomer_waits_for_the_end_of_a_server_that_is_being_stopped(data_dir: Path) -> None:
    """Frozen in the middle of the stop, so that the moment is exact."""
    start(data_dir)
    postmaster = find_postmaster(data_dir)
    assert postmaster
    os.kill(postmaster, signal.SIGSTOP)
    leave(data_dir)
    _until(lambda: is_held(data_dir / "users.lock"))
    with User(data_dir) as newcomer:
        process = psutil.Process(newcomer.process.pid)
        _until(lambda: str(data_dir / "users.lock") in {file.path for file in process.open_files()})
        os.kill(postmaster, signal.SIGCONT)
        assert newcomer.joined()[0] != postmaster


def test_six_cold_starts_at_once_make_one_server(folder: Path) -> None:
    """Only one may run initdb, and nobody may see half of it."""
    data_dir = folder / "deep/down/data"
    with ExitStack() as stack:
        users = [stack.enter_context(User(data_dir)) for _ in range(6)]
        assert len({user.joined() for user in users}) == 1
        for user in users:
            user.die()
    assert stops(data_dir)


def test_a_crash_while_the_cluster_is_made_leaves_no_half_of_it(folder: Path) -> None:
    """The next start begins again, and what it finds is either complete or not there."""
    data_dir = folder / "data"
    make_half_and_hang = """
        mkdir -p pg.init/base
        echo 18 > pg.init/PG_VERSION
        while [ ! -e end ]; do sleep 0.02; done"""
    programs = _programs(folder, initdb=make_half_and_hang)
    with User(data_dir, HOLDFAST_PG_BIN=str(programs)) as user:
        _until((data_dir / "pg.init/PG_VERSION").exists)
        user.die()
    (data_dir / "end").touch()
    assert not (data_dir / "pg").exists()

    assert query(start(data_dir), "select 1") == [(1,)]
    assert not (data_dir / "pg.init").exists()


def test_data_of_another_major_version_is_refused_and_not_touched(copied_data_dir: Path) -> None:
    """An upgrade is a person's decision; the hint says how."""
    (copied_data_dir / "pg/PG_VERSION").write_text("17\n")

    with pytest.raises(EmbeddedPostgresError, match="written by PostgreSQL 17") as caught:
        start(copied_data_dir)

    assert "db backup" in (caught.value.hint or "")
    assert (copied_data_dir / "pg/PG_VERSION").read_text() == "17\n"


def test_a_cluster_without_a_version_is_refused_and_not_deleted(copied_data_dir: Path) -> None:
    """It may be all that is left of somebody's runs."""
    (copied_data_dir / "pg/PG_VERSION").unlink()

    with pytest.raises(EmbeddedPostgresError, match="no PG_VERSION"):
        start(copied_data_dir)

    assert (copied_data_dir / "pg/base").is_dir()


def test_a_folder_that_holds_something_else_is_refused_and_not_changed(folder: Path) -> None:
    """A wrong data_dir must not make somebody's folder private, or another account's."""
    (folder / "letter.txt").write_text("dear all")
    before = folder.stat()

    with pytest.raises(EmbeddedPostgresError, match="not a data directory"):
        start(folder)

    assert (folder.stat().st_mode, folder.stat().st_uid) == (before.st_mode, before.st_uid)
    assert [entry.name for entry in folder.iterdir()] == ["letter.txt"]


@pytest.mark.parametrize("name", ["d" * 110, "a, b", 'it\'s $(touch pwned) "x" `y`', "größe", "%41 ?&#"])
def test_any_path_works_and_two_processes_agree_on_its_socket(
    folder: Path, finished_cluster: Path, name: str
) -> None:
    """AF_UNIX paths end at 107 bytes, libpq splits hosts at commas, and pg_ctl runs a shell."""
    data_dir = folder / name
    _copy_cluster(finished_cluster, data_dir)
    server = start(data_dir)
    with User(data_dir) as other:
        assert other.joined() == (find_postmaster(data_dir), server.socket_dir)

    assert query(server, "select 1") == [(1,)]
    assert server.socket_dir.stat().st_mode & 0o777 == 0o700
    assert len(os.fsencode(server.socket_dir)) < 90
    assert not list(folder.rglob("pwned"))


@as_root
@pytest.mark.parametrize("trap", ["folder", "link"])
def test_a_socket_folder_that_somebody_else_laid_out_is_refused(folder: Path, trap: str) -> None:
    """In /tmp anybody can guess the name first, and would then see every connection."""
    data_dir = folder / ("d" * 110)
    place = embedded_platform.find_home(data_dir).socket_dir
    if trap == "folder":
        place.mkdir()
        os.chown(place, pwd.getpwnam("daemon").pw_uid, -1)
    else:
        place.symlink_to(folder)
    try:
        with pytest.raises(EmbeddedPostgresError):
            start(data_dir)
        assert not (data_dir / "pg").exists()
    finally:
        place.unlink() if place.is_symlink() else place.rmdir()


@as_root
def test_root_runs_the_server_as_an_account_without_privileges(folder: Path, data_dir: Path) -> None:
    """Nobody by default, a dedicated one by HOLDFAST_PG_USER; parents keep their mode and owner."""
    before = folder.stat()
    start(data_dir)
    assert _owner_of_server(data_dir) == "nobody"

    with User(folder / "other", HOLDFAST_PG_USER="daemon") as user:
        user.joined()
        assert _owner_of_server(folder / "other") == "daemon"
    # Without the variable, too: the server runs as who owns the data.
    assert query(start(folder / "other"), "select 1") == [(1,)]
    assert _owner_of_server(folder / "other") == "daemon"
    assert (folder.stat().st_mode, folder.stat().st_uid) == (before.st_mode, before.st_uid)


@as_root
@pytest.mark.parametrize(("name", "words"), [("root", "is root"), ("no-such", "no account 'no-such'")])
def test_an_account_that_cannot_run_the_server_is_refused(
    folder: Path, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a sentence, not with PostgreSQL's refusal after a minute."""
    monkeypatch.setenv("HOLDFAST_PG_USER", name)
    with pytest.raises(EmbeddedPostgresError, match=words):
        start(folder / "data")


@as_root
def test_below_a_folder_of_roots_alone_data_and_programs_move_and_modes_stay(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A project below /root works, and /root stays closed."""
    closed = folder / "root"
    closed.mkdir(mode=0o700)
    real = embedded_platform.find_binaries()
    for part in ("bin", "lib", "share"):
        if (real.parent / part).exists():
            shutil.copytree(real.parent / part, closed / "wheel/pginstall" / part, symlinks=True)
    libraries = real.parents[1].with_name(f"{real.parents[1].name}.libs")
    if libraries.exists():
        # The wheel's programs look for them by this name, two folders above their own.
        shutil.copytree(libraries, closed / libraries.name, symlinks=True)
        (closed / "wheel").rename(closed / real.parents[1].name)
    monkeypatch.setenv("HOLDFAST_PG_BIN", str(next(closed.glob("*/pginstall/bin"))))
    monkeypatch.setattr(embedded_platform, "ROOT_STORE", folder / "store")

    server = start(closed / "project/data")

    assert query(server, "select 1") == [(1,)]
    assert server.data_dir.is_relative_to(folder / "store/data")
    postmaster = psutil.Process(find_postmaster(server.data_dir))
    assert Path(postmaster.exe()).is_relative_to(folder / "store")
    assert closed.stat().st_mode & 0o777 == 0o700
    closed.chmod(0o755)
    assert start(closed / "project/data").data_dir == server.data_dir


@as_root
def test_an_account_without_privileges_has_a_server_of_its_own(folder: Path) -> None:
    """And root may join it without taking it away."""
    os.chown(folder, pwd.getpwnam("daemon").pw_uid, -1)
    with User(folder / "data", account="daemon") as user:
        postmaster, _ = user.joined()
        assert _owner_of_server(folder / "data") == "daemon"
        server = start(folder / "data")
        assert query(server, "select 1") == [(1,)]
        user.go()
    _kill_postmaster(folder / "data")
    (folder / "data/start.lock").unlink()
    start(folder / "data")
    leave(folder / "data")
    with User(folder / "data", account="daemon") as user:
        assert user.joined()[0] != postmaster
    assert stops(folder / "data")


@as_root
def test_another_account_neither_reaches_the_socket_nor_would_be_let_in(data_dir: Path) -> None:
    """Two locks: the folder's mode, and behind it the kernel's word on who is calling."""
    server = start(data_dir)
    connect = f"import socket; socket.socket(socket.AF_UNIX).connect({str(data_dir / '.s.PGSQL.5432')!r})"
    psql = [embedded_platform.find_binaries() / "psql", server.url, "-c", "select 1"]

    outside = _run_as("daemon", [_python_for("daemon"), "-c", connect])
    assert "PermissionError" in outside.stderr
    data_dir.chmod(0o755)
    (data_dir / ".s.PGSQL.5432").chmod(0o777)
    inside = _run_as("daemon", psql)
    assert "Peer authentication failed" in inside.stderr
    start(data_dir)
    assert data_dir.stat().st_mode & 0o777 == 0o700
    with (
        pytest.raises(AssertionError, match=r"belongs to|Permission denied"),
        User(data_dir, account="daemon") as user,
    ):
        user.joined()


def test_the_users_environment_for_another_server_does_not_matter(
    data_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGPORT would name another socket, PGPASSWORD and PGUSER another login."""
    for name, value in {"PGPORT": "6543", "PGPASSWORD": "x", "PGUSER": "me", "PGDATA": "/nowhere"}.items():
        monkeypatch.setenv(name, value)
    assert query(start(data_dir), "select current_user::text") == [("holdfast",)]


def test_a_server_that_is_kept_alive_needs_no_users_until_it_is_released(data_dir: Path) -> None:
    """`db up` for tools that are not ours; `db down` takes it back."""
    with User(data_dir) as user:
        postmaster, _ = user.joined()
        assert find_postmaster(keep_alive(data_dir).data_dir) == postmaster
        leave(data_dir)
        _minder(data_dir).kill()
        user.go()
    assert not wait_until_stopped(data_dir, timedelta(seconds=1.5))
    with User(data_dir) as user:
        user.joined()
        assert server_state(data_dir).is_kept_alive
        _minder(data_dir).kill()
        assert release(data_dir), "somebody still uses it"
    assert stops(data_dir)
    assert not release(data_dir)


def test_a_keep_alive_of_an_earlier_boot_is_not_believed(data_dir: Path) -> None:
    """Nobody asked for a server after the reboot."""
    start(data_dir)
    (data_dir / "keep_alive").write_text("another boot")
    leave(data_dir)
    assert stops(data_dir)


def test_looking_at_a_server_starts_nothing(folder: Path) -> None:
    """`db status` and `doctor` look."""
    state = server_state(folder / "data")

    assert (state.version, state.is_running, state.is_in_use) == (None, False, False)
    assert not (folder / "data").exists()


def test_the_log_is_bounded_and_its_end_is_in_the_error(copied_data_dir: Path) -> None:
    """It is what a person needs when the server does not start."""
    home = embedded_platform.find_home(copied_data_dir)
    with (copied_data_dir / "server.log").open("wb") as log:
        log.truncate(embedded.LOG_BYTES + 1)
    os.chown(copied_data_dir / "server.log", home.account.uid, home.account.gid)
    with (copied_data_dir / "pg/postgresql.conf").open("a") as conf:
        conf.write("shared_buffers = nonsense\n")

    with pytest.raises(EmbeddedPostgresError, match=r"shared_buffers.*nonsense"):
        start(copied_data_dir)

    assert (copied_data_dir / "server.log").stat().st_size < 10_000
    assert (copied_data_dir / "server.log.1").exists()


def test_a_folder_that_was_deleted_under_us_is_made_again(copied_data_dir: Path) -> None:
    """Our lock is then on a file that no other process sees."""
    start(copied_data_dir)
    _kill_everything(copied_data_dir)
    shutil.rmtree(copied_data_dir)

    assert query(start(copied_data_dir), "select 1") == [(1,)]
    with User(copied_data_dir) as other:
        other.joined()
    assert server_state(copied_data_dir).is_in_use


def test_without_programs_the_error_says_what_to_do(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The three ways out are in the hint."""
    monkeypatch.setattr(embedded_platform, "client_folders", list)
    with pytest.raises(EmbeddedPostgresError) as caught:
        start(folder / "data")
    assert all(way in (caught.value.hint or "") for way in ("pip install", "HOLDFAST_PG_BIN", "DATABASE_URL"))


SYSTEM_PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.mark.skipif(not SYSTEM_PROGRAMS, reason="no PostgreSQL of the system's")
def test_the_systems_programs_work_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second choice, and what HOLDFAST_PG_BIN is for."""
    monkeypatch.setenv("HOLDFAST_PG_BIN", str(SYSTEM_PROGRAMS[0]))
    server = start(folder / "data")
    assert query(server, "select current_user::text") == [("holdfast",)]
    assert server.version == SYSTEM_PROGRAMS[0].parent.name


def _until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def _is_running(pid: int) -> bool:
    # A zombie is not: who reaps it is not our business.
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def _lines(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]


def _kill_postmaster(data_dir: Path) -> None:
    postmaster = find_postmaster(data_dir)
    assert postmaster
    os.kill(postmaster, signal.SIGKILL)
    # The kernel takes a moment, and until then it accepts connections.
    _until(lambda: find_postmaster(data_dir) is None)


def _kill_everything(data_dir: Path) -> None:
    for pid in embedded_platform.server_processes(embedded_platform.find_home(data_dir)):
        os.kill(pid, signal.SIGKILL)
    assert stops(data_dir)


def _minder(data_dir: Path) -> psutil.Process:
    found = [
        process
        for process in psutil.process_iter(["cmdline"])
        if {"-S", str(data_dir)} <= set(process.info["cmdline"] or [])
    ]
    assert len(found) == 1
    return found[0]


def _owner_of_server(data_dir: Path) -> str:
    return psutil.Process(find_postmaster(data_dir)).username()


def _programs(folder: Path, **replaced: str) -> Path:
    """A bin folder like the real one, with some programs replaced by shell scripts."""
    real = REAL_PROGRAMS
    programs = folder / "programs"
    programs.mkdir()
    for name in ("postgres", "initdb", "pg_ctl"):
        if name in replaced:
            (programs / name).write_text(f"#!/bin/sh\nreal='{real}'\n{replaced[name]}\n")
            (programs / name).chmod(0o755)
        else:
            (programs / name).symlink_to(real / name)
    return programs


def _copy_cluster(source: Path, target: Path) -> None:
    target.mkdir(mode=0o700)
    subprocess.run(["cp", "-a", source / "pg", target], check=True)
    (target / "users.lock").touch(mode=0o600)
    os.chown(target / "users.lock", source.stat().st_uid, source.stat().st_gid)


def _python_for(account: str) -> str:
    """An interpreter of our version that this account can reach."""
    entry = pwd.getpwnam(account)
    someone = embedded_platform.Account(entry.pw_uid, entry.pw_gid, account)
    name = f"python3.{sys.version_info.minor}"
    for candidate in filter(None, (sys.executable, shutil.which(name, path="/usr/local/bin:/usr/bin:/bin"))):
        if someone.can_enter(Path(candidate).resolve().parent):
            return candidate
    pytest.skip(f"no {name} that {account} can run")


def _run_as(account: str, command: list[object]) -> subprocess.CompletedProcess[str]:
    group = pwd.getpwnam(account).pw_gid
    return subprocess.run(
        [str(word) for word in command],
        user=account,
        group=group,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
