"""What a run needs of its compiled workflow."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys

import pytest
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, StateGraph
from langgraph.runtime import RunControl
from typing_extensions import TypedDict

from framework.graph.context import RUN_CONTEXT_KEY, RunContext
from framework.graph.json_view import as_json
from tests.unit.graph import samples
from tests.unit.graph.support import Run, saver, workflow, wrapped


def simple(**more):
    return workflow(
        {"a": lambda: {"m": {"id": "1"}}},
        nodes={"a": {"writes": ["m"]}},
        state={"m": {"type": "Message"}, "n": {"type": "int", "default": 3}},
        paths=["start -> a -> end"],
        **more,
    )


class Watching(InMemorySaver):
    """Notes the run that each write came with."""

    def __init__(self):
        super().__init__()
        self.seen = []

    async def aput(self, config, *args):
        self.seen.append(("put", config["configurable"].get(RUN_CONTEXT_KEY)))
        return await super().aput(config, *args)

    async def aput_writes(self, config, *args, **more):
        self.seen.append(("writes", config["configurable"].get(RUN_CONTEXT_KEY)))
        return await super().aput_writes(config, *args, **more)


async def test_the_run_reaches_every_write_and_is_never_stored():
    """The checkpointer finds the run in its config, in subgraphs too; no metadata holds it."""

    class S(TypedDict, total=False):
        n: int

    seen = []

    def node(state, config):
        seen.append(config["configurable"].get(RUN_CONTEXT_KEY))
        return {"n": 1}

    inner = StateGraph(S).add_node("inner", node)
    inner.add_edge(START, "inner")
    outer = StateGraph(S).add_node("sub", inner.compile()).add_node("last", node)
    outer.add_edge(START, "sub").add_edge("sub", "last")
    watching = Watching()
    run = Run(wrapped(outer), checkpointer=watching)
    await run.start()

    assert len(seen) == 2
    assert all(isinstance(context, RunContext) for context in seen)
    assert {kind for kind, _ in watching.seen} == {"put", "writes"}
    assert all(context is run.context for _, context in watching.seen)
    stored = [checkpoint.metadata for checkpoint in watching.list(None)]
    assert any(metadata["parents"] for metadata in stored)
    assert {key for metadata in stored for key in metadata} <= {"source", "step", "parents", "fence"}


def test_one_graph_is_shared_per_checkpointer():
    """Compiling costs milliseconds; a thousand runs share one graph."""
    compiled, one, other = simple(), saver(), saver()

    assert compiled.graph(one) is compiled.graph(one)
    assert compiled.graph(one) is not compiled.graph(other)
    for _ in range(50):
        compiled.graph(saver())
    assert len(compiled._graphs) <= 16


async def test_defaults_go_onto_a_fresh_thread_only():
    """A conversation's next run goes on with what is there."""
    compiled = simple()

    assert compiled.initial_input({}, fresh_thread=True) == {"n": 3}
    assert compiled.initial_input({}, fresh_thread=False) == {}
    run = Run(compiled)
    await run.start()
    again = await run.drive(compiled.initial_input({}, fresh_thread=False))
    assert again["n"] == 3
    assert run.journal.counts() == {"a": 2}


async def test_outputs_are_json():
    """The whole state, or what `outputs:` says."""
    run = Run(simple())
    values = await run.start()
    whole = run.compiled.outputs(values, run.context)
    chosen = Run(
        simple(outputs={"id": "${{ state.m.id }}", "who": ["${{ inputs.user }}"]}), inputs={"user": "ana"}
    )

    assert whole["m"]["id"] == "1"
    assert whole["n"] == 3
    assert chosen.compiled.outputs(await chosen.start(), chosen.context) == {"id": "1", "who": ["ana"]}
    json.dumps(whole)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (dt.datetime(2025, 11, 3, tzinfo=dt.UTC), "2025-11-03T00:00:00Z"),
        (dt.date(2025, 11, 3), "2025-11-03"),
        (float("nan"), "NaN"),
        (b"\xff", "_w=="),
        ({1}, [1]),
        (samples.Point(1, 2), {"x": 1, "y": 2}),
        (samples.Colour.RED, "red"),
        ({1: 2}, {"1": 2}),
    ],
)
def test_json_of_values(value, shown):
    """Every kind of value that a state can hold has a form."""
    assert as_json(value) == shown
    json.dumps(as_json([value]), allow_nan=False)


def test_what_has_no_form_is_described():
    """A page is better than an error."""
    assert "object object" in as_json({"o": object()})["o"]


def test_topology_is_json_and_stable():
    """It is stored with the definition and compared."""
    one, other = simple().topology, simple().topology

    assert json.loads(json.dumps(one)) == other
    assert one["keys"] == {
        "m": {"type": "Message", "reducer": "last"},
        "n": {"type": "int", "reducer": "last"},
    }


def test_the_allow_list_names_the_declared_classes():
    """Those of `types`, and those of their fields; no base classes."""
    allowed = simple().allowed_msgpack_modules

    assert ("tests.unit.graph.samples", "Message") in allowed
    assert ("tests.unit.graph.samples", "Colour") in allowed
    assert all(module == "tests.unit.graph.samples" for module, _ in allowed)


async def test_a_drain_stops_between_steps_and_the_run_goes_on():
    """`RunControl` works through our wrappers."""
    control = RunControl()
    compiled = workflow({"a": control.request_drain, "b": lambda: None}, paths=["start -> a -> b -> end"])
    run = Run(compiled)

    with pytest.raises(Exception, match=r"(?i)drain"):
        async for _ in run.graph.astream({}, run.config, durability="sync", control=control):
            pass
    assert run.journal.counts() == {"a": 1}
    await run.resume()
    assert run.journal.counts() == {"a": 1, "b": 1}


def test_the_contract_is_cheap_to_import():
    """`framework.graph.context` is read by processes that never run a graph."""
    code = (
        "import sys, framework.graph.context\n"
        "print([m for m in sys.modules if m.startswith(('langgraph', 'langchain'))])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout.strip() == "[]"
