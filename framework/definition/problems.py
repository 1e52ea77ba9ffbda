"""Collects everything that is wrong with one file, each with its place."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from framework.definition.source import Document, Key, path_text
from framework.errors import DefinitionInvalid, Problem

MOST_REPORTED = 100


class Problems:
    """Errors and warnings of one file, in the order in which they stand there."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._errors: dict[tuple[int, int, str], Problem] = {}
        self._warnings: dict[tuple[int, int, str], Problem] = {}

    def add(
        self,
        path: Sequence[Key],
        message: str,
        hint: str | None = None,
        *,
        key: bool = False,
        offset: int | None = None,
        width: int = 1,
    ) -> None:
        """Note an error at a value; at its key; or `offset` characters into its text."""
        self._note(self._errors, path, message, hint, key=key, offset=offset, width=width)

    def warn(self, path: Sequence[Key], message: str, hint: str | None = None, *, key: bool = False) -> None:
        """Note something that works, but probably not as meant."""
        self._note(self._warnings, path, message, hint, key=key, offset=None, width=1)

    def _note(
        self,
        into: dict[tuple[int, int, str], Problem],
        path: Sequence[Key],
        message: str,
        hint: str | None,
        *,
        key: bool,
        offset: int | None,
        width: int,
    ) -> None:
        if offset is None:
            at = self.document.locate(path, key=key)
        else:
            at = self.document.locate_text(path, offset, width)
        problem = Problem(at.line, at.column, at.width, path_text(path), message, hint)
        into.setdefault((at.line, at.column, message), problem)

    @property
    def any(self) -> bool:
        """Whether there is an error."""
        return bool(self._errors)

    def any_under(self, key: str) -> bool:
        """Whether there is an error at this top-level key, or inside it."""
        return any(re.match(rf"{re.escape(key)}(?![\w-])", problem.path) for problem in self._errors.values())

    @property
    def full(self) -> bool:
        """Whether more would not be reported anyway."""
        return len(self._errors) > MOST_REPORTED

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Warnings in the order of the file."""
        return tuple(_sorted(self._warnings.values()))[:MOST_REPORTED]

    def raise_errors(self) -> None:
        """Raise `DefinitionInvalid` with every error, if there is one."""
        if not self._errors:
            return
        found = _sorted(self._errors.values())
        more = len(found) - MOST_REPORTED
        if more > 0:
            found = found[:MOST_REPORTED]
            found.append(Problem(1, 1, 1, "", f"and {more} more problems"))
        raise DefinitionInvalid(self.document.file_name, self.document.text, found)


def _sorted(problems: Iterable[Problem]) -> list[Problem]:
    return sorted(problems, key=lambda problem: (problem.line, problem.column))
