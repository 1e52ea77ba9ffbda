"""A join runs once, when no branch can bring another member; it neither hangs nor hurries."""

from __future__ import annotations

import pytest

from framework.graph.failure import NodeFailure
from tests.unit.graph.support import Run, route, workflow

STATE = {"log": {"type": "list", "reducer": "append"}, "n": {"type": "int", "reducer": "add"}}


def named(name, fail=()):
    async def node():
        if name in fail:
            raise ValueError(name)
        return {"log": [name]}

    return node


def build(names, paths, *, routes=(), fail=(), more=None, limits=None):
    functions = {name: named(name, fail) for name in names}
    functions.update(more or {})
    nodes = {name: {"writes": ["log", "n"]} for name in functions}
    extra = {"limits": limits} if limits else {}
    return workflow(functions, nodes=nodes, state=STATE, paths=paths, routes=routes, **extra)


async def order(compiled):
    run = Run(compiled)
    values = await run.start()
    assert await run.tasks() == ()
    assert all(
        outcome == ["succeeded"]
        for outcome in map(run.journal.outcomes, run.journal.counts())
        if len(outcome) == 1
    )
    return values["log"], run


async def test_it_waits_for_the_longer_branch():
    """Uneven branches: the short one's member waits, and the join runs once."""
    log, run = await order(build("abcdj", ["start -> [a, b]", "b -> c -> d", "[a, d] -> j", "j -> end"]))

    assert log == ["a", "b", "c", "d", "j"]
    assert run.journal.counts()["j"] == 1


async def test_even_branches_cost_no_step():
    """The common case: the join runs in the step after its members."""
    _log, run = await order(build("abj", ["start -> [a, b]", "[a, b] -> j", "j -> end"]))
    head = await run.graph.aget_state(run.config)

    assert head.metadata["step"] == 2


async def test_a_member_that_went_elsewhere_is_not_waited_for():
    """A barrier would wait for ever, and the run would end as if it had succeeded."""
    log, _run = await order(
        build(
            "abzj",
            ["start -> [a, b]", "a -> j", "[a, b] -> j", "z -> end", "j -> end"],
            routes=(),
        )
    )
    assert log == ["a", "b", "j"]

    log, _run = await order(
        build(
            "sabzj",
            ["start -> s", "[a, b] -> j", "z -> end", "j -> end"],
            routes=[route("s", ("true", "a", "z"), (None, "b"))],
        )
    )
    assert log == ["s", "a", "z", "j"]


async def test_a_member_that_failed_over_is_not_waited_for():
    """`on_error.goto` leads a member elsewhere."""
    functions = {name: named(name, fail="b") for name in "abxyj"}
    nodes = {name: {"writes": ["log"]} for name in functions}
    nodes["b"]["on_error"] = {"goto": "x"}
    compiled = workflow(
        functions,
        nodes=nodes,
        state=STATE,
        paths=["start -> [a, b]", "[a, b] -> j", "x -> y -> end", "j -> end"],
    )

    log, run = await order_of(compiled)

    assert sorted(log) == ["a", "j", "x", "y"]
    assert run.journal.counts()["j"] == 1


async def order_of(compiled):
    run = Run(compiled)
    return (await run.start())["log"], run


async def test_an_unrelated_branch_is_not_waited_for():
    """`defer` would hold the join until every branch of the graph is done."""
    log, _run = await order_of(
        build("abjcdefg", ["start -> [a, b, c]", "[a, b] -> j -> end", "c -> d -> e -> f -> g -> end"])
    )

    assert log.index("j") < log.index("e")


async def test_two_joins_in_a_row():
    """`defer` wakes both together, and the second one runs twice."""
    log, run = await order_of(
        build("abcdefj", ["start -> [a, b, e]", "[a, b] -> d", "e -> c -> f", "[d, f] -> j -> end"])
    )

    assert log[-1] == "j"
    assert run.journal.counts() == dict.fromkeys("abcdefj", 1)


async def test_a_chain_of_three_joins_at_once():
    """All three have a member at the same time; each waits for the one before."""
    log, run = await order_of(
        build("abcjkl", ["start -> [a, b, c]", "[a, b] -> j", "[j, c] -> k", "[k, a] -> l -> end"])
    )

    assert log[-3:] == ["j", "k", "l"]
    assert run.journal.counts() == dict.fromkeys("abcjkl", 1)


async def test_a_join_in_a_loop_runs_once_per_round():
    """Each round waits anew."""

    async def j(state):
        return {"log": ["j"], "n": 1}

    log, run = await order_of(
        build(
            "pabc",
            ["start -> p -> [a, b]", "b -> c", "[a, c] -> j"],
            more={"j": j},
            routes=[route("j", ("state.n < 3", "p"), (None, "end"))],
        )
    )

    assert log == ["p", "a", "b", "c", "j"] * 3
    assert run.journal.visits("j", "") == 3


async def test_two_joins_that_wait_for_each_other_do_not_hang():
    """Each lies behind the other in a loop: the first of the file goes."""

    async def j(state):
        return {"log": ["j"], "n": 1}

    log, run = await order_of(
        build(
            "abcd",
            ["start -> [a, b, c, d]", "[a, b] -> j", "[c, d] -> k"],
            more={"j": j, "k": named("k")},
            routes=[
                route("j", ("state.n < 3", "c"), (None, "end")),
                route("k", ("state.n < 3", "a"), (None, "end")),
            ],
        )
    )

    assert log.count("j") >= 1
    assert await run.tasks() == ()


async def test_a_join_target_that_is_also_a_plain_target():
    """Whoever leads to it, it runs once when nobody else can any more."""
    log, run = await order_of(build("abcj", ["start -> [a, b, c]", "[a, b] -> j -> end", "c -> j"]))

    assert sorted(log[:3]) == ["a", "b", "c"]
    assert run.journal.counts()["j"] == 1


@pytest.mark.parametrize("failing", ["b", "c", "d"])
async def test_a_crash_between_members_loses_none(failing):
    """The first member came, a later one fails; the resume brings it and joins once."""
    fail = {failing}
    run = Run(build("abcdj", ["start -> [a, b]", "b -> c -> d", "[a, d] -> j -> end"], fail=fail))

    with pytest.raises(NodeFailure):
        await run.start()
    fail.clear()
    values = await run.resume()

    assert values["log"] == ["a", "b", "c", "d", "j"]
    assert run.journal.counts() == {**dict.fromkeys("abcdj", 1), failing: 2}


async def test_waiting_is_no_visit():
    """A join held for a step is not counted, timed, or shown."""
    compiled = build(
        "abcdj", ["start -> [a, b]", "b -> c -> d", "[a, d] -> j -> end"], limits={"max_visits": {"j": 1}}
    )

    _log, run = await order_of(compiled)

    assert run.journal.outcomes("j") == ["succeeded"]
