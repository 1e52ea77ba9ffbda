"""`mocks/scenarios/<name>.yaml` → `Scenario`, with every problem of the file at once."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from framework.definition.expressions import compile_expression
from framework.definition.models import NAME_PATTERN
from framework.definition.source import Document, Key, path_text, read_document, read_text
from framework.definition.words import suggest
from framework.errors import ExpressionError, Problem, ScenarioInvalid, UsageError
from framework.faults.actions import (
    Action,
    CutDatabase,
    Delay,
    ExitProcess,
    Hang,
    Kill,
    Raise,
    Return,
)
from framework.faults.condition import ROOTS, RUN_NAMES, Condition
from framework.faults.exceptions import ExceptionRefused, find_exception
from framework.faults.file_model import ACTION_KEYS, FaultShape, OutageShape, RaiseShape, ScenarioShape
from framework.faults.scenario import ANY_NODE, COMMITS, Rule, Scenario
from framework.faults.wording import explain
from framework.graph.context import Point

SCENARIO_FOLDER = Path("mocks/scenarios")
_SUFFIX = ".yaml"

KeyPath = tuple[Key, ...]


def scenario_names(folder: Path) -> list[str]:
    """Return the names of the scenarios in a folder, sorted; none if there is no folder."""
    return sorted(path.stem for path in folder.glob(f"*{_SUFFIX}") if not path.name.startswith("."))


def scenario_path(folder: Path, name: str) -> Path:
    """Return the file of a scenario.

    Raises:
        UsageError: There is none; the hint names what was probably meant.
    """
    path = folder / f"{name}{_SUFFIX}"
    if re.fullmatch(NAME_PATTERN, name) is None or not path.is_file():
        names = scenario_names(folder)
        raise UsageError(
            f"There is no scenario {name!r} in {shown_path(folder)}.",
            hint=suggest(name, names, kind="scenarios") or f"the folder has no {_SUFFIX} file",
        )
    return path


def load_scenario(folder: Path, name: str) -> Scenario:
    """Read one scenario by its name.

    Raises:
        UsageError: No scenario has this name.
        ScenarioInvalid: With every problem of the file.
    """
    path = scenario_path(folder, name)
    file_name = shown_path(path)
    text = read_text(path, file_name, error=ScenarioInvalid)
    return parse_scenario(text, file_name, name=name)


def parse_scenario(text: str, file_name: str, *, name: str) -> Scenario:
    """Turn a scenario's text into rules.

    Raises:
        ScenarioInvalid: With every problem of the file.
    """
    document = read_document(text, file_name, error=ScenarioInvalid)
    return _Reader(document, name).read()


def shown_path(path: Path) -> str:
    """Return a path as a reader would type it."""
    try:
        return str(path.resolve().relative_to(Path.cwd()))
    except ValueError:
        return str(path)


class _Reader:
    """Collects the problems of one file; what is wrong in one fault does not hide the next."""

    def __init__(self, document: Document, name: str) -> None:
        self.document = document
        self.name = name
        self.problems: list[Problem] = []
        # Keys that are there under another spelling: one mistake, not an unknown and a missing key.
        self.misspelt: set[KeyPath] = set()

    def read(self) -> Scenario:
        self._check_shape()
        data = self.document.data if isinstance(self.document.data, dict) else {}
        faults = data.get("faults")
        rules = [
            rule
            for index, entry in enumerate(faults if isinstance(faults, list) else [])
            if isinstance(entry, dict) and (rule := self._read_fault(index, entry))
        ]
        if self.problems:
            ordered = sorted(self.problems, key=lambda problem: (problem.line, problem.column))
            raise ScenarioInvalid(self.document.file_name, self.document.text, ordered)
        return Scenario(self.name, data["description"].strip(), tuple(rules))

    def _check_shape(self) -> None:
        try:
            ScenarioShape.model_validate(self.document.data)
        except ValidationError as invalid:
            empty = set(self._empty_keys(self.document.data, ()))
            errors = invalid.errors(include_url=False)
            findings = [found for error in errors if (found := explain(error, self.document.data))]
            self.misspelt = {(*found.path[:-1], found.meant) for found in findings if found.meant}
            for found in findings:
                if found.path not in empty and not (found.is_missing and found.path in self.misspelt):
                    self._add(found.path, found.message, found.hint, key=found.at_key)
        for path in self._empty_keys(self.document.data, ()):
            self._add(path, "nothing stands here", "give a value, or remove the key", key=True)

    def _empty_keys(self, part: Any, path: KeyPath) -> list[KeyPath]:
        """Return keys without a value; what `return:` holds is the user's own."""
        if isinstance(part, Mapping):
            found = [(*path, key) for key, value in part.items() if value is None and key != "return"]
            for key, value in part.items():
                found += self._empty_keys(value, (*path, key)) if key != "return" else []
            return found
        if isinstance(part, list):
            return [
                each for index, value in enumerate(part) for each in self._empty_keys(value, (*path, index))
            ]
        return []

    def _read_fault(self, index: int, entry: Mapping[str, Any]) -> Rule | None:
        path: KeyPath = ("faults", index)
        actions = [key for key in entry if key in ACTION_KEYS]
        if not actions and not self.misspelt.intersection((*path, key) for key in ACTION_KEYS):
            self._add(path, "nothing goes wrong here", f"give one of: {', '.join(ACTION_KEYS)}")
        for extra in actions[1:]:
            self._add(
                (*path, extra),
                f"a second action beside {actions[0]!r}",
                "give each action a fault of its own",
                key=True,
            )
        condition = self._read_condition((*path, "only_if"), entry)
        exception = self._read_exception((*path, "raise", "type"), entry.get("raise"))
        try:
            shape = FaultShape.model_validate(entry)
        except ValidationError:
            return None  # The whole file's check has told already.
        self._check_where(path, shape, entry)
        action = _action(actions[0], shape, exception) if actions else None
        if action is None:
            return None
        return Rule(
            index=index,
            node=shape.node,
            where=Point(shape.where),
            action=action,
            attempts=None if shape.attempts is None else frozenset(shape.attempts),
            times=shape.times,
            probability=shape.probability,
            only_if=condition,
            workflow=shape.workflow,
            step=shape.step,
            # A node has no checkpoint of its own: what is saved of it alone is its result.
            commit=shape.on
            or ("writes" if Point(shape.where) in COMMITS and shape.node != ANY_NODE else None),
        )

    def _check_where(self, path: KeyPath, shape: FaultShape, entry: Mapping[str, Any]) -> None:
        at_commit = Point(shape.where) in COMMITS
        if at_commit and "return" in entry:
            self._add(
                (*path, "return"),
                f"no result can be replaced at {shape.where}",
                "use where: before, inside or after",
                key=True,
            )
        if shape.on is not None and not at_commit:
            self._add(
                (*path, "on"),
                f"'on' tells commits apart, and {shape.where} is none",
                "use where: before_commit or after_commit, or remove 'on'",
                key=True,
            )
        elif shape.on == "checkpoint" and shape.node != ANY_NODE:
            self._add(
                (*path, "on"),
                "a step's checkpoint belongs to no single node",
                "use node: '*', and step: to say which",
            )
        if shape.step is not None and shape.step < 1 and (not at_commit or shape.node != ANY_NODE):
            self._add((*path, "step"), f"no node runs in step {shape.step}", "the first nodes run in step 1")

    def _read_condition(self, path: KeyPath, entry: Mapping[str, Any]) -> Condition | None:
        text = entry.get("only_if")
        if not isinstance(text, str) or not text:
            return None
        try:
            expression = compile_expression(text)
        except ExpressionError as problem:
            self._add_in_text(path, problem.column, problem.message, problem.hint)
            return None
        if expression.uses_moments:
            self._add(path, "the same seed must give the same faults, so nothing here may depend on the time")
        at_commit = entry.get("where") in COMMITS
        for reference in expression.references:
            parts = reference.parts
            if reference.root not in ROOTS:
                hint = suggest(reference.root, ROOTS, kind="names")
                self._add_in_text(path, reference.column, f"unknown name {reference.root!r}", hint)
            elif reference.root == "state" and at_commit:
                self._add_in_text(
                    path,
                    reference.column,
                    "the state is not known at a commit",
                    "use where: before, inside or after",
                )
            elif reference.root == "run" and len(parts) > 1 and parts[1] not in RUN_NAMES:
                hint = suggest(parts[1], RUN_NAMES, kind="run. has")
                self._add_in_text(path, reference.column, f"unknown name 'run.{parts[1]}'", hint)
        return Condition(expression, f"mock scenario {self.name}, {path_text(path)}")

    def _read_exception(self, path: KeyPath, written: Any) -> type[Exception] | None:
        try:
            shape = RaiseShape.model_validate(written)
        except ValidationError:
            return None  # Not there, or told already.
        try:
            return find_exception(shape.type, shape.message)
        except ExceptionRefused as problem:
            self._add(path, str(problem), problem.hint)
            return None

    def _add(self, path: KeyPath, message: str, hint: str | None = None, *, key: bool = False) -> None:
        at = self.document.locate(path, key=key)
        self.problems.append(Problem(at.line, at.column, at.width, path_text(path), message, hint))

    def _add_in_text(self, path: KeyPath, column: int, message: str, hint: str | None) -> None:
        at = self.document.locate_text(path, column - 1)
        self.problems.append(Problem(at.line, at.column, at.width, path_text(path), message, hint))


def _action(key: str, shape: FaultShape, exception: type[Exception] | None) -> Action | None:
    """Return what `key` makes happen; None when its value was refused."""
    match key:
        case "raise" if shape.raise_ is not None and exception is not None:
            return Raise(exception, shape.raise_.message)
        case "delay" if shape.delay is not None:
            return Delay(shape.delay)
        case "hang" if shape.hang:
            return Hang()
        case "kill" if shape.kill:
            return Kill()
        case "exit" if shape.exit is not None:
            return ExitProcess(shape.exit)
        case "cut_database" if shape.cut_database is not None:
            outage = shape.cut_database
            return CutDatabase(outage.for_ if isinstance(outage, OutageShape) else None)
        case "return":
            return Return(shape.return_)
    return None
