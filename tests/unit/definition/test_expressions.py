"""The expression language: what it computes, what it refuses, and where it says so."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from datetime import UTC, datetime

import pytest
from pydantic import BaseModel

from framework.definition.expressions import Moments, compile_expression
from framework.errors import ExpressionError


class Task(BaseModel):
    id: int
    title: str = ""
    _hidden: int = 1

    @property
    def computed(self):
        return 1

    def method(self):
        return 1


@dataclass
class Point:
    x: int
    y: int = 0
    shared = 5


NAMES = {
    "inputs": {"user": "me", "day": "2025-11-03"},
    "state": {
        "n": 3,
        "zero": 0,
        "none": None,
        "text": "Hello",
        "list": [1, 2, 3],
        "task": Task(id=7, title="x"),
        "point": Point(1, 2),
        "a": {"b": {"c": 5}},
        "a key": 1,
        "words": ["b", "a"],
        "flag": True,
    },
    "run": {"id": "r1"},
}
MOMENTS = Moments(datetime(2025, 11, 3, 23, 30, tzinfo=UTC))


def value_of(text):
    return compile_expression(text).evaluate(NAMES, moments=MOMENTS)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1 + 2 * 3", 7),
        ("7 // 2", 3),
        ("7 % 3", 1),
        ("7 / 2", 3.5),
        ("-state.n", -3),
        ("+1", 1),
        ("'a' + 'b'", "ab"),
        ("[1] + [2]", [1, 2]),
        ("true", True),
        ("false", False),
        ("null", None),
        ("None", None),
        ("state.n == 3 and inputs.user == 'me'", True),
        ("not state.flag", False),
        ("state.none or 'x'", "x"),
        ("state.zero and 1 / 0", 0),
        ("1 < state.n < 5", True),
        ("1 < state.n < 2", False),
        ("2 in state.list", True),
        ("2 not in state.list", False),
        ("'ell' in state.text", True),
        ("'b' in state.a", True),
        ("1 in null", False),
        ("null in [null]", True),
        ("null == null", True),
        ("state.none != 1", True),
        ("state.a.b.c", 5),
        ("state['a key']", 1),
        ("state.a['b'].c", 5),
        ("state.list[0]", 1),
        ("state.list[-1]", 3),
        ("state.list[9]", None),
        ("state.text[0]", "H"),
        ("state.missing", None),
        ("state.missing.deeper[0].still", None),
        ("state.task.id", 7),
        ("state.point.y", 2),
        ("state.task['title']", "x"),
        ("'yes' if state.n > 2 else 'no'", "yes"),
        ("[state.n, 'a']", [3, "a"]),
        ("run.id", "r1"),
        ("len(state.list)", 3),
        ("len(state.text)", 5),
        ("len(state.a)", 1),
        ("min(state.list)", 1),
        ("max(1, 5, 2)", 5),
        ("abs(-2)", 2),
        ("any([false, 1])", True),
        ("all([])", True),
        ("sum(state.list)", 6),
        ("sum([0.5, 1])", 1.5),
        ("lower('ÄB')", "äb"),
        ("upper('ß')", "SS"),
        ("contains(state.list, 2)", True),
        ("contains(null, 2)", False),
        ("contains('abc', 'b')", True),
        ("startswith('abc', 'a')", True),
        ("endswith('abc', 'a')", False),
        ("default(state.none, 4)", 4),
        ("default(state.zero, 4)", 0),
        ("round(2.567, 1)", 2.6),
        ("round(2.4)", 2),
        ("int('12')", 12),
        ("int(2.9)", 2),
        ("float('1.5')", 1.5),
        ("str(5)", "5"),
        ("str(true)", "true"),
        ("str(null)", "null"),
        ("str([1, 'a'])", '[1,"a"]'),
        ("join(['a', 1], '-')", "a-1"),
        ("join(state.words)", "b, a"),
        ("today('Europe/Berlin')", "2025-11-04"),
        ("today()", "2025-11-03"),
        ("now()", "2025-11-03T23:30:00+00:00"),
        ("  1  ", 1),
        ("1 +\n  2", 3),
        ("state.n==3", True),
        ("state.n != 3", False),
        ("'=' == '='", True),
        ("'a && b' == 'a && b'", True),
        ('"it\'s"', "it's"),
        ("state.flag == true", True),
        ("(1)", 1),
        ("state.a == {}" if False else "state.a != null", True),
        ("'ü' + 'é'", "üé"),
    ],
)
def test_an_expression_has_its_value(text, value):
    found = value_of(text)
    assert found == value
    assert type(found) is type(value)


ATTACKS = [
    "().__class__.__base__.__subclasses__()",
    "9**9**9",
    "'a'*10**9",
    "[x for x in state.list]",
    "__import__('os').system('id')",
    "state.task.__class__.__init__.__globals__",
    "state.list.append(1)",
    "'{0.__class__}'.format(state)",
    "open('/etc/passwd').read()",
    "range(10**9)",
    "'%999999999d' % 1",
    "'a' * 1000000000",
    "state.list * 1000000000",
    "(lambda: 1)()",
    "(x := 1)",
    "f'{state}'",
    "{**state}",
    "{1, 2}",
    "[*state.list]",
    "print(*[1])",
    "state.task['__class__']",
    "state.task.method",
    "state.task.method()",
    "state.task.model_dump",
    "state.task._hidden",
    "state.task.computed",
    "state.point.shared",
    "state.point.__dict__",
    "state.list[0:2]",
    "state.list[::1]",
    "(yield 1)",
    "await x",
    "1 if",
    "a; b",
    "import os",
    "b'bytes'",
    "1j",
    "...",
    "~1",
    "1 << 100000",
    "1 & 1",
    "1 @ 2",
    "len(x=1)",
    "len(*[1])",
    "len",
    "getattr(state, 'a')",
    "eval('1')",
    "state.text.upper",
    "1e999",
    "9" * 40,
    "'\\ud800'",
    "'\\x00'",
    "(" * 300 + ")" * 300,
    "not " * 200 + "1",
    "-" * 900 + "1",
    "[" * 60 + "]" * 60,
    "1 + " * 240 + "1",
    "x" * 1001,
    "",
    "   ",
]


@pytest.mark.parametrize("text", ATTACKS, ids=[text[:30] for text in ATTACKS])
def test_what_is_not_in_the_language_is_refused(text):
    with pytest.raises(ExpressionError) as caught:
        value_of(text)
    assert 1 <= caught.value.column <= len(text) + 1
    assert len(caught.value.message) < 200
    assert NAMES["state"]["list"] == [1, 2, 3]


@pytest.mark.parametrize(
    ("text", "column", "fragment", "hint"),
    [
        ("state.n = 3", 9, "'=' does not compare", "=="),
        ("state.n === 3", 9, "'==='", "=="),
        ("a && b", 3, "'&&'", "and"),
        ("a || b", 3, "'||'", "or"),
        ("!a", 1, "'!'", "not"),
        ("a ? 1 : 2", 3, "'?'", "if"),
        ("state.text | upper", 12, "'|'", "called"),
        ("1 + lenn(state.list)", 5, "no function 'lenn'", "'len'"),
        ("state.none < 1", 1, "null cannot be compared", "default"),
        ("1 + (state.none < 1)", 6, "null cannot be compared", "default"),
        ("state.text < 1", 1, "text and a number", None),
        ("state.text + 1", 1, "+ does not work on text and a number", "str("),
        ("'ü' + foo", 7, "unknown name 'foo'", "inputs"),
        ("input.user", 1, "unknown name 'input'", "'inputs'"),
        ("state.task.idd", 1, "no field 'idd'", "'id'"),
        ("state.text.length", 1, "text has no field", None),
        ("1 / state.zero", 1, "division by zero", None),
        ("5 % 0", 1, "division by zero", None),
        ("state.list['a']", 1, "whole number", None),
        ("state.list[true]", 1, "whole number", None),
        ("true + 1", 1, "true or false", None),
        ("len(state.none)", 1, "len() needs", "default"),
        ("len()", 1, "takes 1 value, not 0", None),
        ("round(1, 2, 3)", 1, "takes 1 to 2 values, not 3", None),
        ("max([])", 1, "empty list", None),
        ("max(1, null)", 1, "null", None),
        ("max(1, 'a')", 1, "cannot be evaluated", None),
        ("lower(5)", 1, "needs text", None),
        ("int('x')", 1, "not a whole number", None),
        ("float('nan')", 1, "too large", None),
        ("float('abc')", 1, "not a number", None),
        ("int('9999999999999999999999999999999999999')", 1, "larger than 10^30", None),
        ("today('Mars/Olympus')", 1, "unknown time zone", "Europe/Berlin"),
        ("today('../../etc/passwd')", 1, "unknown time zone", None),
        ("1e300 * 1e300", 1, "too large", None),
        ("1" + "0" * 30 + " * 10", 1, "larger than 10^30", None),
        ("x\n  + (", 7, "cannot be parsed", None),
        ("1 in 5", 1, "nothing can be looked for in a number", None),
        ("1 in 'a'", 1, "cannot be looked for in text", "str("),
        ("state.list < 3", 1, "cannot be compared", None),
        ("[] in state.a", 1, "cannot be evaluated: unhashable", None),
    ],
)
def test_an_error_says_where_and_what_to_do(text, column, fragment, hint):
    with pytest.raises(ExpressionError) as caught:
        value_of(text)
    assert caught.value.column == column
    assert fragment in caught.value.message
    if hint:
        assert hint in (caught.value.hint or "")


def test_results_cannot_grow_without_bound():
    """A condition that doubles a text in a loop of states would otherwise fill the memory."""
    names = {"state": {"text": "x" * 600_000, "list": [0] * 600_000}}
    for text in (
        "state.text + state.text",
        "state.list + state.list",
        "join([state.text, state.text], '')",
        "str(state.list)",
    ):
        with pytest.raises(ExpressionError, match="longer than 1,000,000"):
            compile_expression(text).evaluate(names)


def test_reading_says_what_is_read():
    expression = compile_expression("state.approval.decision == 'x' and len(inputs['a b']) > item and true")
    assert expression.paths == {"state.approval.decision", "inputs.a b", "item"}
    assert expression.roots == {"state", "inputs", "item"}
    assert [reference.column for reference in expression.references] == [1, 40, 57]


def test_reading_looks_into_a_computed_key():
    assert compile_expression("state.list[state.n].x").paths == {"state.list", "state.n"}


def test_time_stands_still_and_has_to_be_given():
    expression = compile_expression("now()")
    assert expression.uses_moments
    assert not compile_expression("1").uses_moments
    with pytest.raises(ExpressionError, match="cannot be used here"):
        expression.evaluate({})
    assert Moments.at(str(MOMENTS)) == MOMENTS


def test_a_field_of_a_users_class_that_raises_is_an_expression_error():
    class Odd:
        def __eq__(self, other):
            raise ValueError("no comparison today")

        __hash__ = None

    with pytest.raises(ExpressionError, match="no comparison today"):
        compile_expression("state.odd == 1").evaluate({"state": {"odd": Odd()}})


def test_compiling_never_warns():
    """Python warns of '\\d' and of `1 is 1`; the reader of a log could do nothing about it."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compile_expression(r"'\d'").evaluate({}) == r"\d"


def test_an_expression_is_compiled_once():
    assert compile_expression("state.n + 1") is compile_expression("state.n + 1")


def test_a_hidden_key_of_a_mapping_is_hidden_too():
    for text in ("state._x", "_x", "state.a._y.z"):
        with pytest.raises(ExpressionError, match="begin with _"):
            compile_expression(text)
