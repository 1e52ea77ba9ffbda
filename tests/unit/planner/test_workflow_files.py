"""The shipped files, compiled and run in memory as `main.py` would run them."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import pytest

from framework.definition.functions import Moments
from framework.definition.inputs import validate_inputs
from framework.definition.loader import load_workflow
from framework.graph.compiler import compile_workflow
from mocks.effects import EFFECTS_FILE
from tests.unit.graph.support import Run
from tests.unit.planner.test_sample_plan import EXPECTED

LATER = datetime(2031, 1, 1, tzinfo=UTC)
WORKFLOWS = Path(__file__).parents[3] / "workflows"


def run_of(folder: str, **inputs) -> Run:
    loaded = load_workflow(WORKFLOWS / folder / "workflow.yaml", allowed_packages=("workflows", "mocks"))
    given = validate_inputs(loaded.workflow, inputs, moments=Moments(LATER))
    return Run(compile_workflow(loaded), inputs=given)


def outcome(run: Run):
    values = asyncio.run(run.start())
    return run.compiled.outputs(values, run.context)


def test_the_planner_writes_the_committed_page(tmp_path, monkeypatch):
    """Whatever today's date is: each node ran once, and all of it passed the strict serializer."""
    monkeypatch.setenv(EFFECTS_FILE, str(tmp_path / "effects"))

    found = outcome(run_of("daily_task_planner", out=str(tmp_path / "plan.md")))

    assert (tmp_path / "plan.md").read_text("utf-8") == EXPECTED.read_text("utf-8")
    assert found["plan_file"] == str(tmp_path / "plan.md")
    assert (found["tasks"], found["meetings"]) == (35, 7)
    assert found["summary"].startswith("Friday, 20 November 2026 for Ana Weber")
    today = EXPECTED.read_text("utf-8").split("## Later")[0]
    assert len(found["plan"]["items"]) == today.count("\n- ")
    collectors = ["calendar_collector", "email_collector", "slack_collector"]
    nodes = sorted([*collectors, "extract", "prioritise", "plan", "write"])
    assert sorted(line.split(" ")[1] for line in (tmp_path / "effects").read_text().splitlines()) == nodes


def test_a_missing_calendar_is_survived_and_a_missing_slack_is_not(tmp_path):
    run = run_of("daily_task_planner", calendar="nowhere.ics", out=str(tmp_path / "plan.md"))
    assert outcome(run)["meetings"] == 0
    assert "> The calendar could not be read" in (tmp_path / "plan.md").read_text("utf-8")

    run = run_of("daily_task_planner", slack="nowhere", out=str(tmp_path / "other.md"))
    with pytest.raises(BaseException, match="slack_collector"):
        outcome(run)
    assert run.journal.outcomes("email_collector") == ["succeeded"]
    assert run.journal.outcomes("slack_collector") == ["failed"], "a wrong path is not tried again"
    assert not (tmp_path / "other.md").exists()


def test_the_report_is_revised_until_it_is_good_enough(tmp_path):
    run = run_of("report_review", out=str(tmp_path / "report.md"))

    assert outcome(run)["score"] == 92
    assert run.journal.counts() == Counter(draft=1, review=4, revise=3, publish=1)


def test_a_threshold_out_of_reach_fails_at_the_limit(tmp_path):
    """A loop without a way out must end, and say why."""
    run = run_of("report_review", threshold=101, out=str(tmp_path / "report.md"))

    with pytest.raises(BaseException, match="review"):
        outcome(run)
    assert run.journal.outcomes("review").count("succeeded") == 5
    assert not (tmp_path / "report.md").exists()


def test_the_wrapped_graph_runs_as_it_is():
    assert outcome(run_of("support_triage"))["queue"] == "on-call"
    found = outcome(run_of("support_triage", customer="fairwind", subject="Bill", body="wrong invoice"))
    assert (found["queue"], len(found["history"])) == ("team-billing", 3)
