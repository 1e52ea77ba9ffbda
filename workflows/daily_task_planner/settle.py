"""What became of the tasks that were found: answered, withdrawn, asked again, or said twice."""

from __future__ import annotations

from collections.abc import Sequence

from workflows.daily_task_planner.asks import REMINDER, WITHDRAWN, is_done
from workflows.daily_task_planner.identity import is_owner
from workflows.daily_task_planner.models import Message, Owner, Person, Skipped, Source, Task, TaskKind
from workflows.daily_task_planner.titles import normal_words

ALIKE = 0.5


def settle(
    tasks: Sequence[Task], messages: Sequence[Message], owner: Owner
) -> tuple[list[Task], list[Skipped]]:
    """Return what is still open, oldest first, and what is not, with the reason."""
    by_id = {message.id: message for message in messages}
    ordered = sorted(tasks, key=lambda task: (task.sent_at, task.id))
    open_tasks: list[Task] = []
    skipped: list[Skipped] = []
    for task in ordered:
        why = _why_closed(task, by_id[task.source_id], messages, owner)
        if why:
            skipped.append(Skipped(what=task.title, why=why, link=task.link))
            continue
        earlier = next((one for one in open_tasks if _is_same(one, task, by_id)), None)
        if earlier is None:
            open_tasks.append(task)
        else:
            open_tasks[open_tasks.index(earlier)] = _merged(earlier, task)
    return [_with_reminders(task, messages, by_id) for task in open_tasks], skipped


def conversation(message: Message) -> str:
    """Return what an answer shares with its question: the thread, or the whole direct chat."""
    if message.source is Source.SLACK and message.is_direct and message.thread == message.id:
        return message.id.rpartition(":")[0]
    return message.thread


def _why_closed(task: Task, asked: Message, messages: Sequence[Message], owner: Owner) -> str:
    for message in messages:
        if message.sent_at <= asked.sent_at or not _same_conversation(message, asked):
            continue
        when = f"{message.sent_at:%d %b}"
        if is_owner(message.sender, owner):
            if task.kind is TaskKind.QUESTION:
                return f"you answered on {when}"
            if is_done(message.text):
                return f"you said on {when} that it is done"
        elif _same_person(message.sender, task.sender) and WITHDRAWN.search(message.text):
            return f"{task.sender.label} took it back on {when}"
    return ""


def _same_conversation(one: Message, other: Message) -> bool:
    if one.thread == other.thread:
        return True
    direct = one.is_direct and other.is_direct and one.source is Source.SLACK
    return direct and conversation(one) == conversation(other)


def _same_person(one: Person, other: Person) -> bool:
    return bool(
        (one.address and one.address == other.address)
        or (one.name and one.name.casefold() == other.name.casefold())
        or (one.handle and one.handle == other.handle)
    )


def _is_same(earlier: Task, later: Task, by_id: dict[str, Message]) -> bool:
    """Whether the same person asks for the same thing again, in this place or in another."""
    if not _same_person(earlier.sender, later.sender) or earlier.source_id == later.source_id:
        return False
    same_thread = _same_conversation(by_id[earlier.source_id], by_id[later.source_id])
    if same_thread and REMINDER.search(by_id[later.source_id].text):
        return True
    one, other = normal_words(earlier.title), normal_words(later.title)
    shared = len(one & other)
    # Two words in common are chance; three of a handful are the same wish.
    return shared >= 2 and shared / max(1, min(len(one), len(other))) >= (
        ALIKE if same_thread else ALIKE + 0.1
    )


def _merged(earlier: Task, later: Task) -> Task:
    """Keep the first wording; the last deadline that was named counts."""
    due = later if later.due else earlier
    links = [
        link for link in dict.fromkeys([*earlier.other_links, later.link]) if link and link != earlier.link
    ]
    return earlier.model_copy(
        update={
            "due": due.due,
            "due_has_time": due.due_has_time,
            "due_words": due.due_words,
            "directly_asked": earlier.directly_asked or later.directly_asked,
            "other_links": links,
            "minutes": max(earlier.minutes, later.minutes),
        }
    )


def _with_reminders(task: Task, messages: Sequence[Message], by_id: dict[str, Message]) -> Task:
    asked = by_id[task.source_id]
    count = sum(
        1
        for message in messages
        if message.sent_at > task.sent_at
        and _same_conversation(message, asked)
        and _same_person(message.sender, task.sender)
        and REMINDER.search(message.text)
    )
    return task.model_copy(update={"reminders": count}) if count else task
