"""libyaml's words for a syntax error → ours, with what to do about it."""

from __future__ import annotations

import re

import yaml

from framework.errors import Problem

_HINTS = {
    "mapping values are not allowed": "text that holds ': ' needs quotes; otherwise check the indentation",
    "did not find expected key": "check the indentation, and that every quote and bracket is closed",
    "did not find expected '-'": "text that begins with '[' needs quotes; otherwise check the indentation",
    "did not find expected ',' or": "check that every bracket is closed",
    "could not find expected ':'": "a key is followed by ': '",
    "cannot start any token": "text that begins with this character needs quotes",
    "unexpected end of stream": "a quote is not closed",
    "unknown escape character": "inside double quotes, write a backslash twice, or use single quotes",
    "block sequence entries are not allowed": "a list begins on a line of its own",
    "block mapping": "check the indentation",
}
_EXPRESSION = re.compile(r"[{\[:,-]\s*\$\{")


def explain_syntax_error(error: yaml.MarkedYAMLError, text: str) -> Problem:
    """Turn the parser's one error into a problem with a position and a hint."""
    mark = error.problem_mark or error.context_mark
    reason = error.problem or error.context or "the text cannot be parsed"
    line, column = (mark.line, mark.column) if mark else (0, 0)
    lines = text.splitlines()
    # At the end of the text the mark stands after the last line, where nothing can be shown.
    while line > 0 and line >= len(lines):
        line, column = line - 1, len(lines[line - 1]) if line - 1 < len(lines) else 0
    source = lines[line] if line < len(lines) else ""
    began = error.context_mark
    if began is not None and mark is not None and began.line != mark.line and error.context:
        reason += f" ({error.context}, which begins at line {began.line + 1})"
    hint = next((hint for words, hint in _HINTS.items() if words in reason), None)
    indent = source[: len(source) - len(source.lstrip())]
    if "\t" in indent or source[column : column + 1] == "\t" or "tab character" in reason:
        hint = "indent with spaces: YAML does not allow tabs"
    elif _EXPRESSION.search(source):
        hint = 'put an expression in quotes: "${{ … }}"'
    elif re.match(r"\s*-\s*\[.*\]\s*->", source):
        hint = "an edge that begins with '[' needs quotes: \"[a, b] -> c\""
    return Problem(line + 1, column + 1, 1, "", f"not valid YAML: {reason}", hint)
