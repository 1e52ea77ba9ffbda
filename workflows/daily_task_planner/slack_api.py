"""Messages from Slack's Web API."""

from __future__ import annotations

from collections.abc import Iterator
from http.client import HTTPException
from typing import Any

from slack_sdk import WebClient
from slack_sdk.errors import SlackApiError
from slack_sdk.http_retry.builtin_handlers import RateLimitErrorRetryHandler

from workflows.daily_task_planner.slack_message import Directory, Reader
from workflows.daily_task_planner.window import Window

PAGE = 200
# What Slack answers when the same call may work a moment later.
PASSING = {"ratelimited", "internal_error", "fatal_error", "service_unavailable", "request_timeout"}


def read_api(token: str, window: Window, workspace: str, *, base_url: str = WebClient.BASE_URL) -> Reader:
    """Read the conversations that the token's owner is in.

    Raises:
        ValueError: Slack refuses the token or lacks a permission; another try would not help.
        ConnectionError: Slack is not reachable or busy for too long.
    """
    client = WebClient(token=token, base_url=base_url, timeout=20)
    client.retry_handlers.append(RateLimitErrorRetryHandler(max_retry_count=3))
    try:
        return _read(client, window, workspace)
    except SlackApiError as error:
        code = str(error.response.get("error", error))
        if code in PASSING:
            raise ConnectionError(f"Slack answers {code!r}") from error
        raise ValueError(f"Slack refuses: {code} (token and its scopes?)") from error
    except (OSError, HTTPException) as error:
        raise ConnectionError(f"Slack cannot be reached: {error}") from error


def _read(client: WebClient, window: Window, workspace: str) -> Reader:
    me = client.auth_test()
    home, owner = str(me.get("url") or workspace), str(me.get("user_id") or "")
    directory = Directory()
    directory.add_users(_pages(client, "users.list", "members"))
    channels = [
        channel
        for channel in _pages(
            client, "conversations.list", "channels", types="public_channel,private_channel,im,mpim"
        )
        if channel.get("is_member") or channel.get("is_im") or channel.get("is_mpim")
    ]
    directory.add_channels(channels, are_direct=False)
    reader = Reader(directory, window, home)
    bounds = {"oldest": f"{window.start.timestamp():.6f}", "latest": f"{window.end.timestamp():.6f}"}
    for channel in channels:
        if channel.get("is_im"):
            # An im names the other side only; the token's owner is whom it is written to.
            directory.members[channel["id"]] = [owner, str(channel.get("user") or "")]
        messages = list(_pages(client, "conversations.history", "messages", channel=channel["id"], **bounds))
        reader.read(channel["id"], reversed(messages))
        for parent in messages:
            if parent.get("reply_count"):
                place = {"channel": channel["id"], "ts": parent["ts"]}
                replies = _pages(client, "conversations.replies", "messages", **place, **bounds)
                # The answer begins with the parent again.
                reader.read(channel["id"], [reply for reply in replies if reply["ts"] != parent["ts"]])
    return reader


def _pages(client: WebClient, method: str, key: str, **arguments: str) -> Iterator[dict[str, Any]]:
    cursor = ""
    while True:
        paging = {"cursor": cursor} if cursor else {}
        answer = client.api_call(method, http_verb="GET", params={**arguments, **paging, "limit": PAGE})
        yield from answer.get(key) or []
        cursor = str((answer.get("response_metadata") or {}).get("next_cursor") or "")
        if not cursor:
            return
