r"""An IMAP server on loopback with one mailbox, enough for `imaplib`.

    with ImapServer([b"From: a@example.com\r\n\r\nhello"], password="secret") as server:
        imaplib.IMAP4(server.host, server.port).login("ana", "secret")

It speaks CAPABILITY, LOGIN, SELECT, EXAMINE, (UID) SEARCH, (UID) FETCH of whole
mails, NOOP and LOGOUT. SEARCH knows ALL, SINCE and BEFORE, by the Date header.
"""

from __future__ import annotations

import re
import socketserver
import threading
from collections.abc import Sequence
from datetime import date
from email import message_from_bytes
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Self

FIRST_UID = 101
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class ImapServer:
    """Serves mails until the `with` block ends; `drop_after` breaks off after so many fetched mails."""

    def __init__(
        self,
        mails: Sequence[bytes],
        *,
        user: str = "ana",
        password: str = "secret",  # noqa: S107  # it opens nothing
        drop_after: int | None = None,
    ) -> None:
        self.mails = [mail.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") for mail in mails]
        self.user, self.password, self.drop_after = user, password, drop_after
        self.commands: list[str] = []
        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.host, self.port = "127.0.0.1", int(self._server.server_address[1])

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()


def _handler(mailbox: ImapServer) -> type[socketserver.StreamRequestHandler]:
    class Handler(_Conversation):
        box = mailbox

    return Handler


class _Conversation(socketserver.StreamRequestHandler):
    box: ImapServer

    def handle(self) -> None:
        self._say("* OK stand-in IMAP server ready")
        while line := self.rfile.readline():
            tag, _, rest = line.decode("utf-8", "replace").strip().partition(" ")
            self.box.commands.append(re.sub(r"(?i)^(login \S+) .*", r"\1 ***", rest))
            words = rest.split(" ", 1)
            command, arguments = words[0].upper(), words[1] if len(words) > 1 else ""
            if command == "UID":
                command, _, arguments = arguments.partition(" ")
                command = f"UID {command.upper()}"
            if not self._answer(tag, command, arguments):
                return

    def _answer(self, tag: str, command: str, arguments: str) -> bool:
        """Answer one command; False ends the conversation."""
        if command.endswith("FETCH"):
            if not self._fetch(command, arguments):
                return False
            problem = ""
        else:
            problem = self._simple(command, arguments)
        self._say(f"{tag} {problem or f'OK {command} done'}")
        return command != "LOGOUT"

    def _simple(self, command: str, arguments: str) -> str:
        """Answer all but FETCH; return what is wrong with it, or an empty text."""
        words = [word.strip('"') for word in arguments.split(" ", 1)]
        if command == "CAPABILITY":
            self._say("* CAPABILITY IMAP4rev1")
        elif command == "LOGIN":
            return "" if words == [self.box.user, self.box.password] else "NO wrong user or password"
        elif command in ("SELECT", "EXAMINE"):
            if words[0].upper() != "INBOX":
                return "NO [NONEXISTENT] there is no such folder"
            self._say(f"* {len(self.box.mails)} EXISTS")
        elif command.endswith("SEARCH"):
            found = (str(number + self._offset(command)) for number in self._search(arguments))
            self._say(" ".join(["* SEARCH", *found]))
        elif command == "LOGOUT":
            self._say("* BYE")
        elif command != "NOOP":
            return f"BAD the stand-in does not know {command}"
        return ""

    def _search(self, criteria: str) -> list[int]:
        since = _day_after("SINCE", criteria, date.min)
        before = _day_after("BEFORE", criteria, date.max)
        return [n for n, mail in enumerate(self.box.mails, 1) if since <= _sent_on(mail, since) < before]

    def _fetch(self, command: str, arguments: str) -> bool:
        numbers = [
            int(number) - self._offset(command) for number in arguments.split(" ", maxsplit=1)[0].split(",")
        ]
        for count, number in enumerate(numbers):
            if self.box.drop_after is not None and count >= self.box.drop_after:
                return False
            mail = self.box.mails[number - 1]
            head = f"* {number} FETCH (UID {number + FIRST_UID - 1} BODY[] {{{len(mail)}}}\r\n"
            self.wfile.write(head.encode() + mail + b")\r\n")
        return True

    @staticmethod
    def _offset(command: str) -> int:
        return FIRST_UID - 1 if command.startswith("UID") else 0

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def _day_after(word: str, criteria: str, default: date) -> date:
    found = re.search(rf'{word} "?(\d{{1,2}})-(\w{{3}})-(\d{{4}})', criteria)
    if found is None:
        return default
    month = MONTHS.index(found.group(2).lower()) + 1
    return date(int(found.group(3)), month, int(found.group(1)))


def _sent_on(mail: bytes, default: date) -> date:
    try:
        return parsedate_to_datetime(str(message_from_bytes(mail)["Date"])).date()
    except ValueError:
        return default
