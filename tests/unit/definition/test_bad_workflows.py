"""Every mistake is named at its place, and nothing else is."""

from __future__ import annotations

import re

import pytest

from framework.definition.loader import parse_workflow
from framework.errors import DefinitionInvalid
from tests.unit.definition.bad_workflows import CHANGES, GOOD, HINTS


def marked(text: str) -> tuple[str, list[tuple[int, int]]]:
    """Take the marks out; return line and column of each."""
    places = []
    while "▲" in text:
        index = text.index("▲")
        before = text[:index]
        places.append((before.count("\n") + 1, index - before.rfind("\n")))
        text = text.replace("▲", "", 1)
    return text, places


def problems_of(text, folder):
    with pytest.raises(DefinitionInvalid) as caught:
        parse_workflow(text, "workflow.yaml", path=folder / "workflow.yaml")
    return caught.value


def test_the_good_file_is_good(code_folder):
    """Otherwise the cases would prove nothing."""
    loaded = parse_workflow(GOOD, "workflow.yaml", path=code_folder / "workflow.yaml")
    assert loaded.warnings == ()
    assert loaded.workflow.name == "demo"


@pytest.mark.parametrize(
    ("old", "new", "fragments"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES]
)
def test_a_mistake_is_named_at_its_place(code_folder, old, new, fragments):
    assert old in GOOD
    text, places = marked(GOOD.replace(old, new, 1))

    error = problems_of(text, code_folder)

    assert [(problem.line, problem.column) for problem in error.problems] == places
    for fragment, problem in zip(fragments, error.problems, strict=True):
        assert fragment in problem.message
        assert len(problem.message) < 400
        assert "Traceback" not in str(error)


def test_there_are_enough_cases():
    """The brief asks for at least 120; an id twice would hide one."""
    assert len({case[0] for case in CHANGES}) == len(CHANGES) >= 120


@pytest.mark.parametrize(("old", "new", "hint"), HINTS, ids=[str(case[1])[:30] for case in HINTS])
def test_a_hint_says_what_was_probably_meant(code_folder, old, new, hint):
    assert old in GOOD
    error = problems_of(GOOD.replace(old, new, 1), code_folder)
    assert any(hint in (problem.hint or "") for problem in error.problems)


def test_a_report_has_the_form_that_editors_turn_into_links(code_folder):
    text = GOOD.replace("max_steps: 50", "max_stpes: 50")
    assert str(problems_of(text, code_folder)) == (
        "workflow.yaml:13:10: limits.max_stpes: unknown key\n"
        "   13 | limits: {max_stpes: 50}\n"
        "      |          ^^^^^^^^^\n"
        "hint: did you mean 'max_steps'?"
    )


def test_at_most_a_hundred_problems_are_listed(code_folder):
    """Somebody who feeds us another kind of file wants to be told so, not to scroll."""
    keys = "".join(f"key{number}: 1\n" for number in range(500))
    error = problems_of(GOOD + keys, code_folder)
    assert len(error.problems) <= 102
    assert re.search(r"and \d+ more problems", error.problems[-1].message)


def test_a_value_is_never_repeated_in_full(code_folder):
    long = "x" * 5000
    error = problems_of(GOOD.replace("name: demo", f"name: '{long}'"), code_folder)
    assert all(len(problem.message) < 200 for problem in error.problems)
    assert long not in str(error)


def test_windows_line_ends_move_nothing(code_folder):
    text, places = marked(GOOD.replace("b -> end", "b -> ▲edn"))
    error = problems_of(text.replace("\n", "\r\n"), code_folder)
    assert [(problem.line, problem.column) for problem in error.problems] == places


def test_many_wrong_types_do_not_hide_what_else_is_wrong(code_folder):
    """What does not fit is cut out, and the rest is looked at."""
    text = GOOD.replace(
        "writes: [n]", "writes: [n], effects: x, timeout: y, retry: {jitter: 1, max: 2, factor: z}"
    )
    text = text.replace("max_steps: 50", "max_steps: no").replace("b -> end", "b -> edn")
    error = problems_of(text, code_folder)
    paths = ["effects", "timeout", "retry.jitter", "retry.max", "retry.factor"]
    assert [problem.path for problem in error.problems] == [
        *(f"nodes.a.{path}" for path in paths),
        "edges[1]",
        "limits.max_steps",
    ]
