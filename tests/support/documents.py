"""The documents as a test sees them: their commands, the files that a reader is told to write, the output.

A fenced block after a line that ends with `path/to/file`: in backquotes is that
file. A `bash` block is what a reader types; a `text` block is what the commands
before it print, shortened by lines or ends of lines that are `…`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from framework.errors import HoldfastError
from framework.faults.reader import SCENARIO_FOLDER, load_scenario, scenario_names
from framework.settings import load_settings, setting_keys
from tests.support.zygote import Zygote

ROOT = Path(__file__).resolve().parents[2]

_CLONED = (
    "main.py", "pyproject.toml", "framework", "workflows", "mocks", "config",
    "requirements.txt", "requirements.lock", "requirements-dev.txt", "requirements-dev.lock",
)  # fmt: skip
_PROGRAM = ["python3", "main.py"]
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE_LINE = re.compile(r"^(?:.*[ .])?`([\w./-]+/?[\w-]+\.\w+)`:?.*:$")
_CHANGING = [
    (re.compile(r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"), "UUID"),
    (re.compile(r"\b\d{8}-\d{6}-[0-9a-f]{8}\b"), "THREAD"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\dZ"), "MOMENT"),
    (re.compile(r"^\d\d:\d\d:\d\d "), "TIME "),
    (re.compile(r"\b\d+(?:\.\d+)? (?:ms|s)\b|\b\d+ m \d\d s\b"), "TOOK"),
    (re.compile(r"\b(?=[0-9a-f]*\d)[0-9a-f]{8}\b"), "RUN"),
    (re.compile(r"\b[\w.-]+:\d{2,}(?=\s)"), "WHO"),
    (re.compile(r"\s+"), " "),
]


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block; `file` is set where the line above says which file it is."""

    language: str
    text: str
    file: str | None
    line: int


@dataclass(frozen=True, slots=True)
class Step:
    """What a reader types, and the output that is shown for it."""

    commands: tuple[str, ...]
    shown: tuple[str, ...]
    line: int


def read(name: str) -> str:
    """Return a document's text."""
    return (ROOT / name).read_text("utf-8")


def documents() -> list[Path]:
    """Every document that people read."""
    return [*sorted(ROOT.glob("*.md")), *sorted(ROOT.glob("docs/*.md"))]


def blocks(text: str) -> Iterator[Block]:
    """Yield the fenced blocks of a document."""
    for found in _FENCE.finditer(text):
        above = text[: found.start()].rstrip("\n")
        named = _FILE_LINE.match(above.rpartition("\n")[2])
        is_file = found[1] in {"yaml", "python"} and named is not None
        yield Block(found[1], found[2], named[1] if named and is_file else None, above.count("\n") + 1)


def steps(text: str) -> Iterator[Block | Step]:
    """Yield files to write and commands to type, in the order of the document."""
    typed: Block | None = None
    shown: list[str] = []
    for block in blocks(text):
        if block.language == "text" and typed is not None:
            shown += block.text.splitlines()
            continue
        if typed is not None:
            yield Step(commands(typed.text), tuple(shown), typed.line)
        typed, shown = (block if block.language == "bash" else None), []
        if block.file:
            yield block
    if typed is not None:
        yield Step(commands(typed.text), tuple(shown), typed.line)


def commands(text: str) -> tuple[str, ...]:
    """Split a block into commands; one goes on over lines while a quotation mark is open."""
    found: list[str] = []
    for line in text.splitlines():
        if found and found[-1].count('"') % 2:
            found[-1] += "\n" + line
        elif line.strip():
            found.append(line)
    return tuple(found)


def every_command() -> Iterator[tuple[str, str]]:
    """Yield document and command, for everything that a document tells people to type."""
    for path in documents():
        for block in blocks(path.read_text("utf-8")):
            if block.language == "bash":
                for command in commands(block.text):
                    yield path.name, command


def unchanging(line: str) -> str:
    """Take out of a line what differs from run to run: ids, moments, durations, processes."""
    for pattern, word in _CHANGING:
        line = pattern.sub(word, line)
    return line.strip()


def missing_output(shown: tuple[str, ...], printed: str) -> list[str]:
    """Name the lines of a document that a command did not print; `…` stands for anything."""
    there = [unchanging(line) for line in printed.splitlines()]
    missing = []
    for line in shown:
        wanted = unchanging(line)
        if wanted in {"", "…"}:
            continue
        if wanted.endswith("…"):
            found = any(line.startswith(wanted[:-1].strip()) for line in there)
        else:
            found = wanted in there
        if not found:
            missing.append(line)
    return missing


# A reader's folder ---------------------------------------------------------------------------------


class Tree:
    """A copy of the repository as a clone has it, with an embedded server of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "holdfast"
        self._numbers = count(1)
        self.root.mkdir()
        for name in _CLONED:
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(ROOT / name, self.root / name)
        # What a reader's `python3` is once `.venv` has been set up.
        self.bin = folder / "bin"
        self.bin.mkdir()
        shim = self.bin / "python3"
        shim.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        shim.chmod(0o755)

    @property
    def environment(self) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("HOME", "LANG", "TMPDIR") if name in os.environ}
        path = f"{self.bin}:{os.environ['PATH']}"
        return {**kept, "PATH": path, "HOLDFAST_NO_BOOTSTRAP": "1", "NO_COLOR": "1"}

    def type(self, commands: str, *, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run shell commands as a reader types them; stdout holds everything that they printed, in order."""
        return subprocess.run(
            ["bash", "-c", commands], cwd=cwd, env=self.environment, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=240,
        )  # fmt: skip

    def fork(self, zygote: Zygote, command: str) -> tuple[int, str]:
        """Run one `python3 main.py …` from the zygote; a tenth of the time of a new interpreter."""
        words = shlex.split(command)
        start = words.index(_PROGRAM[0])
        assert words[start : start + 2] == _PROGRAM, command
        said = self.folder / f"said-{next(self._numbers)}.txt"
        order = {
            "arguments": ["--root", str(self.root), *words[start + 2 :]],
            "env": {**self.environment, **dict(word.split("=", 1) for word in words[:start])},
            "cwd": str(self.root), "stdout": str(said), "stderr": str(said), "hooks": [],
        }  # fmt: skip
        code = zygote.start(order)[1].result(timeout=60)
        return code, said.read_text("utf-8")


# Tables of docs/reference.md that are made from the code ---------------------------------------------


def settings_table() -> str:
    """Every setting with its default and its meaning, as the reference shows it."""
    # A folder without a `config/` below it: nothing but defaults.
    settings, _ = load_settings(ROOT / "docs", environ={})
    rows = ["| setting | default | meaning |", "|---|---|---|"]
    for key in setting_keys():
        section: Any = settings
        for part in key[:-1]:
            section = getattr(section, part)
        default = section.model_dump(mode="json")[key[-1]]
        meaning = type(section).model_fields[key[-1]].description
        rows.append(f"| `{'.'.join(key)}` | `{_as_yaml(default)}` | {meaning} |")
    return "\n".join(rows)


def _as_yaml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(value)}]"
    return str(value) if isinstance(value, str) else json.dumps(value)


def scenario_table() -> str:
    """Every scenario that ships, with its own description."""
    folder = ROOT / SCENARIO_FOLDER
    rows = [
        f"| `{name}` | {' '.join(load_scenario(folder, name).description.split())} |"
        for name in scenario_names(folder)
    ]
    return "\n".join(["| scenario | what goes wrong |", "|---|---|", *rows])


def error_codes() -> set[str]:
    """Every code that an error of the program can have."""

    def below(error: type[HoldfastError]) -> Iterator[type[HoldfastError]]:
        yield error
        for child in error.__subclasses__():
            yield from below(child)

    stored = re.compile(r'(?:set_aside\(\s*run,\s*|"code": )"([a-z-]+)"')
    texts = (path.read_text("utf-8") for path in (ROOT / "framework/durability").glob("*.py"))
    return {error.code for error in below(HoldfastError)}.union(*(stored.findall(text) for text in texts))
