"""Stops the embedded server once nobody uses it; run as a script, so standard library only.

Who is alive is read from kernel locks, never from a list of pids: a lock is gone
the moment its last holder is, `kill -9`, zombies and reused pids included.

    users.lock    shared, by every process that uses the server, for its life
    start.lock    exclusive, by whoever makes or starts the server
    server.lock   inherited by the postmaster and so by each of its backends
    minder.lock   inherited by the minder
    keep_alive    not a lock: while it names this boot, the server needs no users

Whoever is connected counts as a user too: a psql knows nothing of our locks.

A launcher takes them in the order users, start, server. The minder ends only
while it holds `users.lock` alone, and gives `minder.lock` back first: whoever was
waiting to become a user then finds that a minder is missing, and starts one.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

USERS = "users.lock"
START = "start.lock"
SERVER = "server.lock"
MINDER = "minder.lock"
KEEP_ALIVE = "keep_alive"
CLUSTER = "pg"

POLL_SECONDS = 0.5
FAST_STOP_SECONDS = 60.0
HARD_STOP_SECONDS = 10.0


def open_lock(path: Path) -> int:
    """Open a lock file, made if it is missing; a symbolic link in its place is an error."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def try_lock(fd: int, operation: int) -> bool:
    """Take `LOCK_SH` or `LOCK_EX` if that needs no waiting."""
    try:
        fcntl.flock(fd, operation | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_held(path: Path) -> bool:
    """Tell whether some process holds this lock exclusively; a file that is missing is not held."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        return not try_lock(fd, fcntl.LOCK_SH)
    finally:
        os.close(fd)


def is_same_file(fd: int, path: Path) -> bool:
    """Tell whether `path` is still the file that `fd` was opened from."""
    try:
        return os.path.samestat(os.fstat(fd), path.stat())
    except FileNotFoundError:
        return False


def boot_id() -> str:
    """Name this boot of this machine, so that what was true before a reboot is not believed."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        command = ["/usr/sbin/sysctl", "-n", "kern.bootsessionuuid"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # ours
        return done.stdout.strip()


def is_kept_alive(root: Path) -> bool:
    """Tell whether `db up` asked for a server that stays without users, since the last boot."""
    try:
        return (root / KEEP_ALIVE).read_text("utf-8").strip() == boot_id()
    except OSError:
        return False


def find_postmaster(root: Path) -> int | None:
    """Return the pid of this cluster's postmaster, or None.

    Only ever used to send a signal. The pid in `postmaster.pid` may be an old one
    that belongs to another program by now, so the process must also be a server
    whose working directory is the cluster. A zombie has none, and is not found.
    """
    cluster = root / CLUSTER
    try:
        pid = int((cluster / "postmaster.pid").read_text("utf-8").split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    if pid <= 1:
        return None
    if Path("/proc/self").exists():
        try:
            is_ours = cluster.samefile(f"/proc/{pid}/cwd")
            name = Path(f"/proc/{pid}/comm").read_text("utf-8")
        except OSError:
            return None
        return pid if is_ours and name.startswith("postgres") else None
    command = ["/bin/ps", "-o", "comm=", "-p", str(pid)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # an int
    return pid if "postgres" in done.stdout else None


def has_clients(root: Path) -> bool:
    """Tell whether anybody is connected, by the titles that PostgreSQL gives its processes.

    `postgres: holdfast langgraph [local] idle` serves a client; the server's own
    processes have no `[local]`. Asking the server itself would take a login and a driver.
    """
    postmaster = find_postmaster(root)
    if postmaster is None:
        return False
    try:
        children = Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text("ascii").split()
    except OSError:
        command = ["/bin/ps", "-axo", "ppid=,command="]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # fixed words
        rows = (line.split(maxsplit=1) for line in done.stdout.splitlines())
        return any(row[0] == str(postmaster) and "[local]" in row[-1] for row in rows if row)
    for pid in children:
        # One that ended meanwhile is no client.
        with contextlib.suppress(OSError):
            if b"[local]" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return True
    return False


def stop_server(root: Path) -> bool:
    """Stop the server and wait for it; True once nothing of it lives.

    Fast first (clients are cut off, a checkpoint is written), after a minute at
    once: the next start then recovers from the log, and nothing committed is lost.
    The caller holds `users.lock` alone, so nobody new comes meanwhile.
    """
    for number, patience in ((signal.SIGINT, FAST_STOP_SECONDS), (signal.SIGQUIT, HARD_STOP_SECONDS)):
        pid = find_postmaster(root)
        if pid is None:
            break
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        end = time.monotonic() + patience
        while is_held(root / SERVER) and time.monotonic() < end:
            time.sleep(0.02)
    return not is_held(root / SERVER)


def mind(root: Path, *, linger_seconds: float, minder_lock: int) -> None:
    """Wait until nobody has used the server for `linger_seconds`, then stop it and return.

    Started before the server, so that no crash of a launcher leaves a server that
    nobody minds. A minder that is killed leaves the server running; the next
    process that uses it starts another minder. When the folder was deleted or
    replaced there is nothing left to mind: PostgreSQL itself notices within a
    minute that its lock file is gone, and ends.
    """
    users = open_lock(root / USERS)
    idle_since: float | None = None
    while True:
        time.sleep(POLL_SECONDS)
        if not is_same_file(users, root / USERS):
            break
        if not try_lock(users, fcntl.LOCK_EX):
            idle_since = None
            continue
        # From here to the unlock, a newcomer waits: it finds a server that runs, or none.
        if not is_held(root / SERVER):
            break
        if is_kept_alive(root) or has_clients(root):
            idle_since = None
        elif idle_since is None:
            idle_since = time.monotonic()
        if idle_since is not None and time.monotonic() - idle_since >= linger_seconds and stop_server(root):
            break
        fcntl.flock(users, fcntl.LOCK_UN)
    os.close(minder_lock)
    os.close(users)


def main(root: str, linger_seconds: str, minder_lock: str) -> None:
    """Leave the caller's process tree, then mind."""
    if os.fork():
        # The caller waits for this exit, so the minder is nobody's child and nobody's zombie.
        os._exit(0)
    os.setsid()
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        # A SIGTERM to all processes of a container reaches the server too, which then ends by itself.
        signal.signal(number, signal.SIG_IGN)
    mind(Path(root), linger_seconds=float(linger_seconds), minder_lock=int(minder_lock))


if __name__ == "__main__":
    main(*sys.argv[1:])
