"""Two processes and one run: at the same instant, or one of them asleep, or with another idea of the time."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.crash.hooks import clock, stop_at, wait_at
from tests.crash.invariants import Whole, look, violations
from tests.crash.lanes import Lanes
from tests.crash.test_kill_matrix import KillPoint
from tests.support.processes import Process, Project, until

WORKFLOW = "report-review"
CLAIM = "framework.durability.leases:claim"
SEND = "framework.storage.step_writer:StepWriter._send"
TRY = "framework.graph.node_runner:NodeRunner._try"
SHORT_LEASE = {
    "HOLDFAST__DURABILITY__LEASE__DURATION": "1s",
    "HOLDFAST__DURABILITY__LEASE__HEARTBEAT": "300ms",
}


def crash(project: Project, point: KillPoint, *more: object) -> Mapping[str, object]:
    """Kill a run at a point; return its row."""
    scenario = project.scenario("crash-here", [point.fault()])
    project.main("run", WORKFLOW, scenario=scenario, hooks=more).killed()  # type: ignore[arg-type]
    return project.runs()[-1]


@pytest.mark.timeout(300)
def test_of_two_processes_at_the_same_instant_one_drives(
    lanes: Lanes,
    clean_runs: Mapping[str, Whole],
    tmp_path: Path,
    record_property,
    long_form: bool,
) -> None:
    """Both stand before the claim when they are let go; each node's work is done once."""
    rounds = 20 if long_form else 10
    winners = []

    def round_(project: Project, number: int) -> list[str]:
        run = crash(project, KillPoint("revise", "inside", 3))
        go = tmp_path / f"go-{number}"
        resumers: list[tuple[Process, Path]] = []
        for name in ("a", "b"):
            ready = tmp_path / f"ready-{number}-{name}"
            hooks = [wait_at(CLAIM, str(ready), str(go))]
            resumers.append((project.main("resume", hooks=hooks), ready))
        until(lambda: all(ready.exists() for _, ready in resumers), "both to stand before the claim")
        with project.connect() as conn:
            moment = look(conn, project.effects, run)
            go.touch()
            for process, _ in resumers:
                process.ok()
            attempts = conn.execute(
                "select owner from holdfast.attempt where run_id = %s order by number", (run["run_id"],)
            ).fetchall()
            drivers = [process for process, _ in resumers if f"/{process.pid}/" in attempts[-1]["owner"]]
            winners.extend(drivers)
            problems = [] if len(attempts) == 2 and len(drivers) == 1 else [f"attempts: {attempts}"]
            return problems + violations(conn, project.effects, run, clean_runs[WORKFLOW], [moment])

    problems = lanes.each(round_, range(rounds))

    record_property("figures", f"{rounds} rounds, {len(winners)} winners, 0 runs driven twice")
    assert [problem for found in problems for problem in found] == []
    assert len(winners) == rounds


def but_for_the_node_in_flight(problems: list[str]) -> list[str]:
    """What a sleeper was in the middle of when it fell asleep, it could not know to leave."""
    return [problem for problem in problems if "after the last kill" not in problem]


def rows_of(project: Project) -> list[tuple[object, ...]]:
    """Everything that a run can leave behind, so that any write shows."""
    ours = ("run", "lease", "attempt", "node_run", "decision", "event", "interrupt")
    tables = ["checkpoints", "checkpoint_blobs", "checkpoint_writes", *(f"holdfast.{name}" for name in ours)]
    found = {table: project.query(f"select t::text as row from {table} t order by 1") for table in tables}
    return [(table, *(row["row"] for row in rows)) for table, rows in found.items()]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("place", [f"send-{n}" for n in (1, 2, 3, 5, 8, 12)] + [f"node-{n}" for n in (1, 4)])
def test_a_process_that_slept_past_its_lease_writes_nothing_more(
    project: Project, clean_runs: Mapping[str, Whole], place: str
) -> None:
    """Stock LangGraph damages the run in every trial: the sleeper goes on, over its successor's work."""
    what, _, number = place.partition("-")
    target = SEND if what == "send" else TRY
    sleeper = project.main("run", WORKFLOW, env=SHORT_LEASE, hooks=[stop_at(target, "before", int(number))])
    until(lambda: is_stopped(sleeper), "the process to be stopped")
    (run,) = project.runs()
    with project.connect() as conn:
        until(lambda: lease_is_over(conn, run), "the lease to end")
        moment = look(conn, project.effects, run)
        project.main("resume", env=SHORT_LEASE).ok()
        before = rows_of(project)

        sleeper.wake()
        code = sleeper.wait()

        assert rows_of(project) == before, "the sleeper wrote"
        assert "driven by another process now" in sleeper.said or "taken over" in sleeper.said, sleeper.said
        assert code in (0, 1, 3), sleeper.said
        problems = violations(conn, project.effects, run, clean_runs[WORKFLOW], [moment])
        assert but_for_the_node_in_flight(problems) == []
    assert sum(project.effects.tasks(run["run_id"]).values()) <= sum(clean_runs[WORKFLOW].visits.values()) + 1


def is_stopped(process: Process) -> bool:
    assert not process.exit.done(), process.said
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def lease_is_over(conn, run) -> bool:
    row = conn.execute(
        "select expires_at < clock_timestamp() as over from holdfast.lease where run_id = %s",
        (run["run_id"],),
    ).fetchone()
    return bool(row and row["over"])


HOUR = 3600.0


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("dying", "resuming"),
    [(HOUR, 0.0), (-HOUR, 0.0), (0.0, HOUR), (0.0, -HOUR), (HOUR, -HOUR), (-HOUR, HOUR), (5.0, 0.0)],
)
def test_a_wrong_clock_changes_nothing(
    lanes: Lanes, clean_runs: Mapping[str, Whole], dying: float, resuming: float
) -> None:
    """LangGraph takes the greatest checkpoint id for the newest, and the id is the writer's clock."""
    points = [
        KillPoint("*", "after_commit", -1, "checkpoint"),
        KillPoint("review", "after_commit", 4, "writes"),
        KillPoint("*", "before_commit", 6, "checkpoint"),
    ]

    def work(project: Project, point: KillPoint) -> list[str]:
        run = crash(project, point, clock(dying))
        with project.connect() as conn:
            moment = look(conn, project.effects, run)
            project.main("resume", hooks=[clock(resuming)]).ok()
            # Whoever looks next, with a right clock, sees a finished run and does nothing.
            project.main("resume").ok()
            return violations(conn, project.effects, run, clean_runs[WORKFLOW], [moment])

    problems = lanes.each(work, points)

    assert [problem for found in problems for problem in found] == []


@pytest.mark.parametrize("seconds", [HOUR, -HOUR])
def test_no_lease_is_stolen_early(project: Project, clean_runs: Mapping[str, Whole], seconds: float) -> None:
    """A lease ends on the database's clock, whatever the clock of whoever wants it says."""
    sleeper = project.main("run", WORKFLOW, hooks=[stop_at(SEND, "before", 4)])
    until(lambda: is_stopped(sleeper), "the process to be stopped")
    (run,) = project.runs()

    thief = project.main("resume", hooks=[clock(seconds)]).ok()

    assert "elsewhere" in thief.said
    assert [found["fence"] for found in project.runs()] == [1]
    sleeper.wake()
    sleeper.ok()
    with project.connect() as conn:
        assert violations(conn, project.effects, run, clean_runs[WORKFLOW], []) == []
