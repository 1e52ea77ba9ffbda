"""A change of a node's code is noticed, a change of its looks is not."""

from __future__ import annotations

import functools
import importlib.util
import sys

import pytest

from framework.graph.fingerprint import fingerprint

ORIGINAL = "def node(a, b=1):\n    return a + b\n"


@pytest.fixture
def function(tmp_path):
    """Import a source text as the module `subject`, and return its `node`."""
    count = 0

    def make(text):
        nonlocal count
        count += 1
        path = tmp_path / f"subject{count}.py"
        path.write_text(text)
        spec = importlib.util.spec_from_file_location("subject", path)
        module = importlib.util.module_from_spec(spec)
        sys.modules["subject"] = module
        spec.loader.exec_module(module)
        return module.node

    yield make
    sys.modules.pop("subject", None)


@pytest.mark.parametrize(
    "text",
    [
        "# new\ndef node(a, b=1):\n\n    # why\n    return (a + b)\n",
        'def node(a, b=1):\n    """Say what it does."""\n    return a + b\n',
        "import os\n\n\nx = 1\ndef node(a,\n    b=1,\n):\n    return a + b\n",
    ],
)
def test_looks_do_not_count(function, text):
    """Comments, docstrings, formatting, and what stands elsewhere in the module."""
    assert fingerprint(function(text)) == fingerprint(function(ORIGINAL))


@pytest.mark.parametrize(
    "text",
    [
        "def node(a, b=1):\n    return a - b\n",
        "def node(a, b=2):\n    return a + b\n",
        "def node(a, c=1):\n    return a + c\n",
        "async def node(a, b=1):\n    return a + b\n",
        "def other(a, b=1):\n    return a + b\nnode = other\n",
    ],
)
def test_code_counts(function, text):
    """The body, the parameters, and where it lives."""
    assert fingerprint(function(text)) != fingerprint(function(ORIGINAL))


def test_what_has_no_source_has_a_fingerprint():
    """Code from `exec`, builtins, partials, objects that can be called."""

    class Callable:
        def __call__(self):
            return 1

    spaces = [{}, {}, {}]
    for space, body in zip(spaces, ("1", "1", "2"), strict=True):
        exec(f"def node(): return {body}", space)
    first, same, other = (fingerprint(space["node"]) for space in spaces)

    assert first == same != other
    assert fingerprint(len) == fingerprint(functools.partial(len))
    assert fingerprint(Callable()) == fingerprint(Callable())


def test_a_decorated_function_is_seen_through():
    """The decorator's wrapper is the same for all of its functions."""

    def decorate(function):
        @functools.wraps(function)
        def wrapper():
            return function()

        return wrapper

    @decorate
    def one():
        return 1

    @decorate
    def two():
        return 2

    assert fingerprint(one) != fingerprint(two)
