"""Faults that end a real process, and what the process after it does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.faults.support import FileRecords

ROOT = Path(__file__).resolve().parents[3]

PROCESS = """
import asyncio, sys
from pathlib import Path
from framework.graph.context import Point
from tests.unit.faults.support import a_commit, a_try, injector

async def main(path, faults, counted):
    hook = injector(Path(path), faults)
    # Without a flush of the journal, each process believes that its try is the first.
    scope = a_try(number=int(counted))
    await hook.at(Point.BEFORE, scope)
    print("began", end="")
    await hook.at(Point.INSIDE, scope)
    await hook.at(Point.AFTER, scope)
    await hook.at(Point.BEFORE_COMMIT, a_commit("writes", 1, "extract"))
    print(" saved", end="")
    await hook.at(Point.AFTER_COMMIT, a_commit("writes", 1, "extract"))
    await hook.at(Point.BEFORE_COMMIT, a_commit("checkpoint", 1))
    print(" done", end="")

asyncio.run(main(*sys.argv[1:]))
"""


def start(path: Path, faults: str, counted: int = 1) -> tuple[int, str]:
    """Run one process to its end; its exit code, and what it printed (to a pipe, so buffered)."""
    # Unbuffered, the last words would be seen without a flush as well.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        [sys.executable, "-c", PROCESS, str(path), faults, str(counted)],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.mark.parametrize(
    ("where", "printed"),
    [
        ("node: extract, where: before", ""),
        ("node: extract, where: inside", "began"),
        ("node: extract, where: before_commit", "began"),
        ("node: extract, where: after_commit", "began saved"),
        ("node: '*', where: before_commit, on: checkpoint", "began saved"),
    ],
)
def test_a_killed_process_is_known_to_the_next(tmp_path: Path, where: str, printed: str) -> None:
    """The kill is real, at its point, with the output seen; the next start goes through."""
    path = tmp_path / "fired"
    faults = f"  - {{{where}, kill: true, attempts: [1]}}\n"
    assert start(path, faults) == (-signal.SIGKILL, printed)
    (fault,) = FileRecords(path).everything()
    assert fault.ends_process
    assert start(path, faults) == (0, "began saved done")


def test_two_kills_in_a_row_and_then_success(tmp_path: Path) -> None:
    """`times` counts over processes; a journal that is right counts to the same."""
    path = tmp_path / "fired"
    faults = "  - {node: extract, where: inside, kill: true, times: 2}\n"
    codes = [start(path, faults, counted)[0] for counted in (1, 2, 3)]
    assert codes == [-signal.SIGKILL, -signal.SIGKILL, 0]
    assert [fault.try_number for fault in FileRecords(path).everything()] == [1, 2]


def test_an_exit_has_its_code_and_runs_no_cleanup(tmp_path: Path) -> None:
    """As an out-of-memory guard or a segfault would end a process."""
    path = tmp_path / "fired"
    faults = "  - {node: extract, where: after, exit: 7, times: 1}\n"
    assert start(path, faults) == (7, "began")
    assert start(path, faults) == (0, "began saved done")
