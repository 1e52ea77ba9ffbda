"""A plan as a Markdown page, and as lines for a terminal."""

from __future__ import annotations

import re
import unicodedata

from workflows.daily_task_planner.models import Plan, PlanItem, RankedTask, Skipped, SlotKind, TaskKind

WIDTH = 100
SPECIAL = re.compile(r"([\\`*_\[\]<>|#])")


def markdown(plan: Plan) -> str:
    """Return the page: the day, what comes later, questions, and what was left out."""
    who = f" for {_safe(plan.owner.name)}" if plan.owner.name else ""
    lines = [f"# {plan.day:%A, %d %B %Y}{who}", "", f"Times are {_safe(plan.timezone)}.", ""]
    lines += [f"> {_safe(note)}" for note in plan.notes] + ([""] if plan.notes else [])
    lines += [f"All day: {_safe(', '.join(plan.all_day))}", ""] if plan.all_day else []
    lines += ["## Today", ""]
    for item in plan.items:
        lines += _item(item)
    lines += [] if plan.items else ["Nothing is planned."]
    if plan.later:
        lines += ["", "## Later", ""]
        for later in plan.later:
            lines += _task(later.ranked, later.why)
    if plan.questions:
        lines += ["", "## Questions waiting for you", ""]
        for ranked in plan.questions:
            lines += _task(ranked, "")
    if plan.skipped:
        lines += ["", "## What was skipped, and why", ""]
        lines += [_skipped(one) for one in plan.skipped]
    return "\n".join(lines) + "\n"


def summary(plan: Plan) -> str:
    """Return the day as plain lines of at most 100 columns, for a terminal."""
    who = f" for {plan.owner.name}" if plan.owner.name else ""
    lines = [f"{plan.day:%A, %d %B %Y}{who} ({plan.timezone})"]
    lines += [f"  ! {note}" for note in plan.notes]
    lines += [f"  all day      {title}" for title in plan.all_day]
    for item in plan.items:
        mark = {SlotKind.TASK: "*", SlotKind.QUESTIONS: "?"}.get(item.kind, " ")
        text = f"{item.title} ({item.detail})" if item.detail else item.title
        lines.append(f"  {item.start:%H:%M}-{item.end:%H:%M} {mark} {text}")
    if plan.later:
        lines.append("Later")
        for later in plan.later:
            due = later.ranked.task.due
            when = f"{due:%a %d %b}" if due else "no date"
            lines.append(f"  {when:<11} * {later.ranked.task.title}")
    if plan.questions:
        lines.append("Questions waiting for you")
        lines += [f"  {_cut(one.task.sender.label, 11):<11} ? {one.task.title}" for one in plan.questions]
    lines.append(
        f"{plan.task_count} tasks, {plan.meeting_count} meetings, {len(plan.skipped)} things skipped"
    )
    return "\n".join(_cut(_printable(line), WIDTH) for line in lines)


def _item(item: PlanItem) -> list[str]:
    when = f"{item.start:%H:%M}\N{EN DASH}{item.end:%H:%M}"
    title = f"**{_safe(item.title)}**" if item.kind is SlotKind.TASK else _safe(item.title)
    if item.kind is SlotKind.MEETING:
        title = f"Meeting: {title}"
    box = "[ ] " if item.kind in (SlotKind.TASK, SlotKind.QUESTIONS) else ""
    detail = f" — {_safe(item.detail)}" if item.detail else ""
    links = "".join(_link(link) for link in item.links)
    lines = [f"- {box}{when} {title}{detail}{links}"]
    return lines + ([f"  <br>Why now: {_safe('; '.join(item.reasons))}"] if item.reasons else [])


def _task(ranked: RankedTask, why: str) -> list[str]:
    task = ranked.task
    due = ""
    if task.due is not None:
        due = f", due {task.due:%a %d %b}" + (f" {task.due:%H:%M}" if task.due_has_time else "")
    place = f", {_safe(task.place)}" if task.place else ""
    links = "".join(_link(link) for link in [task.link, *task.other_links])
    because = f"; {_safe(why)}" if why else ""
    who = "you promised" if task.kind is TaskKind.PROMISE else _safe(task.sender.label)
    return [f"- [ ] **{_safe(task.title)}** — {who}{place}{due}{because}{links}"]


def _skipped(skipped: Skipped) -> str:
    return f"- {_safe(skipped.what)}: {_safe(skipped.why)}{_link(skipped.link)}"


def _link(link: str) -> str:
    if not link:
        return ""
    kind = "mail" if link.startswith("mid:") else "Slack"
    target = re.sub(r"[\s()<>]", "", link)
    return f" [{kind}]({target})"


def _safe(text: str) -> str:
    """Keep words from a stranger's message from becoming markup of the page."""
    return SPECIAL.sub(r"\\\1", _printable(" ".join(text.split())))


def _printable(text: str) -> str:
    # Control characters in a subject could take over a terminal; direction marks could turn a line round.
    return "".join(char for char in text if unicodedata.category(char) not in ("Cc", "Cf", "Cs"))


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
