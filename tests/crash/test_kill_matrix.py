"""Every shipped workflow, killed at every point of its flow, and started once more.

The points are read off a run that nothing happened to, so a node that is added to
a workflow is covered without a line here.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from tests.crash.conftest import WORKFLOWS
from tests.crash.hooks import Hook
from tests.crash.invariants import Whole, in_flight_repeats, look, violations
from tests.crash.lanes import Lanes
from tests.support.processes import Project

FEW = 30


@dataclass(frozen=True)
class KillPoint:
    """A place in the flow: around a node's work, around its result, or around a step's checkpoint."""

    node: str
    where: str
    step: int
    on: str | None = None

    @property
    def name(self) -> str:
        what = "checkpoint" if self.on == "checkpoint" else self.node
        return f"{what}-{self.step}-{self.where}"

    def fault(self) -> dict[str, object]:
        found: dict[str, object] = {"node": self.node, "where": self.where, "step": self.step}
        return {**found, **({"on": self.on} if self.on else {}), "times": 1, "kill": True}


def points_of(expected: Whole) -> list[KillPoint]:
    """Every point of a run: five around each visit of a node, two around each checkpoint."""
    around_work, around_commit = ("before", "inside", "after"), ("before_commit", "after_commit")
    visits = [(row["node"], row["step"]) for row in expected.nodes]
    return [
        *(KillPoint(node, where, step) for node, step in visits for where in around_work),
        *(KillPoint(node, where, step, "writes") for node, step in visits for where in around_commit),
        *(KillPoint("*", where, step, "checkpoint") for step in expected.steps for where in around_commit),
    ]


def half_of(points: Sequence[KillPoint], draw: random.Random) -> list[KillPoint]:
    """A half of every kind of point, rounded up."""
    kinds: dict[tuple[str, str | None], list[KillPoint]] = {}
    for point in points:
        kinds.setdefault((point.where, point.on), []).append(point)
    return [point for kind in kinds.values() for point in draw.sample(kind, (len(kind) + 1) // 2)]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("workflow", WORKFLOWS)
def test_killed_at_any_point_the_next_start_finishes_the_run(
    lanes: Lanes, clean_runs: Mapping[str, Whole], workflow: str, record_property, long_form: bool
) -> None:
    """One restart, the same result, no saved node again, the one in flight at most once more."""
    expected = clean_runs[workflow]
    every = points_of(expected)
    # Without --long a half of each kind of point has to do, unless there are few.
    seed = random.randrange(1_000_000)
    points = every if long_form or len(every) < FEW else half_of(every, random.Random(seed))

    repeats: Counter[str] = Counter()

    def kill_at(project: Project, point: KillPoint) -> list[str]:
        problems, again = kill_and_start_again(project, workflow, point, expected)
        repeats["in flight"] += again
        return [f"{point.name}: {problem}" for problem in problems]

    problems = [problem for found in lanes.each(kill_at, points) for problem in found]

    record_property(
        "figures",
        f"{len(points)} of {len(every)} kill points (seed {seed}), {len(points)} faults fired, "
        f"{len(problems)} violations, "
        f"{repeats['in flight']} repeats of nodes in flight",
    )
    assert problems == []


def kill_and_start_again(
    project: Project, workflow: str, point: KillPoint, expected: Whole, *, hooks: Sequence[Hook] = ()
) -> tuple[list[str], int]:
    """Kill a run at a point, start `main.py` once, and return what is wrong and how many repeats it cost."""
    scenario = project.scenario(point.name.replace("_", "-"), [point.fault()])
    before = len(project.runs())
    project.main("run", workflow, scenario=scenario, hooks=hooks).killed()
    runs = project.runs()
    assert len(runs) == before + 1
    run = runs[-1]
    with project.connect() as conn:
        fired = conn.execute(
            "select point, action from holdfast.fault where run_id = %s", (run["run_id"],)
        ).fetchall()
        assert fired == [{"point": point.where, "action": "kill"}], f"{point.name} did not fire"
        moment = look(conn, project.effects, run)
        assert moment.status == "running"
        problems = _misplaced(conn, run, point, moment.saved)

        restart = project.main()
        if code := restart.wait():
            problems.append(f"the restart ended with {code}")
        if "deserializ" in restart.said:
            problems.append("the restart warned of its own state")

        assert len(project.runs()) == before + 1, "the restart finishes what there is, and starts nothing new"
        problems += violations(conn, project.effects, run, expected, [moment])
    return problems, in_flight_repeats(project.effects, run["run_id"])


def _misplaced(conn, run, point: KillPoint, saved: frozenset[str]) -> list[str]:
    """Whether the kill was where it claims to be: just before or just after a commit."""
    if point.on == "checkpoint":
        there = conn.execute(
            "select 1 from checkpoints where thread_id = %s and (metadata ->> 'step')::int = %s",
            (run["thread_id"], point.step),
        ).fetchone()
        return (
            [] if bool(there) == (point.where == "after_commit") else ["the kill was not at this checkpoint"]
        )
    keys = conn.execute(
        "select substring(task_key from '[^:]*$') as task from holdfast.node_run"
        " where run_id = %s and node = %s and step = %s",
        (run["run_id"], point.node, point.step),
    ).fetchall()
    is_saved = any(key["task"] in saved for key in keys)
    return [] if is_saved == (point.where == "after_commit") else ["the kill was not at this node's result"]
