"""What the wrapper around each node promises: tries, timeouts, bindings, results, routes, faults."""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import os
import time

import pytest
from langgraph.types import Command, interrupt

from framework.errors import CallableRefused, ExpressionError, LimitExceeded, OutputRefused
from framework.graph.context import Point, StandIn
from framework.graph.failure import NodeFailure
from tests.unit.graph import samples
from tests.unit.graph.support import MemoryJournal, Run, route, workflow

NOW = {"initial": dt.timedelta(0)}


def single(node, *, state=None, **settings):
    settings.setdefault("writes", list(state or {}))
    return workflow({"node": node}, nodes={"node": settings}, state=state, paths=["start -> node -> end"])


class Faults:
    """A scenario of one rule."""

    def __init__(self, point, node, *actions):
        self.point, self.node, self.actions = point, node, list(actions)
        self.scopes = []

    def wants(self, point, node):
        return point is self.point and node == self.node and bool(self.actions)

    async def at(self, point, scope):
        self.scopes.append(scope)
        action = self.actions.pop(0)
        if isinstance(action, BaseException):
            raise action
        if isinstance(action, float):
            await asyncio.sleep(action)
            return None
        return action


# --- tries ---------------------------------------------------------------------------------------


def failing(times, error=ConnectionError):
    calls = []

    async def node(ctx):
        calls.append((ctx.try_number, ctx.idempotency_key))
        if len(calls) <= times:
            raise error("not yet")

    return node, calls


async def test_a_failing_node_is_tried_again():
    """Each try has its number, all have one idempotency key."""
    node, calls = failing(2)
    run = Run(single(node, retry={"max_attempts": 3, **NOW}))

    await run.start()

    assert [number for number, _ in calls] == [1, 2, 3]
    assert len({key for _, key in calls}) == 1
    assert calls[0][1].startswith("t:node:")
    assert run.journal.outcomes("node") == ["failed", "failed", "succeeded"]
    assert [event for event, *_ in run.events] == [
        "started",
        "ended",
        "retrying",
        "started",
        "ended",
        "retrying",
        "started",
        "ended",
    ]


async def test_tries_are_counted_over_attempts_and_one_always_happens():
    """A process that takes the run up has what is left of the tries, at least one."""
    node, calls = failing(99)
    run = Run(single(node, retry={"max_attempts": 2, **NOW}))

    for _ in range(2):
        with pytest.raises(NodeFailure):
            await run.drive(None if calls else {})

    assert [number for number, _ in calls] == [1, 2, 3]
    assert len({key for _, key in calls}) == 1


async def test_only_the_named_exceptions_are_retried():
    """`retry.on` names classes; subclasses count."""
    node, calls = failing(1, ConnectionResetError)
    await Run(single(node, retry={"max_attempts": 2, "on": ["ConnectionError"], **NOW})).start()
    other, other_calls = failing(1, ValueError)

    with pytest.raises(NodeFailure):
        await Run(single(other, retry={"max_attempts": 2, "on": ["ConnectionError"], **NOW})).start()

    assert (len(calls), len(other_calls)) == (2, 1)


async def test_an_output_that_is_refused_is_tried_again():
    """What a language model returned wrongly may be right the next time."""
    answers = [{"n": "five"}, {"n": 5}]
    run = Run(single(lambda: answers.pop(0), state={"n": {"type": "int"}}, retry={"max_attempts": 2, **NOW}))

    assert await run.start() == {"n": 5}


async def test_pauses_grow_as_the_policy_says():
    """Constant, linear, exponential, never above `max`."""
    from framework.definition.models import RetryPolicy
    from framework.graph.retrying import Retries

    def pauses(**settings):
        policy = RetryPolicy(
            initial=dt.timedelta(seconds=1), max=dt.timedelta(seconds=5), jitter=False, **settings
        )
        return [Retries(policy, (Exception,)).pause_seconds(n) for n in (1, 2, 3, 4, 5000)]

    assert pauses(backoff="constant") == [1, 1, 1, 1, 1]
    assert pauses(backoff="linear") == [1, 2, 3, 4, 5]
    assert pauses(backoff="exponential", factor=2) == [1, 2, 4, 5, 5]
    jittered = Retries(RetryPolicy(initial=dt.timedelta(seconds=1)), (Exception,))
    assert all(0 <= jittered.pause_seconds(1) <= 1 for _ in range(50))


async def test_a_retry_finds_the_answers_of_its_first_try():
    """An interrupt's answer belongs to its place in the node, not to the try."""
    tries = []

    async def node():
        answer = interrupt("which?")
        tries.append(answer)
        if len(tries) == 1:
            raise ConnectionError
        return {"answer": answer}

    run = Run(single(node, state={"answer": {}}, retry={"max_attempts": 2, **NOW}))
    await run.start()

    assert run.journal.outcomes("node") == ["interrupted"]
    assert await run.resume(Command(resume="this")) == {"answer": "this"}
    assert tries == ["this", "this"]


async def test_a_sync_node_can_interrupt():
    """The thread has the context variables of its task."""
    run = Run(single(lambda: {"answer": interrupt("?")}, state={"answer": {}}))
    await run.start()

    assert await run.resume(Command(resume=1)) == {"answer": 1}


# --- timeouts ------------------------------------------------------------------------------------


async def test_an_async_node_is_stopped_at_its_timeout():
    """And it is a TimeoutError, which `retry.on` can name."""
    stopped = []

    async def node():
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            stopped.append(1)
            raise

    began = time.monotonic()
    with pytest.raises(NodeFailure, match="longer than its timeout") as caught:
        await Run(single(node, timeout=dt.timedelta(milliseconds=50))).start()

    assert isinstance(caught.value.cause, TimeoutError)
    assert stopped == [1]
    assert time.monotonic() - began < 5


async def test_a_sync_node_is_late_when_it_returns():
    """Its thread cannot be stopped; its result is dropped."""
    with pytest.raises(NodeFailure) as caught:
        await Run(
            single(
                lambda: time.sleep(0.1), timeout=dt.timedelta(milliseconds=20), retry={"on": ["TimeoutError"]}
            )
        ).start()

    assert isinstance(caught.value.cause, TimeoutError)


async def test_a_timeout_of_the_nodes_own_is_its_own():
    """A TimeoutError raised inside is not called ours."""

    async def node():
        raise TimeoutError("the mail server's")

    with pytest.raises(NodeFailure, match="the mail server's"):
        await Run(single(node, timeout=dt.timedelta(seconds=5))).start()


# --- what a node is given ------------------------------------------------------------------------


async def test_parameters_are_given_by_name(monkeypatch):
    """`with:` keys, state, ctx, runtime; environment and secrets at the moment of the call."""
    seen = {}
    monkeypatch.setenv("PLACE", "here")

    def node(state, ctx, runtime, who, place, key, missing="default"):
        seen.update(state=state, ctx=ctx, runtime=runtime, who=who, place=place, key=key, missing=missing)

    compiled = workflow(
        {"node": node},
        nodes={
            "node": {
                "with": {
                    "who": "${{ inputs.user }}",
                    "place": "${env:PLACE}",
                    "key": {"deep": ["${secret:TOKEN}"]},
                }
            }
        },
        state={"n": {"type": "int", "default": 1}},
        paths=["start -> node -> end"],
    )
    run = Run(compiled, inputs={"user": "ana"}, secrets={"TOKEN": "hush"})
    await run.start()

    assert (seen["who"], seen["place"], seen["key"]) == ("ana", "here", {"deep": ["hush"]})
    assert seen["state"] == {"n": 1}
    assert seen["missing"] == "default"
    assert seen["runtime"].execution_info.thread_id == "t"
    ctx = seen["ctx"]
    assert (ctx.run_id, ctx.thread_id, ctx.workflow, ctx.node) == ("run-1", "t", "test", "node")
    assert (ctx.attempt, ctx.try_number, ctx.visit, ctx.inputs) == (1, 1, 1, {"user": "ana"})
    for checkpoint in run.checkpointer.list(run.config):
        assert "hush" not in repr(checkpoint).replace(repr(run.config), "")


@pytest.mark.parametrize(
    ("function", "given", "message"),
    [
        (lambda s: s, {}, "Nobody gives 't:node' its parameter 's'"),
        (lambda: 1, {"user": 1}, "has no parameter 'user'"),
        (lambda s, /: s, {}, "by position"),
        (int, {}, "is not a function"),
        ("text", {}, "is not a function"),
    ],
)
def test_a_function_that_does_not_fit_is_refused_at_once(function, given, message):
    """Before anything runs, with the node named."""
    with pytest.raises(CallableRefused, match=message) as caught:
        single(function, **{"with": given})
    assert "'node'" in caught.value.message


def test_a_generator_is_no_node():
    """It would return before it has done anything."""

    def node():
        yield 1

    with pytest.raises(CallableRefused, match="generator"):
        single(node)


async def test_progress_and_sleep():
    """Progress reaches the live view and harms nobody when that is broken."""

    async def node(ctx):
        ctx.progress("half way")
        await ctx.sleep(0)
        ctx.logger.info("done")

    run = Run(single(node))
    await run.start()
    assert [(event, facts) for event, _, facts in run.events if event == "progress"] == [
        ("progress", {"text": "half way"})
    ]

    run = Run(single(node))
    run.context.observe = lambda *_: 1 / 0
    await run.start()


async def test_context_variables_reach_a_thread():
    """Tracing and logging rely on them."""
    name = contextvars.ContextVar("name", default="unset")
    name.set("set")

    def node():
        return name.get()

    assert await Run(single(node, state={"n": {}})).start() == {"n": "set"}


async def test_changing_the_state_in_place_changes_nothing():
    """What a node does to the mapping it was given is no update."""

    def node(state):
        state["n"] = 99

    assert await Run(single(node, state={"n": {"default": 1}})).start() == {"n": 1}


# --- what a node returns -------------------------------------------------------------------------

KEYS = {"n": {"type": "int"}, "m": {"type": "Message"}, "log": {"type": "list[Message]", "reducer": "append"}}


@pytest.mark.parametrize(
    ("writes", "result", "key", "says"),
    [
        (["n"], {"n": 1, "x": 2}, "x", "may not write"),
        (["n", "m"], {"k": 1}, "k", "may not write"),
        (["n"], "5", "n", "expected int, found a str"),
        (["n", "m"], 5, "", "a mapping with the keys n, m"),
        ([], 5, "", "it may return nothing"),
        (["m"], {"m": {"body": "x"}}, "m", "id: Field required"),
        (["log"], {"log": {"id": "1"}}, "log", "expected list"),
        (["log"], {"log": [{"id": 1}]}, "log", "0.id"),
        (["n"], True, "n", "expected int"),
        (["n"], 2**70, "n", "64 bits"),
        (["n", "m"], Command(goto="x"), "", "returned a Command"),
    ],
)
async def test_a_wrong_result_fails_its_node(writes, result, key, says):
    """With node, key, what was found and what was expected."""
    run = Run(single(lambda: result, state=KEYS, writes=writes))

    with pytest.raises(NodeFailure) as caught:
        await run.start()

    cause = caught.value.cause
    assert isinstance(cause, OutputRefused)
    assert (cause.node, cause.key) == ("node", key)
    assert says in cause.message


async def test_what_cannot_be_stored_fails_its_node_before_it_is_done():
    """The serializer would fail a step later, or change it without a word."""
    run = Run(single(lambda: {"o": {"when": [(1, 2)]}}, state={"o": {}}))

    with pytest.raises(NodeFailure, match=r"tuple at \['when'\]\[0\]") as caught:
        await run.start()

    assert caught.value.error["hint"] == "A tuple comes back as a list: return a list."
    assert run.journal.outcomes("node") == ["failed"]


async def test_mappings_become_models_and_survive():
    """A declared model is what later nodes and a resumed process see."""
    run = Run(single(lambda: {"m": {"id": "1"}, "log": [{"id": "2"}]}, state=KEYS))

    values = await run.start()

    assert values == {"m": samples.Message(id="1"), "log": [samples.Message(id="2")]}
    assert run.compiled.outputs(values, run.context)["m"]["id"] == "1"


@pytest.mark.parametrize(
    ("result", "after"), [(None, {"log": []}), ({}, {"log": []}), (5, {"n": 5, "log": []})]
)
async def test_nothing_and_bare_values(result, after):
    """None is no update; a node with one key may return its value."""
    assert await Run(single(lambda: result, state=KEYS, writes=["n"])).start() == after


async def test_writes_can_be_expressions_over_the_result():
    """The mapping form takes a foreign function's result apart."""
    run = Run(
        single(
            lambda: {"a": {"b": 2}}, state={"n": {}, "m": {}}, writes={"n": "result.a.b", "m": "result.none"}
        )
    )

    assert await run.start() == {"n": 2, "m": None}


async def test_a_reducer_that_would_raise_fails_the_node():
    """Between two steps it would make a thread that nobody can resume."""

    def picky(so_far, update):
        raise TypeError("cannot")

    compiled = workflow(
        {"node": lambda: 1, "picky": picky},
        nodes={"node": {"writes": ["n"]}},
        state={"n": {"type": "int", "reducer": "t:picky", "default": 0}},
        paths=["start -> node -> end"],
    )
    run = Run(compiled)
    run.compiled.state.defaults.clear()

    with pytest.raises(NodeFailure, match="its reducer 't:picky' raised TypeError: cannot"):
        await run.drive({})


# --- ways on -------------------------------------------------------------------------------------


async def test_a_route_sees_the_update_of_its_node():
    """Conditions look at the state as it is after the node."""
    compiled = workflow(
        {"a": lambda: {"n": 2, "log": ["x"]}, "yes": lambda: None, "no": lambda: None},
        nodes={"a": {"writes": ["n", "log"]}, "yes": {}, "no": {}},
        state={
            "n": {"type": "int", "default": 1},
            "log": {"type": "list", "reducer": "append", "default": ["w"]},
        },
        paths=["start -> a", "yes -> end", "no -> end"],
        routes=[route("a", ("state.n == 2 and len(state.log) == 2", "yes"), (None, "no"))],
    )
    run = Run(compiled)
    await run.start()

    assert dict(run.journal.counts()) == {"a": 1, "yes": 1}


async def test_a_route_that_cannot_be_evaluated_fails_its_node_and_is_retried():
    """LangGraph's own routers end the run without a word on a resume."""
    compiled = workflow(
        {"a": lambda: {"n": "text"}, "b": lambda: None},
        nodes={"a": {"writes": ["n"], "retry": {"max_attempts": 2, **NOW}}, "b": {}},
        state={"n": {}},
        paths=["start -> a", "b -> end"],
        routes=[route("a", ("state.n > 1", "b"), (None, "end"))],
    )
    run = Run(compiled)

    for drive in (run.start, run.resume):
        with pytest.raises(NodeFailure) as caught:
            await drive()
        assert caught.value.node == "a"

    assert isinstance(caught.value.cause, ExpressionError)
    assert await run.tasks() != ()


async def test_a_routed_start_is_a_node():
    """A router on LangGraph's START would fail outside of any node."""
    compiled = workflow(
        {"a": lambda: None, "b": lambda: None},
        paths=["a -> end", "b -> end"],
        routes=[route("start", ("inputs.fast", "a"), (None, "b"))],
    )
    run = Run(compiled, inputs={"fast": True})
    await run.start()

    assert dict(run.journal.counts()) == {"start": 1, "a": 1}


async def test_two_writers_of_a_key_without_a_reducer():
    """The message names the key, the nodes, and what to do."""
    compiled = workflow(
        {"a": lambda: 1, "b": lambda: 2},
        nodes={"a": {"writes": ["n"]}, "b": {"writes": ["n"]}},
        state={"n": {}},
        paths=["start -> [a, b] -> end"],
    )

    with pytest.raises(Exception, match=r"'n' was written by 2 nodes \(of a, b\) in one step.*reducer"):
        await Run(compiled).start()


# --- on_error ------------------------------------------------------------------------------------


async def test_continue_with_replaces_the_update():
    """With bindings, also over the error; the run goes on."""

    def bad():
        raise ValueError("boom")

    compiled = workflow(
        {"bad": bad, "next": lambda: None},
        nodes={
            "bad": {
                "writes": ["n"],
                "on_error": {"continue_with": {"n": ["${{ inputs.x }}", "${{ error.type }}"]}},
            },
            "next": {},
        },
        state={"n": {}},
        paths=["start -> bad -> next -> end"],
    )
    run = Run(compiled, inputs={"x": 7})

    assert await run.start() == {"n": [7, "ValueError"]}
    assert run.journal.outcomes("bad") == ["continued"]
    assert run.journal.counts()["next"] == 1


async def test_goto_replaces_the_way_on():
    """The node's own successors do not run."""

    def bad():
        raise ValueError

    compiled = workflow(
        {"bad": bad, "next": lambda: None, "other": lambda: None},
        nodes={"bad": {"on_error": {"goto": "other"}}, "next": {}, "other": {}},
        paths=["start -> bad -> next -> end", "other -> end"],
    )
    run = Run(compiled)
    await run.start()

    assert dict(run.journal.counts()) == {"bad": 1, "other": 1}


async def test_a_rescue_that_does_not_fit_fails_the_node():
    """The second error is told, the first is its context."""

    def bad():
        raise ValueError("first")

    run = Run(single(bad, state={"n": {"type": "int"}}, on_error={"continue_with": {"n": "text"}}))

    with pytest.raises(NodeFailure, match="expected int") as caught:
        await run.start()
    assert isinstance(caught.value.cause.__context__, ValueError)


# --- limits --------------------------------------------------------------------------------------


def loop(**limits):
    return workflow({"a": lambda: None, "b": lambda: None}, paths=["start -> a -> b -> a"], limits=limits)


async def test_visits_are_limited():
    """The third visit fails the run; on_error has no say."""
    run = Run(loop(max_visits={"a": 2}))

    with pytest.raises(NodeFailure, match="came to node 'a' more than 2 times") as caught:
        await run.start()

    assert isinstance(caught.value.cause, LimitExceeded)
    assert dict(run.journal.counts()) == {"a": 2, "b": 2}


@pytest.mark.parametrize("base_step", [-1, 10])
async def test_steps_are_limited(base_step):
    """Counted from the run's own input, not from the thread's."""
    run = Run(loop(max_steps=3))
    if base_step > 0:
        filler = Run(
            workflow({"a": lambda: None, "b": lambda: None}, paths=["start -> a -> b -> end"]),
            checkpointer=run.checkpointer,
        )
        for _ in range(3):
            await filler.drive({})
        run.context.base_step = (await filler.graph.aget_state(filler.config)).metadata["step"] + 1

    with pytest.raises(NodeFailure, match="more than 3 steps"):
        await run.drive({})

    assert sum(run.journal.counts().values()) == 3


# --- faults --------------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [Point.BEFORE, Point.INSIDE, Point.AFTER])
async def test_a_fault_is_an_error_of_the_node(point):
    """Raised at any point it is retried as one; at BEFORE and INSIDE the function has not run."""
    calls = []
    faults = Faults(point, "node", ConnectionError("staged"))
    run = Run(
        single(lambda: calls.append(1), retry={"max_attempts": 2, **NOW}), faults=faults, inputs={"a": 1}
    )
    await run.start()

    assert run.journal.outcomes("node") == ["failed", "succeeded"]
    assert len(calls) == (2 if point is Point.AFTER else 1)
    scope = faults.scopes[0]
    assert (scope.node, scope.node_try.number, scope.inputs, scope.attempt) == ("node", 1, {"a": 1}, 1)


@pytest.mark.parametrize("point", [Point.BEFORE, Point.INSIDE, Point.AFTER])
async def test_a_stand_in_replaces_the_result(point):
    """And is checked like one."""
    calls = []

    def node():
        calls.append(1)
        return {"n": 1}

    run = Run(single(node, state={"n": {"type": "int"}}), faults=Faults(point, "node", StandIn({"n": 2})))
    assert await run.start() == {"n": 2}
    assert len(calls) == (1 if point is Point.AFTER else 0)

    run = Run(single(node, state={"n": {"type": "int"}}), faults=Faults(point, "node", StandIn({"n": "x"})))
    with pytest.raises(NodeFailure, match="expected int"):
        await run.start()


@pytest.mark.parametrize("sync", [True, False])
async def test_a_hang_inside_is_subject_to_the_timeout(sync):
    """As if the node's own code hung, sync or not; before it, it is not."""

    async def node():
        pass

    function = (lambda: None) if sync else node
    timeout = dt.timedelta(milliseconds=40)

    with pytest.raises(NodeFailure, match="longer than its timeout"):
        await Run(single(function, timeout=timeout), faults=Faults(Point.INSIDE, "node", 30.0)).start()
    await Run(single(function, timeout=timeout), faults=Faults(Point.BEFORE, "node", 0.1)).start()


# --- without a run -------------------------------------------------------------------------------


async def test_a_compiled_workflow_works_as_a_plain_graph():
    """Library use: no run, no journal, sensible defaults."""
    os.environ["HOLDFAST_TEST_SECRET"] = "hush"
    compiled = workflow(
        {"a": lambda ctx, key: {"n": [ctx.run_id, key, ctx.inputs]}},
        nodes={"a": {"writes": ["n"], "with": {"key": "${secret:HOLDFAST_TEST_SECRET}"}}},
        state={"n": {}},
        paths=["start -> a -> end"],
        limits={"max_steps": 1},
    )

    config = {"configurable": {"thread_id": "x", "inputs": {"a": 1}}}
    assert await compiled.graph(None).ainvoke({}, config) == {"n": ["x", "hush", {"a": 1}]}


def test_the_journal_of_a_test_counts_visits():
    """The fake keeps to the protocol."""
    assert MemoryJournal().visits("a", "x") == 0
