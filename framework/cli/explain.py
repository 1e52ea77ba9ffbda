"""Why a run stands where it stands, in a paragraph of plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg.rows import DictRow

from framework.cli import render
from framework.cli.progress import error_line, short
from framework.cli.report import brief
from framework.durability.owner import Owner, is_dead
from framework.durability.recovery import Policy, plan
from framework.durability.run import Run, RunStatus
from framework.settings import Settings


@dataclass(frozen=True, slots=True)
class Explanation:
    """The paragraph, and the command that takes the run further, if one does."""

    text: str
    unblock: str | None


def paragraph(
    run: Run, history: Mapping[str, Sequence[DictRow]], *, settings: Settings, program: str, behind: str
) -> Explanation:
    """Explain one run.

    Args:
        run: As the registry has it.
        history: Its attempts, nodes, decisions and questions.
        settings: What recovery obeys.
        program: How the user called us.
        behind: The runs of its thread that it waits for; empty if none.
    """
    standing, unblock = _standing(run, history, settings, program, behind)
    sentences = [
        f"Run {short(run.run_id)} of {run.workflow} {_since(run)}.",
        standing,
        _progress(run, history),
        _decided(history["decisions"]),
        f"To take it further: {unblock}." if unblock else "",
    ]
    return Explanation(" ".join(sentence for sentence in sentences if sentence), unblock)


def _since(run: Run) -> str:
    if run.status is RunStatus.RUNNING:
        gone = run.lease_expired or is_dead(run.owner or "")
        state = "was driven until its process ended" if gone else "is running"
        return f"{state}; it began {render.moment(run.started_at)}"
    at = run.created_at if run.status is RunStatus.PENDING and run.started_at is None else run.ended_at
    return f"is {run.status} since {render.moment(at or run.updated_at)}"


def _standing(
    run: Run, history: Mapping[str, Sequence[DictRow]], settings: Settings, program: str, behind: str
) -> tuple[str, str | None]:
    me = short(run.run_id)
    match run.status:
        case RunStatus.SUCCEEDED:
            return "It came to its end; nothing is left to do.", None
        case RunStatus.CANCELLED:
            return "A person cancelled it; it stays so.", None
        case RunStatus.FAILED:
            return _failed(run, program)
        case RunStatus.QUARANTINED:
            message = (run.error or {}).get("message", "")
            return f"It was set aside until a person has looked: {message}", f"{program} release {me}"
        case RunStatus.WAITING:
            return _waiting(run, history["interrupts"], program)
        case RunStatus.PAUSED:
            return "A person paused it.", f"{program} resume {me}"
        case RunStatus.PENDING if behind:
            return f"It stands in line behind another run of its thread: {behind}.", None
        case _:
            return _interrupted(run, settings, program)


def _failed(run: Run, program: str) -> tuple[str, str | None]:
    error = run.error or {}
    node, number = error.get("node"), error.get("try")
    on_try = f" on try {number}, and no try is left" if number else ""
    what = f"Node {node} failed{on_try}: {error_line(error)}." if node else f"It failed: {error_line(error)}."
    what = what.replace("..", ".")
    if run.passed:
        return f"{what} A newer run of its thread has passed it, so it stays as it is.", None
    return (
        f"{what} Its state is safe; a start takes it up from there, once.",
        f"mend the cause, then {program} (or, with fresh tries, {program} retry {short(run.run_id)})",
    )


def _waiting(run: Run, questions: Sequence[DictRow], program: str) -> tuple[str, str | None]:
    unanswered = [row for row in questions if row["answered_at"] is None]
    if not unanswered:
        return (
            "It stopped before or after a node, as its workflow says.",
            f"{program} resume {short(run.run_id)}",
        )
    asks = "; ".join(f"{row['node'] or 'it'} asks {brief(row['question'], 60)}" for row in unanswered)
    return f"It waits for an answer: {asks}.", f"{program} resume {short(run.run_id)} --data JSON"


def _interrupted(run: Run, settings: Settings, program: str) -> tuple[str, str | None]:
    """Say what the next start would do with it, by asking the very code that decides."""
    resume = settings.durability.resume
    policy = Policy(
        at_start=True,
        auto_resume=resume.auto_resume,
        max_age_hours=resume.max_age_hours,
        max_crashes=resume.max_crashes,
        resume_failed=resume.failed == "at_start",
    )
    decision = plan([run], policy, is_dead=is_dead)[0]
    owner = Owner.parse(run.owner or "")
    reason = decision.reason
    match decision.action:
        case decision.action.RUNNING:
            who = f"process {owner.pid} on {owner.host}" if owner is not None else run.owner
            asked = (
                " Somebody asked to cancel it; it stops at its next step boundary."
                if run.cancel_requested_at
                else ""
            )
            return f"{str(who)[:1].upper()}{str(who)[1:]} drives it right now.{asked}", None
        case decision.action.LEAVE:
            return f"It was interrupted: {reason}.", f"{program} resume {short(run.run_id)}"
        case decision.action.CANCEL:
            return f"The next start cancels it: {reason}.", program
        case _:
            return f"The next start takes it up: {reason}.", program


def _progress(run: Run, history: Mapping[str, Sequence[DictRow]]) -> str:
    if run.started_at is None:
        return "It has not begun."
    attempts = len(history["attempts"])
    crashed = sum(row["outcome"] == "crashed" for row in history["attempts"])
    times = f"{attempts} attempt{'s' if attempts != 1 else ''}"
    return f"So far: {times}" + (f", of which {crashed} crashed." if crashed else ".")


def _decided(decisions: Sequence[DictRow]) -> str:
    if not decisions:
        return ""
    last = decisions[-1]
    owner = Owner.parse(last["made_by"])
    by = owner.short if owner is not None else last["made_by"]
    reason = last["reason"].rstrip(".")
    return f"Last decision: {last['action']}, at {render.moment(last['made_at'])} by {by}: {reason}."
