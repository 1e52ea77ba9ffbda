"""The file or the code changes between a crash and the start after it: nothing is lost or skipped in silence.

The numbers are the changes of LANGGRAPH.md §6. LangGraph takes every one of them
without a word; in eight of them the run then ends early and looks finished.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pytest

from tests.support.processes import Process, Project

STATE: Mapping[str, Mapping[str, str]] = {
    "log": {"type": "list", "reducer": "append"},
    "n": {"type": "int"},
}
LINE = ("start -> a -> b -> c -> end",)
IN_B = {"node": "b", "where": "inside", "times": 1}
NODE_NAMES = ("a", "a2", "b", "b2", "c", "s", "s2", "x", "z", "q", "j")
NODES = "import asyncio\nimport os\n" + "".join(
    f"""
async def {name}(ctx):
    {"await asyncio.sleep(float(os.environ.get('SLOW_B', '0')))" if name == "b" else "pass"}
    record(ctx)
    return {{"log": ["{name}"]{', "n": 1' if name == "a" else ""}}}
"""
    for name in NODE_NAMES
)


@dataclass(frozen=True)
class Change:
    """A file, what it becomes, and what must come of a run that stopped in between."""

    number: str
    new: Sequence[str] = LINE
    old: Sequence[str] = LINE
    new_state: Mapping[str, Mapping[str, str]] = field(default_factory=lambda: STATE)
    new_writes: Sequence[str] = ("log", "n")
    names: Sequence[str] | None = None
    fault: Mapping[str, object] = field(default_factory=lambda: IN_B)
    slow_b: str = "0"
    refused: str | None = None
    """Why the run cannot move to the new file; None when it can."""
    by_old: str = "a b c"
    """What has been done in the end when the run kept its own version."""
    by_new: str = ""
    """And when it moved."""


CHANGES = [
    Change(
        "1 pending node renamed",
        ["start -> a -> b2 -> c -> end"],
        refused="Node 'b' is due to run and no longer",
    ),
    Change(
        "2 pending node removed",
        ["start -> a -> c -> end"],
        refused="Node 'b' is due to run and no longer exists",
    ),
    Change("3 node added after it", ["start -> a -> b -> x -> c -> end"], by_new="a b x c"),
    Change(
        "4 node inserted before it",
        ["start -> a -> x -> b -> c -> end"],
        refused="'x' leads to it now and would",
    ),
    Change("5 finished node renamed", ["start -> a2 -> b -> c -> end"], by_new="a b c"),
    Change(
        "6 key removed",
        new_state={"log": STATE["log"]},
        new_writes=["log"],
        refused="State key 'n' holds a value and no longer exists",
    ),
    Change("7 key added", new_state={**STATE, "extra": {"type": "int"}}, by_new="a b c"),
    Change(
        "8 type changed",
        new_state={**STATE, "n": {"type": "str"}},
        refused="The type of state key 'n' changed from int to str",
    ),
    Change(
        "10 reducer removed",
        new_state={**STATE, "log": {"type": "list"}},
        refused="The reducer of state key 'log' changed from append to last",
    ),
    Change(
        "11 reducer added on a scalar",
        new_state={**STATE, "n": {"type": "object", "reducer": "append"}},
        refused="The reducer of state key 'n' changed from last to append",
    ),
    Change("12 edge after it removed", ["start -> a -> b -> end", "start -> c -> end"], by_new="a b"),
    Change(
        "13 edge became a detour",
        ["start -> a -> c -> b -> end"],
        old=["start -> a -> b -> end", "start -> c -> end"],
        refused="That edge is gone; 'c' leads to it now",
    ),
    Change(
        "14 pending node became a join",
        ["start -> a", "start -> z", "[a, z] -> b -> c -> end"],
        refused="now waits for 'z', which would not be waited for",
    ),
    Change(
        "15 join member removed in a file",
        ["start -> [a, b]", "b -> q -> end", "a -> j -> end"],
        old=["start -> [a, b]", "b -> q", "[a, q] -> j -> end"],
        by_old="a b q j",
        by_new="a b q j",
    ),
    Change(
        "17 finished sibling renamed",
        ["start -> a -> [b, s2]", "[b, s2] -> c -> end"],
        old=["start -> a -> [b, s]", "[b, s] -> c -> end"],
        fault={"node": "s", "where": "after_commit", "on": "writes", "times": 1},
        slow_b="20",
        refused="Node 's' is due to run and no longer exists",
        by_old="a b s c",
    ),
]


def write(project: Project, change: Change, *, new: bool) -> None:
    edges = change.new if new else change.old
    state = change.new_state if new else STATE
    # Only the first node writes the number, or two branches might do it in one step.
    writes = list(change.new_writes if new else ("log", "n"))
    names = sorted({word for path in edges for word in re.findall(r"\w+", path)} - {"start", "end"})
    document = {
        "version": 1,
        "name": "changing",
        "state": state,
        "nodes": {
            name: {"use": f"nodes:{name}", "writes": writes if name in ("a", "a2") else ["log"]}
            for name in names
        },
        "edges": list(edges),
    }
    project.workflow("changing", json.dumps(document, indent=1), NODES)


def stop_in_the_middle(project: Project, change: Change, action: Mapping[str, object]) -> Process:
    write(project, change, new=False)
    scenario = project.scenario("stop", [{**change.fault, **action}])
    process = project.main("run", "changing", scenario=scenario, env={"SLOW_B": change.slow_b})
    process.wait()
    write(project, change, new=True)
    return process


def done(project: Project) -> Counter[str]:
    return project.effects.nodes(project.runs()[-1]["run_id"])


def decisions(project: Project) -> dict[str, str]:
    return {
        row["action"]: row["reason"]
        for row in project.query(
            "select action, reason from holdfast.decision where run_id = %s order by id",
            project.runs()[-1]["run_id"],
        )
    }


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.number.replace(" ", "-"))
def test_a_crashed_run_keeps_the_file_it_was_started_with(project: Project, change: Change) -> None:
    """Nothing of it is lost or skipped, whatever the file says; asked to move, it moves or says why."""
    stop_in_the_middle(project, change, {"kill": True}).killed()
    project.main().ok()
    assert project.runs()[-1]["status"] == "succeeded"
    assert done(project) == Counter(change.by_old.split())

    stop_in_the_middle(project, change, {"kill": True}).killed()
    run = project.runs()[-1]["run_id"]
    moving = project.main("resume", run, "--latest")
    if change.refused is None:
        moving.ok()
        assert decisions(project)["move-definition"] == "asked for with --latest"
        assert done(project) == Counter(change.by_new.split())
        assert project.runs()[-1]["status"] == "succeeded"
        return
    assert moving.wait() not in (0, -9), moving.said
    assert change.refused in moving.said.replace("\n", " ")
    assert project.runs()[-1]["status"] == "pending", "it was put back"
    # And nothing stands in the way of going on with its own version.
    project.main().ok()
    assert done(project) == Counter(change.by_old.split())


@pytest.mark.parametrize(
    "change", [change for change in CHANGES if "finished sibling" not in change.number],
    ids=lambda change: change.number.replace(" ", "-"),
)  # fmt: skip
def test_a_failed_run_moves_to_todays_file_when_it_fits(project: Project, change: Change) -> None:
    """Mending the file is why people start again; where that would lose something, it says what."""
    failing = stop_in_the_middle(project, change, {"raise": {"type": "ValueError", "message": "broken"}})
    assert failing.wait() == 1, failing.said

    project.main().ok()

    assert project.runs()[-1]["status"] == "succeeded"
    told = decisions(project)
    if change.refused is None:
        assert "the file has been changed since" in told["move-definition"]
        assert done(project) == Counter(change.by_new.split())
    else:
        assert change.refused in told["keep-definition"]
        assert done(project) == Counter(change.by_old.split())


BROKEN = {
    "broken": ("edges:\n  - [", "workflow.yaml"),
    "gone": (None, "there is no such file"),
    "another": (
        "version: 1\nname: another\nnodes: {a: {use: 'nodes:a'}}\nedges: [start -> a -> end]\n",
        "describes 'another'",
    ),
    "names-no-code": (
        "version: 1\nname: changing\nnodes: {a: {use: 'nodes:nowhere'}}\nedges: [start -> a -> end]\n",
        "nowhere",
    ),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_file_that_cannot_be_used_is_no_reason_to_be_silent(project: Project, how: str) -> None:
    """Who asks for today's file is told why not; a run that had failed goes on with its own, and says so."""
    text, reason = BROKEN[how]
    change = CHANGES[2]

    def break_file() -> None:
        file = project.root / "workflows/changing/workflow.yaml"
        if text is None:
            file.unlink()
        else:
            file.write_text(text, "utf-8")

    stop_in_the_middle(project, change, {"kill": True}).killed()
    break_file()
    asked = project.main("resume", project.runs()[-1]["run_id"], "--latest")
    assert asked.wait() == 2, asked.said
    assert reason in asked.said.replace("\n", " ")
    project.main("resume").ok()
    assert done(project) == Counter(change.by_old.split())

    stop_in_the_middle(project, change, {"raise": {"type": "ValueError"}})
    assert project.runs()[-1]["status"] == "failed"
    break_file()
    project.main("resume").ok()
    assert reason in decisions(project)["keep-definition"]
    assert done(project) == Counter(change.by_old.split())


GRAPH = """
    version: 1
    name: changing
    inputs: {n: {type: string, default: text}}
    graph: "nodes:builder"
"""
WRAPPED = """
import operator
from types import SimpleNamespace
from typing import Annotated, TypedDict

from langgraph.config import get_config
from langgraph.graph import END, START, StateGraph
from langgraph.types import Send
from pydantic import BaseModel

class Plain(TypedDict, total=False):
    n: object
    log: Annotated[list[str], operator.add]

class Strict(BaseModel):
    n: int = 0
    log: Annotated[list[str], operator.add] = []

def node(name):
    def work(state):
        known = get_config()["configurable"]
        run = known["__holdfast_run"]
        key = run.thread_id + ":" + known["checkpoint_ns"]
        record(SimpleNamespace(run_id=run.run_id, node=name, attempt=run.attempt, idempotency_key=key))
        return {"log": [name]}
    return work

builder = StateGraph(SCHEMA)
for name in NAMES:
    builder.add_node(name, node(name))
builder.add_edge(START, "a")
"""
ROW = 'builder.add_edge("a", "b")\nbuilder.add_edge("b", "c")\n'
JOIN = """
for source, target in ((START, "p"), (START, "q"), ("q", "b"), ("b", "r")):
    builder.add_edge(source, target)
"""
SEND = """
builder.add_conditional_edges("a", lambda state: [Send("WORKER", state)] * 2, ["WORKER"])
"""


def wrapped(names: str, edges: str, schema: str = "Plain") -> str:
    return WRAPPED.replace("SCHEMA", schema).replace("NAMES", repr(names.split())) + edges


@pytest.mark.parametrize(
    ("before", "after", "reason", "all_done"),
    [
        (
            wrapped("a b c", ROW),
            wrapped("a b c", ROW, "Strict"),
            "The stored state does not fit Strict",
            "a b c",
        ),
        (
            wrapped("a p q r b j", JOIN + 'builder.add_edge(["p", "r"], "j")\n'),
            wrapped("a p q r b j", JOIN + 'builder.add_edge(["p", "q", "r"], "j")\n'),
            "that join no longer exists as it was",
            "a p q b r j",
        ),
        (
            wrapped("a b", SEND.replace("WORKER", "b")),
            wrapped("a b2", SEND.replace("WORKER", "b2")),
            "Node 'b' was sent work that is waiting, and no longer exists",
            "a b b",
        ),
        (
            wrapped("a b c", ROW),
            "import of_what_is_not_there\n",
            "of_what_is_not_there",
            "a b c",
        ),
    ],
    ids=["9-stricter-state-class", "15-join-member-added", "16-send-target-renamed", "0-code-gone"],
)
@pytest.mark.parametrize(
    "action", [{"kill": True}, {"raise": {"type": "ValueError"}}], ids=["crashed", "failed"]
)
def test_code_cannot_be_frozen_so_what_no_longer_fits_is_set_aside(
    project: Project, before: str, after: str, reason: str, all_done: str, action: Mapping[str, object]
) -> None:
    """The run is quarantined with what no longer fits; with the code back, a person lets it go on."""
    project.workflow("changing", GRAPH, before)
    process = project.main("run", "changing", scenario=project.scenario("stop", [{**IN_B, **action}]))
    assert process.wait() == (-9 if "kill" in action else 1), process.said
    folder = project.workflow("changing", GRAPH, after)

    refused = project.main("resume")

    assert refused.wait() == 3, refused.said
    (run,) = project.runs()
    assert run["status"] == "quarantined"
    assert reason in json.dumps(run["error"])
    assert reason in refused.said.replace("\n", " ")
    asked = project.main("resume", run["run_id"], "--latest")
    assert asked.wait() == 2, asked.said
    project.workflow("changing", GRAPH, before)
    assert folder.is_dir()
    project.main("release", run["run_id"]).ok()
    assert done(project) == Counter(all_done.split())
