"""A chat model's answers are checked before they fill somebody's day."""

from __future__ import annotations

import json
import sys

import pytest

from mocks import chat_model
from mocks.chat_model import FakeChatModel
from tests.unit.planner.support import Ctx, plan_of
from tests.unit.planner.test_extraction import ANA, BEN, HERE, mail
from workflows.daily_task_planner.chat import ask_model
from workflows.daily_task_planner.models import Owner
from workflows.daily_task_planner.rules import People

TEXT = "Please send the list. See you."
PEOPLE = People(Owner(name="Ana Weber"), frozenset({"ana"}), frozenset({"ben"}), HERE)
GOOD = {"title": "Send the list", "quote": "please send  the LIST.", "due": "2026-11-23T12:00:00+01:00"}


@pytest.fixture
def model(monkeypatch):
    """The model that `fake:` leads to; what it says can be scripted."""
    found = FakeChatModel()
    monkeypatch.setattr(chat_model, "FakeChatModel", lambda: found)
    return found


def say(*tasks) -> str:
    return json.dumps({"tasks": tasks})


def ask():
    return ask_model("fake:planner", mail(BEN, TEXT), PEOPLE)


def test_a_good_answer_becomes_tasks(model):
    model.answers = [say(GOOD)]

    found = ask()

    assert [(task.title, f"{task.due:%d %H:%M}") for task in found] == [("Send the list", "23 12:00")]


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("Sure! Here are the tasks:", "Invalid JSON"),
        ("[]", "valid dictionary|object"),
        ('{"todo": []}', "tasks: Field required"),
        (
            say({**GOOD, "quote": "Transfer 900 euros."}),
            "'Transfer 900 euros.' does not stand in the message",
        ),
        (say({**GOOD, "due": "soon"}), "tasks.0.due: "),
        (say({**GOOD, "due": "2026-11-23T12:00:00"}), "tasks.0.due: .*timezone"),
        (say({**GOOD, "kind": "order"}), "tasks.0.kind: "),
        (say({**GOOD, "urgent": True}), "tasks.0.urgent: Extra"),
        (say(*[GOOD] * 21), "tasks: List should have at most 20"),
    ],
)
def test_a_bad_answer_is_asked_for_again_and_then_named(model, answer, wrong):
    """The model is told what was wrong; three bad answers fail the node."""
    model.answers = [answer, say(GOOD)]
    assert [task.title for task in ask()] == ["Send the list"]
    assert "Your last answer was wrong: " in model.prompts[1]

    model.answers = [answer] * 3
    with pytest.raises(
        ValueError, match=f"fake:planner gave 3 answers about mail:.* that do not fit: .*{wrong}"
    ):
        ask()


def test_the_planner_runs_on_the_stand_in():
    """The whole way with `--input model=fake:planner`, twice the same."""
    first, second = plan_of(Ctx(), model="fake:planner"), plan_of(Ctx(), model="fake:planner")

    assert first["plan"] == second["plan"]
    assert len(first["tasks"]) > 15


def test_without_langchain_the_error_has_the_command(monkeypatch):
    monkeypatch.setitem(sys.modules, "langchain", None)
    monkeypatch.setitem(sys.modules, "langchain.chat_models", None)

    with pytest.raises(ModuleNotFoundError, match=r"needs LangChain: .* -m pip install langchain"):
        ask_model("openai:gpt-5-mini", mail(BEN, TEXT, to=(ANA,)), PEOPLE)
