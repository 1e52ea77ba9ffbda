"""Kills at moments that no scenario can name: around a claim, at the very end, in a recovery, in a row."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest

from tests.crash.conftest import WORKFLOWS
from tests.crash.hooks import Hook, die_at
from tests.crash.invariants import Moment, Whole, look, violations
from tests.crash.lanes import Lanes
from tests.crash.test_kill_matrix import KillPoint, points_of
from tests.support.processes import Project

CLAIM = "framework.durability.leases:claim"
LEAVE = "framework.durability.leases:leave"
WORKFLOW = "report-review"


@pytest.mark.parametrize(
    ("moment", "statuses"),
    [
        (die_at("framework.durability.registry:admit", "after"), ["pending"]),
        (die_at(CLAIM, "before"), ["pending"]),
        (die_at(CLAIM, "after"), ["running"]),
        (die_at("framework.durability.leases:registry.tell", "before", 1), []),
        (die_at("framework.durability.registry:load_definition", "after", 2), ["running"]),
        (die_at("framework.storage.checkpointer:Checkpointer.get_tuple", "after"), ["running"]),
        (die_at("framework.durability.executor:Executor._succeeded", "after"), ["running"]),
        (die_at(LEAVE, "before"), ["running"]),
        (die_at(LEAVE, "after"), ["succeeded"]),
    ],
    ids=lambda value: "-".join(map(str, value.arguments[:2])) if isinstance(value, Hook) else "",
)
def test_killed_between_two_commits_of_the_registry(
    project: Project, clean_runs: Mapping[str, Whole], moment: Hook, statuses: list[str]
) -> None:
    """An accepted run is never lost, and a finished one is neither lost nor run again."""
    project.main("run", WORKFLOW, hooks=[moment]).killed()
    assert [run["status"] for run in project.runs()] == statuses
    if not statuses:
        return  # it died in the middle of the admission, so nobody was told that it was accepted
    (run,) = project.runs()
    with project.connect() as conn:
        seen = look(conn, project.effects, run)
        project.main("resume").ok()
        kills = [seen] if statuses == ["running"] else []
        assert violations(conn, project.effects, run, clean_runs[WORKFLOW], kills) == []


@pytest.mark.parametrize(
    "moment",
    [
        die_at(CLAIM, "before"),
        die_at("framework.durability.leases:_count_crash", "after"),
        die_at("framework.durability.leases:registry.decide", "after"),
        die_at(CLAIM, "after"),
        die_at("framework.durability.definitions:DefinitionStore.thaw", "after"),
        die_at("framework.storage.checkpointer:Checkpointer.get_tuple", "before"),
        die_at("framework.storage.checkpointer:Checkpointer.get_tuple", "after", 2),
        die_at("framework.storage.step_writer:StepWriter._send", "before"),
        die_at("framework.storage.step_writer:StepWriter._send", "after"),
        die_at(LEAVE, "before"),
        die_at(LEAVE, "after"),
    ],
    ids=lambda hook: "-".join(map(str, hook.arguments[:2])),
)
def test_killed_during_its_recovery(project: Project, clean_runs: Mapping[str, Whole], moment: Hook) -> None:
    """A recovery that dies is only one more crash; the next one begins from the same rows."""
    scenario = project.scenario("here", [KillPoint("review", "inside", 4).fault()])
    project.main("run", WORKFLOW, scenario=scenario).killed()
    (run,) = project.runs()
    with project.connect() as conn:
        first = look(conn, project.effects, run)
        project.main(hooks=[moment]).killed()
        second = look(conn, project.effects, run)
        if second.status == "running":
            project.main().ok()
        assert violations(conn, project.effects, run, clean_runs[WORKFLOW], [first, second]) == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_three_kills_in_a_row(
    lanes: Lanes, clean_runs: Mapping[str, Whole], workflow: str, record_property, long_form: bool
) -> None:
    """Each start dies at another point; the fourth one finishes."""
    seed = random.randrange(1_000_000)
    draw = random.Random(seed)
    points = points_of(clean_runs[workflow])
    rows = [draw.sample(points, 3) for _ in range(30 if long_form else 3)]

    def work(project: Project, row: list[KillPoint]) -> tuple[int, list[str]]:
        moments: list[Moment] = []
        run = None
        with project.connect() as conn:
            for index, point in enumerate(row):
                scenario = project.scenario(f"kill-{index}", [point.fault()])
                start = project.main(*(() if run else ("run", workflow)), scenario=scenario)
                code = start.wait()
                run = run or project.runs()[-1]
                if code == 0:
                    break  # the run had passed that point, or it died in a child that was made for a suspect
                assert code == -9, start.said
                moments.append(look(conn, project.effects, run))
            else:
                project.main().ok()
            assert run is not None
            names = " → ".join(point.name for point in row)
            fired = conn.execute(
                "select count(*) as n from holdfast.fault where run_id = %s", (run["run_id"],)
            ).fetchone()["n"]
            found = violations(
                conn, project.effects, run, clean_runs[workflow], moments, unseen_kills=fired - len(moments)
            )
        return fired, [f"seed {seed}: {names}: {problem}" for problem in found]

    results = lanes.each(work, rows)

    kills = sum(count for count, _ in results)
    record_property("figures", f"seed {seed}: {len(rows)} runs, {kills} kills")
    assert kills >= len(rows)
    assert [problem for _, found in results for problem in found] == []
