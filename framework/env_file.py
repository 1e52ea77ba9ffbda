"""`.env` files: `NAME=value` lines, and nothing cleverer."""

from __future__ import annotations

import re

from framework.errors import Problem

_ENV_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.-]*)\s*=\s*(.*?)\s*")
_UNQUOTED = re.compile(r"(.*?)(?:\s+#.*)?")
_QUOTED = re.compile(r"""(?:"((?:[^"\\]|\\.)*)"|'([^']*)')\s*(?:#.*)?""")
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}


def parse_env(text: str) -> tuple[list[tuple[str, str, int]], list[Problem]]:
    """Read `NAME=value` lines: comments, `export`, single and double quotes; nothing is expanded.

    Returns:
        Name, value and line of each, and a problem for each line that is neither.
    """
    variables: list[tuple[str, str, int]] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        found = _ENV_LINE.fullmatch(line)
        column = len(line) - len(line.lstrip()) + 1
        if not found:
            problems.append(Problem(number, column, 1, "", "NAME=value is expected"))
            continue
        name, raw = found[1], found[2]
        if not raw.startswith(("'", '"')):
            plain = "" if raw.startswith("#") else _UNQUOTED.fullmatch(raw)[1]  # type: ignore[index]  # it matches every text
            variables.append((name, plain, number))
        elif quoted := _QUOTED.fullmatch(raw):
            value = quoted[2] if quoted[1] is None else _unescape(quoted[1])
            variables.append((name, value, number))
        else:
            problems.append(Problem(number, found.start(2) + 1, 1, name, "the quote is not closed"))
    return variables, problems


def _unescape(text: str) -> str:
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), text)
