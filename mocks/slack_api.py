"""Slack's Web API on loopback, enough for `slack_sdk.WebClient(base_url=server.base_url)`.

It serves what an export folder holds: `auth.test`, `users.list`,
`conversations.list`, `conversations.history` and `conversations.replies`, with
cursors. `too_many_first` answers that many calls with 429 and Retry-After.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

TOKEN = "xoxp-stand-in"  # noqa: S105  # it opens nothing
OWNER = "U01ANA"
Answer = dict[str, Any]


class SlackServer:
    """Serves one workspace until the `with` block ends."""

    def __init__(
        self, export: Path, *, page_size: int = 5, too_many_first: int = 0, owner: str = OWNER
    ) -> None:
        self.users = json.loads((export / "users.json").read_text("utf-8"))
        self.channels = [
            {**one, "is_member": True} for one in json.loads((export / "channels.json").read_text("utf-8"))
        ]
        self.messages: dict[str, list[Answer]] = {}
        for channel in self.channels:
            self.messages[channel["id"]] = _messages_of(export / channel["name"])
        for direct in json.loads((export / "dms.json").read_text("utf-8")):
            other = next(member for member in direct["members"] if member != owner)
            # As Slack says it: an im names only the other side.
            self.channels.append({"id": direct["id"], "is_im": True, "user": other})
            self.messages[direct["id"]] = _messages_of(export / direct["id"])
        self.page_size, self.too_many_left, self.owner = page_size, too_many_first, owner
        self.calls: list[str] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self.base_url = f"http://127.0.0.1:{self._server.server_address[1]}/api/"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, params: Mapping[str, str], token: str) -> Answer:
        """Return what Slack would."""
        if token != TOKEN:
            return {"ok": False, "error": "invalid_auth"}
        if method == "auth.test":
            return {"ok": True, "url": "https://example.slack.com/", "user_id": self.owner}
        if method == "users.list":
            return self._page("members", self.users, params)
        if method == "conversations.list":
            return self._page("channels", self.channels, params)
        if method not in ("conversations.history", "conversations.replies"):
            return {"ok": False, "error": "unknown_method"}
        messages = self.messages.get(params.get("channel", ""))
        if messages is None:
            return {"ok": False, "error": "channel_not_found"}
        if method == "conversations.replies":
            thread = [one for one in messages if params["ts"] in (one["ts"], one.get("thread_ts"))]
            return self._page("messages", thread, params)
        oldest, latest = float(params.get("oldest", 0)), float(params.get("latest", "inf"))
        shown = [one for one in messages if one.get("thread_ts", one["ts"]) == one["ts"]]
        inside = [self._with_count(one, messages) for one in shown if oldest <= float(one["ts"]) <= latest]
        return self._page("messages", inside[::-1], params)

    @staticmethod
    def _with_count(message: Answer, messages: list[Answer]) -> Answer:
        count = sum(1 for one in messages if one.get("thread_ts") == message["ts"])
        return {**message, "thread_ts": message["ts"], "reply_count": count} if count else message

    def _page(self, key: str, items: list[Answer], params: Mapping[str, str]) -> Answer:
        first = int(params.get("cursor") or 0)
        last = first + self.page_size
        cursor = str(last) if last < len(items) else ""
        return {"ok": True, key: items[first:last], "response_metadata": {"next_cursor": cursor}}


def _messages_of(folder: Path) -> list[Answer]:
    files = sorted(folder.glob("*.json"))
    return [message for file in files for message in json.loads(file.read_text("utf-8"))]


def _handler(workspace: SlackServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._serve(urlsplit(self.path).query)

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(length).decode("utf-8", "replace")
            self._serve(f"{urlsplit(self.path).query}&{body}")

        def _serve(self, query: str) -> None:
            method = urlsplit(self.path).path.rpartition("/")[2]
            workspace.calls.append(method)
            if workspace.too_many_left > 0:
                workspace.too_many_left -= 1
                self._send(429, {"ok": False, "error": "ratelimited"})
                return
            params = {key: values[-1] for key, values in parse_qs(query).items()}
            token = (self.headers.get("Authorization") or "").removeprefix("Bearer ")
            self._send(200, workspace.answer(method, params, token))

        def _send(self, status: int, answer: Answer) -> None:
            content = json.dumps(answer).encode()
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the base class's name
            """Say nothing: tests read the terminal."""

    return Handler
