"""Values with holes: `${{ expression }}`, `${env:NAME}` and `${secret:NAME}` at any depth.

A binding is compiled once and resolved each time its node is called, so that
neither an environment variable nor a secret ever stands in what is stored.
`$${` writes a plain `${`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from framework.definition.expressions import Expression, Moments, compile_expression
from framework.definition.functions import Unfit, measured, text_of
from framework.errors import ExpressionError

Key = str | int
Lookup = Callable[[str], str | None]
Secret = Callable[[str], str]

_HOLE = re.compile(r"\$?\$\{")
_NAMED = re.compile(r"\$\{(env|secret):([A-Za-z_][A-Za-z0-9_.-]{0,127})(?::-([^}]*))?\}")


@dataclass(frozen=True, slots=True)
class _Variable:
    name: str
    default: str | None


@dataclass(frozen=True, slots=True)
class _SecretName:
    name: str


_Part = str | Expression | _Variable | _SecretName


@dataclass(frozen=True, slots=True)
class BoundExpression:
    """An expression inside a binding: `path` leads to its text, `offset` to it in there."""

    path: tuple[Key, ...]
    offset: int
    expression: Expression


@dataclass(frozen=True, slots=True)
class BindingProblem:
    """What is wrong in one text of a binding; `offset` counts from 0."""

    path: tuple[Key, ...]
    offset: int
    message: str
    hint: str | None


@dataclass(frozen=True, slots=True)
class _Text:
    """A text with holes."""

    parts: tuple[tuple[int, _Part], ...]


class Binding:
    """A checked structure whose texts may have holes."""

    def __init__(self, template: Any) -> None:
        self._template = template
        self._parts = tuple(_walk(template, ()))

    @property
    def expressions(self) -> tuple[BoundExpression, ...]:
        """Every expression inside, with where it stands."""
        return tuple(
            BoundExpression(path, offset, part)
            for path, offset, part in self._parts
            if isinstance(part, Expression)
        )

    @property
    def secrets(self) -> frozenset[str]:
        """Names of the secrets that it needs."""
        return frozenset(part.name for *_, part in self._parts if isinstance(part, _SecretName))

    @property
    def variables(self) -> frozenset[str]:
        """Names of the environment variables that it reads."""
        return frozenset(part.name for *_, part in self._parts if isinstance(part, _Variable))

    @property
    def uses_moments(self) -> bool:
        """Whether an expression calls `now()` or `today()`."""
        return any(bound.expression.uses_moments for bound in self.expressions)

    def resolve(
        self,
        names: Mapping[str, Any],
        *,
        env: Lookup,
        secret: Secret,
        moments: Moments | None = None,
    ) -> Any:
        """Fill the holes. A text that is one hole and nothing else gives the value itself.

        The structure is built anew each time, so a node that changes what it
        was given changes nothing else.

        Raises:
            ExpressionError: An expression cannot be evaluated, or a variable
                without a default is not set.
        """
        return _resolve(self._template, names, env, secret, moments)


def compile_binding(value: Any) -> Binding:
    """Check a value with holes.

    Raises:
        ExpressionError: The first problem; its column counts inside that text.
    """
    binding, problems = parse_binding(value)
    if problems:
        first = problems[0]
        raise ExpressionError(first.message, column=first.offset + 1, hint=first.hint)
    return binding


def parse_binding(value: Any) -> tuple[Binding, list[BindingProblem]]:
    """Check a value with holes; also return everything that is wrong with it."""
    problems: list[BindingProblem] = []
    return Binding(_compile(value, (), problems)), problems


def has_holes(text: str) -> bool:
    """Whether a text holds anything that is filled in later."""
    return any(not match.group().startswith("$$") for match in _HOLE.finditer(text))


def _compile(value: Any, path: tuple[Key, ...], problems: list[BindingProblem]) -> Any:
    if isinstance(value, str):
        return _compile_text(value, path, problems) if "${" in value else value
    if isinstance(value, Mapping):
        return {key: _compile(item, (*path, key), problems) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_compile(item, (*path, index), problems) for index, item in enumerate(value)]
    return value


def _compile_text(text: str, path: tuple[Key, ...], problems: list[BindingProblem]) -> _Text:
    parts: list[tuple[int, _Part]] = []
    position = 0
    while match := _HOLE.search(text, position):
        start = match.start()
        if start > position:
            parts.append((position, text[position:start]))
        if match.group() == "$${":
            parts.append((start, "${"))
            position = match.end()
            continue
        position = _hole(text, start, parts, path, problems)
    if position < len(text):
        parts.append((position, text[position:]))
    return _Text(tuple(parts))


def _hole(
    text: str,
    start: int,
    parts: list[tuple[int, _Part]],
    path: tuple[Key, ...],
    problems: list[BindingProblem],
) -> int:
    """Read the hole that begins at `start`; return where it ends."""
    if not text.startswith("${{", start):
        named = _NAMED.match(text, start)
        if named is None or (named[1] == "secret" and named[3] is not None):
            problems.append(BindingProblem(path, start, *_wrong_hole(text, start)))
            return len(text)
        kind, name, default = named.groups()
        parts.append((start, _Variable(name, default) if kind == "env" else _SecretName(name)))
        return named.end()
    end = _closing(text, start + 3)
    if end is None:
        message, hint = "'${{' is never closed", "an expression ends with '}}'"
        problems.append(BindingProblem(path, start, message, hint))
        return len(text)
    try:
        parts.append((start + 3, compile_expression(text[start + 3 : end])))
    except ExpressionError as error:
        offset = start + 3 + error.column - 1
        problems.append(BindingProblem(path, offset, error.message, error.hint))
    return end + 2


def _wrong_hole(text: str, start: int) -> tuple[str, str]:
    excerpt = text[start : start + 40].split("}", maxsplit=1)[0] + "}"
    if excerpt.startswith("${secret:"):
        return f"{excerpt} is not a secret's name", "write ${secret:NAME}; a secret has no default"
    hint = "write ${{ … }}, ${env:NAME}, ${env:NAME:-default} or ${secret:NAME}; $${ stands for ${"
    return f"{excerpt} means nothing here", hint


def _closing(text: str, position: int) -> int | None:
    """Where the `}}` stands that is not inside quotes."""
    quote = ""
    while position < len(text):
        char = text[position]
        if quote:
            if char == "\\":
                position += 1
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif text.startswith("}}", position):
            return position
        position += 1
    return None


def _walk(template: Any, path: tuple[Key, ...]) -> Iterator[tuple[tuple[Key, ...], int, _Part]]:
    if isinstance(template, _Text):
        yield from ((path, offset, part) for offset, part in template.parts)
    elif isinstance(template, dict):
        for key, item in template.items():
            yield from _walk(item, (*path, key))
    elif isinstance(template, list):
        for index, item in enumerate(template):
            yield from _walk(item, (*path, index))


def _resolve(
    template: Any, names: Mapping[str, Any], env: Lookup, secret: Secret, moments: Moments | None
) -> Any:
    if isinstance(template, _Text):
        values = [_fill(part, names, env, secret, moments) for _, part in template.parts]
        if len(values) == 1:
            return values[0]
        try:
            return measured("".join(text_of(value) for value in values))
        except Unfit as problem:
            raise ExpressionError(str(problem), hint=problem.hint) from None
    if isinstance(template, dict):
        return {key: _resolve(item, names, env, secret, moments) for key, item in template.items()}
    if isinstance(template, list):
        return [_resolve(item, names, env, secret, moments) for item in template]
    return template


def _fill(part: _Part, names: Mapping[str, Any], env: Lookup, secret: Secret, moments: Moments | None) -> Any:
    if isinstance(part, Expression):
        return part.evaluate(names, moments=moments)
    if isinstance(part, _SecretName):
        return secret(part.name)
    if isinstance(part, _Variable):
        value = env(part.name)
        if value is None or (value == "" and part.default is not None):
            value = part.default
        if value is None:
            hint = f"set it, or give a default: ${{env:{part.name}:-…}}"
            raise ExpressionError(f"the environment variable {part.name} is not set", hint=hint)
        return value
    return part
