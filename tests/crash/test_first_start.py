"""Many processes on a database with nothing in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.crash.hooks import die_at, wait_at
from tests.crash.invariants import Whole, in_flight_repeats, violations
from tests.support.processes import Project, open_project, until
from tests.support.zygote import Zygote

STARTS = 8


@pytest.fixture
def empty_project(tmp_path: Path, empty_database_url: str, zygote: Zygote) -> Iterator[Project]:
    yield from open_project(tmp_path / "project", empty_database_url, zygote)


@pytest.mark.parametrize("round_", range(2))
def test_eight_first_starts_at_the_same_instant(
    empty_project: Project, clean_runs: Mapping[str, Whole], tmp_path: Path, round_: int, record_property
) -> None:
    """LangGraph's own setup fails in each round; here each start ends well, and no run is driven twice."""
    project, go = empty_project, tmp_path / "go"
    processes = []
    for number in range(STARTS):
        hooks = [wait_at("framework.durability.manager:migrate", str(tmp_path / f"ready-{number}"), str(go))]
        processes.append(project.main(hooks=hooks, cwd=project.root / f"at{number}"))
    until(lambda: len(list(tmp_path.glob("ready-*"))) == STARTS, "all to stand before the set-up")
    go.touch()

    codes = [process.wait() for process in processes]

    assert codes == [0] * STARTS, "\n".join(process.said for process in processes)
    runs = project.runs()
    # A start that finds somebody's accepted run takes it up, and then starts none of its own.
    assert 1 <= len(runs) <= STARTS
    expected = clean_runs["daily-task-planner"]
    with project.connect() as conn:
        for run in runs:
            assert violations(conn, project.effects, run, expected, []) == []
            assert in_flight_repeats(project.effects, run["run_id"]) == 0
        applied = conn.execute("select version from holdfast.schema_version").fetchall()
        assert len({row["version"] for row in applied}) == len(applied) >= 1
    record_property("figures", f"{STARTS} starts on an empty database, {len(runs)} runs, all finished once")


@pytest.mark.long
@pytest.mark.timeout(300)
def test_eight_real_first_starts(empty_project: Project) -> None:
    """The same with real interpreters, as nearly at once as the host starts them."""
    processes = [
        empty_project.main(real=True, cwd=empty_project.root / f"at{number}") for number in range(STARTS)
    ]

    assert [process.wait(120) for process in processes] == [0] * STARTS
    assert {run["status"] for run in empty_project.runs()} == {"succeeded"}


@pytest.mark.timeout(300)
@pytest.mark.parametrize("long", [pytest.param(False), pytest.param(True, marks=pytest.mark.long)])
def test_killed_in_mid_set_up_the_next_start_heals_it(
    empty_project: Project, long: bool, record_property
) -> None:
    """The set-up is either there or not, after each of its statements."""
    done = 0
    for number in range(1, 200):
        if not long and number % 4 != 1:
            continue
        hook = die_at("psycopg:Cursor.execute", "after", number)
        code = empty_project.main("run", "support-triage", hooks=[hook]).wait()
        there = empty_project.query("select to_regclass('holdfast.run') is not null as there")
        if code == 0 or there == [{"there": True}]:
            break
        assert code == -9
        done += 1
    assert done >= 2
    empty_project.main("run", "support-triage").ok()
    empty_project.main("resume").ok()
    record_property("figures", f"killed after {done} statements of the set-up")
    assert {run["status"] for run in empty_project.runs()} == {"succeeded"}
