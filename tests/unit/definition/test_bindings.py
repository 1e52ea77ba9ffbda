"""Holes in values: filled at the call, never before, and never twice."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from framework.definition.bindings import compile_binding, has_holes, parse_binding
from framework.errors import ExpressionError


class Task(BaseModel):
    id: int


NAMES = {
    "inputs": {"user": "me"},
    "state": {"list": [1, 2], "n": 5, "none": None, "task": Task(id=1), "evil": "${secret:A}"},
}
ENV = {"SET": "value", "EMPTY": ""}


def filled(value):
    return compile_binding(value).resolve(NAMES, env=ENV.get, secret=lambda name: f"<{name}>")


@pytest.mark.parametrize(
    ("value", "result"),
    [
        ("plain", "plain"),
        (5, 5),
        (None, None),
        ({}, {}),
        ("", ""),
        ("$5 {x}", "$5 {x}"),
        ("${{ state.list }}", [1, 2]),
        ("${{state.n}}", 5),
        ("${{ state.none }}", None),
        ("n=${{ state.n }}", "n=5"),
        ("${{ state.n }} ", "5 "),
        ("${{ state.n }}${{ state.n }}", "55"),
        ("${{ state.none }}!", "null!"),
        ("l: ${{ state.list }}", "l: [1,2]"),
        ("${{ state.task }}?", '{"id":1}?'),
        ("${env:SET}", "value"),
        ("a ${env:SET} b", "a value b"),
        ("${env:NO:-x y}", "x y"),
        ("${env:NO:-}", ""),
        ("${env:EMPTY:-x}", "x"),
        ("${env:EMPTY}", ""),
        ("${secret:API_KEY}", "<API_KEY>"),
        ("Bearer ${secret:API_KEY}", "Bearer <API_KEY>"),
        ("$${{ x }}", "${{ x }}"),
        ("$${env:SET}", "${env:SET}"),
        ("${{ '}}' }}", "}}"),
        ("${{ \"a}}\" + 'b' }}", "a}}b"),
        ({"a": ["${{ state.n }}", {"b": "${env:SET}"}]}, {"a": [5, {"b": "value"}]}),
        ("${{ state.evil }}", "${secret:A}"),
        ("x ${{ state.evil }}", "x ${secret:A}"),
    ],
)
def test_holes_are_filled(value, result):
    assert filled(value) == result


def test_what_was_filled_in_is_not_looked_at_again():
    """Otherwise a message in somebody's mailbox could name a secret and get it."""
    assert "${secret:A}" in filled("x ${{ state.evil }}")


@pytest.mark.parametrize(
    ("text", "offset", "fragment"),
    [
        ("a ${{ state.n", 2, "never closed"),
        ("${{ 1 + }}", 4, "cannot be parsed"),
        ("x ${HOME}", 2, "${HOME} means nothing"),
        ("${secret:A:-b}", 0, "not a secret's name"),
        ("${env:}", 0, "means nothing"),
        ("${env:A B}", 0, "means nothing"),
        ("${{ }}", 3, "empty"),
        ("${{ '}} ", 0, "never closed"),
        ("${", 0, "means nothing"),
        ("ab ${{ state.n = 1 }}", 15, "'='"),
    ],
)
def test_a_wrong_hole_is_found(text, offset, fragment):
    _, problems = parse_binding({"k": [text]})
    assert [(problem.path, problem.offset) for problem in problems] == [(("k", 0), offset)]
    assert fragment in problems[0].message
    with pytest.raises(ExpressionError) as caught:
        compile_binding(text)
    assert caught.value.column == offset + 1


def test_all_wrong_holes_are_found():
    _, problems = parse_binding({"a": "${{ 1 + }}", "b": "${{ x }} ${{ ( }}", "c": "${X}"})
    assert len(problems) == 3


def test_a_variable_that_is_not_set_is_an_error():
    with pytest.raises(ExpressionError, match="NO is not set") as caught:
        filled("${env:NO}")
    assert "${env:NO:-…}" in (caught.value.hint or "")


def test_a_binding_tells_what_it_needs():
    binding = compile_binding(
        {"a": "${secret:X} ${env:Y}", "b": ["${{ state.n }}", "${env:Z:-1}"], "c": "$${secret:NOT}"}
    )
    assert binding.secrets == {"X"}
    assert binding.variables == {"Y", "Z"}
    assert [(bound.path, bound.offset) for bound in binding.expressions] == [(("b", 0), 3)]
    assert not binding.uses_moments


def test_a_node_that_changes_what_it_was_given_changes_nothing_else():
    binding = compile_binding({"a": [1, {"b": 2}]})
    first = binding.resolve({}, env=ENV.get, secret=str)
    first["a"][1]["b"] = 3
    first["a"].append(4)
    assert binding.resolve({}, env=ENV.get, secret=str) == {"a": [1, {"b": 2}]}


def test_text_has_a_bound():
    with pytest.raises(ExpressionError, match="longer than"):
        compile_binding("${{ state.x }}${{ state.x }}").resolve(
            {"state": {"x": "y" * 600_000}}, env=ENV.get, secret=str
        )


def test_holes_are_recognised():
    assert has_holes("a ${{ x }}")
    assert has_holes("${env:X}")
    assert not has_holes("$${env:X}")
    assert not has_holes("plain $5")
