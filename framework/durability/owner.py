"""Who drives a run: one process, named so that another on the same host can tell whether it lives.

A process id alone is reused; with the start time it is not. The boot id and
the pid namespace say within which world the pid means anything: a container
cannot see its neighbour's processes and must wait for the lease instead.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Owner:
    """Host, boot, pid namespace, pid and start of a process."""

    host: str
    boot: str
    namespace: str
    pid: int
    start: str

    def __str__(self) -> str:
        """Return the form that stands in the database."""
        return f"{self.host}/{self.boot}/{self.namespace}/{self.pid}/{self.start}"

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Read what `str()` wrote; None for anything else."""
        parts = text.rsplit("/", 4)
        if len(parts) != 5 or not parts[3].isdigit():  # the five fields
            return None
        host, boot, namespace, pid, start = parts
        return cls(host, boot, namespace, int(pid), start)

    @property
    def short(self) -> str:
        """Return what a person wants to read."""
        return f"{self.host}:{self.pid}"


def current_owner() -> Owner:
    """Return this process."""
    # Not cached: a forked child is another owner.
    start = _start_of(os.getpid())
    return Owner(socket.gethostname(), _boot_id(), _pid_namespace(), os.getpid(), start or "0")


def is_dead(text: str) -> bool:
    """Whether the owner is known to be gone; False means alive, or not ours to see.

    A zombie is dead: it writes nothing more. A stopped process is not.
    """
    owner = Owner.parse(text)
    if owner is None or owner.boot != _boot_id() or owner.namespace != _pid_namespace():
        return False
    start = _start_of(owner.pid)
    return start is None or start != owner.start


@cache
def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    except OSError:
        return f"{psutil.boot_time():.0f}"


def _pid_namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)  # noqa: PTH116  # follows the magic link
    except OSError:
        return "0"


def _start_of(pid: int) -> str | None:
    """Return when a process started, in the kernel's own unit; None when it is gone or a zombie."""
    try:
        # psutil's create_time moves when the host's clock is set; the kernel's ticks do not.
        text = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None if Path("/proc/self").exists() else _start_elsewhere(pid)
    except OSError:
        return _start_elsewhere(pid)
    fields = text.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else fields[19]


def _start_elsewhere(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return None
        return f"{process.create_time():.2f}"
    except psutil.NoSuchProcess:
        return None
