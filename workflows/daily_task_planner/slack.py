"""The node `slack_collector`: an export or the Web API → messages."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

from slack_sdk import WebClient

from mocks.effects import Context, record
from workflows.daily_task_planner.paths import find_input
from workflows.daily_task_planner.slack_api import read_api
from workflows.daily_task_planner.slack_files import ExportFiles, load_json, open_export
from workflows.daily_task_planner.slack_message import Directory, Reader
from workflows.daily_task_planner.window import Window

CONVERSATIONS = {"channels.json": False, "groups.json": False, "dms.json": True, "mpims.json": True}
DAY_FILE = re.compile(r"^([^/]+)/\d{4}-\d{2}-\d{2}\.json$")


def collect_slack(
    slack: str,
    day: date | str,
    timezone: str,
    ctx: Context,
    lookback_days: int = 14,
    workspace: str = "https://app.slack.com",
    token: str = "",
    api_url: str = WebClient.BASE_URL,
) -> dict[str, Any]:
    """Read the Slack messages that count for the day.

    Args:
        slack: An export's folder or zip; not looked at when `token` is given.
        day: The day to plan.
        timezone: Says where the day begins and ends.
        ctx: Of this node.
        lookback_days: Older messages are counted, not read.
        workspace: Address that links to messages begin with.
        token: Reads the Web API with this user token.
        api_url: Another address of the Web API, for tests.
    """
    window = Window.of(day, timezone, lookback_days)
    if token:
        reader = read_api(token, window, workspace, base_url=api_url)
    else:
        with open_export(find_input("slack", slack)) as files:
            reader = read_export(files, window, workspace)
    messages, skipped = reader.result()
    ctx.progress(f"{len(messages)} Slack messages")
    record(ctx)
    return {"messages": messages, "skipped": skipped}


def read_export(files: ExportFiles, window: Window, workspace: str) -> Reader:
    """Read an export's messages.

    Raises:
        ValueError: A file of it is not what Slack writes.
    """
    names = files.names()
    directory = Directory()
    folders: dict[str, str] = {}
    try:
        directory.add_users(load_json(files, "users.json"))
        for name, are_direct in CONVERSATIONS.items():
            if name in names:
                channels = load_json(files, name)
                directory.add_channels(channels, are_direct=are_direct)
                folders.update({str(one.get("name") or one["id"]): one["id"] for one in channels})
        reader = Reader(directory, window, workspace)
        for name in names:
            found = DAY_FILE.match(name)
            if found:
                folder = found.group(1)
                reader.read(folders.get(folder, folder), load_json(files, name))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"Input 'slack': this is not laid out like a Slack export: {error!r}") from error
    return reader
