"""`test`: what a developer and CI both run: ruff, mypy, pytest."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import render
from framework.cli.app import Invocation
from framework.errors import Drained, UsageError

CHECKS = {
    "ruff": ("ruff", "check", "."),
    "mypy": ("mypy", "--strict"),
}
"""Name → module and arguments; what they look at stands in pyproject.toml."""

_PYTEST_INTERRUPTED, _PYTEST_USAGE = 2, 4
"""Two of pytest's exit codes that are not ours."""


@dataclass(slots=True)
class _Check:
    name: str
    passed: bool
    output: str
    seconds: float


def run_tests(
    ctx: typer.Context,
    long: Annotated[bool, typer.Option("--long", help="Also the tests that take minutes.")] = False,
) -> None:
    """Run ruff and mypy side by side, then pytest.

    Arguments go to pytest, and then only pytest runs: `test tests/unit -k durations`.
    """
    invocation: Invocation = ctx.obj
    missing = [name for name in (*CHECKS, "pytest") if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"missing here: {', '.join(missing)}.",
            hint="install requirements-dev.txt, or unset HOLDFAST_NO_BOOTSTRAP",
        )
    failed = [] if ctx.args else _run_checks(invocation.root)
    code = _run_pytest(invocation.root, ctx.args, long=long)
    if failed:
        render.print_line(f"FAILED: {', '.join(failed)} (see above)")
    raise typer.Exit(code or (1 if failed else 0))


def _run_checks(root: Path) -> list[str]:
    """Run the checks at once, print each as it ends, and return the names of those that failed."""
    failed: list[str] = []
    printing = threading.Lock()

    def run(name: str) -> None:
        check = _check(root, name)
        with printing:
            if not check.passed:
                failed.append(name)
                render.print_line(check.output.rstrip())
            outcome = "ok" if check.passed else "FAILED"
            render.print_line(f"{name}: {outcome} ({render.elapsed(check.seconds)})")
            sys.stdout.flush()

    threads = [threading.Thread(target=run, args=(name,), name=name) for name in CHECKS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failed


def _check(root: Path, name: str) -> _Check:
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603 - the commands stand above
        [sys.executable, "-m", *CHECKS[name]],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return _Check(name, done.returncode == 0, done.stdout, time.monotonic() - began)


def _run_pytest(root: Path, arguments: Sequence[str], *, long: bool) -> int:
    command = [sys.executable, "-m", "pytest"]
    if not arguments:
        # One process a core; each has a database server of its own. A file's tests stay together.
        command += ["-n", "auto", "--dist", "loadfile"]
    # A test that is named outright runs, however long it takes; a later -m wins over this one.
    if not long and not any("::" in argument for argument in arguments):
        command += ["-m", "not long"]
    sys.stdout.flush()
    child = subprocess.Popen([*command, *arguments], cwd=root, env={**os.environ, "PYTHONUNBUFFERED": "1"})  # noqa: S603 - our own pytest
    while True:
        try:
            code = child.wait()
            break
        except KeyboardInterrupt:
            # The terminal told pytest as well; it ends with its summary.
            continue
    if code in {_PYTEST_INTERRUPTED, -2}:
        return Drained.exit_code
    return {0: 0, _PYTEST_USAGE: 2}.get(code, 1)
