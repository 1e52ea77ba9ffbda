"""A node that fails never takes its siblings along: they finish, and their writes are kept."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest
from langgraph.errors import GraphBubbleUp
from langgraph.graph import START, StateGraph
from typing_extensions import TypedDict

from framework.graph.failure import MAX_TEXT, NodeFailure
from tests.unit.graph.support import Run, workflow, wrapped

LOG = {"log": {"type": "list", "reducer": "append"}}
WRITES = {"writes": ["log"]}


class Recorder:
    """Nodes that say when they are done."""

    def __init__(self):
        self.done = []
        self.healed = False

    async def quick(self):
        self.done.append("quick")
        return ["quick"]

    async def slow(self):
        await asyncio.sleep(0.15)
        self.done.append("slow")
        return ["slow"]

    def thread(self):
        time.sleep(0.1)
        self.done.append("thread")
        return ["thread"]

    async def bad(self):
        if not self.healed:
            raise ValueError("boom")
        self.done.append("bad")
        return ["bad"]

    def bad_thread(self):
        if not self.healed:
            raise OSError("bang")
        self.done.append("bad_thread")
        return ["bad_thread"]

    async def late_bad(self):
        await asyncio.sleep(0.05)
        return await self.bad()


def compiled(recorder, *names):
    functions = {name: getattr(recorder, name) for name in names}
    return workflow(
        functions, nodes=dict.fromkeys(names, WRITES), state=LOG, paths=[f"start -> [{', '.join(names)}]"]
    )


@pytest.mark.parametrize("failing", ["bad", "bad_thread", "late_bad"])
@pytest.mark.parametrize("sibling", ["quick", "slow", "thread"])
async def test_siblings_finish_and_are_not_repeated(failing, sibling):
    """LangGraph cancels the siblings of a node that raises; an effect would be done twice."""
    recorder = Recorder()
    run = Run(compiled(recorder, failing, sibling))

    with pytest.raises(NodeFailure) as caught:
        await run.start()
    recorder.healed = True
    values = await run.resume()

    assert caught.value.node == failing
    assert isinstance(caught.value.cause, ValueError | OSError)
    assert recorder.done.count(sibling) == 1
    assert sorted(values["log"]) == sorted([failing.removeprefix("late_"), sibling])


async def test_two_failures_of_a_step_keep_the_third_node():
    """One of the two is raised; both run again, what was done is kept."""
    recorder = Recorder()
    run = Run(compiled(recorder, "bad", "slow", "bad_thread"))

    with pytest.raises(NodeFailure):
        await run.start()
    recorder.healed = True
    await run.resume()

    assert run.journal.counts() == {"bad": 2, "bad_thread": 2, "slow": 1}


async def test_a_failure_stores_no_error_row():
    """The head looks as after a crash, so a resume runs exactly the tasks without a result."""
    run = Run(compiled(Recorder(), "bad", "quick"))

    with pytest.raises(NodeFailure):
        await run.start()
    head = run.checkpointer.get_tuple(run.config)

    assert [channel for _, channel, _ in head.pending_writes] == ["log"]
    assert {task.name: task.error for task in await run.tasks()} == {"bad": None, "quick": None}


async def test_a_failure_inside_a_subgraph_spares_the_siblings_around_it():
    """The subgraph's own failure reaches the run as a failure of the node that holds it."""

    class S(TypedDict, total=False):
        x: int
        y: int

    done = []

    async def inner_bad(state):
        raise ValueError("inside")

    async def slow(state):
        await asyncio.sleep(0.1)
        done.append("slow")
        return {"y": 1}

    inner = StateGraph(S).add_node("inner_bad", inner_bad).add_edge(START, "inner_bad").compile()
    outer = StateGraph(S).add_node("sub", inner).add_node("slow", slow)
    outer.add_edge(START, "sub").add_edge(START, "slow")
    run = Run(wrapped(outer))

    for drive in (run.start, run.resume):
        with pytest.raises(NodeFailure, match="inside"):
            await drive()

    assert done == ["slow"]
    assert run.journal.counts() == {"sub": 2, "slow": 1}


async def test_the_error_tells_what_and_where():
    """The row that a person reads: their own frames, not ours."""

    async def node():
        raise KeyError("missing\ud800\0")

    run = Run(workflow({"node": node}, paths=["start -> node -> end"]))

    with pytest.raises(NodeFailure) as caught:
        await run.start()
    error = caught.value.error

    assert (error["type"], error["node"], error["try"]) == ("KeyError", "node", 1)
    assert "in node" in error["traceback"]
    assert "framework/graph" not in error["traceback"]
    assert "site-packages" not in error["traceback"]
    error["message"].encode()
    assert "\0" not in error["message"] + error["traceback"]


async def test_a_huge_error_is_cut():
    """An error is a row of the timeline: a megabyte of it would be one too."""

    async def node():
        raise ValueError("x" * 10_000_000)

    run = Run(workflow({"node": node}, paths=["start -> node -> end"]))

    with pytest.raises(NodeFailure) as caught:
        await run.start()

    assert len(caught.value.error["message"]) <= MAX_TEXT
    assert len(caught.value.error["traceback"]) <= MAX_TEXT
    assert "left out" in caught.value.error["message"]


async def test_an_exception_that_cannot_be_shown_is_still_a_failure():
    """A user's `__str__` may raise."""

    class Rude(Exception):
        def __str__(self):
            raise RuntimeError("no")

    async def node():
        raise Rude

    run = Run(workflow({"node": node}, paths=["start -> node -> end"]))

    with pytest.raises(NodeFailure) as caught:
        await run.start()

    assert "cannot be read" in caught.value.error["message"]


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError(), StopIteration(1)]
)
@pytest.mark.parametrize("sync", [True, False])
async def test_a_node_cannot_end_the_process_by_raising(error, sync):
    """`sys.exit()` in a node fails that node."""

    def in_thread():
        raise error

    async def on_loop():
        raise error

    recorder = Recorder()
    run = Run(
        workflow(
            {"node": in_thread if sync else on_loop, "slow": recorder.slow},
            nodes={"node": {}, "slow": WRITES},
            state=LOG,
            paths=["start -> [node, slow]"],
        )
    )

    with pytest.raises(NodeFailure) as caught:
        await run.start()

    assert caught.value.node == "node"
    assert recorder.done == ["slow"]
    assert run.journal.outcomes("node") == ["failed"]


async def test_a_cancelled_run_is_abandoned_not_failed():
    """The process is told to stop: the node did nothing wrong and runs again."""
    started = asyncio.Event()

    async def node():
        started.set()
        await asyncio.Event().wait()

    run = Run(workflow({"node": node}, paths=["start -> node -> end"]))
    task = asyncio.create_task(run.start())
    await started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert run.journal.outcomes("node") == ["abandoned"]


async def test_what_the_user_says_to_langgraph_passes():
    """A `GraphBubbleUp` of somebody else's is not ours to judge."""

    class Mine(GraphBubbleUp):
        pass

    async def node():
        raise Mine

    run = Run(workflow({"node": node}, paths=["start -> node -> end"]))

    with pytest.raises(Mine):
        await run.start()
    assert run.journal.outcomes("node") == ["abandoned"]


async def test_after_a_failed_write_no_node_begins():
    """The checkpointer says that the lease is lost: nothing more may be done."""
    done = []
    run = Run(workflow({"node": lambda: done.append(1)}, paths=["start -> node -> end"]))
    run.context.fatal = RuntimeError("lease lost")

    with pytest.raises(RuntimeError, match="lease lost"):
        await run.start()
    assert done == []


async def test_a_sync_node_does_not_block_the_loop():
    """Heartbeats go on while a node sleeps in its thread."""
    beats = 0
    entered = threading.Event()

    def node():
        entered.set()
        time.sleep(0.2)

    async def beat():
        nonlocal beats
        while True:
            beats += 1
            await asyncio.sleep(0.01)

    heart = asyncio.create_task(beat())
    await Run(workflow({"node": node}, paths=["start -> node -> end"])).start()
    heart.cancel()

    assert entered.is_set()
    assert beats >= 8
