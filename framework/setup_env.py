"""The first start: makes `.venv` beside main.py and goes on inside it. Standard library only.

Neither ensurepip nor a pip inside the environment is needed: Debian ships
Python without the one, and PEP 668 forbids installing outside of one. So the
environment is made empty, and the system's pip fills it from the lock file.

An environment is ready when its marker holds the hash of the lock file and the
Python version. The marker is written last, so an install that was cut off is
done again. Nothing here ever empties an environment: another process may be
running from it.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

VALUE_OPTIONS = frozenset({"--set", "--root"})
"""Options of main.py that stand before the verb and are followed by a value."""

MADE_BY_US = ".holdfast-made"
"""The file that says that a `.venv` is ours and may be completed."""

_REENTERED = "HOLDFAST_REENTERED"
_REQUIREMENT = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*)\s*(?:\[[^\]]*\])?\s*([^;#]*)")
_CLAUSE = re.compile(r"(==|>=|<=|<|>)\s*([0-9.]+)")
_DISTRIBUTION = re.compile(r"(.+?)-(\d[^-]*)(?:-py[\d.]+)?\.(?:dist|egg)-info")


def set_process_environment() -> None:
    """Set what LangGraph and LangSmith read when they are imported; call it before either is.

    Strict msgpack refuses stored types that are not on the allow-list. Tracing
    to a third party is off unless the user has asked for it.
    """
    os.environ["LANGGRAPH_STRICT_MSGPACK"] = "true"
    os.environ.setdefault("LANGSMITH_TRACING", "false")


def ensure_environment(root: Path, arguments: Sequence[str]) -> None:
    """Return if this interpreter has what is needed; otherwise replace the process by one that has.

    Ends the process with code 2 and one clear line where that cannot be done.
    """
    set_process_environment()
    need = Need(root, tests=_verb(arguments) == "test")
    if need.met_here():
        return
    missing = unmet(need.requirements, sys.path)
    if os.environ.get("HOLDFAST_NO_BOOTSTRAP", "").lower() not in {"", "0", "false", "no"}:
        if missing:
            fail(
                f"missing here: {', '.join(missing)}.",
                f"HOLDFAST_NO_BOOTSTRAP is set, so nothing is installed. Install {need.requirements.name}.",
            )
        return
    if not need.met_in_venv():
        try:
            from framework.setup_install import install_once

            install_once(need)
        except OSError as error:
            where = f" ({error.filename})" if error.filename else ""
            fail(
                f"cannot set up {need.venv}: {error.strerror or error}{where}.",
                f"make the folder writable, or install {need.requirements.name} "
                "elsewhere and run main.py with that Python.",
            )
        except ImportError as error:
            fail(
                f"this Python has no module {error.name!r}, which is needed once to set up .venv.",
                "Debian, Ubuntu: apt-get install python3-venv python3-pip.",
            )
        except KeyboardInterrupt:
            say("Stopped while setting up .venv; the next start goes on with it.")
            sys.exit(130)
    _enter(need)


class Need:
    """What this start needs, and where it would be."""

    def __init__(self, root: Path, *, tests: bool) -> None:
        suffix = "-dev" if tests else ""
        self.root = root
        self.tests = tests
        self.venv = root / ".venv"
        self.python = self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        self.requirements = root / f"requirements{suffix}.txt"
        self.lock = root / f"requirements{suffix}.lock"
        for file in (self.requirements, self.lock):
            if not file.is_file():
                fail(f"{file} is missing.", "the folder of main.py is incomplete; fetch it again.")

    def met_here(self) -> bool:
        """Whether the running interpreter will do."""
        if self.is_ours() and self.is_inside():
            # Here the lock decides: a newer one is installed, even where the old versions would do.
            return self.met_in_venv()
        return not unmet(self.requirements, sys.path)

    def met_in_venv(self) -> bool:
        """Whether `.venv` can be entered as it is, whoever made it."""
        if not self.has_python():
            return False
        version = self.version()
        if self.is_ours():
            try:
                return self.marker.read_text("utf-8") == self.seal(version)
            except OSError:
                return False
        recent = tuple(int(part) for part in version.split(".") if part) >= (3, 11)
        return recent and not unmet(self.requirements, [str(self.packages())])

    def is_inside(self) -> bool:
        """Whether this process runs from `.venv`."""
        return self.venv.exists() and self.venv.samefile(sys.prefix)

    def has_python(self) -> bool:
        """Whether the environment's Python is there, and we may run it."""
        # Made by root, it can lead to a place that others may not even look at.
        return os.access(self.python, os.X_OK)

    def version(self) -> str:
        """Return the `3.11` of the environment's Python, empty if nobody knows."""
        if self.is_inside():
            return python_version()
        try:
            text = (self.venv / "pyvenv.cfg").read_text("utf-8")
        except OSError:
            return ""
        found = re.search(r"^version(?:_info)?\s*=\s*(\d+\.\d+)", text, re.MULTILINE)
        return found[1] if found else ""

    def packages(self) -> Path:
        """Where the environment's packages are."""
        return self.venv / "lib" / f"python{self.version()}" / "site-packages"

    def is_ours(self) -> bool:
        """Whether an earlier start of ours made `.venv`."""
        return (self.venv / MADE_BY_US).is_file()

    @property
    def marker(self) -> Path:
        """Written once everything is installed, and holds the seal."""
        return self.venv / (".holdfast-test" if self.tests else ".holdfast-run")

    def seal(self, version: str) -> str:
        """Return what says that exactly this lock was installed for this Python."""
        import hashlib

        return hashlib.sha256(self.lock.read_bytes() + version.encode()).hexdigest()


def unmet(requirements: Path, path: Sequence[str]) -> list[str]:
    """Name what of a requirements file is not installed on `path` in a version that it allows.

    Reads folder names only (`name-1.2.3.dist-info`): a few milliseconds, where
    importlib.metadata would parse each package's README.
    """
    installed: dict[str, str] = {}
    for folder in path:
        try:
            names = os.listdir(folder or ".")  # noqa: PTH208 - pathlib is slower, and this is on every start's path
        except OSError:
            continue
        for name in names:
            if found := _DISTRIBUTION.fullmatch(name):
                installed.setdefault(_normal(found[1]), found[2])
    missing = []
    for name, clauses in _requirements(requirements):
        version = installed.get(_normal(name))
        if version is None or not all(_allows(version, *clause) for clause in clauses):
            wanted = ",".join(operator + bound for operator, bound in clauses)
            missing.append(f"{name}{wanted}" + (f" (has {version})" if version else ""))
    return missing


def _requirements(file: Path) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    for line in file.read_text("utf-8").splitlines():
        if line.startswith("-r "):
            yield from _requirements(file.parent / line[3:].strip())
        elif found := _REQUIREMENT.match(line):
            yield found[1], _CLAUSE.findall(found[2])


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _allows(version: str, operator: str, bound: str) -> bool:
    have, want = (tuple(int(part) for part in re.findall(r"\d+", text)[:4]) for text in (version, bound))
    width = max(len(have), len(want))
    have, want = (parts + (0,) * (width - len(parts)) for parts in (have, want))
    return {"==": have == want, ">=": have >= want, "<=": have <= want, "<": have < want}.get(
        operator, have > want
    )


def _enter(need: Need) -> NoReturn:
    """Replace this process by the same command in `.venv`; signals and exit codes are then its own."""
    pid, _, count = os.environ.get(_REENTERED, "").partition(":")
    turn = int(count) + 1 if pid == str(os.getpid()) and count.isdigit() else 1
    if turn > 2:
        fail(f"{need.venv} does not become usable.", f"remove it and start again: rm -r {need.venv}")
    # Names this process only, so a main.py that this one starts is not taken for it.
    os.environ[_REENTERED] = f"{os.getpid()}:{turn}"
    command = [str(need.python), *sys.orig_argv[1:]]
    sys.stdout.flush()
    sys.stderr.flush()
    if os.name == "nt":
        import subprocess

        sys.exit(subprocess.call(command))  # noqa: S603 - our own command line
    os.execv(command[0], command)  # noqa: S606 - our own command line


def _verb(arguments: Sequence[str]) -> str | None:
    words = iter(arguments)
    for word in words:
        if word in VALUE_OPTIONS:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


def python_version() -> str:
    """Return this interpreter's `3.11`."""
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def say(line: str) -> None:
    """Tell the user what happens, beside the output."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


def fail(message: str, hint: str) -> NoReturn:
    """End the process as the user's mistake: one line, and what to do."""
    say(f"error: {message}\nhint: {hint}")
    sys.exit(2)
