"""What recovery decides, for each thing it can find."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from framework.durability.recovery import Action, Policy, plan
from framework.durability.run import Run, RunStatus

NOW = datetime(2026, 11, 21, tzinfo=UTC)
POLICY = Policy(at_start=True, auto_resume=True, max_age_hours=24, max_crashes=5, resume_failed=True)
BASE = Run(
    run_id="r", thread_id="t", workflow="w", definition="d", status=RunStatus.RUNNING, input={}, admission={},
    fence=1, crashes=0, progress=3, crash_progress=None, run_key=None, tags=(), priority=0, owner="somebody",
    output=None,
    error=None, created_at=NOW, updated_at=NOW, started_at=NOW, progressed_at=NOW, ended_at=None,
    cancel_requested_at=None, tries_renewed_at=None, lease_expired=False,
)  # fmt: skip


def decide(*, dead: bool = False, policy: Policy = POLICY, asked: bool = False, **changes):
    (decision,) = plan([replace(BASE, **changes)], policy, is_dead=lambda _: dead, asked=asked)
    return decision


CASES = [
    ("a live owner keeps its run", {}, Action.RUNNING),
    ("a dead owner's run is taken up before its lease ends", {"dead": True}, Action.RESUME),
    ("an ended lease is taken up, whoever the owner was", {"lease_expired": True}, Action.RESUME),
    ("accepted and never started", {"status": RunStatus.PENDING, "owner": None}, Action.RESUME),
    ("failed, at a start", {"status": RunStatus.FAILED}, Action.RESUME),
    ("failed and passed by a newer run", {"status": RunStatus.FAILED, "passed": True}, Action.LEAVE),
    ("waiting for a person", {"status": RunStatus.WAITING}, Action.LEAVE),
    ("quarantined", {"status": RunStatus.QUARANTINED, "error": {"message": "m"}}, Action.LEAVE),
    ("too old", {"dead": True, "age_seconds": 25 * 3600}, Action.LEAVE),
    (
        "too old, but asked for by name",
        {"dead": True, "age_seconds": 25 * 3600, "asked": True},
        Action.RESUME,
    ),
    (
        "waiting never ages into something else",
        {"status": RunStatus.WAITING, "age_seconds": 9e9},
        Action.LEAVE,
    ),
    (
        "somebody wanted it cancelled before its process died",
        {"dead": True, "cancel_requested_at": NOW},
        Action.CANCEL,
    ),
    ("a first crash is no suspicion", {"dead": True, "crashes": 0, "crash_progress": None}, Action.RESUME),
    (
        "a second crash without progress is one",
        {"dead": True, "crashes": 1, "crash_progress": 3},
        Action.ISOLATE,
    ),
    ("a second crash with progress is not", {"dead": True, "crashes": 1, "crash_progress": 2}, Action.RESUME),
]


@pytest.mark.parametrize(("changes", "action"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_each_case_has_its_decision_and_a_reason(changes, action) -> None:
    decision = decide(**changes)
    assert decision.action is action
    assert decision.reason


def test_the_background_sweep_leaves_failed_runs_alone() -> None:
    """Only a person who starts us again has mended something."""
    assert decide(status=RunStatus.FAILED, policy=replace(POLICY, at_start=False)).action is Action.LEAVE
    assert decide(status=RunStatus.FAILED, policy=replace(POLICY, resume_failed=False)).action is Action.LEAVE


def test_with_auto_resume_off_everything_is_left_with_the_command_to_type() -> None:
    """The list says how to take each up."""
    decision = decide(dead=True, policy=replace(POLICY, auto_resume=False))
    assert decision.action is Action.LEAVE
    assert decision.unblock == "main.py resume r"


def test_one_decision_for_each_run_in_the_same_order() -> None:
    runs = [replace(BASE, run_id=str(n)) for n in range(5)]
    assert [d.run.run_id for d in plan(runs, POLICY, is_dead=lambda _: True)] == list("01234")


def test_a_run_that_was_answered_goes_on_at_the_next_start() -> None:
    """Nobody has to name it; one that waits without an answer stays, and one that is named goes."""
    waiting = {"status": RunStatus.WAITING, "owner": None, "age_seconds": 9e9}
    assert decide(**waiting).action is Action.LEAVE
    assert decide(**waiting, answered=True).action is Action.RESUME
    assert decide(**waiting, asked=True).action is Action.RESUME
