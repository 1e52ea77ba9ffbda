"""Walks the checked tree of an expression; the only place where one is run."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from pydantic import BaseModel

from framework.definition.functions import FUNCTIONS, Moments, Unfit, measured
from framework.definition.words import suggest
from framework.errors import ExpressionError

MAX_STEPS = 10_000
WORDS: Mapping[str, Any] = {"true": True, "false": False, "null": None}

_ARITHMETIC: Mapping[type[ast.AST], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_SIGNS: Mapping[type[ast.AST], str] = {
    ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Add: "+", ast.Sub: "-",
    ast.Mult: "*", ast.Div: "/", ast.FloorDiv: "//", ast.Mod: "%",
}  # fmt: skip


class Evaluation:
    """One walk over the tree, with its budget."""

    def __init__(
        self, names: Mapping[str, Any], moments: Moments | None, column: Callable[[ast.AST], int]
    ) -> None:
        self.names = names
        self.moments = moments
        self.column = column
        self.steps = 0

    def value(self, node: ast.expr) -> Any:
        """Evaluate one node; what the work itself raises becomes an error with a column."""
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise ExpressionError("the expression takes too many steps")
        try:
            return _WALK[type(node)](self, node)
        except Unfit as problem:
            raise ExpressionError(str(problem), column=self.column(node), hint=problem.hint) from None
        except (TypeError, ValueError, ArithmeticError, RecursionError, AttributeError) as problem:
            # Comparing or hashing a value of the user's own class can raise these.
            reason = str(problem)[:200]
            raise ExpressionError(f"cannot be evaluated: {reason}", column=self.column(node)) from None

    def constant(self, node: ast.Constant) -> Any:
        """A literal."""
        return node.value

    def name(self, node: ast.Name) -> Any:
        """`inputs`, `state`, …, or a word such as true."""
        if node.id in WORDS:
            return WORDS[node.id]
        if node.id not in self.names:
            raise Unfit(f"unknown name {node.id[:80]!r}", suggest(node.id, self.names, kind="names"))
        return self.names[node.id]

    def attribute(self, node: ast.Attribute) -> Any:
        """A key or a declared field."""
        return _field(self.value(node.value), node.attr)

    def subscript(self, node: ast.Subscript) -> Any:
        """`[index]` or `[key]`; what is not there is null."""
        holder, key = self.value(node.value), self.value(node.slice)
        if holder is None:
            return None
        if isinstance(holder, list | tuple | str):
            if isinstance(key, bool) or not isinstance(key, int):
                raise Unfit("the index of a list or text is a whole number")
            return holder[key] if -len(holder) <= key < len(holder) else None
        if isinstance(holder, Mapping):
            return holder.get(key)
        if isinstance(key, str) and not key.startswith("_"):
            return _field(holder, key)
        raise Unfit(f"{_kind(holder)} has no parts that [ ] can read")

    def bool_op(self, node: ast.BoolOp) -> Any:
        """`and`, `or`; the rest is not looked at once it is decided."""
        result: Any = None
        for part in node.values:
            result = self.value(part)
            if bool(result) is isinstance(node.op, ast.Or):
                break
        return result

    def unary_op(self, node: ast.UnaryOp) -> Any:
        """`not`, or a sign."""
        operand = self.value(node.operand)
        if isinstance(node.op, ast.Not):
            return not operand
        if isinstance(operand, bool) or not isinstance(operand, int | float):
            raise Unfit(f"a sign needs a number, not {_kind(operand)}")
        return -operand if isinstance(node.op, ast.USub) else operand

    def compare(self, node: ast.Compare) -> bool:
        """A chain such as `1 < a <= 5`."""
        left = self.value(node.left)
        for kind, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.value(comparator)
            if not _holds(kind, left, right):
                return False
            left = right
        return True

    def bin_op(self, node: ast.BinOp) -> Any:
        """Arithmetic; `+` also joins texts and lists."""
        left, right = self.value(node.left), self.value(node.right)
        return measured(_calculate(node.op, left, right))

    def if_exp(self, node: ast.IfExp) -> Any:
        """`a if condition else b`."""
        return self.value(node.body if self.value(node.test) else node.orelse)

    def list(self, node: ast.List) -> Any:
        """A list."""
        return [self.value(item) for item in node.elts]

    def call(self, node: ast.Call) -> Any:
        """One of the language's functions."""
        assert isinstance(node.func, ast.Name)
        function = FUNCTIONS[node.func.id]
        arguments = [self.value(argument) for argument in node.args]
        if function.timely:
            if self.moments is None:
                raise Unfit(f"{node.func.id}() cannot be used here")
            return function.call(self.moments, *arguments)
        return measured(function.call(*arguments))


_WALK: Mapping[type[ast.AST], Callable[[Evaluation, Any], Any]] = {
    ast.Constant: Evaluation.constant,
    ast.Name: Evaluation.name,
    ast.Attribute: Evaluation.attribute,
    ast.Subscript: Evaluation.subscript,
    ast.BoolOp: Evaluation.bool_op,
    ast.UnaryOp: Evaluation.unary_op,
    ast.Compare: Evaluation.compare,
    ast.BinOp: Evaluation.bin_op,
    ast.IfExp: Evaluation.if_exp,
    ast.List: Evaluation.list,
    ast.Call: Evaluation.call,
}


def _field(holder: Any, name: str) -> Any:
    """A mapping's key or a declared field; nothing else of an object can be read."""
    if holder is None:
        return None
    if isinstance(holder, Mapping):
        return holder.get(name)
    if isinstance(holder, BaseModel):
        known = list(type(holder).model_fields)
    elif is_dataclass(holder) and not isinstance(holder, type):
        known = [field.name for field in fields(holder)]
    else:
        raise Unfit(f"{_kind(holder)} has no field {name[:80]!r}")
    if name not in known:
        raise Unfit(f"{_kind(holder)} has no field {name[:80]!r}", suggest(name, known, kind="fields"))
    return getattr(holder, name)


def _kind(value: Any) -> str:
    words = {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list",
             tuple: "a list", dict: "a mapping", type(None): "null"}  # fmt: skip
    return words.get(type(value), f"a {type(value).__name__}"[:80])


def _holds(kind: ast.cmpop, left: Any, right: Any) -> bool:
    match kind:
        case ast.Eq():
            return bool(left == right)
        case ast.NotEq():
            return bool(left != right)
        case ast.In() | ast.NotIn():
            return _contains(right, left) is isinstance(kind, ast.In)
    sign = _SIGNS[type(kind)]
    if left is None or right is None:
        raise Unfit(f"null cannot be compared with {sign}", "say what null means: default(value, 0)")
    numbers = isinstance(left, int | float) and isinstance(right, int | float)
    if not numbers and type(left) is not type(right):
        raise Unfit(f"{_kind(left)} and {_kind(right)} cannot be compared with {sign}")
    match kind:
        case ast.Lt():
            return bool(left < right)
        case ast.LtE():
            return bool(left <= right)
        case ast.Gt():
            return bool(left > right)
    return bool(left >= right)


def _contains(holder: Any, item: Any) -> bool:
    if holder is None:
        return False
    if isinstance(holder, str) and not isinstance(item, str):
        raise Unfit(f"{_kind(item)} cannot be looked for in text", "turn it into text: str(…)")
    if not isinstance(holder, str | list | tuple | Mapping):
        raise Unfit(f"nothing can be looked for in {_kind(holder)}")
    return item in holder


def _calculate(kind: ast.operator, left: Any, right: Any) -> Any:
    sign = _SIGNS[type(kind)]
    pair = (left, right)
    numbers = all(isinstance(part, int | float) and not isinstance(part, bool) for part in pair)
    if isinstance(kind, ast.Add) and not numbers:
        if all(isinstance(part, str) for part in pair):
            return left + right
        if all(isinstance(part, list | tuple) for part in pair):
            return [*left, *right]
    if not numbers:
        text = any(isinstance(part, str) for part in pair)
        hint = "turn it into text: str(…)" if text and sign == "+" else None
        raise Unfit(f"{sign} does not work on {_kind(left)} and {_kind(right)}", hint)
    if right == 0 and isinstance(kind, ast.Div | ast.FloorDiv | ast.Mod):
        raise Unfit("division by zero")
    return _ARITHMETIC[type(kind)](left, right)
