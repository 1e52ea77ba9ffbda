"""The node `prioritise`: tasks → tasks in order, each with its reasons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

from mocks.effects import Context, record
from workflows.daily_task_planner.models import RankedTask, Task, TaskKind
from workflows.daily_task_planner.window import as_day, zone

OVERDUE, DUE_TODAY, DUE_NEXT, DUE_SOON, DUE_LATER = 60, 50, 30, 15, 5
IMPORTANT, DIRECT, PROMISED, PER_REMINDER, PER_DAY = 20, 10, 10, 8, 1
MAX_AGE_POINTS, MAX_REMINDER_POINTS = 10, 16
SOON_DAYS = 4


def prioritise_tasks(
    state: Mapping[str, Any],
    day: date | str,
    timezone: str,
    ctx: Context,
    important_senders: Sequence[str] = (),
) -> dict[str, Any]:
    """Order the tasks by a score whose every part is named.

    Args:
        state: `tasks` are read.
        day: The day to plan.
        timezone: Says where the day begins.
        ctx: Of this node.
        important_senders: Addresses, or names, whose wishes weigh more.
    """
    today, here = as_day(day), zone(timezone)
    weighty = frozenset(name.strip().casefold() for name in important_senders)
    ranked = [rank(task, today, here, weighty) for task in state.get("tasks") or []]
    ranked.sort(key=order)
    ctx.progress(f"{len(ranked)} tasks in order")
    record(ctx)
    return {"ranked": ranked}


def order(ranked: RankedTask) -> tuple[int, str, str, str]:
    """Sort key: the score, then what is due first, then who has waited longest; never chance."""
    due = ranked.task.due.isoformat() if ranked.task.due else "9999"
    return (-ranked.score, due, ranked.task.sent_at.isoformat(), ranked.task.id)


def rank(task: Task, today: date, here: Any, weighty: frozenset[str]) -> RankedTask:
    """Score one task."""
    points: list[tuple[int, str]] = []
    if task.due is not None:
        points.append(_due(task.due.astimezone(here), today, has_time=task.due_has_time))
    if weighty & {task.sender.address, task.sender.name.casefold(), task.sender.handle.casefold()}:
        points.append((IMPORTANT, f"{task.sender.label} is important"))
    if task.directly_asked:
        points.append((DIRECT, "asked of you directly"))
    if task.kind is TaskKind.PROMISE:
        points.append((PROMISED, "you promised it"))
    if task.reminders:
        times = "once" if task.reminders == 1 else f"{task.reminders} times"
        points.append((min(task.reminders * PER_REMINDER, MAX_REMINDER_POINTS), f"reminded {times}"))
    age = (today - task.sent_at.astimezone(here).date()).days
    if age > 0:
        days = "1 day" if age == 1 else f"{age} days"
        points.append((min(age * PER_DAY, MAX_AGE_POINTS), f"waiting for {days}"))
    score = sum(value for value, _ in points)
    return RankedTask(task=task, score=score, reasons=[f"{reason} (+{value})" for value, reason in points])


def _due(due: datetime, today: date, *, has_time: bool) -> tuple[int, str]:
    day = due.date()
    at = f" {due:%H:%M}" if has_time else ""
    if day < today:
        return OVERDUE, f"was due on {day:%a %d %b}"
    if day == today:
        return DUE_TODAY, f"due today{at}"
    working_days = sum(
        1 for n in range(1, (day - today).days + 1) if (today + timedelta(days=n)).weekday() < 5
    )
    if working_days <= 1:
        return DUE_NEXT, f"due {day:%a}{at}"
    if working_days <= SOON_DAYS:
        return DUE_SOON, f"due {day:%a %d %b}{at}"
    return DUE_LATER, f"due {day:%a %d %b}"
