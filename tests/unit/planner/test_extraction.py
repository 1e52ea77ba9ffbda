"""What a sentence asks, until when, and what became of it."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

import pytest

from tests.unit.planner.support import DAY, ZONE
from workflows.daily_task_planner.asks import find_ask, find_promise, is_done
from workflows.daily_task_planner.deadlines import find_deadline
from workflows.daily_task_planner.extract import extract_tasks
from workflows.daily_task_planner.models import Message, Person, Source, TaskKind
from workflows.daily_task_planner.prioritise import prioritise_tasks
from workflows.daily_task_planner.sentences import sentences
from workflows.daily_task_planner.titles import estimate_minutes, make_title
from workflows.daily_task_planner.window import zone

HERE = zone(ZONE)
THURSDAY = datetime(2026, 11, 19, 10, 0, tzinfo=HERE)
ANA = Person(name="Ana Weber", address="ana@example.com")
BEN = Person(name="Ben Okafor", address="ben@example.com")
MEI = Person(name="Mei Tanaka", address="mei@example.com")
REQUEST, TODO, QUESTION = TaskKind.REQUEST, TaskKind.TODO, TaskKind.QUESTION


@pytest.mark.parametrize(
    ("sentence", "kind"),
    [
        ("Can you send me the file?", REQUEST),
        ("Could you please check the numbers?", REQUEST),
        ("Please review the draft.", REQUEST),
        ("Hi Ana, would you mind calling Sam?", REQUEST),
        ("Ana, send the file to Mei.", REQUEST),
        ("@Ana Weber please look at this", REQUEST),
        ("I need your approval for the booth.", REQUEST),
        ("Don't forget to book the room", REQUEST),
        ("TODO: update the wiki", TODO),
        ("- [ ] Ana: order boxes", TODO),
        ("Action item Ana: send the list", TODO),
        ("AI @Ana: send the list", TODO),
        ("- [x] Ana: order boxes", None),
        ("[ ] Ben: order boxes", None),
        ("TODO Ben: order boxes", None),
        ("Ben, could you check the figures?", None),
        ("@Ben Okafor can you send me the text?", None),
        ("When do we tell Harbour?", QUESTION),
        ("Can you join the interview on Tuesday?", QUESTION),
        ("Are you in the office tomorrow?", QUESTION),
        ("Right?", None),
        ("How are you?", None),
        ("Please find the invoice attached.", None),
        ("Please let me know if you have any questions.", None),
        ("Ana will send the list.", None),
        ("The launch is on Monday.", None),
        ("I can send you the file.", None),
        ("", None),
    ],
)
def test_requests_are_told_from_talk(sentence, kind):
    found = find_ask(sentence, names={"ana"}, others={"ben", "mei"}, questions_count=True)

    assert (found.kind if found else None) == kind


@pytest.mark.parametrize(
    ("words", "due"),
    [
        ("by Friday", "20 23:59"),
        ("by next Friday", "27 23:59"),
        ("before noon tomorrow", "20 12:00"),
        ("EOD", "19 17:30"),
        ("by EOD Friday", "20 17:30"),
        ("until 24 Nov", "24 23:59"),
        ("by Nov 24 at 14:00", "24 14:00"),
        ("before 24.11.2026", "24 23:59"),
        ("by 2026-11-24", "24 23:59"),
        ("no later than Tuesday, 24 November", "24 23:59"),
        ("by the end of the week", "20 23:59"),
        ("by the end of the month", "30 23:59"),
        ("by 5pm", "19 17:00"),
        ("by 9:30", "20 09:30"),
        ("by 9:30 on Monday", "23 09:30"),
        ("by Monday 10am", "23 10:00"),
        ("in 2 hours", "19 12:00"),
        ("within two days", "21 23:59"),
        ("asap", "19 23:59"),
        ("by 3 Nov", "03 23:59"),
        ("for Friday's call", "20 23:59"),
        ("next week", None),
        ("it may be late", None),
        ("mark the sunny day", None),
        ("by 25:99", None),
        ("by the river", None),
    ],
)
def test_deadlines_in_words(words, due):
    """Counted from when the message was sent: Thursday, 19 November 2026, 10:00."""
    found = find_deadline(f"Send it {words}", THURSDAY, HERE)

    assert (f"{found.due:%d %H:%M}" if found else None) == due


def test_a_deadline_counts_in_the_readers_zone():
    """Sent at 23:30 in London, "tomorrow" begins an hour later in Berlin."""
    sent = datetime(2026, 11, 18, 23, 30, tzinfo=zone("Europe/London"))

    assert f"{find_deadline('by tomorrow', sent, HERE).due:%d %H:%M %z}" == "20 23:59 +0100"
    assert f"{find_deadline('by tomorrow', sent, zone('Europe/London')).due:%d %H:%M %z}" == "19 23:59 +0000"
    summer = datetime(2026, 10, 24, 12, 0, tzinfo=HERE)
    assert f"{find_deadline('by noon tomorrow', summer, HERE).due:%H:%M %z}" == "12:00 +0100"


def test_by_friday_said_on_a_friday_is_today():
    assert f"{find_deadline('by Friday', THURSDAY + timedelta(days=1), HERE).due:%d}" == "20"
    assert f"{find_deadline('by next Friday', THURSDAY + timedelta(days=1), HERE).due:%d}" == "27"


@pytest.mark.parametrize(
    ("words", "deadline", "title"),
    [
        (
            "Could you please prepare the Q4 forecast by noon on Friday?",
            "by noon on Friday",
            "Prepare the Q4 forecast",
        ),
        ("I need your approval for the booth by Monday", "by Monday", "Give your approval for the booth"),
        ("Would you mind calling Sam?", "", "Call Sam"),
        ("would you mind sharing it, thanks!", "", "Share it"),
        ("please fix the pump when you get a chance", "", "Fix the pump"),
        ("Can you " + "really " * 30 + "go?", "", None),
    ],
)
def test_titles_say_what_to_do(words, deadline, title):
    found = make_title(words, deadline)

    assert found == title or (title is None and len(found) <= 91 and found.endswith("…"))


@pytest.mark.parametrize(
    ("words", "minutes"),
    [
        ("write the report", 90),
        ("send the report", 30),
        ("confirm the date", 15),
        ("it takes 25 minutes", 25),
        ("2 hours", 120),
        ("walk", 30),
    ],
)
def test_efforts_are_guessed(words, minutes):
    assert estimate_minutes(words) == minutes


def test_hard_wrapped_lines_are_one_sentence():
    text = (
        "Could you please send the numbers of the third quarter to\nthe bank by Friday? Thanks.\n"
        "\n- one\n- two e.g. three\n"
    )

    assert sentences(text) == [
        "Could you please send the numbers of the third quarter to the bank by Friday?",
        "Thanks.",
        "one",
        "two e.g. three",
    ]


def test_promises_and_dones():
    assert find_promise("I'll send you the list by Monday.").startswith("send you the list")
    assert find_promise("I will be late.") == ""
    assert is_done("Uploaded just now.")
    assert not is_done("It is not done yet.")
    assert not is_done("I will tell you when it is sent.")


@pytest.mark.parametrize(
    "piece",
    [
        " ",
        "-",
        "[ ] ",
        "thanks, ",
        "by ",
        "please ",
        "I need the ",
        "a.",
        "<",
        "12:",
        "hi, ",
        "could you ",
        "by Friday, ",
    ],
)
def test_hostile_text_costs_no_time(ctx, piece):
    """The patterns read strangers' mail: none may take longer than its length."""
    text = "Ana: " + piece * (20_000 // len(piece)) + "x"
    started = time.perf_counter()

    tasks(ctx, mail(BEN, text), mail(ANA, f"I will send {text}"))

    assert time.perf_counter() - started < 2


COUNT = iter(range(10_000))


def mail(
    sender: Person, text: str, *, after: int = 0, to=(ANA,), copies=(), thread: str = "t", **more
) -> Message:
    """A mail, `after` minutes after Thursday morning."""
    fields = {"source": Source.EMAIL, "recipients": list(to), "copies": list(copies), "subject": "About"}
    sent_at = THURSDAY + timedelta(minutes=after)
    return Message(
        id=f"mail:{next(COUNT)}",
        sender=sender,
        text=text,
        sent_at=sent_at,
        thread=thread,
        **{**fields, **more},
    )


def tasks(ctx, *messages: Message):
    found = extract_tasks({"messages": messages}, "ana@example.com", ZONE, ctx)
    return [task.title for task in found["tasks"]], [one.why for one in found["skipped"]]


@pytest.mark.parametrize(
    ("answer", "still_open"),
    [
        (mail(ANA, "Sent.", after=5), False),
        (mail(ANA, "I will look at it.", after=5), True),
        (mail(ANA, "Sent.", after=-5), True),
        (mail(ANA, "Sent.", after=5, thread="another"), True),
        (mail(BEN, "Never mind, found it.", after=5), False),
        (mail(MEI, "Never mind me.", after=5), True),
    ],
)
def test_what_was_answered_or_taken_back_is_closed(ctx, answer, still_open):
    found, why = tasks(ctx, mail(BEN, "Please send the list."), answer)

    assert ("Send the list" in found) == still_open
    assert still_open == (not why)


def test_a_reminder_adds_weight_and_no_task(ctx):
    first = mail(BEN, "Please send the list by Friday.")
    again = mail(BEN, "Gentle reminder: please send that list until Monday.", after=60)

    found = extract_tasks({"messages": [first, again]}, "me", ZONE, ctx)["tasks"]

    assert [(one.title, one.reminders, one.due_words) for one in found] == [
        ("Send the list", 1, "until Monday")
    ]


@pytest.mark.parametrize(
    ("message", "count"),
    [
        (mail(BEN, "Please send the list.", to=(ANA, MEI)), 1),
        (mail(BEN, "Please send the list.", to=(MEI,), copies=(ANA,)), 0),
        (mail(BEN, "Ana, please send the list.", to=(MEI,), copies=(ANA,)), 1),
        (mail(BEN, "Please send the list.", to=(Person(address="all@example.com"),)), 1),
        (mail(BEN, "Is it late?", to=(ANA, MEI)), 0),
        (mail(BEN, "Please send the list.", automatic="newsletter"), 0),
        (mail(BEN, "Please send the list.", source=Source.SLACK, to=()), 0),
        (mail(BEN, "Please send the list.", source=Source.SLACK, to=(), to_everyone=True), 1),
    ],
)
def test_who_is_meant(ctx, message, count):
    around = mail(MEI, "Good morning.", to=(ANA, BEN), thread="other")

    assert len(tasks(ctx, around, message)[0]) == count


def test_an_id_depends_on_source_and_words_alone(ctx):
    """`merge_by:id` then never doubles a task that a repeated node finds again."""
    message = mail(BEN, "Please send the list.")

    first = extract_tasks({"messages": [message]}, "me", ZONE, ctx)["tasks"]
    second = extract_tasks({"messages": [message, mail(MEI, "hello")]}, "me", ZONE, ctx)["tasks"]

    assert [task.id for task in first] == [task.id for task in second]
    assert len(first[0].id) == 16


def test_the_order_names_its_reasons_and_never_draws_lots(ctx):
    first = mail(BEN, "Please send the list by Friday.", thread="1")
    second = mail(MEI, "Please book the room.", after=1, thread="2")
    third = mail(MEI, "Please sign the form.", after=1, thread="3")
    found = extract_tasks({"messages": [first, second, third]}, "me", ZONE, ctx)["tasks"]

    ranked = prioritise_tasks({"tasks": found}, DAY, ZONE, ctx, ["mei tanaka"])["ranked"]
    again = prioritise_tasks({"tasks": found[::-1]}, DAY, ZONE, ctx, ["MEI@example.com"])["ranked"]

    assert ranked == again
    assert ranked[0].reasons == ["due today (+50)", "asked of you directly (+10)", "waiting for 1 day (+1)"]
    assert ranked[1].reasons[0] == "Mei Tanaka is important (+20)"
    assert all(one.score == sum(int(reason.split("(+")[1][:-1]) for reason in one.reasons) for one in ranked)
