"""Slack's own form of users, channels and messages → `Message`."""

from __future__ import annotations

import html
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from workflows.daily_task_planner.models import Message, Person, Skipped, Source
from workflows.daily_task_planner.window import Window, counted

MARKUP = re.compile(r"<([@#!]?)([^<>|]+)(?:\|([^<>]*))?>")
# Subtypes that are still a person saying something; the rest are joins, topics, pins and the like.
SPOKEN = {"", "me_message", "thread_broadcast", "file_share", "reply_broadcast"}

Raw = Mapping[str, Any]


@dataclass(slots=True)
class Directory:
    """Who and where: user ids to people, channel ids to names."""

    users: dict[str, Person] = field(default_factory=dict)
    bots: set[str] = field(default_factory=set)
    channels: dict[str, str] = field(default_factory=dict)
    direct: set[str] = field(default_factory=set)
    members: dict[str, list[str]] = field(default_factory=dict)

    def add_users(self, users: Iterable[Raw]) -> None:
        """Learn users, as `users.json` and `users.list` give them."""
        for user in users:
            profile = user.get("profile") or {}
            name = profile.get("real_name") or user.get("real_name") or profile.get("display_name") or ""
            address = str(profile.get("email") or "").lower()
            self.users[user["id"]] = Person(name=name, address=address, handle=str(user.get("name") or ""))
            if user.get("is_bot") or user["id"] == "USLACKBOT":
                self.bots.add(user["id"])

    def add_channels(self, channels: Iterable[Raw], *, are_direct: bool) -> None:
        """Learn channels, as `channels.json`, `dms.json` and `conversations.list` give them."""
        for channel in channels:
            self.channels[channel["id"]] = str(channel.get("name") or channel["id"])
            self.members[channel["id"]] = list(channel.get("members") or [])
            if are_direct or channel.get("is_im") or channel.get("is_mpim"):
                self.direct.add(channel["id"])

    def person(self, user_id: str) -> Person:
        """Return who has this id; someone unknown keeps the id as a handle."""
        return self.users.get(user_id) or Person(handle=user_id)


@dataclass(slots=True)
class Reader:
    """Turns raw messages of one workspace into `Message`s and counts what it leaves out."""

    directory: Directory
    window: Window
    workspace: str
    messages: dict[str, Message] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    before: int = 0
    after: int = 0

    def read(self, channel_id: str, raw_messages: Iterable[Raw]) -> None:
        """Read one channel's messages, oldest first. An edit replaces, a deletion removes."""
        for event in raw_messages:
            raw = event
            subtype = str(raw.get("subtype") or "")
            if subtype == "message_deleted":
                self.messages.pop(_key(channel_id, str(raw.get("deleted_ts"))), None)
                self.left_out["deleted"] += 1
                continue
            if subtype == "message_changed" and isinstance(raw.get("message"), Mapping):
                raw = {"edited": {}, **raw["message"]}
                subtype = str(raw.get("subtype") or "")
            reason = self._why_not(raw, subtype)
            if reason:
                self.left_out[reason] += 1
                continue
            sent_at = _moment(raw.get("ts"))
            if sent_at is None:
                self.left_out["without a time"] += 1
            elif sent_at < self.window.start:
                self.before += 1
            elif sent_at >= self.window.end:
                self.after += 1
            else:
                message = self._message(channel_id, raw, sent_at)
                self.messages[message.id] = message

    def _why_not(self, raw: Raw, subtype: str) -> str:
        if subtype == "bot_message" or raw.get("bot_id") or raw.get("user") in self.directory.bots:
            return "from bots"
        if subtype not in SPOKEN:
            return "joins, topics and other notices"
        return "" if raw.get("user") else "without a sender"

    def _message(self, channel_id: str, raw: Raw, sent_at: datetime) -> Message:
        directory = self.directory
        text, mentioned, to_everyone = plain_text(_text_of(raw), directory)
        user, ts = str(raw["user"]), str(raw["ts"])
        is_direct = channel_id in directory.direct
        others = [member for member in directory.members.get(channel_id, []) if member != user]
        thread_ts = str(raw.get("thread_ts") or ts)
        link = f"{self.workspace.rstrip('/')}/archives/{channel_id}/p{ts.replace('.', '')}"
        if thread_ts != ts:
            link += f"?thread_ts={thread_ts}&cid={channel_id}"
        name = directory.channels.get(channel_id, channel_id)
        return Message(
            id=_key(channel_id, ts),
            source=Source.SLACK,
            sender=directory.person(user),
            sent_at=sent_at,
            text=text,
            recipients=[
                directory.person(one) for one in dict.fromkeys(mentioned + (others if is_direct else []))
            ],
            channel="direct message" if is_direct else f"#{name}",
            is_direct=is_direct,
            to_everyone=to_everyone,
            thread=_key(channel_id, thread_ts),
            link=link,
            attachments=[str(file.get("name") or "unnamed") for file in raw.get("files") or []],
            edited="edited" in raw,
        )

    def result(self) -> tuple[list[Message], list[Skipped]]:
        """Return the messages in order of time, and what was left out."""
        found = sorted(self.messages.values(), key=lambda message: (message.sent_at, message.id))
        skipped = [
            Skipped(what=counted(count, "Slack message"), why=reason)
            for reason, count in sorted(self.left_out.items())
        ]
        outside = self.window.left_out(self.before, self.after, "Slack message")
        return found, skipped + [Skipped(what=what, why=why) for what, why in outside]


def plain_text(text: str, directory: Directory) -> tuple[str, list[str], bool]:
    """Replace Slack's markup by names; return also whom it mentions, and whether it calls everyone."""
    mentioned: list[str] = []
    to_everyone = False

    def replace(found: re.Match[str]) -> str:
        nonlocal to_everyone
        sign, target, label = found.group(1), found.group(2), found.group(3) or ""
        if sign == "@":
            mentioned.append(target)
            return f"@{directory.person(target).name or label or target}"
        if sign == "#":
            return f"#{label or directory.channels.get(target, target)}"
        if sign == "!":
            to_everyone = to_everyone or target in ("here", "channel", "everyone")
            return label or f"@{target.split('^')[0]}"
        address = target.removeprefix("mailto:")
        return f"{label} ({address})" if label and label != address else address

    return html.unescape(MARKUP.sub(replace, text)).strip(), mentioned, to_everyone


def _text_of(raw: Raw) -> str:
    if text := str(raw.get("text") or ""):
        return text
    return "\n".join(
        str(one.get("text") or one.get("fallback") or "") for one in raw.get("attachments") or []
    )


def _key(channel_id: str, ts: str) -> str:
    return f"slack:{channel_id}:{ts}"


def _moment(ts: Any) -> datetime | None:
    try:
        return datetime.fromtimestamp(float(ts), UTC)
    except (TypeError, ValueError, OverflowError, OSError):
        return None
