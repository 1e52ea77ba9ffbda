"""Is the code that a run was started with still the code that is here?"""

from __future__ import annotations

import ast
import functools
import hashlib
import inspect
import textwrap
from collections.abc import Callable
from typing import Any


def fingerprint(thing: Any) -> str:  # any callable or runnable
    """Return a hash of a function: where it lives, its parameters, and what it says.

    Comments, blank lines and formatting do not count, nor do docstrings. The
    functions that it calls do not either: a change there is not noticed.
    """
    function = _unwrapped(thing)
    text = "\n".join([home_of(function), _signature(function), _body(function)])
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def home_of(function: object) -> str:
    """Return `module:qualname` of a function, or of an object's class."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}:{name}"


def _unwrapped(thing: Any) -> Any:  # any callable or runnable
    while isinstance(thing, functools.partial):
        thing = thing.func
    try:
        thing = inspect.unwrap(thing)
    except ValueError:
        return thing
    if inspect.isroutine(thing) or inspect.isclass(thing):
        return thing
    # An object that can be called says what it does in its class.
    return type(thing)


def _signature(function: Callable[..., Any]) -> str:
    try:
        return str(inspect.signature(function))
    except (TypeError, ValueError):
        return ""


def _body(function: Callable[..., Any]) -> str:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    except (OSError, TypeError, SyntaxError, ValueError):
        # A lambda in the middle of a call, or no source at all: the bytecode is all there is.
        code = getattr(function, "__code__", None)
        return "" if code is None else f"{code.co_code.hex()} {_constants(code)!r} {code.co_names!r}"
    return ast.dump(_WithoutDocstrings().visit(tree))


def _constants(code: Any) -> list[str]:  # a code object
    # Nested code objects have an address in their repr.
    return [item.co_code.hex() if inspect.iscode(item) else repr(item) for item in code.co_consts]


class _WithoutDocstrings(ast.NodeTransformer):
    """Takes the docstrings out of a tree."""

    def visit(self, node: ast.AST) -> ast.AST:
        self.generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and isinstance(body, list):
            first = body[0]
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = body[1:] or [ast.Pass()]
        return node
