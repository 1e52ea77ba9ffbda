"""Existing LangGraph graphs under our durability: questions, answers, and routers that raise."""

from collections import Counter
from collections.abc import Callable

import pytest

from framework.durability.manager import DurabilityManager
from framework.durability.run import RunStatus
from framework.errors import InputInvalid, MoveRefused
from tests.support.manager import Folder, drive, recover, start

WORKFLOW = """
    version: 1
    name: wrapped
    inputs: {amount: {type: integer}}
    graph: "nodes:builder"
"""
ASKING = """
    import operator
    from typing import Annotated, TypedDict
    from langgraph.graph import END, START, StateGraph
    from langgraph.types import interrupt

    class State(TypedDict, total=False):
        amount: int
        log: Annotated[list[str], operator.add]

    def prepare(state):
        effect("prepare")
        return {"log": ["prepared"]}

    def ask(state):
        answer = interrupt({"pay": state["amount"]})
        effect("ask")
        if (Path(__file__).parent / "broken").exists():
            raise RuntimeError("after the answer")
        return {"log": [f"answer {answer}"]}

    def finish(state):
        effect("finish")
        return {"log": ["finished"]}

    builder = StateGraph(State)
    for node in (prepare, ask, finish):
        builder.add_node(node.__name__, node)
    builder.add_edge(START, "prepare")
    builder.add_edge("prepare", "ask")
    builder.add_edge("ask", "finish")
    builder.add_edge("finish", END)
"""


def test_an_interrupt_waits_and_its_answer_goes_on(
    folder: Folder, open_another: Callable[[], DurabilityManager]
) -> None:
    """The question is stored; nothing runs while nobody has answered."""
    folder.write(WORKFLOW, ASKING)
    run = start(open_another(), folder, {"amount": 7})
    manager = open_another()
    ending = drive(manager, run)
    assert ending.status is RunStatus.WAITING
    assert ending.questions[0]["question"] == {"pay": 7}
    assert recover(open_another()).taken_up == []
    assert drive(open_another(), run).status is RunStatus.WAITING, "asked again, without an answer"

    manager.answer(manager.get(run.run_id), "yes")
    with pytest.raises(MoveRefused):
        manager.answer(manager.get(run.run_id), "no")
    final = drive(open_another(), run)
    assert final.status is RunStatus.SUCCEEDED
    assert final.output["log"] == ["prepared", "answer yes", "finished"]
    assert folder.effects == Counter(prepare=1, ask=1, finish=1)


def test_an_answer_survives_a_failure_after_it(
    folder: Folder, open_another: Callable[[], DurabilityManager]
) -> None:
    """LangGraph forgets a resume by interrupt id when the node does not finish; it is sent again."""
    folder.write(WORKFLOW, ASKING)
    (folder.path / "broken").touch()
    manager = open_another()
    run = start(manager, folder, {"amount": 7})
    drive(manager, run)
    manager.answer(manager.get(run.run_id), {"ok": True})
    assert drive(open_another(), run).status is RunStatus.FAILED
    (folder.path / "broken").unlink()
    report = recover(open_another())
    assert [ending.status for ending in report.endings] == [RunStatus.SUCCEEDED]
    assert report.endings[0].output["log"][1] == "answer {'ok': True}"


def test_two_questions_at_once_want_to_know_which_one_is_answered(
    folder: Folder, open_another: Callable[[], DurabilityManager]
) -> None:
    """A bare answer would go to whichever came first."""
    folder.write(
        WORKFLOW,
        """
        import operator
        from typing import Annotated, TypedDict
        from langgraph.graph import START, StateGraph
        from langgraph.types import interrupt

        class State(TypedDict, total=False):
            amount: int
            log: Annotated[list[str], operator.add]

        def left(state): return {"log": [f"left {interrupt('left?')}"]}
        def right(state): return {"log": [f"right {interrupt('right?')}"]}

        builder = StateGraph(State)
        builder.add_node("left", left)
        builder.add_node("right", right)
        builder.add_edge(START, "left")
        builder.add_edge(START, "right")
        """,
    )
    manager = open_another()
    run = start(manager, folder, {"amount": 1})
    ending = drive(manager, run)
    ids = {question["question"]: question["interrupt_id"] for question in ending.questions}
    with pytest.raises(InputInvalid, match="2 questions"):
        manager.answer(manager.get(run.run_id), "yes")
    manager.answer(manager.get(run.run_id), {ids["left?"]: 1})
    assert drive(open_another(), run).status is RunStatus.WAITING, "the other one is still open"
    manager.answer(manager.get(run.run_id), 2)
    assert sorted(drive(open_another(), run).output["log"]) == ["left 1", "right 2"]


def test_a_router_that_raised_does_not_end_the_run_in_silence(
    folder: Folder, open_another: Callable[[], DurabilityManager]
) -> None:
    """Stock LangGraph takes its node for done on the resume, and the rest never runs."""
    folder.write(
        WORKFLOW,
        """
        import operator
        from typing import Annotated, TypedDict
        from langgraph.graph import END, START, StateGraph

        class State(TypedDict, total=False):
            amount: int
            log: Annotated[list[str], operator.add]

        def first(state):
            effect("first")
            return {"log": ["first"]}

        def route(state):
            if not (Path(__file__).parent / "mended").exists():
                raise RuntimeError("no way")
            return "second"

        def second(state):
            effect("second")
            return {"log": ["second"]}

        builder = StateGraph(State)
        builder.add_node("first", first)
        builder.add_node("second", second)
        builder.add_edge(START, "first")
        builder.add_conditional_edges("first", route, ["second", END])
        """,
    )
    run = start(open_another(), folder, {"amount": 1})
    ending = drive(open_another(), run)
    assert ending.status is RunStatus.FAILED
    assert "no way" in ending.error["message"]
    (folder.path / "mended").touch()
    final = drive(open_another(), run)
    assert final.status is RunStatus.SUCCEEDED
    assert final.output["log"] == ["first", "second"]
    assert folder.effects["second"] == 1


def test_a_breakpoint_waits_until_somebody_resumes(
    folder: Folder, open_another: Callable[[], DurabilityManager]
) -> None:
    """In the rows it looks like a crash; the registry knows better, so no start passes it by itself."""
    plain = ASKING.replace('interrupt({"pay": state["amount"]})', "'none'")
    folder.write(WORKFLOW + "    interrupt_before: [finish]\n", plain)
    run = start(open_another(), folder, {"amount": 1})
    assert drive(open_another(), run).status is RunStatus.WAITING
    assert recover(open_another()).taken_up == []
    assert folder.effects["finish"] == 0
    assert drive(open_another(), run).status is RunStatus.SUCCEEDED
    assert folder.effects == Counter(prepare=1, ask=1, finish=1)
