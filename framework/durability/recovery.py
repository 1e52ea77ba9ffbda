"""What was interrupted, what to do with it, and why. Pure: it reads rows and decides.

The decision is taken anew at each sweep from what the database says then, so a
sweep that dies half-way, or runs twice, does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum

from framework.durability.run import Run, RunStatus

SUSPECT_CRASHES = 2
"""Crashes in a row without progress after which a run is driven in a process of its own."""


class Action(StrEnum):
    """What recovery does with a run."""

    RESUME = "resume"
    ISOLATE = "isolate"
    LEAVE = "leave"
    CANCEL = "cancel"
    RUNNING = "running"


@dataclass(frozen=True, slots=True)
class Decision:
    """What to do with one run, and the sentence that says why.

    `unblock` is what would take it further, for a run that is left alone.
    """

    run: Run
    action: Action
    reason: str
    unblock: str | None = None


@dataclass(frozen=True, slots=True)
class Policy:
    """The settings that recovery obeys, and whether a person has just started us."""

    at_start: bool
    auto_resume: bool
    max_age_hours: float
    max_crashes: int
    resume_failed: bool


def plan(
    runs: Iterable[Run], policy: Policy, *, is_dead: Callable[[str], bool], asked: bool = False
) -> list[Decision]:
    """Decide about each run.

    Args:
        runs: Unfinished runs, and at a start the failed ones.
        policy: From the settings.
        is_dead: Whether an owner is known to be gone, without waiting for its lease.
        asked: A person named these runs, so age and `auto_resume` do not count.

    Returns:
        One decision per run, in the same order.
    """
    return [_decide(run, policy, is_dead=is_dead, asked=asked) for run in runs]


def _decide(run: Run, policy: Policy, *, is_dead: Callable[[str], bool], asked: bool) -> Decision:
    match run.status:
        case RunStatus.RUNNING:
            return _running(run, policy, is_dead=is_dead, asked=asked)
        case RunStatus.PENDING:
            return _interrupted(run, policy, "accepted, and no process has it", asked=asked)
        case RunStatus.FAILED:
            return _failed(run, policy, asked=asked)
        case RunStatus.WAITING | RunStatus.PAUSED if asked:
            return Decision(run, Action.RESUME, "a person asked for it")
        case RunStatus.WAITING if run.answered:
            return _interrupted(run, policy, "it was answered", asked=asked, ages=False)
        case RunStatus.WAITING:
            return Decision(
                run, Action.LEAVE, "it waits for an answer", f"main.py resume {run.run_id} --data JSON"
            )
        case RunStatus.QUARANTINED:
            why = str((run.error or {}).get("message", "a person must look")).rstrip(".")
            return Decision(run, Action.LEAVE, f"it is quarantined: {why}", f"main.py release {run.run_id}")
        case RunStatus.PAUSED:
            return Decision(run, Action.LEAVE, "a person paused it", f"main.py resume {run.run_id}")
        case _:
            return Decision(run, Action.LEAVE, f"it is {run.status}")


def _running(run: Run, policy: Policy, *, is_dead: Callable[[str], bool], asked: bool) -> Decision:
    dead = run.owner is not None and is_dead(run.owner)
    if not dead and not run.lease_expired:
        return Decision(run, Action.RUNNING, f"{run.owner} drives it and its lease has not ended")
    if run.cancel_requested_at is not None:
        return Decision(run, Action.CANCEL, "its process is gone, and somebody had asked to cancel it")
    why = "its process died" if dead else "its lease ended without a word from its process"
    return _interrupted(run, policy, why, asked=asked)


def _interrupted(run: Run, policy: Policy, why: str, *, asked: bool, ages: bool = True) -> Decision:
    aged = _aged(run, policy) if ages else None
    if not asked and not policy.auto_resume:
        return Decision(
            run, Action.LEAVE, f"{why}; `resume.auto_resume` is off", f"main.py resume {run.run_id}"
        )
    if not asked and aged:
        return Decision(run, Action.LEAVE, f"{why}; {aged}", f"main.py resume {run.run_id}")
    if run.status is RunStatus.RUNNING and run.stuck and run.crashes + 1 >= SUSPECT_CRASHES:
        return Decision(run, Action.ISOLATE, f"{why}, as it did before without saving anything in between")
    return Decision(run, Action.RESUME, why)


def _failed(run: Run, policy: Policy, *, asked: bool) -> Decision:
    node = (run.error or {}).get("node")
    why = f"node {node} had failed" if node else "it had failed"
    if run.passed:
        return Decision(run, Action.LEAVE, f"{why}, and a newer run of its thread has passed it")
    if asked:
        return Decision(run, Action.RESUME, why)
    if not policy.at_start or not policy.resume_failed or not policy.auto_resume:
        return Decision(run, Action.LEAVE, why, f"main.py resume {run.run_id}")
    aged = _aged(run, policy)
    if aged:
        return Decision(run, Action.LEAVE, f"{why}; {aged}", f"main.py resume {run.run_id}")
    return Decision(run, Action.RESUME, f"{why}; a new start takes it up from there")


def _aged(run: Run, policy: Policy) -> str | None:
    hours = run.age_seconds / 3600
    if hours <= policy.max_age_hours:
        return None
    bound = f"`resume.max_age_hours` ({policy.max_age_hours:g})"
    return f"its last progress was {hours:.0f} h ago, more than {bound}"
