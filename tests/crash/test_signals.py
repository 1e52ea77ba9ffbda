"""Asked to stop: once, and it hands its runs back at the next step; twice, and it goes at once."""

from __future__ import annotations

import signal
from collections import Counter
from pathlib import Path

import pytest

from tests.support.processes import Project, until

SLOW = """
    version: 1
    name: slow
    inputs: {gate: {type: string}}
    state: {log: {type: "list[str]", reducer: append}}
    nodes:
      a: {use: "nodes:a", writes: [log]}
      b: {use: "nodes:b", with: {gate: "${{ inputs.gate }}"}, writes: [log]}
      c: {use: "nodes:c", writes: [log]}
    edges: [start -> a -> b -> c -> end]
"""
NODES = """
    import asyncio
    import time
    from pathlib import Path

    def a(ctx):
        record(ctx)
        return ["a"]
    WAIT b(gate, ctx):
        Path(gate + ".reached").touch()
        while not Path(gate).exists():
            SLEEP(0.01)
        record(ctx)
        return ["b"]
    def c(ctx):
        record(ctx)
        return ["c"]
"""
KINDS = {
    "sync": NODES.replace("WAIT", "def").replace("SLEEP", "time.sleep"),
    "async": NODES.replace("WAIT", "async def").replace("SLEEP", "await asyncio.sleep"),
}


def start(project: Project, gate: Path, kind: str):
    project.workflow("slow", SLOW, KINDS[kind])
    process = project.main("run", "slow", "--input", f"gate={gate}")
    until(lambda: Path(f"{gate}.reached").exists(), "the node to be in its middle")
    return process


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_asked_once_it_finishes_the_step_and_hands_the_run_back(
    project: Project, tmp_path: Path, number: signal.Signals, kind: str
) -> None:
    """The node in flight is done and saved, so a restart repeats nothing."""
    gate = tmp_path / "gate"
    process = start(project, gate, kind)
    process.send(number)
    until(lambda: "stopping" in process.said.lower(), "the process to say that it stops")
    gate.touch()

    assert process.wait() == 130, process.said

    (run,) = project.runs()
    assert (run["status"], run["crashes"]) == ("pending", 0)
    assert project.effects.nodes(run["run_id"]) == Counter(a=1, b=1)
    assert project.query("select outcome from holdfast.attempt") == [{"outcome": "handed back"}]
    project.main().ok()
    assert project.effects.nodes(run["run_id"]) == Counter(a=1, b=1, c=1)
    assert [found["status"] for found in project.runs()] == ["succeeded"]


@pytest.mark.parametrize("kind", KINDS)
def test_asked_twice_it_goes_at_once(project: Project, tmp_path: Path, kind: str) -> None:
    """Even when a node would never end; the state is safe, and it is said how to go on."""
    gate = tmp_path / "gate"
    process = start(project, gate, kind)
    process.send(signal.SIGINT)
    until(lambda: "stopping" in process.said.lower(), "the process to say that it stops")
    assert not process.exit.done()
    process.send(signal.SIGINT)

    assert process.wait(10) == 130, process.said

    assert "the state is safe" in process.said
    (run,) = project.runs()
    assert project.effects.nodes(run["run_id"]) == Counter(a=1)
    gate.touch()
    project.main().ok()
    assert project.effects.nodes(run["run_id"]) == Counter(a=1, b=1, c=1)
