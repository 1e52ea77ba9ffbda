"""The small expression language of conditions and bindings.

A subset of Python's expressions, walked by hand: constants, names, `.key`,
`[index]`, comparisons, arithmetic, `and or not`, `a if b else c`, lists, and a
few pure functions (`functions.py`). It can neither call a method, nor loop,
nor reach anything of an object but its declared fields.
"""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from framework.definition.evaluation import WORDS, Evaluation
from framework.definition.functions import FUNCTIONS, Moments, Unfit, measured
from framework.definition.words import suggest
from framework.errors import ExpressionError

__all__ = ["Expression", "Moments", "Reference", "compile_expression"]

MAX_LENGTH = 1000
MAX_DEPTH = 50

_STRINGS = re.compile(r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\"")
_FOREIGN = [
    (re.compile(r"&&"), "'&&' is not an operator here", "write 'and'"),
    (re.compile(r"\|\|"), "'||' is not an operator here", "write 'or'"),
    (re.compile(r"!(?!=)"), "'!' is not an operator here", "write 'not'"),
    (re.compile(r"==="), "'===' is not an operator here", "write '=='"),
    (re.compile(r"(?<![=<>!:])=(?!=)"), "'=' does not compare", "write '=='"),
    (re.compile(r"(?<!\|)\|(?!\|)"), "'|' is not an operator here", "functions are called: lower(x)"),
    (re.compile(r"\?"), "'?' is not an operator here", "write: a if condition else b"),
]
_REFUSED: Mapping[type[ast.AST], str] = {
    ast.Pow: "** is not allowed",
    ast.Lambda: "functions cannot be defined",
    ast.ListComp: "loops are not allowed",
    ast.SetComp: "loops are not allowed",
    ast.DictComp: "loops are not allowed",
    ast.GeneratorExp: "loops are not allowed",
    ast.JoinedStr: "f-strings are not allowed",
    ast.NamedExpr: "nothing can be assigned",
    ast.Starred: "* before a value is not allowed",
    ast.Slice: "slices are not allowed",
    ast.Dict: "mappings cannot be written in an expression",
    ast.Set: "sets are not allowed",
    ast.Tuple: "write a list: [a, b]",
    ast.Is: "write '==' instead of 'is'",
    ast.IsNot: "write '!=' instead of 'is not'",
}
_ALLOWED = (
    ast.Constant, ast.Name, ast.Attribute, ast.Subscript, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp,
    ast.Not, ast.USub, ast.UAdd, ast.Compare, ast.Eq, ast.NotEq, ast.Lt, ast.LtE, ast.Gt, ast.GtE,
    ast.In, ast.NotIn, ast.BinOp, ast.Add, ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Mod,
    ast.IfExp, ast.List, ast.Call, ast.Load,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reference:
    """One thing that an expression reads, such as `state.approval.decision`."""

    parts: tuple[str, ...]
    column: int

    @property
    def root(self) -> str:
        """The name that it begins with."""
        return self.parts[0]

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True, slots=True)
class Expression:
    """A checked expression; pure, so one object serves every run and thread."""

    text: str
    references: tuple[Reference, ...]
    uses_moments: bool
    _tree: ast.expr
    _positions: _Positions

    @property
    def roots(self) -> frozenset[str]:
        """Names that it reads, such as `inputs` and `state`."""
        return frozenset(reference.root for reference in self.references)

    @property
    def paths(self) -> frozenset[str]:
        """What it reads, as far as that is known without running it."""
        return frozenset(str(reference) for reference in self.references)

    def evaluate(self, names: Mapping[str, Any], *, moments: Moments | None = None) -> Any:
        """Return its value.

        Args:
            names: `inputs`, `state` and so on.
            moments: What `now()` and `today()` give; without them, they are an error.

        Raises:
            ExpressionError: With the column inside the text.
        """
        return Evaluation(names, moments, self._positions.column).value(self._tree)


@dataclass(frozen=True, slots=True)
class _Positions:
    """Python counts columns in UTF-8 bytes of the text it was given; people in characters."""

    text: str
    shift: int

    def column(self, node: ast.AST) -> int:
        start: int = getattr(node, "col_offset", 0)
        return len(self.text.encode()[:start].decode(errors="ignore")) + self.shift + 1


@lru_cache(maxsize=2048)
def compile_expression(text: str) -> Expression:
    """Parse and check an expression.

    Raises:
        ExpressionError: With the column inside the text, and a hint.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(f"the expression is longer than {MAX_LENGTH} characters")
    if not text.strip():
        raise ExpressionError("the expression is empty")
    flat = re.sub(r"\s", " ", text)
    stripped = flat.lstrip()
    positions = _Positions(stripped, len(flat) - len(stripped))
    tree = _parse(flat, stripped, positions)
    _check(tree, positions)
    references, uses_moments = _read(tree, positions)
    return Expression(text, references, uses_moments, tree, positions)


def _parse(flat: str, stripped: str, positions: _Positions) -> ast.expr:
    blank = _STRINGS.sub(lambda match: "_" * len(match.group()), flat)
    for pattern, message, hint in _FOREIGN:
        match = pattern.search(blank)
        if match:
            raise ExpressionError(message, column=match.start() + 1, hint=hint)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(stripped.rstrip(), mode="eval").body
    except SyntaxError as error:
        column = min(max(1, error.offset or 1), len(stripped)) + positions.shift
        reason = (error.msg or "invalid syntax").split(" (")[0].split(". ")[0].rstrip(".")
        raise ExpressionError(f"cannot be parsed: {reason}", column=column) from None
    except (ValueError, MemoryError, RecursionError):
        raise ExpressionError("the expression is too deeply nested") from None


def _check(tree: ast.expr, positions: _Positions) -> None:
    """Refuse everything that is not in the language, before anything runs."""
    todo: list[tuple[ast.AST, ast.AST, int]] = [(tree, tree, 1)]
    while todo:
        node, parent, depth = todo.pop()
        column = positions.column(node if hasattr(node, "col_offset") else parent)
        if depth > MAX_DEPTH:
            raise ExpressionError("the expression is too deeply nested", column=column)
        if not isinstance(node, _ALLOWED):
            refusal = _REFUSED.get(type(node), f"{type(node).__name__} is not allowed here")
            raise ExpressionError(refusal, column=column)
        match node:
            case ast.Constant(value=value):
                _check_constant(value, column)
            case ast.Attribute(attr=name) | ast.Name(id=name) if name.startswith("_"):
                raise ExpressionError("names that begin with _ cannot be read", column=column)
            case ast.Call():
                _check_call(node, column)
                todo += [(argument, node, depth + 1) for argument in node.args]
                continue
            case ast.Name(id=name) if name in FUNCTIONS:
                raise ExpressionError(f"{name} is a function", column=column, hint=f"call it: {name}(…)")
        todo += [(child, node, depth + 1) for child in ast.iter_child_nodes(node)]


def _check_constant(value: object, column: int) -> None:
    if isinstance(value, str):
        if any("\ud800" <= char <= "\udfff" for char in value) or "\0" in value:
            raise ExpressionError("the text holds a character that cannot be stored", column=column)
        return
    if value is not None and not isinstance(value, bool | int | float):
        kind = type(value).__name__
        raise ExpressionError(f"a {kind} is not allowed in an expression", column=column)
    try:
        measured(value)
    except Unfit as problem:
        raise ExpressionError(str(problem), column=column) from None


def _check_call(node: ast.Call, column: int) -> None:
    if isinstance(node.func, ast.Attribute):
        known = node.func.attr in FUNCTIONS
        hint = f"write {node.func.attr}(…)" if known else f"functions: {', '.join(sorted(FUNCTIONS))}"
        raise ExpressionError("methods cannot be called", column=column, hint=hint)
    if not isinstance(node.func, ast.Name):
        raise ExpressionError("only the functions of the language can be called", column=column)
    name = node.func.id
    function = FUNCTIONS.get(name)
    if function is None:
        near = suggest(name, FUNCTIONS, kind="functions")
        raise ExpressionError(f"there is no function {name[:80]!r}", column=column, hint=near)
    if node.keywords:
        raise ExpressionError(f"{name}() takes no named values", column=column)
    if not function.least <= len(node.args) <= function.most:
        raise ExpressionError(f"{name}() takes {function.arity}, not {len(node.args)}", column=column)


def _read(tree: ast.expr, positions: _Positions) -> tuple[tuple[Reference, ...], bool]:
    """Find what it reads: the longest chain of fixed keys that each name begins."""
    references: list[Reference] = []
    uses_moments = False
    todo: list[ast.AST] = [tree]
    while todo:
        node = todo.pop()
        chain = _chain(node)
        if chain:
            if chain[0] not in WORDS:
                references.append(Reference(chain, positions.column(node)))
            continue
        if isinstance(node, ast.Call):
            uses_moments = uses_moments or (
                isinstance(node.func, ast.Name) and FUNCTIONS[node.func.id].timely
            )
            todo += node.args
            continue
        todo += ast.iter_child_nodes(node)
    references.sort(key=lambda reference: reference.column)
    return tuple(references), uses_moments


def _chain(node: ast.AST) -> tuple[str, ...]:
    parts: list[str] = []
    while True:
        match node:
            case ast.Attribute():
                parts.append(node.attr)
                node = node.value
            case ast.Subscript(slice=ast.Constant(value=str() as key)):
                parts.append(key)
                node = node.value
            case ast.Name():
                return (node.id, *reversed(parts))
            case _:
                return ()
