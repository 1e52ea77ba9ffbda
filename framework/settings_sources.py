"""Where settings come from: YAML files, `.env`, the environment, the command line.

Each source becomes a flat mapping of key paths to what was given there, so
that the last one wins key by key and every value knows its origin.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from framework.database_url import mask
from framework.definition.source import Document, read_document, read_text
from framework.env_file import parse_env
from framework.errors import FileInvalid, Problem, SettingsError

Key = tuple[str, ...]
"""A setting's path: `("durability", "postgres", "url")`."""

PREFIX = "HOLDFAST__"
WELL_KNOWN: Mapping[str, Key] = {
    "DATABASE_URL": ("durability", "postgres", "url"),
    "WORKER_NAME": ("framework", "worker_name"),
    "CHECKPOINTER_POOL_SIZE": ("durability", "postgres", "pool_size"),
}
"""Names without our prefix that other tools use for the same thing; they win over ours."""

_PASSWORD_LINE = re.compile(r"""(?i)(password["']?\s*[:=]\s*)[^\s,}].*""")


@dataclass(frozen=True, slots=True)
class Given:
    """One value that somebody set; `document` and `path` are there when it stands in a YAML file."""

    value: Any
    origin: str
    document: Document | None = None
    path: Key = ()

    def complaint(self, key: Key, message: str) -> tuple[str, int, str]:
        """Say what is wrong with this value, after the file and the line to sort by."""
        if self.document is None:
            return "", 0, f"{self.origin}: {'.'.join(key)}: {message}"
        place = self.document.locate(self.path)
        problem = Problem(place.line, place.column, place.width, ".".join(self.path), message)
        return self.document.file_name, place.line, _file_report(self.document, [problem])


def collect(
    root: Path,
    *,
    environ: Mapping[str, str],
    overrides: Mapping[str, str],
    keys: Mapping[Key, type[object] | None],
) -> Mapping[Key, Given]:
    """Read all sources and let the later ones win, key by key.

    Raises:
        SettingsError: Unknown names, broken files: all of them at once.
    """
    complaints: list[str] = []
    given: dict[Key, Given] = {}
    for section in dict.fromkeys(key[0] for key in keys):
        given |= _from_file(root, section, keys, complaints)
    names = _Names(keys, complaints)
    given |= names.read(_read_env_file(root / ".env", complaints))
    given |= names.read(_Variable(name, text, f"environment {name}") for name, text in environ.items())
    given |= names.read_overrides(overrides)
    if complaints:
        raise SettingsError("\n\n".join(complaints))
    return given


def report(
    given: Mapping[Key, Given], problems: Sequence[tuple[tuple[int | str, ...], str]]
) -> SettingsError:
    """Turn what validation found into one error that says where each value came from."""
    complaints = []
    for location, message in problems:
        key = tuple(part for part in location if isinstance(part, str))
        # A rule about a whole section names no key: any value that was given there will do.
        guilty = next((place for place in given if place[: len(key)] == key), None)
        if guilty:
            complaints.append(given[guilty].complaint(guilty, message))
        else:
            complaints.append(("", 0, f"{'.'.join(key)}: {message}"))
    return SettingsError("\n\n".join(text for _, _, text in sorted(set(complaints))))


# YAML files ------------------------------------------------------------------------------------------


def _from_file(
    root: Path, section: str, keys: Mapping[Key, type[object] | None], complaints: list[str]
) -> dict[Key, Given]:
    path = root / "config" / f"{section}_config.yaml"
    name = f"config/{path.name}"
    if not path.exists():
        return {}
    try:
        document = read_document(read_text(path, name), name)
    except FileInvalid as error:
        complaints.append(_without_passwords(error.message))
        return {}
    problems: list[Problem] = []
    given = _flatten(document, section, keys, problems)
    if problems:
        complaints.append(_file_report(document, problems))
    return given


def _flatten(
    document: Document, section: str, keys: Mapping[Key, type[object] | None], problems: list[Problem]
) -> dict[Key, Given]:
    given: dict[Key, Given] = {}

    def walk(value: Any, path: Key) -> None:
        if (section, *path) in keys:
            line = document.locate(path, key=True).line
            given[section, *path] = Given(value, f"{document.file_name}:{line}", document, path)
        elif isinstance(value, dict):
            known = {key[len(path) + 1] for key in keys if key[: len(path) + 1] == (section, *path)}
            for name, part in value.items():
                if name in known:
                    walk(part, (*path, name))
                else:
                    problems.append(_unknown(document, (*path, name), known))
        elif value is not None:
            # A section with nothing in it, or only comments, is an empty one.
            place = document.locate(path)
            message = "a mapping of settings is expected"
            problems.append(Problem(place.line, place.column, place.width, ".".join(path), message))

    walk(document.data, ())
    return given


def _unknown(document: Document, path: Key, known: Iterable[str]) -> Problem:
    place = document.locate(path, key=True)
    close = get_close_matches(path[-1], list(known), n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known here: {', '.join(sorted(known))}"
    return Problem(place.line, place.column, place.width, ".".join(path), "unknown key", hint)


def _file_report(document: Document, problems: Sequence[Problem]) -> str:
    return _without_passwords(FileInvalid(document.file_name, document.text, problems).message)


def _without_passwords(text: str) -> str:
    """Hide what stands after `password:` in the lines of a file that a report repeats."""
    lines = [
        _PASSWORD_LINE.sub(r"\1***", line) if re.match(r"\s*\d+ \| ", line) else line
        for line in text.splitlines()
    ]
    return mask("\n".join(lines))


# .env ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Variable:
    name: str
    text: str
    origin: str


def _read_env_file(path: Path, complaints: list[str]) -> list[_Variable]:
    if not path.exists():
        return []
    try:
        text = read_text(path, ".env")
    except FileInvalid as error:
        complaints.append(error.message)
        return []
    variables, problems = parse_env(text)
    if problems:
        # The lines themselves are not repeated: a broken one may hold a secret.
        complaints.append(FileInvalid(".env", "", problems).message)
    return [_Variable(name, value, f".env:{line}") for name, value, line in variables]


# Names outside of files ------------------------------------------------------------------------------


class _Names:
    """Finds the setting that a variable or a dotted word means."""

    def __init__(self, keys: Mapping[Key, type[object] | None], complaints: list[str]) -> None:
        self.keys = keys
        self.complaints = complaints

    def read(self, variables: Iterable[_Variable]) -> dict[Key, Given]:
        """Take ours among the variables of one source; an empty one counts as not set."""
        ours: dict[Key, Given] = {}
        well_known: dict[Key, Given] = {}
        for variable in variables:
            name = variable.name.upper()
            if not variable.text.strip():
                continue
            if name in WELL_KNOWN:
                key = WELL_KNOWN[name]
                well_known[key] = Given(self._value(key, variable.text), variable.origin)
            elif name.startswith(PREFIX):
                self._add(ours, variable, name.removeprefix(PREFIX).lower().split("__"))
        return ours | well_known

    def read_overrides(self, overrides: Mapping[str, str]) -> dict[Key, Given]:
        """Take `section.key` words of the command line."""
        given: dict[Key, Given] = {}
        for name, text in overrides.items():
            self._add(given, _Variable(name, text, f"command line --set {name}"), name.lower().split("."))
        return {key: Given(value.value, "command line") for key, value in given.items()}

    def _add(self, given: dict[Key, Given], variable: _Variable, parts: Sequence[str]) -> None:
        key = self._find(tuple(parts), variable)
        if key is None:
            return
        value = self._value(key, variable.text)
        if key in given and given[key].value != value:
            self.complaints.append(
                f"{variable.origin}: {'.'.join(key)} is also given by {given[key].origin}, with another value"
            )
        given[key] = Given(value, variable.origin)

    def _find(self, parts: Key, variable: _Variable) -> Key | None:
        sections = dict.fromkeys(key[0] for key in self.keys)
        # With the file's name, or without it where that can mean one thing only.
        found = [key for key in self.keys if key == parts] or [
            (section, *parts) for section in sections if (section, *parts) in self.keys
        ]
        if len(found) == 1:
            return found[0]
        if found:
            names = " or ".join(self._spell(key, variable) for key in found)
            self.complaints.append(f"{variable.origin}: this could mean several settings\nhint: {names}")
            return None
        inside = [key for key in self.keys if parts in {key[: len(parts)], key[1 : len(parts) + 1]}]
        if inside:
            message = f"{variable.origin}: this is a section, not a setting"
            hint = f"name one of its keys, such as {self._spell(inside[0], variable)}"
        else:
            message = f"{variable.origin}: there is no such setting"
            hint = self._guess(parts, variable)
        self.complaints.append(f"{message}\nhint: {hint}")
        return None

    def _guess(self, parts: Key, variable: _Variable) -> str:
        spellings = {".".join(key[start:]): key[start:] for key in self.keys for start in (0, 1)}
        close = get_close_matches(".".join(parts), list(spellings), n=1)
        if close:
            return f"did you mean {self._spell(spellings[close[0]], variable)}?"
        return "all settings and their names: main.py config show"

    def _spell(self, key: Key, variable: _Variable) -> str:
        if variable.name.upper().startswith(PREFIX):
            return PREFIX + "__".join(key).upper()
        return ".".join(key)

    def _value(self, key: Key, text: str) -> Any:
        """Read a value that stands in a variable: a list is JSON, everything else is text."""
        if self.keys[key] is tuple:
            try:
                return json.loads(text)
            except ValueError:
                # Left as it is: validation says that a list is expected, and where this one stands.
                return text
        if self.keys[key] is None and text.strip().lower() == "null":
            return None
        return text
