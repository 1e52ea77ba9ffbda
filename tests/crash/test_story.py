"""The story that the documents tell, typed as they tell it, with real processes."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from tests.support.processes import Project


def test_slack_fails_and_the_next_start_goes_on_from_there(project: Project) -> None:
    """Exit 1; then the default scenario, the same thread completes, and e-mail is not collected again."""
    project.main("scenario", "use", "slack_collection_failure", scenario=None, real=True).ok()

    failing = project.main(scenario=None, real=True).ok(1)

    (run,) = project.runs()
    assert run["status"] == "failed"
    assert run["error"]["node"] == "slack_collector"
    assert "slack_collector" in failing.said
    assert "connection refused" in failing.said
    assert project.effects.nodes(run["run_id"]) == Counter(email_collector=1, calendar_collector=1)
    fired = project.query("select node, action, attempt from holdfast.fault")
    assert fired
    assert {tuple(row.values()) for row in fired} == {("slack_collector", "raise", 1)}

    project.main("scenario", "use", "default", scenario=None, real=True).ok()
    finishing = project.main(scenario=None, real=True).ok()

    (after,) = project.runs()
    assert after["thread_id"] == run["thread_id"]
    assert after["run_id"] == run["run_id"]
    assert after["status"] == "succeeded"
    assert "taking up" in finishing.said
    assert "deserializ" not in finishing.said
    done = project.effects.nodes(run["run_id"])
    assert done["email_collector"] == 1, "it was saved, so it is not called again"
    assert set(done.values()) == {1}
    assert len(done) == 7
    assert Path(project.root / "out/plan.md").is_file()
