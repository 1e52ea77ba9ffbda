"""A check that cannot go red proves nothing: the product is broken on purpose, and it has to be noticed."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from tests.crash.hooks import (
    Hook,
    answer_before_commit,
    count_no_crashes,
    durability,
    no_fence,
    slow_commits,
    stop_at,
)
from tests.crash.invariants import Whole, look, violations
from tests.crash.test_kill_matrix import KillPoint, kill_and_start_again
from tests.crash.test_poison import KILLS_IN_B, MAX_STARTS, MIXED, NODES
from tests.crash.test_takeover import (
    SEND,
    SHORT_LEASE,
    WORKFLOW,
    but_for_the_node_in_flight,
    is_stopped,
    lease_is_over,
    rows_of,
)
from tests.support.processes import Project, until


@pytest.mark.parametrize("fenced", [True, False])
def test_without_the_fence_a_sleeper_is_seen(
    project: Project, clean_runs: Mapping[str, Whole], fenced: bool
) -> None:
    """With it, the same trial is clean."""
    hooks: list[Hook] = [stop_at(SEND, "before", 5), *([] if fenced else [no_fence()])]
    sleeper = project.main("run", WORKFLOW, env=SHORT_LEASE, hooks=hooks)
    until(lambda: is_stopped(sleeper), "the process to be stopped")
    (run,) = project.runs()
    with project.connect() as conn:
        until(lambda: lease_is_over(conn, run), "the lease to end")
        moment = look(conn, project.effects, run)
        project.main("resume", env=SHORT_LEASE).ok()
        before = rows_of(project)
        sleeper.wake()
        sleeper.wait()
        problems = violations(conn, project.effects, run, clean_runs[WORKFLOW], [moment])
    if fenced:
        assert rows_of(project) == before
        assert but_for_the_node_in_flight(problems) == []
    else:
        assert rows_of(project) != before
        assert any("forked" in problem for problem in problems), problems
        assert any("visits" in problem or "repeated" in problem for problem in problems), problems


@pytest.mark.parametrize(
    "hooks",
    [
        [],
        [answer_before_commit()],
        [durability("async"), slow_commits()],
        [durability("exit")],
    ],
    ids=["as-shipped", "answer-before-commit", "async", "exit"],
)
def test_a_weaker_durability_is_seen(
    project: Project, clean_runs: Mapping[str, Whole], hooks: list[Hook]
) -> None:
    """Nodes that ran on while nothing was saved have run ahead of the database, and run again."""
    point = KillPoint("review", "inside", 6)
    problems, _ = kill_and_start_again(project, WORKFLOW, point, clean_runs[WORKFLOW], hooks=hooks)
    if hooks:
        assert any("ahead" in problem or "visits" in problem for problem in problems), problems
    else:
        assert problems == []


def test_a_crash_that_is_not_counted_is_seen(project: Project) -> None:
    """A poison run goes on killing for ever; `test_poison.py` fails at the first start too many."""
    project.workflow("mixed", MIXED, NODES)
    project.scenario("poison", [KILLS_IN_B])
    project.main("run", "mixed", "--detach", "--input", "number=1", "--input", "poison=true").ok()
    codes = [
        project.main("resume", scenario="poison", hooks=[count_no_crashes()]).wait()
        for _ in range(MAX_STARTS + 4)
    ]
    (run,) = project.runs()
    assert run["status"] == "running"
    assert codes == [-9] * (MAX_STARTS + 4)
