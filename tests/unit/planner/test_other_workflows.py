"""The report review, the wrapped graph, and the trace of effects."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from mocks.effects import EFFECTS_FILE, record
from tests.unit.planner.support import Ctx
from workflows.report_review.draft import draft_report
from workflows.report_review.models import Flaw, Review
from workflows.report_review.publish import publish_report
from workflows.report_review.review import review_report
from workflows.report_review.revise import revise_report
from workflows.support_triage import agent


def reviewed(ctx, threshold: int, limit: int = 10):
    state = draft_report("sample/notes.md", ctx)
    scores = []
    for _ in range(limit):
        state["review"] = review_report(state, ctx)
        scores.append(state["review"].score)
        if scores[-1] >= threshold:
            break
        state["text"] = revise_report(state, ctx)["text"]
    return state, scores


def test_each_revision_makes_the_report_better(ctx):
    """With the shipped threshold the loop ends inside its five visits."""
    _, scores = reviewed(ctx, 90)

    assert scores == [47, 67, 82, 92]


def test_a_threshold_out_of_reach_never_ends_by_itself(ctx):
    """So that the workflow's `max_visits` has something to bound."""
    state, scores = reviewed(ctx, 101)

    assert scores[-1] == 100
    assert len(scores) == 10
    assert state["review"] == Review(score=100, findings=[])
    assert not any(flaw.value in state["text"] for flaw in Flaw)


def test_the_report_is_written_whole(ctx, tmp_path):
    state, _ = reviewed(ctx, 90)
    out = tmp_path / "new" / "report.md"

    assert publish_report(state, str(out), ctx) == publish_report(state, str(out), ctx) == str(out)

    assert out.read_text("utf-8").startswith("# Pilot report, week 47\n\n## Summary\n\n")
    assert [file.name for file in out.parent.iterdir()] == ["report.md"]


def test_missing_notes_name_the_input(ctx, tmp_path):
    with pytest.raises(FileNotFoundError, match="Input 'notes'"):
        draft_report("nowhere.md", ctx)
    (tmp_path / "n.md").write_text("no title")
    with pytest.raises(ValueError, match="has no title"):
        draft_report(str(tmp_path / "n.md"), ctx)


@pytest.mark.parametrize(
    ("ticket", "queue"),
    [
        ({"customer": "harbour", "subject": "Urgent", "body": "sensor broken"}, "on-call"),
        ({"customer": "fairwind", "subject": "Urgent", "body": "sensor broken"}, "team-hardware"),
        ({"customer": "nobody", "subject": "Password", "body": "I cannot log in"}, "solved"),
        ({"customer": "harbour", "subject": "", "body": "my invoice"}, "team-billing"),
        ({}, "team-other"),
    ],
)
def test_tickets_find_their_queue(ticket, queue):
    result = agent.builder.compile().invoke(ticket)

    assert result["queue"] == queue
    assert len(result["history"]) == 3


def test_the_wrapped_graph_knows_nothing_of_us():
    """It stands for somebody's existing application."""
    tree = ast.parse(Path(agent.__file__).read_text("utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]

    assert sorted(names) == ["langgraph.graph", "operator", "re", "typing"]


def test_each_node_leaves_one_line_when_asked_to(ctx, tmp_path, monkeypatch):
    """Crash tests count these lines."""
    record(ctx)
    monkeypatch.setenv(EFFECTS_FILE, str(tmp_path / "effects"))
    record(ctx)
    record(Ctx(node="plan", attempt=2))

    assert (tmp_path / "effects").read_text() == "run-1 node 1 key-1\nrun-1 plan 2 key-1\n"
