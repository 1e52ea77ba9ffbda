"""The plan of the shipped sample, whole."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from tests.unit.planner.support import DAY, SAMPLE, ZONE, Ctx, plan_of
from workflows.daily_task_planner import models
from workflows.daily_task_planner.extract import extract_tasks
from workflows.daily_task_planner.models import Plan, SlotKind, TaskKind
from workflows.daily_task_planner.plan import plan_day
from workflows.daily_task_planner.render import markdown, summary
from workflows.daily_task_planner.write import write_plan

EXPECTED = Path(__file__).with_name("expected_plan.md")


def test_the_sample_gives_the_committed_page(sample_state):
    """Whoever changes a rule sees here what it does to a whole day."""
    assert markdown(sample_state["plan"]) == EXPECTED.read_text("utf-8")


def test_a_second_run_gives_the_same_page_in_any_order_of_arrival(sample_state, ctx):
    """The collectors run side by side: whose messages come first must not matter."""
    shuffled = [*sample_state["messages"], *sample_state["messages"][:20]]
    random.Random(7).shuffle(shuffled)

    again = extract_tasks({"messages": shuffled}, "me", ZONE, ctx)

    assert again["tasks"] == sample_state["tasks"]
    assert again["skipped"] == sample_state["skipped"][-len(again["skipped"]) :]
    assert markdown(plan_of(Ctx())["plan"]) == EXPECTED.read_text("utf-8")


@pytest.mark.parametrize("key", ["messages", "meetings", "skipped", "owner", "tasks", "ranked", "plan"])
def test_what_nodes_return_survives_a_checkpoint_unchanged(sample_state, key):
    """A resumed run must go on with exactly what the dead process saved, under the strict allow-list."""
    names = [(models.__name__, name) for name, kind in vars(models).items() if isinstance(kind, type)]
    serializer = JsonPlusSerializer(allowed_msgpack_modules=names)

    restored = serializer.loads_typed(serializer.dumps_typed(sample_state[key]))

    assert restored == sample_state[key]
    assert repr(restored) == repr(sample_state[key])


def test_the_sample_is_as_large_and_as_odd_as_its_readme_says():
    """The sample is the first impression; it must not shrink unnoticed."""
    assert (SAMPLE / "inbox.mbox").read_bytes().count(b"\nFrom ") + 1 == 44
    days = [file.read_text("utf-8") for file in SAMPLE.glob("slack-export/*/*.json")]
    assert sum(day.count('"ts": ') - day.count('"edited": {') for day in days) == 71
    assert (SAMPLE / "calendar.ics").read_text("utf-8").count("BEGIN:VEVENT") == 18


def test_nothing_overlaps_a_busy_meeting_or_lunch(sample_state):
    """A plan that cannot be followed is worse than none."""
    plan: Plan = sample_state["plan"]
    fixed = [one for one in sample_state["meetings"] if one.busy and not one.declined_by]
    blocks = [item for item in plan.items if item.kind in (SlotKind.TASK, SlotKind.QUESTIONS)]

    assert len(blocks) >= 10
    for block in blocks:
        assert not any(block.start < one.end and block.end > one.start for one in fixed), block.title
        assert not any(
            block.start < item.end and block.end > item.start
            for item in plan.items
            if item is not block and item.kind is not SlotKind.MEETING
        )


def test_every_task_is_somewhere(sample_state):
    """Nothing that was asked may vanish between the list and the page."""
    plan: Plan = sample_state["plan"]
    page = markdown(plan)
    later = {one.ranked.task.id for one in plan.later}
    questions = {one.task.id for one in plan.questions}
    for ranked in plan.questions + [one.ranked for one in plan.later]:
        assert ranked.task.link in page
    for task in sample_state["tasks"]:
        today = any(task.link in item.links for item in plan.items)
        assert today or task.id in later | questions, task.title
    assert all((task.id in questions) == (task.kind is TaskKind.QUESTION) for task in sample_state["tasks"])


def test_one_wish_said_three_times_is_one_task(sample_state):
    """The forecast is asked for by mail, again by mail, and on Slack."""
    forecasts = [task for task in sample_state["tasks"] if "forecast" in task.title.lower()]

    assert [task.title for task in forecasts] == ["Prepare the Q4 forecast"]
    assert f"{forecasts[0].due:%d %H:%M}" == "20 12:00"
    assert {link.split(":")[0] for link in [forecasts[0].link, *forecasts[0].other_links]} == {"mid", "https"}


def test_the_terminal_summary_is_plain_and_narrow(sample_state):
    """It is printed in a live view that has no room for more."""
    text = summary(sample_state["plan"])

    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    assert "Prepare the Q4 forecast" in text


def test_writing_again_changes_nothing_and_leaves_no_rest(sample_state, ctx, tmp_path):
    """The node may run twice when a process dies after it wrote."""
    out = tmp_path / "deep" / "plan.md"

    first = write_plan(sample_state, str(out), ctx)
    content = out.read_bytes()
    second = write_plan(sample_state, str(out), ctx)

    assert first == second
    assert out.read_bytes() == content == EXPECTED.read_bytes()
    assert [file.name for file in out.parent.iterdir()] == ["plan.md"]


def test_without_a_calendar_the_page_says_so(sample_state, ctx):
    """`on_error` of the calendar gives no meetings and a note."""
    state = {**sample_state, "meetings": [], "calendar_note": "The calendar could not be read."}

    page = markdown(plan_day(state, DAY, ZONE, ctx)["plan"])

    assert "> The calendar could not be read." in page
    assert "Meeting:" not in page.split("## What was skipped")[0]


@pytest.mark.parametrize("user", ["ana@example.com", "Ana Weber", "ana", "ANA"])
def test_the_user_can_be_named_in_any_way(sample_state, user):
    """An address, a name and a Slack handle lead to the same person."""
    assert plan_of(Ctx(), user=user)["tasks"] == sample_state["tasks"]


def test_an_unknown_user_is_told_who_is_there():
    with pytest.raises(
        ValueError, match=r"Input 'user': nobody is called 'Zoe'; the messages know Ana Weber, Ben"
    ):
        plan_of(Ctx(), user="Zoe")


def test_an_empty_day_is_a_plan(ctx):
    """A new mailbox and no calendar entry are no failure."""
    state = extract_tasks({"messages": []}, "me", ZONE, ctx)

    plan = plan_day({**state, "ranked": [], "meetings": []}, "2026-10-25", ZONE, ctx)["plan"]

    assert [item.title for item in plan.items] == ["Lunch"]
    assert "Sunday, 25 October 2026" in markdown(plan)
