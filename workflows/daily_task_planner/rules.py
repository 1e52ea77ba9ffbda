"""One message → its tasks, by rules."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from zoneinfo import ZoneInfo

from workflows.daily_task_planner.asks import Ask, find_ask, find_promise
from workflows.daily_task_planner.deadlines import Deadline, find_deadline
from workflows.daily_task_planner.identity import first_name, is_owner, other_names
from workflows.daily_task_planner.models import Message, Owner, Source, Task, TaskKind
from workflows.daily_task_planner.sentences import sentences
from workflows.daily_task_planner.titles import estimate_minutes, make_question, make_title


@dataclass(frozen=True, slots=True)
class People:
    """The user, everyone else, and the zone in which they speak of time."""

    owner: Owner
    names: frozenset[str]
    others: frozenset[str]
    zone: ZoneInfo

    @classmethod
    def around(cls, owner: Owner, messages: Sequence[Message], zone: ZoneInfo) -> People:
        """Collect what the people of these messages are called."""
        called = {first_name(owner).casefold(), *(handle.casefold() for handle in owner.handles)} - {""}
        return cls(owner, frozenset(called), frozenset(other_names(messages, owner)), zone)


def tasks_of(message: Message, people: People) -> list[Task]:
    """Return the tasks that this message gives the user, in the order of its sentences."""
    if is_owner(message.sender, people.owner):
        return _promises(message, people)
    reach = _reach(message, people.owner)
    if reach is None:
        return []
    # A subject such as "Please approve: travel request" is often all there is.
    lines = sentences(message.text) or [message.subject]
    tasks: dict[str, Task] = {}
    for index, sentence in enumerate(lines):
        ask = find_ask(
            sentence,
            names=set(people.names),
            others=set(people.others),
            questions_count=reach.questions_count,
        )
        if ask is None or (reach.only_if_named and not ask.names_user):
            continue
        deadline = find_deadline(sentence, message.sent_at, people.zone)
        if deadline is None and index + 1 < len(lines) and _is_short(lines[index + 1]):
            # "Could you check the numbers? By Friday if possible."
            deadline = find_deadline(lines[index + 1], message.sent_at, people.zone)
        following = lines[index + 1] if index + 1 < len(lines) else ""
        is_direct = reach.is_direct or ask.names_user
        task = make_task(message, ask, deadline, is_direct=is_direct, following=following)
        tasks.setdefault(task.id, task)
    return list(tasks.values())


@dataclass(frozen=True, slots=True)
class _Reach:
    """How far a message is meant for the user."""

    is_direct: bool
    questions_count: bool
    only_if_named: bool


def _reach(message: Message, owner: Owner) -> _Reach | None:
    addressed = any(is_owner(person, owner) for person in message.recipients)
    if message.source is Source.SLACK:
        if addressed:
            return _Reach(is_direct=True, questions_count=True, only_if_named=False)
        return (
            _Reach(is_direct=False, questions_count=False, only_if_named=False)
            if message.to_everyone
            else None
        )
    if addressed:
        alone = len(message.recipients) == 1
        return _Reach(is_direct=alone, questions_count=alone, only_if_named=False)
    # In copy: only what calls the user by name. In neither: it came by a group address, so to everyone.
    in_copy = any(is_owner(person, owner) for person in message.copies)
    return _Reach(is_direct=False, questions_count=False, only_if_named=in_copy)


def _promises(message: Message, people: People) -> list[Task]:
    tasks: list[Task] = []
    for sentence in sentences(message.text):
        words = find_promise(sentence)
        if words:
            deadline = find_deadline(sentence, message.sent_at, people.zone)
            ask = Ask(TaskKind.PROMISE, _from_my_side(words, message), names_user=False)
            tasks.append(make_task(message, ask, deadline, is_direct=False))
    return tasks


def _from_my_side(words: str, message: Message) -> str:
    """Turn "send you the drawing" into "send Renée the drawing": a page is read without its mail."""
    name = first_name(message.recipients[0]) if message.recipients else ""
    if not name:
        return words
    return re.sub(r"\byou\b", name, re.sub(r"\byour\b", f"{name}'s", words))


def make_task(
    message: Message, ask: Ask, deadline: Deadline | None, *, is_direct: bool, following: str = ""
) -> Task:
    """Make the task of one ask; its id depends on the source and the words alone.

    `following` is the next sentence, which often says how long it takes.
    """
    if ask.kind is TaskKind.QUESTION:
        title = make_question(ask.words)
    else:
        title = make_title(ask.words, deadline.words if deadline else "")
    normal = " ".join(ask.words.casefold().split())
    digest = hashlib.sha256(f"{message.id}\n{normal}".encode()).hexdigest()
    place = message.channel if message.source is Source.SLACK else message.subject
    return Task(
        id=digest[:16],
        title=title,
        kind=ask.kind,
        sender=message.sender,
        source=message.source,
        source_id=message.id,
        sent_at=message.sent_at,
        thread=message.thread,
        link=message.link,
        place=place,
        due=deadline.due if deadline else None,
        due_has_time=bool(deadline and deadline.has_time),
        due_words=deadline.words if deadline else "",
        directly_asked=is_direct,
        minutes=5 if ask.kind is TaskKind.QUESTION else estimate_minutes(ask.words, following),
    )


def _is_short(sentence: str) -> bool:
    return len(sentence.split()) <= 8 and not sentence.endswith("?")
