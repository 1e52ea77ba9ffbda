"""Inputs as they come from a command line or from JSON."""

from __future__ import annotations

from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from framework.definition.expressions import Moments
from framework.definition.inputs import validate_inputs
from framework.definition.models import Input, InputType, Workflow
from framework.errors import InputInvalid

MOMENTS = Moments(datetime(2025, 11, 3, 23, 30, tzinfo=UTC))


def workflow(**inputs):
    return Workflow(version=1, name="demo", inputs=inputs)


def one(kind, value):
    return validate_inputs(workflow(x=Input(type=kind)), {"x": value}, moments=MOMENTS)["x"]


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        ("string", "me", "me"),
        ("string", "5", "5"),
        ("string", "", ""),
        ("integer", "5", 5),
        ("integer", 5, 5),
        ("integer", " -5 ", -5),
        ("integer", 5.0, 5),
        ("number", "5", 5),
        ("number", "5.5", 5.5),
        ("number", 5, 5),
        ("number", 1.5, 1.5),
        ("number", "1e3", 1000.0),
        ("boolean", "true", True),
        ("boolean", "No", False),
        ("boolean", True, True),
        ("boolean", "1", True),
        ("date", "2025-11-03", "2025-11-03"),
        ("date", date(2025, 11, 3), "2025-11-03"),
        ("datetime", "2025-11-03T10:00:00+01:00", "2025-11-03T10:00:00+01:00"),
        ("datetime", "2025-11-03", "2025-11-03T00:00:00"),
        ("path", "a/b.txt", "a/b.txt"),
        ("path", Path("a/b"), "a/b"),
        ("list", "[1, 2]", [1, 2]),
        ("list", [1], [1]),
        ("object", '{"a": 1}', {"a": 1}),
        ("object", {"a": [1]}, {"a": [1]}),
    ],
)
def test_a_value_is_converted_to_its_declared_type(kind, given, value):
    found = one(InputType(kind), given)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("string", 5),
        ("string", None),
        ("string", ["a"]),
        ("string", "a\0b"),
        ("string", "\ud800"),
        ("integer", "5.5"),
        ("integer", "five"),
        ("integer", ""),
        ("integer", True),
        ("integer", 5.5),
        ("integer", "9" * 5000),
        ("integer", float("nan")),
        ("number", "nan"),
        ("number", "inf"),
        ("number", "1e999"),
        ("number", True),
        ("number", float("inf")),
        ("boolean", "maybe"),
        ("boolean", 1),
        ("boolean", ""),
        ("date", "03.11.2025"),
        ("date", "2025-13-01"),
        ("date", 5),
        ("date", ""),
        ("datetime", "now"),
        ("path", ""),
        ("path", 5),
        ("path", "a\0b"),
        ("list", "1, 2"),
        ("list", '{"a": 1}'),
        ("list", "[NaN]"),
        ("list", [float("nan")]),
        ("list", [object()]),
        ("list", "[" * 100_000),
        ("object", "[1]"),
        ("object", "x"),
    ],
)
def test_a_value_of_another_type_is_refused(kind, given):
    with pytest.raises(InputInvalid) as caught:
        one(InputType(kind), given)
    assert "'x'" in caught.value.message
    assert "is expected" in caught.value.message
    assert len(caught.value.message) < 250


def test_an_unknown_input_is_named():
    with pytest.raises(InputInvalid, match="no input 'usr'") as caught:
        validate_inputs(workflow(user=Input()), {"usr": 1}, moments=MOMENTS)
    assert caught.value.hint == "did you mean 'user'?"
    with pytest.raises(InputInvalid) as caught:
        validate_inputs(workflow(), {"usr": 1}, moments=MOMENTS)
    assert caught.value.hint == "this workflow takes no inputs"


def test_a_missing_input_is_named():
    with pytest.raises(InputInvalid, match=r"'day' is missing; a date such as 2025-11-03 is expected"):
        validate_inputs(workflow(day=Input(type=InputType.DATE)), {}, moments=MOMENTS)


def test_an_input_that_is_not_required_is_null():
    assert validate_inputs(workflow(x=Input(required=False)), {}, moments=MOMENTS) == {"x": None}
    assert validate_inputs(workflow(x=Input(required=False)), {"x": None}, moments=MOMENTS) == {"x": None}


def test_defaults_are_evaluated_here_with_the_moment_of_admission():
    flow = workflow(
        user=Input(default="me"),
        day=Input(type=InputType.DATE, default="${{ today('Europe/Berlin') }}"),
        title=Input(default="Plan of ${{ inputs.user }} for ${{ inputs.day }}"),
        mail=Input(type=InputType.PATH, default="${env:MAIL:-inbox}"),
        nothing=Input(default=None),
    )
    assert validate_inputs(flow, {"user": "ana"}, moments=MOMENTS, env={}.get) == {
        "user": "ana",
        "day": "2025-11-04",
        "title": "Plan of ana for 2025-11-04",
        "mail": "inbox",
        "nothing": None,
    }


def test_a_default_that_does_not_fit_is_refused():
    with pytest.raises(InputInvalid, match="a whole number is expected"):
        validate_inputs(workflow(n=Input(type=InputType.INTEGER, default="${{ 'x' }}")), {}, moments=MOMENTS)
    with pytest.raises(InputInvalid, match="NO is not set"):
        validate_inputs(workflow(n=Input(default="${env:NO}")), {}, moments=MOMENTS, env={}.get)


def test_what_is_stored_is_a_copy():
    given = {"x": [1, {"a": 2}]}
    found = validate_inputs(workflow(x=Input(type=InputType.LIST)), given, moments=MOMENTS)
    given["x"][1]["a"] = 3
    assert found == {"x": [1, {"a": 2}]}
