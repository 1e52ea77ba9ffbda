"""A process that has imported everything and forks a `main.py` whenever it is asked to.

A start of `python3 main.py` costs two seconds of imports, and a crash test needs
hundreds. A fork of this process costs ten milliseconds and then runs the very same
`entry_point` with its own arguments, environment, folder and output. It is forked
before any thread or connection exists, so a child is as fresh as a new interpreter.

Children are reaped at once: a zombie would be known as dead anyway, but nobody
should have to rely on it here.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT_PACKAGES = ("workflows", "mocks")
"""Imported once for what they import, then forgotten: a test brings its own copy of them."""


class Zygote:
    """The test's end: starts children and waits for them; any thread may call it."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.support.zygote", str(theirs.fileno())],
                cwd=REPOSITORY,
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours
        self._lines = ours.makefile("r", encoding="utf-8")
        self._lock = threading.Lock()
        self._exits: dict[int, Future[int]] = {}
        self._pids: dict[int, Future[int]] = {}
        self._number = 0
        if json.loads(self._lines.readline()) != {"ready": True}:
            raise AssertionError("the zygote did not get ready")
        threading.Thread(target=self._listen, name="zygote", daemon=True).start()

    def start(self, order: Mapping[str, Any]) -> tuple[int, Future[int]]:
        """Fork a child; return its pid, and a future of its exit code (negative: ended by a signal)."""
        with self._lock:
            self._number += 1
            number = self._number
            pid: Future[int] = Future()
            self._pids[number], self._exits[number] = pid, Future()
            self._socket.sendall(json.dumps({"number": number, **order}).encode() + b"\n")
        return pid.result(timeout=30), self._exits[number]

    def _listen(self) -> None:
        with suppress(OSError, ValueError):
            for line in self._lines:
                told = json.loads(line)
                if "pid" in told:
                    self._pids[told["number"]].set_result(told["pid"])
                else:
                    self._exits[told["number"]].set_result(told["exit"])

    def close(self) -> None:
        """End it; it kills the children that are left."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._process.wait(timeout=30)
        self._socket.close()


# The other end ------------------------------------------------------------------------------------


def import_everything() -> None:
    """Import all that a verb could want, and forget the modules that a test has its own copies of."""
    from framework.setup_env import set_process_environment

    set_process_environment()
    import framework

    sys.path.append(str(REPOSITORY))
    for package in (framework, *(importlib.import_module(name) for name in PROJECT_PACKAGES)):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if "migrations." not in module.name:
                importlib.import_module(module.name)
    # The planner's libraries build their tables at the first use; half a second that no child needs to spend.
    support = importlib.import_module("tests.unit.planner.support")
    support.plan_of(support.Ctx())
    for name in list(sys.modules):
        if name.partition(".")[0] in PROJECT_PACKAGES:
            del sys.modules[name]
    sys.path.remove(str(REPOSITORY))
    sys.path[:] = [entry for entry in sys.path if entry not in ("", str(REPOSITORY))]
    # `framework` must still be found by name: the parts that are not imported yet, and its files.
    sys.path.append(str(REPOSITORY))


def serve(channel: socket.socket) -> None:
    """Fork on request until the test hangs up, then kill what is left."""
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    os.set_blocking(wake_read, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake_write)
    running: dict[int, int] = {}
    waiting = b""
    channel.sendall(b'{"ready": true}\n')
    while True:
        readable, _, _ = select.select([channel, wake_read], [], [])
        if wake_read in readable:
            with suppress(BlockingIOError):
                os.read(wake_read, 4096)
            _reap(channel, running)
        if channel in readable:
            received = channel.recv(1 << 20)
            if not received:
                break
            *lines, waiting = (waiting + received).split(b"\n")
            for line in lines:
                order = json.loads(line)
                pid = os.fork()
                if pid == 0:
                    signal.set_wakeup_fd(-1)
                    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                    for descriptor in (channel.detach(), wake_read, wake_write):
                        os.close(descriptor)
                    _be_main(order)
                running[pid] = order["number"]
                _tell(channel, number=order["number"], pid=pid)
    for pid in running:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def _reap(channel: socket.socket, running: dict[int, int]) -> None:
    for pid in list(running):
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            _tell(channel, number=running.pop(pid), exit=os.waitstatus_to_exitcode(status))


def _tell(channel: socket.socket, **facts: int) -> None:
    with suppress(BrokenPipeError):
        channel.sendall(json.dumps(facts).encode() + b"\n")


def _be_main(order: Mapping[str, Any]) -> NoReturn:
    """Be `python3 main.py` from here on."""
    code = 1
    try:
        os.setsid()
        for name, descriptor in (("stdout", 1), ("stderr", 2)):
            file = os.open(order[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            os.dup2(file, descriptor)
            os.close(file)
        os.environ.clear()
        os.environ.update(order["env"])
        os.chdir(order["cwd"])
        sys.argv = [str(REPOSITORY / "main.py"), *order["arguments"]]
        for hook in order["hooks"]:
            _call(hook["name"], hook.get("arguments", ()))
        from framework.cli.app import entry_point

        entry_point(REPOSITORY, order["arguments"])
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1 if ended.code else 0
    except BaseException:  # noqa: BLE001  # a child must never come back to the loop of its parent
        sys.excepthook(*sys.exc_info())
    finally:
        with suppress(Exception):
            # What a real interpreter does at its end: pools and writers register themselves here.
            threading._shutdown()
            importlib.import_module("atexit")._run_exitfuncs()
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code & 0xFF)


def _call(name: str, arguments: Sequence[Any]) -> None:
    module, _, function = name.partition(":")
    getattr(importlib.import_module(module), function)(*arguments)


def main() -> None:
    """Import, freeze, and serve on the descriptor that argv names."""
    import_everything()
    # Each child imports its project's nodes: compiled once is enough, whatever this test run was told.
    sys.dont_write_bytecode = False
    if (
        len(list(Path("/proc/self/task").iterdir())) != 1
    ):  # a lock of another thread would stay held in a child
        raise SystemExit(f"threads exist before the first fork: {threading.enumerate()}")
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))


if __name__ == "__main__":
    main()
