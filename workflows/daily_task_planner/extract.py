"""The node `extract`: messages → tasks, with where each was said."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mocks.effects import Context, record
from workflows.daily_task_planner.chat import ask_model
from workflows.daily_task_planner.identity import find_owner, is_owner
from workflows.daily_task_planner.models import Message, Skipped, Task
from workflows.daily_task_planner.rules import People, tasks_of
from workflows.daily_task_planner.settle import settle
from workflows.daily_task_planner.window import zone


def extract_tasks(
    state: Mapping[str, Any], user: str, timezone: str, ctx: Context, model: str = ""
) -> dict[str, Any]:
    """Find what the messages ask of the user.

    Without a model, by rules: the same messages always give the same tasks.
    With one, each message that a person wrote is read by that chat model.

    Args:
        state: `messages` are read.
        user: Whose tasks; `me` is the owner of the mailbox.
        timezone: In which "tomorrow noon" is meant.
        ctx: Of this node.
        model: `provider:name` for LangChain's `init_chat_model`; empty for the rules.
    """
    by_id = {message.id: message for message in state.get("messages") or []}
    messages: Sequence[Message] = sorted(by_id.values(), key=lambda message: (message.sent_at, message.id))
    owner = find_owner(user, messages)
    people = People.around(owner, messages, zone(timezone))
    skipped: list[Skipped] = []
    found: list[Task] = []
    wanted: list[Message] = []
    for message in messages:
        if message.automatic:
            what = f"{message.subject or 'Mail'} ({message.sender.label})"
            skipped.append(Skipped(what=what, why=message.automatic, link=message.link))
            continue
        if message.note:
            what = f"{message.subject or 'Mail'} ({message.sender.label})"
            skipped.append(
                Skipped(what=what, why=f"read as well as possible: {message.note}", link=message.link)
            )
        wanted.append(message)
    if model:
        theirs = [message for message in wanted if not is_owner(message.sender, owner)]
        for number, message in enumerate(theirs, start=1):
            found.extend(ask_model(model, message, people))
            ctx.progress(f"{number}/{len(theirs)} messages read by {model}")
    else:
        for message in wanted:
            found.extend(tasks_of(message, people))
    tasks, settled = settle(found, wanted, owner)
    ctx.progress(f"{len(tasks)} tasks in {len(wanted)} messages")
    record(ctx)
    return {"tasks": tasks, "skipped": skipped + settled, "owner": owner}
