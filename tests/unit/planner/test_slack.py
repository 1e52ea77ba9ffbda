"""Slack's exports and its Web API."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from mocks.slack_api import TOKEN, SlackServer
from tests.unit.planner.support import DAY, SAMPLE, ZONE
from workflows.daily_task_planner import slack_files
from workflows.daily_task_planner.models import Person
from workflows.daily_task_planner.slack import collect_slack
from workflows.daily_task_planner.slack_message import Directory, plain_text

EXPORT = SAMPLE / "slack-export"
HOME = "https://example.slack.com"


def collect(path, ctx, **options):
    return collect_slack(str(path), DAY, ZONE, ctx, workspace=HOME, **options)


def zipped(target: Path, *, top: str = "") -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(EXPORT.rglob("*.json")):
            archive.write(file, top + file.relative_to(EXPORT).as_posix())
    return target


@pytest.mark.parametrize("top", ["", "Tern Slack export/"])
def test_a_zip_gives_the_same_as_its_folder(tmp_path, ctx, top):
    """Slack delivers a zip, and some zip tools put a folder around it."""
    assert collect(zipped(tmp_path / "export.zip", top=top), ctx) == collect(EXPORT, ctx)


def test_the_web_api_gives_the_same_messages_as_the_export(ctx):
    """The two are different forms of one workspace; only a deletion's trace is the export's alone."""
    with SlackServer(EXPORT) as server:
        found = collect("", ctx, token=TOKEN, api_url=server.base_url)

    def essence(messages):
        return [
            (one.id, one.text, one.sender, one.recipients, one.link, one.thread, one.edited)
            for one in messages
        ]

    assert essence(found["messages"]) == essence(collect(EXPORT, ctx)["messages"])
    assert server.calls.count("conversations.history") > 7, "pages were not followed"


def test_too_many_requests_are_waited_for(ctx):
    with SlackServer(EXPORT, page_size=100, too_many_first=2) as server:
        assert len(collect("", ctx, token=TOKEN, api_url=server.base_url)["messages"]) == 62


@pytest.mark.parametrize(
    ("token", "too_many", "error", "words"),
    [("wrong", 0, ValueError, "invalid_auth"), (TOKEN, 99, ConnectionError, "ratelimited")],
)
def test_a_refusal_is_final_and_a_busy_slack_is_not(ctx, token, too_many, error, words):
    """The workflow's retry takes up what is a ConnectionError."""
    with SlackServer(EXPORT, too_many_first=too_many) as server, pytest.raises(error, match=words):
        collect("", ctx, token=token, api_url=server.base_url)


def test_an_unreachable_slack_is_a_connection_error(ctx):
    with pytest.raises(ConnectionError, match="cannot be reached"):
        collect("", ctx, token=TOKEN, api_url="http://127.0.0.1:1/api/")


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        ("<@U1> hi", "@Ana Weber hi"),
        ("<@U9|ghost> hi", "@ghost hi"),
        ("<@U9> hi", "@U9 hi"),
        ("see <#C1|launch> and <#C2>", "see #launch and #support"),
        ("<https://example.com|the page>", "the page (https://example.com)"),
        ("<https://example.com>", "https://example.com"),
        ("<mailto:a@example.com|a@example.com>", "a@example.com"),
        ("<!here> <!subteam^S1|@ops> <!date^1^x|today>", "@here @ops today"),
        ("a &lt; b &amp;&amp; c &gt; d", "a < b && c > d"),
        ("&lt;@U1&gt; is only talked about", "<@U1> is only talked about"),
    ],
)
def test_markup_becomes_words(raw, text):
    directory = Directory(users={"U1": Person(name="Ana Weber")}, channels={"C2": "support"})

    assert plain_text(raw, directory)[0] == text


def test_edits_count_as_they_were_last_said(ctx):
    found = [one for one in collect(EXPORT, ctx)["messages"] if one.edited]

    assert [one.text for one in found] == ["@Ana Weber could you test the demo kit by Monday noon?"]


def export_of(root: Path, *messages: dict) -> Path:
    (root / "general").mkdir(parents=True)
    users = [
        {"id": "U1", "name": "ana", "profile": {"real_name": "Ana"}},
        {"id": "B1", "name": "bot", "is_bot": True},
    ]
    (root / "users.json").write_text(json.dumps(users))
    (root / "channels.json").write_text(json.dumps([{"id": "C1", "name": "general"}]))
    (root / "general" / "2026-11-20.json").write_text(json.dumps(messages))
    return root


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ({"subtype": "channel_join", "user": "U1", "text": "joined"}, "joins, topics and other notices"),
        ({"subtype": "bot_message", "text": "built"}, "from bots"),
        ({"user": "B1", "text": "built"}, "from bots"),
        ({"user": "U1", "bot_id": "B1", "text": "built"}, "from bots"),
        ({"text": "whoever"}, "without a sender"),
        ({"user": "U1", "text": "when?", "ts": "soon"}, "without a time"),
    ],
)
def test_what_nobody_said_is_counted_and_left_out(tmp_path, ctx, message, why):
    found = collect(export_of(tmp_path / "x", {"type": "message", "ts": "1795158000.000100", **message}), ctx)

    assert found["messages"] == []
    assert [(one.what, one.why) for one in found["skipped"]] == [("1 Slack message", why)]


def test_a_changed_message_replaces_the_first_and_a_deleted_one_is_gone(tmp_path, ctx):
    """Old exports hold edits as events of their own."""
    one, two = "1795158000.000100", "1795158001.000100"
    found = collect(
        export_of(
            tmp_path / "x",
            {"user": "U1", "text": "first", "ts": one},
            {"user": "U1", "text": "gone", "ts": two},
            {
                "subtype": "message_changed",
                "ts": "1795158002.0",
                "message": {"user": "U1", "text": "second", "ts": one},
            },
            {"subtype": "message_deleted", "ts": "1795158003.0", "deleted_ts": two},
        ),
        ctx,
    )

    assert [(message.text, message.edited) for message in found["messages"]] == [("second", True)]


def test_a_zip_that_leads_out_of_itself_is_refused(tmp_path, ctx):
    path = zipped(tmp_path / "slip.zip")
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("../../evil.json", "[]")

    with pytest.raises(ValueError, match="leads out of it"):
        collect(path, ctx)


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path, ctx, monkeypatch):
    """Both what it claims and what it really holds are bounded."""
    path = zipped(tmp_path / "bomb.zip")
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("general/2026-11-20.json", b"[" + b" " * 3_000_000 + b"]")

    monkeypatch.setattr(slack_files, "MAX_FILE_BYTES", 2_000_000)
    with pytest.raises(ValueError, match="larger than 2000000 bytes"):
        collect(path, ctx)
    monkeypatch.setattr(slack_files, "MAX_TOTAL_BYTES", 1_000_000)
    with pytest.raises(ValueError, match="unpacks to more than"):
        collect(path, ctx)


def test_a_link_out_of_the_folder_is_refused(tmp_path, ctx):
    root = export_of(tmp_path / "x")
    (tmp_path / "secret.json").write_text("[]")
    (root / "general" / "2026-11-19.json").symlink_to(tmp_path / "secret.json")

    with pytest.raises(ValueError, match="leads out of the export"):
        collect(root, ctx)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("users.json", "{", "users.json is not valid JSON"),
        ("users.json", '[{"name": "no id"}]', "not laid out like a Slack export"),
        ("general/2026-11-20.json", '["text"]', "not laid out like a Slack export"),
        ("general/2026-11-20.json", "[" * 100_000, "is not valid JSON"),
    ],
)
def test_a_broken_export_says_which_file(tmp_path, ctx, name, content, words):
    root = export_of(tmp_path / "x")
    (root / name).write_text(content)

    with pytest.raises(ValueError, match=words):
        collect(root, ctx)


def test_a_folder_or_file_that_is_no_export_is_named(tmp_path, ctx):
    with pytest.raises(ValueError, match=r"has no users\.json"):
        collect(tmp_path, ctx)
    with pytest.raises(ValueError, match="neither an export's folder nor its zip"):
        collect(SAMPLE / "calendar.ics", ctx)
    with pytest.raises(FileNotFoundError, match="Input 'slack'"):
        collect("nowhere", ctx)
