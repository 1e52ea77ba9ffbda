"""The planner's nodes without a run."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflows.daily_task_planner.calendar import collect_calendar
from workflows.daily_task_planner.extract import extract_tasks
from workflows.daily_task_planner.mail import collect_email
from workflows.daily_task_planner.plan import plan_day
from workflows.daily_task_planner.prioritise import prioritise_tasks
from workflows.daily_task_planner.slack import collect_slack

DAY = "2026-11-20"
ZONE = "Europe/Berlin"
SAMPLE = Path(__file__).parents[3] / "workflows" / "daily_task_planner" / "sample"
IMPORTANT = ["petra.lindqvist@example.com", "sam.porter@harbour.example.org"]


@dataclass
class Ctx:
    """A node's `ctx` without a run."""

    run_id: str = "run-1"
    node: str = "node"
    attempt: int = 1
    idempotency_key: str = "key-1"
    logger: logging.Logger = field(default_factory=lambda: logging.getLogger("test"))
    told: list[str] = field(default_factory=list)

    def progress(self, text: str) -> None:
        self.told.append(text)


def plan_of(
    ctx: Ctx,
    *,
    mail: Any = "sample/inbox.mbox",
    slack: Any = "sample/slack-export",
    user: str = "me",
    model: str = "",
) -> dict[str, Any]:
    """Run the nodes one after the other, as the graph does, and return the state."""
    mails = collect_email(str(mail), DAY, ZONE, ctx)
    chats = collect_slack(str(slack), DAY, ZONE, ctx, workspace="https://example.slack.com")
    state = {
        "messages": mails["messages"] + chats["messages"],
        "skipped": mails["skipped"] + chats["skipped"],
        **collect_calendar("sample/calendar.ics", DAY, ZONE, ctx),
    }
    found = extract_tasks(state, user, ZONE, ctx, model)
    state = {**state, **found, "skipped": state["skipped"] + found["skipped"]}
    state |= prioritise_tasks(state, DAY, ZONE, ctx, IMPORTANT)
    return state | plan_day(state, DAY, ZONE, ctx)
