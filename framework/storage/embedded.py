"""A private PostgreSQL from a wheel's programs, shared by all processes of this host.

It starts with the first process that needs it and stops `linger` after the last
one is gone, however that one went, and nobody is connected any more. It is not
reachable by TCP, and not by any other account: its folder and its socket's folder
are 0700, and the server asks the kernel who is calling (`peer`). So there is no
password to leak from an address, a log or `ps`, and none for a forgotten PGPASSWORD
to get in the way of.

    holdfast_admin    owns the cluster: set-up, backup, test databases; never at run time
    holdfast          owns the database `langgraph`, may not create roles or databases

What a crash leaves, step by step (locks: see embedded_minder.py):

    making the cluster    `pg.init`, removed by the next start; `pg` appears by one rename, complete
    starting the server   the orphan holds `server.lock`; the next start waits for it and uses it
    before the minder     cannot be: the minder comes before the server
    the minder dies       the server stays until the next user, which starts another minder
    the server dies       the next start recovers from the log; nothing committed is lost
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.parse import quote

from framework.errors import EmbeddedPostgresError
from framework.storage import embedded_minder, embedded_platform
from framework.storage.embedded_minder import CLUSTER, KEEP_ALIVE, MINDER, SERVER, START, USERS, try_lock
from framework.storage.embedded_platform import Home

ADMIN_ROLE = "holdfast_admin"
RUNTIME_ROLE = "holdfast"
DATABASE = "langgraph"
PORT = 5432

LINGER = timedelta(seconds=3)
TIMEOUT = timedelta(seconds=120)
# How long something that holds `server.lock` may refuse connections before it is ended.
PATIENCE_SECONDS = 10.0
POLL_SECONDS = 0.02
LOG_BYTES = 10_000_000

# Read by `postgres --single`: one statement a line, and an error ends it.
SET_UP = f"""\
alter system set max_connections = 200
alter system set idle_in_transaction_session_timeout = '10min'
alter system set client_connection_check_interval = '5s'
alter system set timezone = 'UTC'
alter system set log_timezone = 'UTC'
create role {RUNTIME_ROLE} login nosuperuser nocreatedb nocreaterole noreplication nobypassrls
create database {DATABASE} owner {RUNTIME_ROLE}
"""

# The descriptors of `users.lock`, held until this process ends, by data directory.
_joined: dict[Path, int] = {}
_joined_guard = threading.Lock()


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A server that runs and answers.

    `url` is what everything connects with. `admin_url` is the superuser's, for
    test databases and repairs, never for a run. `data_dir` is where the data
    really lies, which as root may not be where it was asked for. `version` is
    PostgreSQL's major version.
    """

    url: str
    admin_url: str
    data_dir: Path
    socket_dir: Path
    version: str


@dataclass(frozen=True, slots=True)
class EmbeddedState:
    """What is known of an embedded server without starting it; `version` is None before the first start."""

    data_dir: Path
    socket_dir: Path
    version: str | None
    is_running: bool
    is_in_use: bool
    is_kept_alive: bool


def start_embedded(
    data_dir: Path, *, fsync: bool = True, linger: timedelta = LINGER, timeout: timedelta = TIMEOUT
) -> EmbeddedServer:
    """Return the running server of a data directory: join it, start it, or make it first.

    This process counts as a user from now until it ends, `kill -9` included.
    Safe in any number of processes and threads at once; a cold start takes about
    a second, joining a few milliseconds. Blocks: call it from a thread if a loop runs.

    Args:
        data_dir: Kept from run to run, on a file system of this host. Its parents are made.
        fsync: Off for test clusters only; a power cut then loses everything. Counts for
            the process that starts the server, not for those that join.
        linger: How long the server outlives its last user. Counts for the first user.
        timeout: For everything, recovery after a crash included.

    Raises:
        EmbeddedPostgresError: It cannot start; the message has the end of its log.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    home = embedded_platform.find_home(data_dir)
    embedded_platform.prepare_home(home)
    try:
        _join(home, deadline)
        with _start_lock(home, deadline):
            _ensure_minder(home, linger)
            _ensure_server(home, deadline, fsync=fsync)
    except OSError as error:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL in {home.root} does not start: {error}.",
            hint="Set DATABASE_URL to another server, or repair what the message names.",
        ) from error
    return EmbeddedServer(
        url=_url(home, RUNTIME_ROLE, DATABASE),
        admin_url=_url(home, ADMIN_ROLE, "postgres"),
        data_dir=home.root,
        socket_dir=home.socket_dir,
        version=_cluster_version(home) or "",
    )


def leave(data_dir: Path) -> None:
    """Stop counting as a user before the process ends; while a connection is open, that counts instead."""
    home = embedded_platform.find_home(data_dir)
    with _joined_guard:
        fd = _joined.pop(home.root, None)
    if fd is not None:
        os.close(fd)


def keep_alive(data_dir: Path) -> EmbeddedServer:
    """Start the server and let it stay without users, until `release` or a reboot.

    What remains is a file that names this boot, so a crash after it is written
    leaves a server that stays up, and a reboot ends that.
    """
    server = start_embedded(data_dir)
    home = embedded_platform.find_home(data_dir)
    embedded_platform.write_private(home.root / KEEP_ALIVE, embedded_minder.boot_id(), home.account)
    return server


def release(data_dir: Path) -> bool:
    """Take `keep_alive` back; the server stops once its other users are gone.

    Leaves this process out of the count. Returns whether others still use the server.
    """
    home = embedded_platform.find_home(data_dir)
    (home.root / KEEP_ALIVE).unlink(missing_ok=True)
    leave(data_dir)
    if embedded_minder.is_held(home.root / SERVER):
        # The minder may have been killed meanwhile, and then nobody would stop the server.
        _ensure_minder(home, LINGER)
    return _is_in_use(home)


def wait_until_stopped(data_dir: Path, timeout: timedelta) -> bool:
    """Wait until nothing of the server lives; False if it still does after `timeout`."""
    lock = embedded_platform.find_home(data_dir).root / SERVER
    end = time.monotonic() + timeout.total_seconds()
    while embedded_minder.is_held(lock):
        if time.monotonic() > end:
            return False
        time.sleep(POLL_SECONDS)
    return True


def server_state(data_dir: Path) -> EmbeddedState:
    """Look at a data directory without starting, joining or changing anything."""
    home = embedded_platform.find_home(data_dir)
    try:
        return EmbeddedState(
            data_dir=home.root,
            socket_dir=home.socket_dir,
            version=_cluster_version(home),
            is_running=_is_ready(home),
            is_in_use=_is_in_use(home),
            is_kept_alive=embedded_minder.is_kept_alive(home.root),
        )
    except PermissionError as error:
        raise EmbeddedPostgresError(
            f"{home.root} belongs to another account.",
            hint="Run this as that account, or set postgres.data_dir or DATABASE_URL.",
        ) from error


def _url(home: Home, role: str, database: str) -> str:
    # The port is there although it is the default: a PGPORT in the environment would win.
    return f"postgresql://{role}@/{database}?host={quote(str(home.socket_dir), safe='')}&port={PORT}"


def _open_lock(home: Home, name: str) -> int:
    """Open a lock file so that the account, too, can open it later."""
    fd = embedded_minder.open_lock(home.root / name)
    if home.account.is_other and os.fstat(fd).st_uid != home.account.uid:
        os.fchown(fd, home.account.uid, home.account.gid)
    return fd


def _join(home: Home, deadline: float) -> None:
    """Hold `users.lock`, shared, for the life of this process."""
    with _joined_guard:
        held = _joined.get(home.root)
        if held is not None:
            if embedded_minder.is_same_file(held, home.root / USERS):
                return
            # The folder was deleted and made again: our lock is on a file that nobody sees any more.
            os.close(_joined.pop(home.root))
        fd = _open_lock(home, USERS)
        try:
            _wait_for_lock(fd, fcntl.LOCK_SH, deadline, "the end of a server that is being stopped")
        except EmbeddedPostgresError:
            os.close(fd)
            raise
        _joined[home.root] = fd


@contextlib.contextmanager
def _start_lock(home: Home, deadline: float) -> Iterator[None]:
    """Hold `start.lock`: one process at a time makes or starts this server.

    Without it, those who wait could not tell a slow initdb from a server that is stuck.
    """
    fd = _open_lock(home, START)
    try:
        _wait_for_lock(fd, fcntl.LOCK_EX, deadline, "another process that is starting the server")
        yield
    finally:
        # Unlocked, not only closed: a process forked meanwhile would hold it on.
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)


def _wait_for_lock(fd: int, operation: int, deadline: float, reason: str) -> None:
    """Poll, since a blocking flock knows no end and a frozen holder would freeze us."""
    while not try_lock(fd, operation):
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"The embedded PostgreSQL is not ready: waited too long for {reason}.",
                hint="Try again; `main.py db status` tells more.",
            )
        time.sleep(POLL_SECONDS)


def _ensure_minder(home: Home, linger: timedelta) -> None:
    """Start a minder unless one lives; it holds its lock by inheriting the descriptor."""
    fd = _open_lock(home, MINDER)
    try:
        if not try_lock(fd, fcntl.LOCK_EX):
            return
        script = Path(embedded_minder.__file__).resolve()
        arguments = [str(home.root), str(linger.total_seconds()), str(fd)]
        done = subprocess.run(  # noqa: S603  # our own script, no shell
            # -I and -S: nothing of the user's environment or of site-packages is loaded.
            [sys.executable, "-I", "-S", str(script), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            cwd="/",
            pass_fds=(fd,),
            check=False,
        )
    finally:
        os.close(fd)
    if done.returncode:
        raise EmbeddedPostgresError(
            f"The process that stops the embedded PostgreSQL does not start ({script.name}, "
            f"exit code {done.returncode}).",
            hint="Set DATABASE_URL to a server, or run with another Python.",
        )


def _ensure_server(home: Home, deadline: float, *, fsync: bool) -> None:
    """Return once the server accepts connections. The caller holds `users.lock` and `start.lock`."""
    patience_end = time.monotonic() + PATIENCE_SECONDS
    number = signal.SIGINT
    while not _is_ready(home):
        fd = _open_lock(home, SERVER)
        try:
            if try_lock(fd, fcntl.LOCK_EX):
                # Nothing of any earlier server lives, whatever the files say.
                _make_cluster(home, fd, deadline, fsync=fsync)
                _start(home, fd, deadline, fsync=fsync)
                return
        finally:
            # Never unlocked by us: that would take the lock from the server as well.
            os.close(fd)
        if _is_listening(home) and _status(home) == "starting":
            patience_end = time.monotonic() + PATIENCE_SECONDS  # recovering: takes as long as it takes
        elif time.monotonic() > patience_end:
            _end_stuck_server(home, number)
            number = signal.SIGKILL
            patience_end = time.monotonic() + PATIENCE_SECONDS
        if time.monotonic() > deadline:
            raise EmbeddedPostgresError(
                f"The embedded PostgreSQL in {home.root} is still {_status(home) or 'stopping'}.",
                hint=f"Try again; its log is {home.root / 'server.log'}",
            )
        time.sleep(POLL_SECONDS)


def _end_stuck_server(home: Home, number: signal.Signals) -> None:
    """End what holds `server.lock` but does not answer.

    A query that outlived its killed postmaster, or a server whose socket was
    deleted. First the postmaster is asked, then everything in the folder is killed.
    """
    postmaster = embedded_minder.find_postmaster(home.root)
    if postmaster and number != signal.SIGKILL:
        with contextlib.suppress(ProcessLookupError):
            os.kill(postmaster, number)
        return
    for pid in embedded_platform.server_processes(home):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _make_cluster(home: Home, server_lock: int, deadline: float, *, fsync: bool) -> None:
    """Make the cluster with its roles and its database, unless it is there.

    Everything happens in `pg.init`, which becomes `pg` by one rename; with `fsync`
    all of it is on the disk before that. The programs inherit `server.lock`: should
    we die, the next start waits for them to end before it clears up.
    """
    binaries = embedded_platform.reachable_binaries(home.account)
    major = embedded_platform.major_version(binaries)
    if home.cluster.exists():
        _check_version(home, major, binaries)
        return
    temporary = home.root / f"{CLUSTER}.init"
    shutil.rmtree(temporary, ignore_errors=True)
    initdb = [str(binaries / "initdb"), "-D", temporary.name]
    options = ["-U", ADMIN_ROLE, "-A", "peer", "-E", "UTF8", "--locale=C", "--data-checksums", "--no-sync"]
    _run(home, [*initdb, *options], server_lock, deadline)
    single = [str(binaries / "postgres"), "--single", "-D", temporary.name, "-c", "exit_on_error=on"]
    _run(home, [*single, "-c", "fsync=off", "postgres"], server_lock, deadline, text=SET_UP)
    if fsync:
        _run(home, [*initdb, "--sync-only"], server_lock, deadline)
    temporary.rename(home.cluster)
    if fsync:
        folder = os.open(home.root, os.O_RDONLY | os.O_DIRECTORY)
        os.fsync(folder)
        os.close(folder)


def _check_version(home: Home, major: str, binaries: Path) -> None:
    """Refuse a cluster of another major version; it is never upgraded behind anyone's back."""
    found = _cluster_version(home)
    if found is None:
        raise EmbeddedPostgresError(
            f"{home.cluster} has no PG_VERSION, so it is not a complete data directory.",
            hint="Bring it back from a backup, or move it away to start with an empty database.",
        )
    if found != major:
        raise EmbeddedPostgresError(
            f"The data in {home.cluster} was written by PostgreSQL {found}, "
            f"and the programs in {binaries} are PostgreSQL {major}.",
            hint=f"Dump it with the old programs and restore it with the new ones:\n"
            f"  HOLDFAST_PG_BIN=<bin folder of PostgreSQL {found}> python3 main.py db backup before.dump\n"
            f"  mv {shlex.quote(str(home.cluster))} {shlex.quote(str(home.cluster))}-{found}\n"
            f"  python3 main.py db restore before.dump",
        )


def _start(home: Home, server_lock: int, deadline: float, *, fsync: bool) -> None:
    """Start the server on a cluster that nothing lives in, and wait until it answers.

    Who may come in, and where, is written anew at each start: a folder that was
    moved or handed to another account works, and a line added by hand does not stay.
    """
    binaries = embedded_platform.reachable_binaries(home.account)
    # Both name a pid, and PostgreSQL takes a reused pid, or a zombie's, for a server that lives.
    for stale in (home.cluster / "postmaster.pid", home.socket, Path(f"{home.socket}.lock")):
        stale.unlink(missing_ok=True)
    names = {home.account.name, embedded_platform.account_named_root()}
    roles = (RUNTIME_ROLE, ADMIN_ROLE)
    ident = "".join(f'local "{name}" {role}\n' for name in sorted(names) for role in roles)
    embedded_platform.write_private(home.cluster / "pg_ident.conf", ident, home.account)
    hba = "# Written by Holdfast at each start: no TCP, no passwords, the kernel says who calls.\n"
    embedded_platform.write_private(
        home.cluster / "pg_hba.conf", f"{hba}local all all peer map=local\n", home.account
    )
    log = home.root / "server.log"
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.replace(home.root / "server.log.1")
    begin = log.stat().st_size if log.exists() else 0
    on = "on" if fsync else "off"
    settings = {
        "listen_addresses": "",
        "port": str(PORT),
        "unix_socket_directories": str(home.socket_dir),
        "unix_socket_permissions": "0700",
        "logging_collector": "off",
        "fsync": on,
        # On without fsync too: it costs little then, and a killed server still keeps what was committed.
        "synchronous_commit": "on",
        "full_page_writes": on,
    }
    options = shlex.join(part for name, value in settings.items() for part in ("-c", f"{name}={value}"))
    seconds = max(1, int(deadline - time.monotonic()))
    # Relative paths: pg_ctl puts them into a shell's command line, and ours may hold any character.
    command = [str(binaries / "pg_ctl"), "start", "-D", CLUSTER, "-l", log.name, "-o", options]
    try:
        _run(home, [*command, "-w", "-t", str(seconds)], server_lock, deadline + 5)
    except EmbeddedPostgresError as error:
        raise EmbeddedPostgresError(
            f"The embedded PostgreSQL in {home.root} does not start:\n{_tail(log, begin) or error.message}",
            hint=f"Its whole log is {log}",
        ) from error


def _run(
    home: Home, command: Sequence[str], server_lock: int, deadline: float, *, text: str | None = None
) -> None:
    """Run one of PostgreSQL's programs as the account, in the home, in a session of its own.

    Of its own, so that Ctrl-C ends us and not, half way, what it is doing.
    """
    account = home.account
    # Files, not pipes: the server inherits them, and a pipe would stay open as long as it lives.
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as source:
        source.write((text or "").encode())
        source.seek(0)
        try:
            done = subprocess.run(  # noqa: S603  # programs that find_binaries chose, no shell
                command,
                stdin=source,
                stdout=output,
                stderr=output,
                cwd=home.root,
                env=embedded_platform.server_environment(),
                timeout=max(1.0, deadline - time.monotonic()),
                user=account.uid if account.is_other else None,
                group=account.gid if account.is_other else None,
                extra_groups=[] if account.is_other else None,
                umask=0o077,
                start_new_session=True,
                pass_fds=(server_lock,),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise EmbeddedPostgresError(f"{Path(command[0]).name} took too long.") from error
        if done.returncode:
            output.seek(0)
            words = output.read().decode(errors="replace").strip()[-2000:]
            raise EmbeddedPostgresError(f"{Path(command[0]).name} failed ({done.returncode}):\n{words}")


def _is_ready(home: Home) -> bool:
    """Tell whether the server accepts connections; costs one connect, and no login."""
    return _status(home) == "ready" and _is_listening(home)


def _is_listening(home: Home) -> bool:
    # A connect is answered by the kernel and only for a live listener: no pid is believed.
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(5)
        try:
            probe.connect(str(home.socket))
        except (FileNotFoundError, ConnectionRefusedError, TimeoutError):
            return False
    return True


def _status(home: Home) -> str:
    """Return the eighth line of `postmaster.pid`: starting, ready, stopping; empty if there is none."""
    try:
        lines = (home.cluster / "postmaster.pid").read_text("utf-8", "replace").splitlines()
    except FileNotFoundError:
        return ""
    return lines[7].strip() if len(lines) > 7 else ""


def _cluster_version(home: Home) -> str | None:
    try:
        return (home.cluster / "PG_VERSION").read_text("ascii").strip()
    except FileNotFoundError:
        return None


def _is_in_use(home: Home) -> bool:
    """Tell whether any process holds `users.lock`, or is connected.

    The minder's own look at the lock lasts a moment, so ours is repeated.
    """
    if embedded_minder.has_clients(home.root):
        return True
    try:
        fd = os.open(home.root / USERS, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        for _ in range(5):
            if try_lock(fd, fcntl.LOCK_EX):
                return False
            time.sleep(POLL_SECONDS)
        return True
    finally:
        os.close(fd)


def _tail(log: Path, begin: int) -> str:
    """Return the end of what the log got since `begin`."""
    try:
        with log.open("rb") as file:
            file.seek(begin)
            return file.read().decode(errors="replace").strip()[-2000:]
    except OSError:
        return ""
