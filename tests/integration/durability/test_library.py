"""`framework.durability` as a library: LangGraph code of one's own, in any thread and any loop."""

import asyncio
import operator
import threading
from typing import Annotated, TypedDict

import pytest
from langgraph.graph import START, StateGraph

from framework.durability import init_durability
from framework.errors import ThreadBusy
from framework.settings import Settings
from tests.support.manager import Folder, start
from tests.support.storage import claim


class Log(TypedDict, total=False):
    log: Annotated[list[str], operator.add]


def _builder():
    builder = StateGraph(Log)
    builder.add_node("a", lambda state: {"log": ["a"]})
    builder.add_node("b", lambda state: {"log": ["b"]})
    builder.add_edge(START, "a")
    builder.add_edge("a", "b")
    return builder


@pytest.fixture
def durability(settings: Settings):
    with init_durability(settings.root, database_url=settings.durability.postgres.url) as opened:
        yield opened


def test_plain_sync_and_async_invoke_work_and_the_state_is_there(durability) -> None:
    graph = _builder().compile(checkpointer=durability.checkpointer)
    for number in range(2):
        config = {"configurable": {"thread_id": durability.generate_thread_id("chat")}}
        if number:
            result = asyncio.run(graph.ainvoke({"log": ["in"]}, config, durability="sync"))
        else:
            result = graph.invoke({"log": ["in"]}, config, durability="sync")
        assert result == {"log": ["in", "a", "b"]}
        assert graph.get_state(config).values == result
        assert len(list(graph.get_state_history(config))) == 4


def test_many_threads_with_loops_of_their_own_share_one_checkpointer(durability) -> None:
    """As under gunicorn's threads: no lock per saver, and no loop that it belongs to."""
    graph = _builder().compile(checkpointer=durability.checkpointer)
    results: list[object] = []

    def work(number: int) -> None:
        config = {"configurable": {"thread_id": f"t{number}"}}
        results.append(asyncio.run(graph.ainvoke({"log": []}, config, durability="sync")))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert results == [{"log": ["a", "b"]}] * 8


def test_a_thread_that_a_run_holds_is_not_written_from_outside(durability, folder: Folder) -> None:
    """It would move the head under the run's feet."""
    folder.write(
        """
        version: 1
        name: held
        nodes: {a: {use: "nodes:a"}}
        edges: [start -> a -> end]
        """,
        "def a(): pass",
    )
    run = start(durability, folder)
    assert claim(durability.database, run.run_id) is not None
    graph = _builder().compile(checkpointer=durability.checkpointer)
    with pytest.raises(ThreadBusy):
        graph.invoke({"log": []}, {"configurable": {"thread_id": run.thread_id}}, durability="sync")


def test_the_documented_import_names_stay() -> None:
    """DESIGN §5a keeps them importable."""
    import framework.loader
    from framework.durability import DurabilityManager, generate_thread_id, init_durability

    assert callable(init_durability)
    assert callable(DurabilityManager)
    assert framework.loader.load_workflow
    name = generate_thread_id("daily-task-planner")
    workflow, day, time, tail = name.rsplit("-", 3)
    assert workflow == "daily-task-planner"
    assert (len(day), len(time), len(tail)) == (8, 6, 8)


async def _conformance(checkpointer):
    from langgraph.checkpoint.conformance import checkpointer_test, validate

    @checkpointer_test(name="holdfast")
    async def ours():
        yield checkpointer

    return await validate(ours)


def test_the_conformance_suite_passes_in_full(durability) -> None:
    """LangGraph's own, on our checkpointer."""
    report = asyncio.run(_conformance(durability.checkpointer))
    failed = {
        name: result.failures
        for name, result in report.results.items()
        if result.detected and not result.passed
    }
    assert failed == {}
    assert report.conformance_level() == "FULL"
