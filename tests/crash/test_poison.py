"""One run that kills every process that drives it, among others that did nothing wrong."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.support.processes import Project

MIXED = """
    version: 1
    name: mixed
    inputs: {poison: {type: boolean, default: false}, number: {type: integer}}
    state: {log: {type: "list[str]", reducer: append}}
    nodes:
      a: {use: "nodes:a", writes: [log]}
      b: {use: "nodes:b", writes: [log]}
      c: {use: "nodes:c", writes: [log]}
    edges: [start -> a -> b -> c -> end]
"""
NODES = """
    async def a(ctx):
        record(ctx)
        return ["a"]
    async def b(ctx):
        await ctx.sleep(0.3)
        record(ctx)
        return ["b"]
    async def c(ctx):
        record(ctx)
        return ["c"]
"""
MAX_STARTS = 3
"""Two of them die; the third drives the suspect apart, finishes the others, and sets it aside."""
KILLS_IN_B = {"node": "b", "where": "inside", "kill": True, "only_if": "inputs.poison"}


@pytest.mark.timeout(300)
def test_a_poison_run_is_set_aside_and_the_innocent_finish(project: Project, record_property) -> None:
    """Its crashes are counted before each attempt, so its budget is spent whatever it does."""
    project.workflow("mixed", MIXED, NODES)
    project.scenario("poison", [KILLS_IN_B])
    for number in range(6):
        arguments = ["--input", f"number={number}", "--input", f"poison={'true' if number == 3 else 'false'}"]
        project.main("run", "mixed", "--detach", *arguments).ok()
    runs = project.runs()
    poison, innocent = runs[3]["run_id"], [run["run_id"] for run in runs if run is not runs[3]]

    codes = []
    while len(codes) <= MAX_STARTS:
        codes.append(project.main("resume", scenario="poison").wait())
        if codes[-1] != -9:
            break

    assert codes.count(-9) == len(codes) - 1 < MAX_STARTS, f"too many restarts were needed: {codes}"
    assert codes[-1] == 3, "it says that a person must look"
    by_id = {run["run_id"]: run for run in project.runs()}
    assert by_id[poison]["status"] == "quarantined"
    assert by_id[poison]["error"]["code"] == "crashed-too-often"
    assert {by_id[run]["status"] for run in innocent} == {"succeeded"}
    fired = project.query("select count(*) as n from holdfast.fault where run_id = %s", poison)[0]["n"]
    assert fired == 5, "as often as `max_crashes` says"
    for run in innocent:
        # `a` is saved before anybody dies in `b`; `b` was in flight at each death of their common process.
        assert project.effects.nodes(run) == Counter(a=1, b=1, c=1)
    assert project.effects.nodes(poison) == Counter(a=1)
    record_property("figures", f"1 poison among 6: {len(codes)} starts, {fired} crashes, 5 innocent finished")

    # Nothing happens by itself any more; a person who has mended the cause lets it go on.
    assert project.main("resume", scenario="poison").wait() == 3
    project.main("release", poison).ok()
    assert project.effects.nodes(poison) == Counter(a=1, b=1, c=1)


def test_a_crash_with_progress_in_between_is_not_held_against_a_run(project: Project) -> None:
    """A run that dies after every checkpoint gets through, however often that is."""
    for _ in range(12):
        process = project.main(scenario="crash_at_every_checkpoint")
        if process.wait() == 0:
            break
        assert process.wait() == -9, process.said

    (run,) = project.runs()
    assert run["status"] == "succeeded"
    kills = project.query("select count(*) as n from holdfast.fault")[0]["n"]
    assert run["fence"] == kills + 1
    assert kills == 7, "one for each checkpoint"
    assert set(project.effects.tasks(run["run_id"]).values()) == {1}
