"""`python3 main.py`, killed by `kill -9` at any instant of its life, and started once more."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random, randrange

import pytest

from framework.storage.embedded import EmbeddedServer
from tests.crash.invariants import Moment, Whole, in_flight_repeats, look, violations, whole
from tests.crash.lanes import open_lanes
from tests.support.processes import Project, until

WORKFLOW = "daily-task-planner"


@dataclass(frozen=True)
class Trial:
    """What became of one kill."""

    at: str
    accepted: bool
    killed: bool
    problems: list[str]
    saved: int
    repeats: int


@pytest.fixture
def two_projects(
    tmp_path: Path, postgres_server: EmbeddedServer, database_template: str
) -> Iterator[list[Project]]:
    with open_lanes(tmp_path, postgres_server, database_template, None, number=2) as lanes:
        yield lanes.projects


@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "kills", [pytest.param(5, id="5"), pytest.param(50, id="50", marks=pytest.mark.long)]
)
def test_a_killed_start_is_finished_by_the_next_one(
    two_projects: list[Project], kills: int, record_property
) -> None:
    """0 lost, 0 saved nodes repeated, the node in flight at most once more; the seed repeats the draws."""
    seed = os.environ.get("HOLDFAST_TEST_SEED") or str(randrange(1_000_000))
    expected, life = _one_whole(two_projects[0])

    def lane(index: int) -> list[Trial]:
        mine = Random(f"{seed}-{index}")
        return [
            _kill(two_projects[index], mine.random(), life, expected, late=number % 3 > 0)
            for number in range(index, kills, 2)
        ]

    with ThreadPoolExecutor(2) as pool:
        trials = [trial for found in pool.map(lane, (0, 1)) for trial in found]

    accepted = [trial for trial in trials if trial.accepted]
    problems = [f"killed {trial.at}: {problem}" for trial in trials for problem in trial.problems]
    lost = sum("lost" in problem for problem in problems)
    again = sum("repeated" in problem for problem in problems)
    hit = sum(trial.killed for trial in trials)
    record_property(
        "figures",
        f"seed {seed}: {kills} kills, {hit} of a living process, {len(accepted)} accepted runs, "
        f"{len(accepted) - lost} finished, {lost} lost, {sum(trial.saved for trial in trials)} nodes were "
        f"saved, {again} of them repeated, {sum(trial.repeats for trial in trials)} repeats in flight",
    )
    assert problems == [], f"HOLDFAST_TEST_SEED={seed} repeats the draws"
    assert hit >= kills // 2, "most kills came too late to prove anything"


@dataclass(frozen=True)
class Life:
    """How long a start takes until its run is accepted, and from there to its end; in seconds."""

    before: float
    after: float


def _one_whole(project: Project) -> tuple[Whole, Life]:
    """Run once and measure."""
    began = time.monotonic()
    process = project.main(scenario=None, real=True)
    until(project.runs, "a run to be accepted")
    accepted_at = time.monotonic()
    process.ok()
    life = Life(accepted_at - began, time.monotonic() - accepted_at)
    with project.connect() as conn:
        return whole(conn, project.effects, project.runs()[0]), life


def _kill(project: Project, fraction: float, life: Life, expected: Whole, *, late: bool) -> Trial:
    """Kill a start somewhere in its life; late means: after its run was accepted."""
    before = len(project.runs())
    process = project.main(scenario=None, real=True)
    if late:
        until(lambda: len(project.runs()) > before or process.exit.done(), "a run to be accepted")
    # An instant is the subject here; what it hits is read from the database afterwards.
    time.sleep(fraction * (life.after if late else life.before))
    process.kill()
    code = process.wait()
    at = f"at {fraction:.3f} of its life {'after' if late else 'before'} a run is accepted"
    assert code in (-9, 0), process.said
    runs = project.runs()[before:]
    if not runs:
        # It had not got as far as accepting anything, so nothing can be lost; the next start begins anew.
        project.main(scenario=None, real=True).ok()
        assert len(project.runs()) == before + 1
        return Trial(at, accepted=False, killed=True, problems=[], saved=0, repeats=0)
    (run,) = runs
    moments: list[Moment] = []
    with project.connect() as conn:
        moment = look(conn, project.effects, run)
        if moment.status != "succeeded":
            project.main(scenario=None, real=True).ok()
        if moment.status == "running":
            moments.append(moment)
        problems = violations(conn, project.effects, run, expected, moments)
    if len(project.runs()) != before + 1 and moment.status != "succeeded":
        problems.append("the start after it did not go on with it, but began another")
    saved = sum(len(moment.saved & moment.done.keys()) for moment in moments)
    repeats = in_flight_repeats(project.effects, run["run_id"])
    return Trial(at, accepted=True, killed=code == -9, problems=problems, saved=saved, repeats=repeats)
