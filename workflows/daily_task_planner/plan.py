"""The node `plan`: tasks in order and the day's meetings → the day."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from mocks.effects import Context, record
from workflows.daily_task_planner.models import (
    LaterItem,
    Meeting,
    Owner,
    Plan,
    PlanItem,
    RankedTask,
    Skipped,
    SlotKind,
    TaskKind,
)
from workflows.daily_task_planner.slots import Slot, free_time, span_of, take, take_pieces
from workflows.daily_task_planner.window import as_day, zone

QUESTION_MINUTES = 5
MAX_QUESTION_BLOCK = 30
# What must be done at some hour of today, what else is due, and the rest.
AT_AN_HOUR, DUE, NOT_YET_DUE = 0, 1, 2


def plan_day(
    state: Mapping[str, Any],
    day: date | str,
    timezone: str,
    ctx: Context,
    working_hours: str = "09:00-17:30",
    lunch: str = "12:30-13:15",
) -> dict[str, Any]:
    """Put the tasks into the free time around the meetings.

    Nothing here asks what time it is: the same state gives the same plan.

    Args:
        state: `ranked`, `meetings`, `skipped`, `owner` and `calendar_note` are read.
        day: The day to plan.
        timezone: Of the page's times.
        ctx: Of this node.
        working_hours: Nothing is planned outside of them.
        lunch: Kept free unless a meeting is there; may be empty.
    """
    today, here = as_day(day), zone(timezone)
    work = span_of(today, working_hours, here, "working_hours")
    if work is None:
        raise ValueError("working_hours is empty; write it like 09:00-17:30")
    owner: Owner = state.get("owner") or Owner()
    meetings, declined = _wanted(state.get("meetings") or [], owner)
    timed = [meeting for meeting in meetings if not meeting.all_day]
    items = [_meeting_item(meeting, here) for meeting in timed]
    taken = [Slot(meeting.start, meeting.end) for meeting in meetings if meeting.busy]
    rest = span_of(today, lunch, here, "lunch")
    if rest is not None and not any(slot.start < rest.end and slot.end > rest.start for slot in taken):
        items.append(PlanItem(start=rest.start, end=rest.end, kind=SlotKind.LUNCH, title="Lunch"))
        taken.append(rest)

    ranked: Sequence[RankedTask] = state.get("ranked") or []
    questions = [one for one in ranked if one.task.kind is TaskKind.QUESTION]
    free = free_time(work, taken)
    requests = [one for one in ranked if one not in questions]
    urgency = {one.task.id: _urgency(one, today, here) for one in requests}
    requests.sort(key=lambda one: urgency[one.task.id])
    due = [one for one in requests if urgency[one.task.id][0] < NOT_YET_DUE]
    # Somebody waits for each answer, so they come before what has time.
    placed, later = _place(due, urgency, free, here)
    items += _question_block(len(questions), free)
    more, not_now = _place(requests[len(due) :], urgency, free, here)
    items += placed + more
    later += not_now
    items.sort(key=lambda item: (item.start, item.end, item.kind, item.title))
    plan = Plan(
        day=today,
        timezone=timezone,
        owner=owner,
        items=items,
        all_day=[meeting.title for meeting in meetings if meeting.all_day],
        later=later,
        questions=questions,
        skipped=[*(state.get("skipped") or []), *declined],
        notes=_notes(state, timed, here),
        task_count=len(ranked),
        meeting_count=len(timed),
    )
    ctx.progress(f"{plan.task_count - len(later) - len(questions)} tasks today, {len(later)} later")
    record(ctx)
    return {"plan": plan}


def _wanted(meetings: Sequence[Meeting], owner: Owner) -> tuple[list[Meeting], list[Skipped]]:
    declined = [one for one in meetings if set(one.declined_by) & set(owner.addresses)]
    skipped = [Skipped(what=f"Meeting: {one.title}", why="you declined it") for one in declined]
    return [one for one in meetings if one not in declined], skipped


def _meeting_item(meeting: Meeting, here: ZoneInfo) -> PlanItem:
    parts = [meeting.location, "" if meeting.busy else "shown as free"]
    return PlanItem(
        start=meeting.start.astimezone(here),
        end=meeting.end.astimezone(here),
        kind=SlotKind.MEETING,
        title=meeting.title,
        detail=", ".join(part for part in parts if part),
    )


def _place(
    ranked: Sequence[RankedTask], urgency: Mapping[str, tuple[int, float]], free: list[Slot], here: ZoneInfo
) -> tuple[list[PlanItem], list[LaterItem]]:
    """Place tasks one after the other; return them, and those that found no room."""
    placed: list[PlanItem] = []
    later: list[LaterItem] = []
    for one in ranked:
        group, before = urgency[one.task.id]
        slots = take(free, one.task.minutes, before if group == AT_AN_HOUR else None)
        note = ""
        if not slots and group < NOT_YET_DUE:
            # Due today, so two short stretches are better than tomorrow.
            slots = take_pieces(free, one.task.minutes, before if group == AT_AN_HOUR else None)
        if not slots and group == AT_AN_HOUR:
            slots = take(free, one.task.minutes) or take_pieces(free, one.task.minutes)
            note = f"too late for {_clock(one, here)}: tell {one.task.sender.label}"
        if not slots:
            why = f"no {one.task.minutes} free minutes left today"
            why += f", though it is due: tell {one.task.sender.label}" if group < NOT_YET_DUE else ""
            later.append(LaterItem(ranked=one, why=why))
        placed += [
            _task_item(one, slot, _noted(note, part, len(slots))) for part, slot in enumerate(slots, 1)
        ]
    return placed, later


def _urgency(ranked: RankedTask, today: date, here: ZoneInfo) -> tuple[int, float]:
    """Return a sort key that keeps the rank where it is equal."""
    due = ranked.task.due
    if due is None or due.astimezone(here).date() > today:
        return NOT_YET_DUE, 0.0
    at_an_hour = ranked.task.due_has_time and due.astimezone(here).date() == today
    return (AT_AN_HOUR, due.timestamp()) if at_an_hour else (DUE, 0.0)


def _clock(ranked: RankedTask, here: ZoneInfo) -> str:
    return f"{ranked.task.due.astimezone(here):%H:%M}" if ranked.task.due else ""


def _noted(note: str, part: int, parts: int) -> str:
    return "; ".join(text for text in (note, f"part {part} of {parts}" if parts > 1 else "") if text)


def _task_item(ranked: RankedTask, slot: Slot, note: str) -> PlanItem:
    task = ranked.task
    where = f"{task.sender.label}, {task.place}" if task.place else task.sender.label
    if task.kind is TaskKind.PROMISE:
        where = f"you promised, {task.place}" if task.place else "you promised"
    return PlanItem(
        start=slot.start,
        end=slot.end,
        kind=SlotKind.TASK,
        title=task.title,
        detail=f"{where}; {note}" if note else where,
        links=[link for link in (task.link, *task.other_links) if link],
        reasons=ranked.reasons,
    )


def _question_block(count: int, free: list[Slot]) -> list[PlanItem]:
    """Find time to answer them in one go; shorter is better than not at all."""
    wanted = min(count * QUESTION_MINUTES, MAX_QUESTION_BLOCK)
    for minutes in range(wanted, 0, -QUESTION_MINUTES):
        for slot in take(free, minutes):
            title = f"Answer {count} questions" if count > 1 else "Answer a question"
            return [PlanItem(start=slot.start, end=slot.end, kind=SlotKind.QUESTIONS, title=title)]
    return []


def _notes(state: Mapping[str, Any], timed: Sequence[Meeting], here: ZoneInfo) -> list[str]:
    notes = [state["calendar_note"]] if state.get("calendar_note") else []
    busy = sorted((one for one in timed if one.busy), key=lambda one: (one.start, one.uid))
    for index, one in enumerate(busy):
        for other in busy[index + 1 :]:
            if other.start < one.end and other.end > one.start:
                at = other.start.astimezone(here)
                notes.append(f"“{one.title}” and “{other.title}” overlap at {at:%H:%M}.")
    return notes
