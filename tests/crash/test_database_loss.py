"""The database goes away under a run, in every way it can, and comes back; the process lives on."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from framework.storage.embedded import EmbeddedServer, leave, start_embedded
from framework.storage.embedded_minder import find_postmaster, stop_server
from tests.crash.hooks import wait_at
from tests.crash.invariants import Whole, in_flight_repeats, violations
from tests.crash.lanes import Lanes
from tests.crash.test_kill_matrix import points_of
from tests.support.processes import Project, open_project, until
from tests.support.zygote import Zygote

WORKFLOW = "report-review"


@pytest.mark.timeout(300)
def test_connections_cut_at_any_point_are_made_again(
    lanes: Lanes, clean_runs: Mapping[str, Whole], record_property, long_form: bool
) -> None:
    """A process whose connections are ended saves what it was saving, and goes on; nothing runs twice."""
    expected = clean_runs[WORKFLOW]
    points = points_of(expected) if long_form else points_of(expected)[::4]

    def cut_at(project: Project, point) -> list[str]:
        fault = {key: value for key, value in point.fault().items() if key != "kill"} | {"cut_database": True}
        project.main("run", WORKFLOW, scenario=project.scenario("cut", [fault])).ok()
        run = project.runs()[-1]
        with project.connect() as conn:
            fired = conn.execute(
                "select action from holdfast.fault where run_id = %s", (run["run_id"],)
            ).fetchall()
            assert fired == [{"action": "cut_database"}]
            problems = violations(conn, project.effects, run, expected, [])
        if in_flight_repeats(project.effects, run["run_id"]):
            problems.append("a node ran twice")
        return [f"{point.name}: {problem}" for problem in problems]

    problems = lanes.each(cut_at, points)

    record_property("figures", f"{len(points)} cuts, {len(points)} runs finished in the same process")
    assert [problem for found in problems for problem in found] == []


def test_a_storm_of_terminated_backends(
    project: Project, clean_runs: Mapping[str, Whole], record_property
) -> None:
    """From outside, all at once, again after each bit of progress: as a failover does it."""
    process = project.main("run", WORKFLOW)
    ended = storms = 0
    progress = -1
    with project.connect() as conn:
        while not process.exit.done():
            row = conn.execute("select progress from holdfast.run").fetchone()
            if row is None or row["progress"] == progress:
                time.sleep(0.005)
                continue
            progress = row["progress"]
            rows = conn.execute(
                "select pg_terminate_backend(pid) from pg_stat_activity"
                " where datname = current_database() and pid <> pg_backend_pid()"
            ).fetchall()
            ended, storms = ended + len(rows), storms + 1
        process.ok()
        (run,) = project.runs()
        problems = violations(conn, project.effects, run, clean_runs[WORKFLOW], [])
    record_property("figures", f"{storms} storms, {ended} backends terminated under one run")
    assert storms >= 3
    assert ended >= 5
    assert run["fence"] == 1
    assert problems == []


def test_a_mock_outage_is_waited_out(project: Project, clean_runs: Mapping[str, Whole]) -> None:
    """The shipped scenario: three seconds without a database, in the middle of the planner."""
    process = project.main(scenario="database_outage").ok()
    (run,) = project.runs()
    with project.connect() as conn:
        fired = conn.execute("select action, detail from holdfast.fault").fetchall()
        assert fired == [{"action": "cut_database", "detail": {"seconds": 3.0}}]
        assert violations(conn, project.effects, run, clean_runs["daily-task-planner"], []) == []
    assert run["fence"] == 1
    assert in_flight_repeats(project.effects, run["run_id"]) == 0
    assert "cut the database connections" in process.said


@pytest.fixture
def own_server() -> Iterator[EmbeddedServer]:
    """A cluster that may be crashed; with fsync as shipped."""
    folder = Path(tempfile.mkdtemp(prefix="holdfast-crash-"))
    server = start_embedded(folder, linger=timedelta(0))
    yield server
    leave(folder)
    if stop_server(server.data_dir):
        for place in {folder, server.data_dir, server.socket_dir}:
            shutil.rmtree(place, ignore_errors=True)


@pytest.mark.parametrize("how", [signal.SIGQUIT, signal.SIGKILL], ids=["immediate", "kill-9"])
def test_the_server_crashes_and_comes_back(
    own_server: EmbeddedServer,
    tmp_path: Path,
    zygote: Zygote,
    clean_runs: Mapping[str, Whole],
    how: signal.Signals,
) -> None:
    """The run waits and finishes in the same process; what was committed is still there."""
    for project in open_project(tmp_path / "project", own_server.url, zygote):
        ready, go = tmp_path / "ready", tmp_path / "go"
        hook = wait_at("framework.storage.step_writer:StepWriter._send", str(ready), str(go), 5)
        process = project.main("run", WORKFLOW, hooks=[hook])
        until(ready.exists, "the run to be in its middle")

        postmaster = find_postmaster(own_server.data_dir)
        assert postmaster is not None
        os.kill(postmaster, how)
        until(lambda: not answers(own_server.url), "the server to be gone")
        go.touch()
        assert not process.exit.done()
        start_embedded(own_server.data_dir, linger=timedelta(0))
        until(lambda: answers(own_server.url), "the server to be back")

        process.ok()
        (run,) = project.runs()
        with project.connect() as conn:
            assert violations(conn, project.effects, run, clean_runs[WORKFLOW], []) == []
        assert run["fence"] == 1


def answers(url: str) -> bool:
    try:
        with psycopg.connect(url, connect_timeout=1):
            return True
    except psycopg.OperationalError:
        return False
