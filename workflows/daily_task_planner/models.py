"""What the planner's nodes hand to each other.

Every field is a plain type, because these objects are stored in checkpoints:
what is read back after a crash equals what was saved.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict


def _fixed_offset(moment: datetime) -> datetime:
    # A checkpoint keeps a moment as ISO text, which has an offset but no zone's name.
    return datetime.fromisoformat(moment.isoformat())


Moment = Annotated[datetime, AfterValidator(_fixed_offset)]
"""A point in time with its offset from UTC."""


class Model(BaseModel):
    """Frozen, and refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(StrEnum):
    """Where a message comes from."""

    EMAIL = "email"
    SLACK = "slack"


class Person(Model):
    """Someone who writes or is written to; what is unknown is empty."""

    name: str = ""
    address: str = ""
    handle: str = ""

    @property
    def label(self) -> str:
        """How a page names this person."""
        return self.name or self.address or self.handle or "unknown"


class Message(Model):
    """A mail or a Slack message, reduced to what planning needs.

    `text` is what this person wrote: quoted replies and signatures are gone.
    `recipients` are those a mail is addressed to (not its copies) or whom a
    Slack message mentions. `automatic` marks newsletters and auto-replies.
    """

    id: str
    source: Source
    sender: Person
    sent_at: Moment
    text: str
    subject: str = ""
    recipients: list[Person] = []
    copies: list[Person] = []
    channel: str = ""
    is_direct: bool = False
    to_everyone: bool = False
    thread: str = ""
    link: str = ""
    attachments: list[str] = []
    automatic: str = ""
    edited: bool = False
    note: str = ""


class Meeting(Model):
    """One occurrence of a calendar event that touches the day."""

    uid: str
    title: str
    start: Moment
    end: Moment
    all_day: bool = False
    busy: bool = True
    location: str = ""
    organizer: str = ""
    declined_by: list[str] = []


class TaskKind(StrEnum):
    """How a task came to be."""

    REQUEST = "request"
    TODO = "todo"
    QUESTION = "question"
    PROMISE = "promise"


class Task(Model):
    """Something the user is expected to do, with where it was said.

    `id` is made of the source and the words, so finding it twice gives one task.
    """

    id: str
    title: str
    kind: TaskKind
    sender: Person
    source: Source
    source_id: str
    sent_at: Moment
    thread: str = ""
    link: str = ""
    place: str = ""
    due: Moment | None = None
    due_has_time: bool = False
    due_words: str = ""
    directly_asked: bool = False
    reminders: int = 0
    other_links: list[str] = []
    minutes: int = 30


class RankedTask(Model):
    """A task with its place in the order, and why it has it."""

    task: Task
    score: int
    reasons: list[str]


class Owner(Model):
    """The person the plan is for, under every name that was found."""

    name: str = ""
    addresses: list[str] = []
    handles: list[str] = []


class Skipped(Model):
    """Something that was seen and left out."""

    what: str
    why: str
    link: str = ""


class SlotKind(StrEnum):
    """What a stretch of the day is for."""

    TASK = "task"
    MEETING = "meeting"
    QUESTIONS = "questions"
    LUNCH = "lunch"


class PlanItem(Model):
    """One stretch of the day."""

    start: Moment
    end: Moment
    kind: SlotKind
    title: str
    detail: str = ""
    links: list[str] = []
    reasons: list[str] = []


class LaterItem(Model):
    """A task that found no room today."""

    ranked: RankedTask
    why: str


class Plan(Model):
    """The day, in order."""

    day: date
    timezone: str
    owner: Owner
    items: list[PlanItem]
    all_day: list[str] = []
    later: list[LaterItem] = []
    questions: list[RankedTask] = []
    skipped: list[Skipped] = []
    notes: list[str] = []
    task_count: int = 0
    meeting_count: int = 0
