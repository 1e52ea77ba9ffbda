"""Fills `.venv` from a lock file: once, however many starts want it. Standard library only."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, NoReturn

from framework.setup_env import MADE_BY_US, Need, fail, python_version, say, unmet

OLDEST_PIP = (22, 3)
"""The first pip that can install into another interpreter's environment (`--python`)."""

# Where pip would put things elsewhere than we asked.
_REDIRECTING = frozenset(
    {"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_DRY_RUN", "PYTHONPATH", "PYTHONHOME"}
)


def install_once(need: Need) -> None:
    """Install under a lock that all starts in this folder share; the one that waited finds it done."""
    with (need.root / ".bootstrap.lock").open("w") as lock:
        _hold(lock)
        if need.met_in_venv():
            return
        if need.venv.exists() and not need.is_ours() and any(need.venv.iterdir()):
            missing = ", ".join(unmet(need.requirements, [str(need.packages())]))
            fail(
                f"{need.venv} was not made by Holdfast and is not touched; "
                f"it lacks {missing or 'a Python of 3.11 or newer'}.",
                f"install {need.requirements.name} into it, or move it away and start again.",
            )
        pip = _find_pip()
        _announce(need)
        version = _make_venv(need)
        _fill_venv(need, pip, lock)
        need.marker.write_text(need.seal(version), "utf-8")
        if need.tests:
            # The test lock holds everything of the other one, in the same versions.
            plain = Need(need.root, tests=False)
            plain.marker.write_text(plain.seal(version), "utf-8")


def _hold(lock: IO[str]) -> None:
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another start is setting up .venv; waiting for it.")
        fcntl.flock(lock, fcntl.LOCK_EX)


def _find_pip() -> list[str]:
    """Return the command of a pip that is new enough: this interpreter's, or its base's."""
    base = getattr(sys, "_base_executable", sys.executable)
    message = f"{base} has no pip, which is needed once to set up .venv."
    hint = "Debian, Ubuntu: apt-get install python3-pip. Elsewhere: python3 -m ensurepip."
    for python in dict.fromkeys((sys.executable, base)):
        command = [python, "-m", "pip"]
        answer = subprocess.run([*command, "--version"], capture_output=True, text=True, check=False)  # noqa: S603 - our own interpreter
        found = re.match(r"pip (\d+)\.(\d+)\S*", answer.stdout)
        if found and (int(found[1]), int(found[2])) >= OLDEST_PIP:
            return command
        if found:
            message = f"{found[0]} is too old; 22.3 or newer is needed once to set up .venv."
            hint = f"{base} -m pip install --upgrade pip, or a newer python3-pip."
    return fail(message, hint)


def _announce(need: Need) -> None:
    count = len(re.findall(r"^[A-Za-z0-9]", need.lock.read_text("utf-8"), re.MULTILINE))
    if Need(need.root, tests=False).marker.exists():
        say(f"Updating .venv from {need.lock.name}: about ten seconds, once.")
    else:
        say(f"Setting up .venv from {need.lock.name}: {count} packages, about half a minute, once.")


def _make_venv(need: Need) -> str:
    """Make `.venv` unless it is there and works; return the version of its Python."""
    need.venv.mkdir(exist_ok=True)
    # Written first: whatever follows, the folder is known to be ours and may be completed.
    (need.venv / MADE_BY_US).write_text("Made by main.py; may be removed at any time.\n", "utf-8")
    if need.has_python():
        asked = [str(need.python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
        version = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603 - our own environment
        if version and version == need.version():
            return version
    for link in need.python.parent.glob("python*"):
        # They lead to a Python that is gone, or that was upgraded to a version without our packages.
        link.unlink()
    venv.EnvBuilder(with_pip=False, symlinks=os.name != "nt").create(need.venv)
    return python_version()


def _fill_venv(need: Need, pip: Sequence[str], lock: IO[str]) -> None:
    _forget_half_installed(need.venv)
    command = [*pip, "--python", str(need.python), "install", "-qq", "--disable-pip-version-check"]
    command += ["--require-hashes", "--only-binary", ":all:", "-r", str(need.lock)]
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as output:
        # pip inherits the lock: if this process is killed, nobody starts a second pip beside the first.
        child = subprocess.Popen(  # noqa: S603 - the command is ours
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=_pip_environment(os.environ),
            pass_fds=() if os.name == "nt" else (lock.fileno(),),
        )
        try:
            _wait(child)
        except KeyboardInterrupt:
            # The terminal told pip as well.
            child.wait()
            raise
        output.seek(0)
        said = output.read()
    if child.returncode:
        _fail_with_pips_words(need, said, child.returncode)


def _forget_half_installed(venv: Path) -> None:
    """Let pip install again what it did not finish: it writes INSTALLER near the end."""
    for metadata in venv.glob("lib/python*/site-packages/*.dist-info"):
        if not (metadata / "INSTALLER").exists():
            shutil.rmtree(metadata)


def _pip_environment(environ: Mapping[str, str]) -> dict[str, str]:
    # The user's index and certificates stay; what would send the packages elsewhere goes.
    kept = {name: value for name, value in environ.items() if name not in _REDIRECTING}
    return {**kept, "PIP_USER": "0", "PIP_NO_INPUT": "1"}


def _wait(child: subprocess.Popen[bytes]) -> None:
    """Wait for pip, and show on a terminal that time passes."""
    began = time.monotonic()
    shown = sys.stderr.isatty()
    while True:
        try:
            child.wait(timeout=1)
            break
        except subprocess.TimeoutExpired:
            if shown:
                sys.stderr.write(f"\r  {time.monotonic() - began:3.0f} s ")
                sys.stderr.flush()
    if shown:
        sys.stderr.write("\r" + " " * 12 + "\r")
    if not child.returncode:
        say(f"Done in {time.monotonic() - began:.0f} s.")


def _fail_with_pips_words(need: Need, said: str, code: int) -> NoReturn:
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or [f"exit code {code}"])[-1].removeprefix("ERROR:").strip()
    last = re.sub(r"//[^/@\s]+@", "//***@", last)
    hint = f"what pip was told stands in {need.lock.name}; mend the cause and start again."
    if re.search(r"No matching distribution|Could not (find|fetch)|Connection|timed out|SSL", said):
        hint = (
            "can the package index be reached, and has it wheels for this machine? "
            "pip's own settings are used (pip.conf, PIP_INDEX_URL)."
        )
    elif "HASH" in said.upper():
        hint = "the package index hands out another file than the lock file names; do not go on with it."
    elif "No space left" in said:
        hint = "about 250 MB are needed."
    fail(f"pip could not install {need.lock.name}: {last}", hint)
