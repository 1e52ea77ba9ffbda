"""An existing LangGraph graph runs as it would without us, with journal, faults and durable failures."""

from __future__ import annotations

import asyncio
import operator
import time
from typing import Annotated, Any

import pytest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage
from langgraph.cache.memory import InMemoryCache
from langgraph.errors import NodeError
from langgraph.graph import END, START, StateGraph, add_messages
from langgraph.runtime import Runtime
from langgraph.types import CachePolicy, Command, RetryPolicy, Send, TimeoutPolicy, interrupt
from pydantic import BaseModel
from typing_extensions import TypedDict

from framework.errors import CallableRefused, LimitExceeded, OutputRefused
from framework.graph.context import Point, StandIn
from framework.graph.failure import NodeFailure
from tests.unit.graph import samples
from tests.unit.graph.support import Run, wrapped
from tests.unit.graph.test_node_runner import Faults


class S(TypedDict, total=False):
    items: list[int]
    out: Annotated[list[Any], operator.add]
    n: int


NOW = {"initial_interval": 0.0, "jitter": False}


def graph(**nodes):
    """Nodes in a row, each with its `add_node` settings."""
    built = StateGraph(S)
    before = START
    for name, node in nodes.items():
        function, settings = node if isinstance(node, tuple) else (node, {})
        built.add_node(name, function, **settings)
        built.add_edge(before, name)
        before = name
    return built


async def test_fan_out_with_send():
    """Each packet is a task of its own, journalled as such."""
    built = StateGraph(S)
    built.add_node("split", lambda state: {})
    built.add_node("work", lambda packet: {"out": [packet * 2]})
    built.add_node("end", lambda state: {"n": sum(state["out"])})
    built.add_edge(START, "split")
    built.add_conditional_edges("split", lambda state: [Send("work", i) for i in state["items"]], ["work"])
    built.add_edge("work", "end")
    run = Run(wrapped(built), inputs={"items": [1, 2, 3], "unknown": 1})

    assert await run.start() == {"items": [1, 2, 3], "out": [2, 4, 6], "n": 12}
    assert run.journal.counts() == {"split": 1, "work": 3, "end": 1}


@pytest.mark.parametrize("form", ["builder", "compiled", "function", "function of a compiled one"])
async def test_every_form_of_a_graph_and_none_is_changed(form):
    """The user's own object still runs without us."""
    built = graph(a=lambda state: {"n": 1})
    compiled = built.compile()
    forms = {"builder": built, "compiled": compiled, "function": lambda: built}
    before = {name: spec.runnable for name, spec in built.nodes.items()}

    workflow = wrapped(forms.get(form, lambda: compiled))
    for _ in range(2):
        assert (await Run(workflow).start())["n"] == 1

    assert {name: spec.runnable for name, spec in built.nodes.items()} == before
    assert built.compile().invoke({})["n"] == 1


@pytest.mark.parametrize("thing", ["text", lambda: 3, lambda: 1 / 0])
def test_what_is_no_graph_is_refused(thing):
    """With its name, before anything runs."""
    with pytest.raises(CallableRefused, match="t:graph"):
        wrapped(thing)


async def test_interrupt_and_answer():
    """Also inside a subgraph, whose state can still be read."""
    inner = graph(ask=lambda state: {"out": [interrupt("?")]}).compile()
    run = Run(wrapped(graph(sub=inner, after=lambda state: {"n": 1})))

    await run.start()
    state = await run.graph.aget_state(run.config, subgraphs=True)
    assert [i.value for i in state.interrupts] == ["?"]
    assert state.tasks[0].state.next == ("ask",)
    assert [name for name, _ in run.graph.get_subgraphs()] == ["sub"]
    assert run.journal.outcomes("sub") == ["interrupted"]

    assert (await run.resume(Command(resume="yes")))["out"] == ["yes"]
    assert run.journal.counts() == {"sub": 2, "after": 1}


async def test_command_and_context_and_parent():
    """Routing by Command, run-scoped context, and a subgraph that speaks to its parent."""

    class Context(TypedDict):
        who: str

    def hello(state: S, runtime: Runtime[Context]):
        return Command(update={"out": [runtime.context["who"]]}, goto="sub")

    inner = graph(
        up=lambda state: Command(graph=Command.PARENT, update={"out": ["up"]}, goto="last")
    ).compile()
    built = StateGraph(S, context_schema=Context)
    built.add_node("hello", hello, destinations=("sub",))
    built.add_node("sub", inner, destinations=("last",))
    built.add_node("last", lambda state: {"n": 1})
    built.add_edge(START, "hello")
    compiled = wrapped(built)
    run = Run(compiled)
    async for _ in run.graph.astream({}, run.config, context={"who": "ana"}, durability="sync"):
        pass

    assert (await run.graph.aget_state(run.config)).values == {"out": ["ana", "up"], "n": 1}
    assert run.journal.outcomes("sub") == ["succeeded"]


async def test_a_graphs_own_retries_stay_in_force():
    """And only the last failure is one of the node."""
    calls = []

    def flaky(state):
        calls.append(1)
        if len(calls) < 3:
            raise ConnectionError
        return {"n": len(calls)}

    run = Run(wrapped(graph(flaky=(flaky, {"retry_policy": RetryPolicy(max_attempts=3, **NOW)}))))

    assert (await run.start())["n"] == 3
    assert run.journal.outcomes("flaky") == ["failed", "failed", "succeeded"]


@pytest.mark.parametrize("policy", [None, RetryPolicy(max_attempts=2, **NOW)])
@pytest.mark.parametrize("error", [ConnectionError, ValueError])
async def test_a_node_that_fails_spares_its_siblings(policy, error):
    """With or without retries of its own, retried or not."""
    done = []

    def bad(state):
        raise error("boom")

    async def slow(state):
        await asyncio.sleep(0.1)
        done.append("slow")
        return {"n": 1}

    built = StateGraph(S).add_node("bad", bad, retry_policy=policy).add_node("slow", slow)
    built.add_edge(START, "bad").add_edge(START, "slow")
    run = Run(wrapped(built))

    for drive in (run.start, run.resume):
        with pytest.raises(NodeFailure, match="boom"):
            await drive()
    assert done == ["slow"]


async def test_an_error_handler_still_handles():
    """Its own and the graph's default one; the siblings go on."""

    def bad(state):
        raise ValueError("boom")

    def handler(state, error: NodeError):
        return {"out": [f"{error.node}: {error.error}"]}

    own = graph(bad=(bad, {"error_handler": handler}), after=lambda state: {"n": 1})
    default = graph(bad=bad, after=lambda state: {"n": 1}).set_node_defaults(error_handler=handler)
    for built in (own, default, default.compile()):
        compiled = wrapped(built)
        for _ in range(2):
            run = Run(compiled)
            values = await run.start()
            assert values["out"] == ["bad: boom"]
            assert run.journal.outcomes("bad") == ["failed"]


async def test_a_cached_node_is_not_called_twice():
    """`cache_policy` and the compiled graph's cache are kept."""
    calls = []

    def costly(state):
        calls.append(1)
        return {"n": 1}

    built = graph(costly=(costly, {"cache_policy": CachePolicy()}))
    compiled = wrapped(built.compile(cache=InMemoryCache()))
    for thread in ("a", "b"):
        await Run(compiled, thread=thread).start()

    assert calls == [1]


async def test_a_timeout_spares_the_siblings():
    """LangGraph raises it outside of the node, where it would cancel them."""
    done = []

    async def hang(state):
        await asyncio.sleep(20)

    async def slow(state):
        await asyncio.sleep(0.15)
        done.append("slow")

    built = StateGraph(S).add_node("hang", hang, timeout=0.03).add_node("slow", slow)
    built.add_edge(START, "hang").add_edge(START, "slow")
    began = time.monotonic()

    with pytest.raises(NodeFailure, match="exceeded its run timeout"):
        await Run(wrapped(built)).start()
    assert done == ["slow"]
    assert time.monotonic() - began < 5


async def test_an_idle_timeout_stays_langgraphs():
    """It needs LangGraph's own means."""

    async def hang(state):
        await asyncio.sleep(20)

    built = graph(hang=(hang, {"timeout": TimeoutPolicy(idle_timeout=0.05)}))

    with pytest.raises(Exception, match="idle timeout"):
        await Run(wrapped(built)).start()


def test_a_timeout_on_a_sync_node_is_refused_as_langgraph_does():
    """Our wrapper is async, so LangGraph would not see it any more."""
    with pytest.raises(CallableRefused, match="only supported for async"):
        wrapped(graph(node=(lambda state: {}, {"timeout": 1.0})))


@pytest.mark.parametrize("says", ["raises", "unknown", "none"])
async def test_a_router_that_fails_does_not_end_the_run(says):
    """LangGraph stores the node's output, and a resume returns as if all were done."""
    healed = []

    def router(state):
        if healed:
            return "after"
        if says == "raises":
            raise ValueError("router")
        return {"unknown": "nowhere", "none": None}[says]

    built = StateGraph(S).add_node("a", lambda state: {"out": [1]}).add_node("after", lambda state: {"n": 1})
    built.add_edge(START, "a").add_conditional_edges("a", router)
    run = Run(wrapped(built))

    for drive in (run.start, run.resume):
        with pytest.raises(NodeFailure) as caught:
            await drive()
        assert caught.value.node == "a"
    healed.append(1)

    assert await run.resume() == {"out": [1], "n": 1}


async def test_a_router_at_the_start_that_fails_can_be_resumed():
    """Nothing has run yet; the input is kept."""
    healed = []

    def router(state):
        if not healed:
            raise ValueError("router")
        return "a"

    built = StateGraph(S).add_node("a", lambda state: {"n": state["n"] + 1})
    built.add_conditional_edges(START, router, ["a"])
    run = Run(wrapped(built), inputs={"n": 1})

    with pytest.raises(NodeFailure):
        await run.start()
    healed.append(1)
    assert (await run.resume())["n"] == 2


@pytest.mark.parametrize("target", ["nowhere", Send("nowhere", 1), [Send("nowhere", 1)]])
async def test_an_unknown_target_fails_its_node(target):
    """LangGraph only logs a warning, and the run ends."""
    built = graph(a=lambda state: Command(goto=target))

    with pytest.raises(NodeFailure, match="'nowhere', which is no node") as caught:
        await Run(wrapped(built)).start()
    assert isinstance(caught.value.cause, OutputRefused)


async def test_joins_and_defer_are_kept():
    """A barrier of the graph's own works as in LangGraph."""
    built = StateGraph(S)
    for name in "abc":
        built.add_node(name, lambda state, name=name: {"out": [name]})
    built.add_node("late", lambda state: {"out": ["late"]}, defer=True)
    built.add_edge(START, "a").add_edge(START, "b").add_edge(["a", "b"], "c").add_edge("a", "late")

    assert (await Run(wrapped(built)).start())["out"] == ["a", "b", "c", "late"]


class Chat(TypedDict):
    messages: Annotated[list[AnyMessage], add_messages]


async def test_messages_are_stored():
    """LangChain's messages come back as what they are, under a strict serializer."""
    built = StateGraph(Chat).add_node("reply", lambda state: {"messages": [AIMessage("hello")]})
    built.add_edge(START, "reply")
    run = Run(wrapped(built), inputs={"messages": [HumanMessage("hi")]})
    await run.start()

    stored = run.checkpointer.get_tuple(run.config).checkpoint["channel_values"]["messages"]
    assert [type(message) for message in stored] == [HumanMessage, AIMessage]


async def test_the_short_form_of_a_message_is_only_warned_about(caplog):
    """A tuple becomes a list; such graphs run everywhere, so it is no failure."""
    built = StateGraph(Chat).add_node("reply", lambda state: {"messages": [("ai", "hello")]})
    built.add_edge(START, "reply")
    run = Run(wrapped(built), inputs={"messages": []})

    assert (await run.start())["messages"][0].content == "hello"
    assert "A tuple comes back as a list" in caplog.text


@pytest.mark.parametrize("value", [object(), samples.Holder.Nested()])
async def test_what_cannot_be_stored_fails_its_node(value):
    """Before it counts as done."""
    with pytest.raises(NodeFailure, match="state key 'n'"):
        await Run(wrapped(graph(a=lambda state: {"n": value}))).start()


class Model(BaseModel):
    n: int = 0
    message: samples.Message | None = None


async def test_a_pydantic_state():
    """The state's own classes are on the allow-list, with those of their fields."""

    def node(state: Model):
        return {"n": state.n + 1, "message": samples.Message(id="1")}

    built = StateGraph(Model).add_node("node", node)
    built.add_edge(START, "node")
    compiled = wrapped(built)
    run = Run(compiled, inputs={"n": 1})

    assert await run.start() == {"n": 2, "message": samples.Message(id="1")}
    assert ("tests.unit.graph.samples", "Message") in compiled.allowed_msgpack_modules
    assert compiled.outputs(await run.resume(), run.context)["message"]["id"] == "1"


async def test_limits_hold_for_wrapped_nodes():
    """max_steps stops a loop that the graph itself does not."""
    built = StateGraph(S).add_node("a", lambda state: Command(goto="a"))
    built.add_edge(START, "a")
    run = Run(wrapped(built, limits={"max_steps": 4}))

    with pytest.raises(NodeFailure) as caught:
        await run.start()
    assert isinstance(caught.value.cause, LimitExceeded)
    assert run.journal.counts() == {"a": 4}


@pytest.mark.parametrize("point", [Point.BEFORE, Point.INSIDE, Point.AFTER])
async def test_faults_strike_wrapped_nodes(point):
    """The same scenario file serves them."""
    built = graph(a=lambda state: {"n": 1})
    run = Run(wrapped(built), faults=Faults(point, "a", StandIn({"n": 2})), inputs={"n": 0})
    assert (await run.start())["n"] == 2

    run = Run(wrapped(built), faults=Faults(point, "a", ValueError("staged")))
    with pytest.raises(NodeFailure, match="staged"):
        await run.start()


async def test_interrupt_before_and_after():
    """They stand beside `graph:` in the file."""
    built = graph(
        a=lambda state: {"out": ["a"]}, b=lambda state: {"out": ["b"]}, c=lambda state: {"out": ["c"]}
    )
    run = Run(wrapped(built, interrupt_before=("b",), interrupt_after=("b",)))

    assert (await run.start())["out"] == ["a"]
    assert (await run.resume())["out"] == ["a", "b"]
    assert (await run.resume())["out"] == ["a", "b", "c"]


async def test_sync_nodes_do_not_block_the_loop():
    """LangGraph runs them in a thread; so do we."""
    beats = []

    async def beat():
        while True:
            beats.append(1)
            await asyncio.sleep(0.01)

    heart = asyncio.create_task(beat())
    await Run(wrapped(graph(a=lambda state: time.sleep(0.15)))).start()
    heart.cancel()

    assert len(beats) >= 6


def test_end_is_not_a_node():
    """The drawing and the topology know the way out."""
    built = graph(a=lambda state: {})
    built.add_edge("a", END)

    assert wrapped(built).topology["nodes"]["a"]["leads_to"] == ["__end__"]
