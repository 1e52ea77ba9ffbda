"""A definition that changed under a run is noticed where a resume would lose, skip or repeat something.

The numbers are the cases of LANGGRAPH.md §6: LangGraph itself refuses none of them.
"""

from __future__ import annotations

import json
import operator
import re
from typing import Annotated

import pytest
from langgraph.graph import START, StateGraph
from langgraph.types import Send
from pydantic import BaseModel
from typing_extensions import TypedDict

from framework.graph.failure import NodeFailure
from framework.graph.fit import pending_problems
from tests.unit.graph.support import Run, route, workflow, wrapped

LOG = {"log": {"type": "list", "reducer": "append"}, "n": {"type": "int"}}


class Case:
    """A run that stopped at a node, and the version it goes on with."""

    def __init__(self):
        self.broken = {"b"}
        self.ran = []

    def node(self, name):
        def function():
            if name in self.broken:
                raise ValueError(name)
            self.ran.append(name)
            return {"log": [name], "n": 1} if name == "a" else {"log": [name]}

        return function

    def file(self, *paths, names=None, state=None, routes=(), writes=("log", "n"), nodes=None):
        """Each letter of the paths is a node."""
        words = {word for path in paths for word in re.findall(r"\w+", path)}
        found = names or sorted(words - {"start", "end"})
        functions = {name: self.node(name) for name in found}
        settings = {name: {"writes": list(writes), **(nodes or {}).get(name, {})} for name in found}
        return workflow(functions, nodes=settings, state=state or LOG, paths=paths, routes=routes)

    async def stop(self, compiled, checkpointer=None):
        run = Run(compiled, checkpointer=checkpointer)
        with pytest.raises(NodeFailure):
            await run.start()
        self.broken.clear()
        self.ran.clear()
        self.head = run.checkpointer.get_tuple(run.config)
        # As it is stored and read back.
        self.topology = json.loads(json.dumps(compiled.topology))
        self.run = run
        return run

    def problems(self, compiled):
        return pending_problems(self.topology, self.head, compiled)

    async def go_on(self, compiled):
        run = Run(compiled, checkpointer=self.run.checkpointer)
        await run.drive(None)
        return self.ran


LINE = "start -> a -> b -> c -> end"


async def stopped(*paths, **more):
    found = Case()
    await found.stop(found.file(*(paths or (LINE,)), **more))
    return found


async def test_the_same_definition_fits():
    """And so does a thread that has no checkpoint yet."""
    found = await stopped()
    same = found.file(LINE)

    assert found.problems(same) == []
    assert pending_problems(found.topology, None, same) == []
    assert await found.go_on(same) == ["b", "c"]


async def test_1_pending_node_renamed():
    """LangGraph: the run returns as if it had finished, b and c never run."""
    found = await stopped()
    changed = found.file("start -> a -> b2 -> c -> end")

    assert "Node 'b' is due to run and no longer exists." in found.problems(changed)
    assert await found.go_on(changed) == []


async def test_2_pending_node_removed():
    """The same, with nothing in its place."""
    found = await stopped()

    assert "Node 'b' is due to run and no longer exists." in found.problems(
        found.file("start -> a -> c -> end")
    )


async def test_3_node_added_after_the_pending_one():
    """The new way on is taken."""
    found = await stopped()
    changed = found.file("start -> a -> b -> x -> c -> end")

    assert found.problems(changed) == []
    assert await found.go_on(changed) == ["b", "x", "c"]


async def test_4_node_inserted_before_the_pending_one():
    """It would be skipped for this run."""
    found = await stopped()
    changed = found.file("start -> a -> x -> b -> c -> end")

    assert found.problems(changed) == [
        (
            "Node 'b' is due to run because 'a' led to it. That edge is gone; "
            "'x' leads to it now and would be skipped."
        )
    ]
    assert await found.go_on(changed) == ["b", "c"]


async def test_5_completed_node_renamed():
    """What is behind the run may be called anything."""
    found = await stopped()
    changed = found.file("start -> a2 -> b -> c -> end")

    assert found.problems(changed) == []
    assert await found.go_on(changed) == ["b", "c"]


async def test_6_key_removed():
    """Its value would be dropped without a word."""
    found = await stopped()
    changed = found.file(LINE, state={"log": LOG["log"]}, writes=["log"])

    assert found.problems(changed) == [
        ("State key 'n' holds a value and no longer exists, so the value would be dropped.")
    ]


async def test_6b_empty_key_removed():
    """Nothing is lost with a key that was never written."""
    found = Case()
    await found.stop(found.file(LINE, state={**LOG, "unused": {"type": "object"}}))

    assert found.problems(found.file(LINE)) == []


async def test_7_key_added():
    """It is null until somebody writes it."""
    found = await stopped()

    assert found.problems(found.file(LINE, state={**LOG, "extra": {"type": "int"}})) == []


@pytest.mark.parametrize(
    ("words", "fits"), [("str", False), ("float", True), ("int | None", True), ("object", True)]
)
async def test_8_type_changed(words, fits):
    """The old value is kept unchecked; what matters is whether it fits."""
    found = await stopped()
    changed = found.file(LINE, state={**LOG, "n": {"type": words}})
    expected = (
        f"The type of state key 'n' changed from int to {words}, and the value that is there does not fit it."
    )

    assert found.problems(changed) == ([] if fits else [expected])


class Plain(TypedDict, total=False):
    n: object
    log: Annotated[list[str], operator.add]


class Strict(BaseModel):
    n: int = 0
    log: Annotated[list[str], operator.add] = []


class Wrap(Case):
    """The same for wrapped graphs."""

    def graph(self, *edges, schema=Plain, names="abc", router=None, nodes=None):
        built = StateGraph(schema)
        for name in names:
            built.add_node(name, (nodes or {}).get(name) or self.update(name))
        for source, target in edges:
            built.add_edge(source, target)
        if router:
            built.add_conditional_edges(*router)
        return wrapped(built)

    def update(self, name):
        def function(state):
            if name in self.broken:
                raise ValueError(name)
            self.ran.append(name)
            return {"log": [name], **({"n": "text"} if name == "a" else {})}

        return function


ROW = ((START, "a"), ("a", "b"), ("b", "c"))


async def test_9_stricter_state_class():
    """get_state and each resume would raise for ever."""
    found = Wrap()
    await found.stop(found.graph(*ROW))

    assert found.problems(found.graph(*ROW)) == []
    (problem,) = found.problems(found.graph(*ROW, schema=Strict))
    assert problem.startswith("The stored state does not fit Strict: n: ")


async def test_10_reducer_removed():
    """The next update would overwrite what was gathered."""
    found = await stopped()
    changed = found.file(LINE, state={**LOG, "log": {"type": "list"}})

    assert found.problems(changed) == [
        (
            "The reducer of state key 'log' changed from append to last: "
            "the next update would overwrite what was gathered."
        )
    ]


async def test_11_reducer_added_on_a_scalar():
    """It would raise after the node ran, and at every read afterwards."""
    found = await stopped()
    changed = found.file(LINE, state={**LOG, "n": {"type": "object", "reducer": "append"}})

    assert found.problems(changed) == [
        (
            "The reducer of state key 'n' changed from last to append: it cannot go on from the value "
            "that is there, "
            "since it takes a list, not an int."
        )
    ]


async def test_11b_reducer_added_where_it_fits():
    """A list that was replaced is appended to from now on: that is what was asked for."""
    found = Case()
    await found.stop(found.file(LINE, state={**LOG, "log": {"type": "list"}}))

    assert found.problems(found.file(LINE)) == []


async def test_12_edge_after_the_pending_node_removed():
    """The new way on is taken: the run ends after b, as the new file says."""
    found = await stopped()
    changed = found.file("start -> a -> b -> end", "start -> c -> end")

    assert found.problems(changed) == []
    assert await found.go_on(changed) == ["b"]


async def test_13_edge_replaced_by_a_detour():
    """b runs, since it was triggered, and c is skipped."""
    found = await stopped("start -> a -> b -> end", "start -> c -> end", names=["a", "b", "c"])
    changed = found.file("start -> a -> c -> b -> end")

    (problem,) = found.problems(changed)
    assert problem.startswith(
        "Node 'b' is due to run because 'a' led to it. That edge is gone; 'c' leads to it now"
    )


async def test_14_pending_node_became_a_join():
    """It would run without waiting for the new member."""
    found = await stopped()
    changed = found.file("start -> a", "start -> z", "[a, z] -> b -> c -> end")

    assert found.problems(changed) == [
        ("Node 'b' is due to run, and now waits for 'z', which would not be waited for.")
    ]


async def test_15_join_member_removed_in_a_file():
    """Joins of a file keep nothing but who is due, so the rest of the join goes on."""
    found = await stopped("start -> [a, b]", "b -> q", "[a, q] -> j -> end")
    changed = found.file("start -> [a, b]", "b -> q -> end", "a -> j -> end")

    assert found.problems(changed) == []
    assert sorted(await found.go_on(changed)) == ["b", "j", "q"]


async def test_15_join_member_removed_in_a_wrapped_graph():
    """LangGraph: 'wrote to unknown channel, ignoring it', and the join's target never runs."""
    found = Wrap()
    old = StateGraph(Plain)
    new = StateGraph(Plain)
    for built in (old, new):
        for name in "pqrbj":
            built.add_node(name, found.update(name))
        built.add_edge(START, "p").add_edge(START, "q").add_edge("q", "b").add_edge("b", "r")
    old.add_edge(["p", "r"], "j")
    new.add_edge(["p", "q", "r"], "j")
    await found.stop(wrapped(old))
    changed = wrapped(new)

    assert found.problems(wrapped(old)) == []
    assert found.problems(changed) == ["Node 'j' waits for p, r; that join no longer exists as it was."]
    assert "j" not in await found.go_on(changed)


async def test_15b_a_finished_member_of_a_changed_join():
    """Its word is among the pending writes, and would be dropped."""
    found = Wrap()
    old, new = StateGraph(Plain), StateGraph(Plain)
    for built in (old, new):
        for name in "pbj":
            built.add_node(name, found.update(name))
        built.add_edge(START, "p").add_edge(START, "b")
    old.add_edge(["p", "b"], "j")
    new.add_edge("p", "j")
    await found.stop(wrapped(old))

    assert found.problems(wrapped(new)) == [
        "A node that has finished is one of a join that no longer exists: p+b:j."
    ]


async def test_16_send_target_removed():
    """LangGraph: 'ignoring unknown node name', and the run ends."""
    found = Wrap()

    def graph(worker):
        built = StateGraph(Plain)
        built.add_node("a", found.update("a"))
        built.add_node(worker, found.update("b"))
        built.add_edge(START, "a")
        built.add_conditional_edges("a", lambda state: [Send(worker, {}), Send(worker, {})], [worker])
        return wrapped(built)

    await found.stop(graph("w"))
    changed = graph("w2")

    assert found.problems(graph("w")) == []
    assert found.problems(changed) == ["Node 'w' was sent work that is waiting, and no longer exists."]
    assert await found.go_on(changed) == []


async def test_17_finished_sibling_renamed():
    """Its output would be dropped, and the new name would not run either."""
    found = await stopped("start -> a -> [b, s]", "[b, s] -> c -> end")
    changed = found.file("start -> a -> [b, s2]", "[b, s2] -> c -> end")

    assert "Node 's' is due to run and no longer exists." in found.problems(changed)


async def test_17b_what_a_finished_sibling_leads_to_is_gone():
    """Its word on where to go would be dropped."""
    found = await stopped("start -> a -> [b, s]", "s -> t -> end", "b -> end")
    changed = found.file("start -> a -> [b, s]", "s -> t2 -> end", "b -> end")

    assert found.problems(changed) == ["A node that has finished leads to 't', which no longer exists."]


async def test_17c_what_a_finished_sibling_wrote_is_gone():
    """Even when the key held nothing before."""
    found = Case()
    state = {**LOG, "m": {"type": "object"}}

    def build(state):
        functions = {"b": found.node("b"), "s": lambda: {"m": 1} if "m" in state else {}}
        nodes = {"b": {"writes": ["log"]}, "s": {"writes": [key for key in ("m", "log") if key in state]}}
        return workflow(functions, nodes=nodes, state=state, paths=["start -> [b, s] -> end"])

    await found.stop(build(state))

    assert "A node that has finished wrote state key 'm', which no longer exists." in found.problems(
        build(LOG)
    )


async def test_a_route_that_moved_is_seen():
    """Routes and on_error count as ways as edges do."""
    found = Case()
    old = found.file("start -> a", "b -> end", "c -> end", routes=[route("a", ("true", "b"), (None, "c"))])
    await found.stop(old)
    same = found.file("start -> a -> b -> end", "start -> c -> end")
    moved = found.file("start -> a -> c -> b -> end")

    assert found.problems(old) == []
    assert found.problems(same) == []
    assert len(found.problems(moved)) == 1


async def test_a_finished_run_fits_any_shape():
    """Nothing is due: only its state has to fit."""
    found = Case()
    found.broken.clear()
    compiled = found.file(LINE)
    run = Run(compiled)
    await run.start()
    head = run.checkpointer.get_tuple(run.config)

    assert pending_problems(compiled.topology, head, found.file("start -> x -> y -> end")) == []


async def test_a_file_that_became_a_wrapped_graph():
    """The nodes are others, so it does not fit."""
    found = await stopped()

    assert "Node 'b' is due to run and no longer exists." in found.problems(
        Wrap().graph((START, "x"), names="x")
    )


async def test_a_changed_start_before_anything_ran():
    """The head is step 0: the first node is due, and is the one that was renamed."""
    found = Case()
    found.broken = {"a"}
    await found.stop(found.file(LINE))

    assert found.problems(found.file("start -> a2 -> b -> c -> end")) == [
        "Node 'a' is due to run and no longer exists."
    ]
    assert len(found.problems(found.file("start -> x -> a -> b -> c -> end"))) == 1
