"""Every request that a run makes to the database, killed or cut, before the server saw it or afterwards.

The method is SQLite's: not at random, but at each index in turn, until nothing is left to break.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.crash.invariants import Whole, in_flight_repeats, look, violations
from tests.crash.lanes import Lanes
from tests.support.processes import Process, Project, until
from tests.support.wire import When, Wire

WORKFLOW = "support-triage"


class Broken:
    """A run whose wire broke at one request, or whose process died there."""

    def __init__(self, project: Project, at: int, when: When, *, kill: bool) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="hf"))
        self._process: Process | None = None
        self.wire = Wire(self.folder, project.url, at=at, when=when, act=self._kill if kill else None)
        self._process = project.main("run", WORKFLOW, url=self.wire.url)
        self.code = self._process.wait()
        self.said = self._process.said

    def _kill(self) -> None:
        until(lambda: self._process, "the process to be known")
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        self.wire.close()
        shutil.rmtree(self.folder)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("kill", [True, False], ids=["kill", "cut"])
@pytest.mark.parametrize("when", When)
def test_broken_at_every_request(
    lanes: Lanes, clean_runs: Mapping[str, Whole], when: When, kill: bool, long_form: bool, record_property
) -> None:
    """A kill costs at most the node in flight; a cut costs nothing, not even a process."""
    whole_wire = Broken(lanes.projects[0], 0, when, kill=False)
    whole_wire.close()
    assert whole_wire.code == 0
    total = whole_wire.wire.requests
    assert total > 10
    requests = range(1, total + 1, 1 if long_form else 6)
    accepted = []

    def break_at(project: Project, at: int) -> list[str]:
        before = len(project.runs())
        broken = Broken(project, at, when, kill=kill)
        try:
            # The last requests are those of connections that are closed; their number is not always the same.
            assert broken.wire.broke.wait(5) or at > total - 8, f"request {at} of {total} was never made"
            fired = broken.wire.broke.is_set()
            # A process that has said all may be gone before it can be killed.
            late = {0} if at > total - 8 else set()
            assert broken.code in {-9 if kill and fired else 0} | late, broken.said
        finally:
            broken.close()
        runs = project.runs()[before:]
        if not runs:
            assert kill, "nothing was accepted"
            return []  # nobody was told that anything was
        (run,) = runs
        accepted.append(run)
        with project.connect() as conn:
            moments = []
            if run["status"] != "succeeded":
                moments = [look(conn, project.effects, run)] if run["status"] == "running" else []
                project.main("resume").ok()
            problems = violations(conn, project.effects, run, clean_runs[WORKFLOW], moments)
            if not kill and in_flight_repeats(project.effects, run["run_id"]):
                problems.append("a node ran twice")
        return [f"request {at} of {total}: {problem}" for problem in problems]

    problems = [problem for found in lanes.each(break_at, requests) for problem in found]

    record_property("figures", f"{len(requests)} of {total} requests, {len(accepted)} runs, all finished")
    assert problems == []
