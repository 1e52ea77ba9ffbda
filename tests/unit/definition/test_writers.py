"""Which nodes can run in one step: no miss, and no false alarm."""

from __future__ import annotations

import re

import pytest

from framework.definition.loader import parse_workflow
from framework.errors import DefinitionInvalid

R2 = "{{if: 'state.k == 1', to: {}}}, {{else: {}}}"


def conflicts(edges, *, extra=None, reducer="last", nodes="abcdef"):
    """Each node writes `k`; return the pairs that are reported."""
    lines = ["version: 1", "name: demo", f"state: {{k: {{type: 'list[int]', reducer: {reducer}}}}}", "nodes:"]
    text = " ".join([*edges, *(extra or {}).values()])
    used = [name for name in nodes if re.search(rf"\b{name}\b", text)]
    for name in used:
        goto = f", on_error: {{goto: {extra[name]}}}" if extra and name in extra else ""
        lines.append(f"  {name}: {{use: 'x:y', writes: [k]{goto}}}")
    lines.append("edges:")
    lines += [f"  - {edge if edge.startswith('{') else repr(edge)}" for edge in edges]
    lines.append("limits: {max_steps: 50}")
    text = "\n".join(lines) + "\n"
    try:
        parse_workflow(text, "f", check_code=False)
        problems = ()
    except DefinitionInvalid as error:
        problems = error.problems
    assert [problem.message for problem in problems if "in the same step" not in problem.message] == []
    return {"".join(problem.message.split("'")[1::2][:2]) for problem in problems}


@pytest.mark.parametrize(
    ("edges", "pairs"),
    [
        # Side by side.
        (["start -> [a, b] -> end"], {"ab"}),
        (["start -> [a, b, c] -> end"], {"ab", "ac", "bc"}),
        (["start -> a -> [b, c] -> d -> end"], {"bc"}),
        (["start -> a", "start -> b", "a -> end", "b -> end"], {"ab"}),
        # One after the other.
        (["start -> a -> b -> c -> end"], set()),
        # Branches of different lengths: LangGraph moves in steps.
        (["start -> [a, c]", "a -> b -> end", "c -> d -> end"], {"ac", "bd"}),
        (["start -> [a, c]", "a -> b -> end", "c -> end"], {"ac"}),
        # A join's target runs alone.
        (["start -> [a, b]", "[a, b] -> c -> end"], {"ab"}),
        (["start -> [a, b]", "b -> d", "[a, d] -> c -> end"], {"ab"}),
        # ... but not alone of what has nothing to do with it.
        (["start -> [a, b, e]", "[a, b] -> c -> end", "e -> f -> end"], {"ab", "ae", "be", "cf"}),
        # ... and it waits for the slowest, beside which others go on.
        (["start -> [a, b]", "[a, d] -> c -> end", "b -> d", "b -> e -> f -> end"], {"ab", "de", "cf"}),
        # Two joins in a row.
        (["start -> [a, b]", "[a, b] -> c", "[c, b] -> d -> end"], {"ab"}),
        # One branch of a route is taken.
        (["start -> a", f"{{from: a, route: [{R2.format('b', 'c')}]}}", "b -> end", "c -> end"], set()),
        (
            [
                "start -> a",
                f"{{from: a, route: [{R2.format('[b, c]', 'd')}]}}",
                "b -> end",
                "c -> end",
                "d -> end",
            ],
            {"bc"},
        ),
        (
            [
                "start -> a",
                f"{{from: a, route: [{R2.format('b', 'c')}]}}",
                "b -> d",
                "c -> e",
                "d -> end",
                "e -> end",
            ],
            set(),
        ),
        (
            ["start -> a", f"{{from: a, route: [{R2.format('b', 'c')}]}}", "b -> d", "c -> d", "d -> end"],
            set(),
        ),
        (
            [
                "start -> [a, b]",
                f"{{from: a, route: [{R2.format('c', 'd')}]}}",
                "b -> e",
                "c -> end",
                "d -> end",
                "e -> end",
            ],
            {"ab", "ce", "de"},
        ),
        # Two ways to the same node start it once.
        (["start -> [a, b]", "a -> c", "b -> c", "c -> end"], {"ab"}),
        # A loop runs again, not beside itself.
        (["start -> a -> b", f"{{from: b, route: [{R2.format('a', 'end')}]}}"], set()),
        (["start -> a -> b", f"{{from: b, route: [{R2.format('[a, c]', 'end')}]}}", "c -> end"], {"ac"}),
        # A loop beside a chain meets it shifted.
        (
            ["start -> [a, c]", f"{{from: a, route: [{R2.format('a', 'end')}]}}", "c -> d -> end"],
            {"ac", "ad"},
        ),
        # A routed start.
        ([f"{{from: start, route: [{R2.format('a', 'b')}]}}", "a -> end", "b -> end"], set()),
        ([f"{{from: start, route: [{R2.format('[a, b]', 'b')}]}}", "a -> end", "b -> end"], {"ab"}),
        # A join of branches of a route: one member comes, and is enough.
        (["start -> a", f"{{from: a, route: [{R2.format('b', 'c')}]}}", "[b, c] -> d -> end"], set()),
    ],
)
def test_nodes_that_can_run_in_one_step_are_found_and_no_others(edges, pairs):
    assert conflicts(edges) == pairs


def test_the_way_out_of_an_error_is_a_way():
    edges = ["start -> [a, b]", "a -> end", "b -> c -> end", "d -> end"]
    assert conflicts(edges, extra={"a": "d"}) == {"ab", "cd"}


def test_a_reducer_settles_it():
    assert conflicts(["start -> [a, b] -> end"], reducer="append") == set()


def test_what_cannot_be_decided_in_time_is_a_warning():
    """LangGraph raises when it happens; nobody waits a minute to be told that it might."""
    from tests.unit.definition.hostile import wide_workflow

    text = wide_workflow(900, joined=False).replace(", on_error: {goto: n0}", "")
    loaded = parse_workflow(text, "f", check_code=False)
    assert ["too many ways" in warning.message for warning in loaded.warnings] == [True]


def sixteen_routes(*edges, writers, more=()):
    """Sixteen nodes side by side, each with a route: 65,536 sets, but few pairs."""
    names = [f"n{number}" for number in range(16)]
    lines = ["version: 1", "name: demo", "state: {k: {}}", "nodes:"]
    lines += [f"  {name}: {{use: 'x:y'}}" for name in [*names, *more]]
    lines += [f"  {name}: {{use: 'x:y', writes: [k]}}" for name in writers]
    lines += ["edges:", f"  - 'start -> [{', '.join(names)}]'", *(f"  - '{edge}'" for edge in edges)]
    route = "route: [{if: 'state.k == 1', to: left}, {else: right}]"
    lines += [f"  - {{from: {name}, {route}}}" for name in names]
    return "\n".join(lines)


def test_where_sets_are_too_many_pairs_still_tell():
    text = sixteen_routes("[left, right] -> last", "last -> end", writers=["left", "right", "last"])
    with pytest.raises(DefinitionInvalid) as caught:
        parse_workflow(text, "f", check_code=False)
    messages = [problem.message for problem in caught.value.problems]
    assert messages == ["'left' and 'right' may write 'k' in the same step"]


def test_pairs_know_that_a_join_waits():
    """`later` comes a step after `left`; `last` waits for it instead of running beside it."""
    edges = ["right -> later", "[left, later] -> last", "last -> after -> end"]
    text = sixteen_routes(*edges, writers=["later", "last", "after"], more=["left", "right"])
    assert parse_workflow(text, "f", check_code=False).warnings == ()
