"""A wire between a process and PostgreSQL that breaks at a chosen request.

psycopg sends what belongs together in one write, so a write is a request. The
wire counts them over all connections of the process; at the chosen one it acts,
either before the server has seen it or after the server has answered, with the
answer withheld. The second is the case that databases call an unknown commit.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from psycopg.conninfo import conninfo_to_dict

CHUNK = 1 << 20


class When(StrEnum):
    """On which side of the server's work the wire breaks."""

    BEFORE = "before"
    AFTER = "after"


class Wire:
    """A socket that stands before a server's; `url` leads through it."""

    def __init__(
        self,
        folder: Path,
        url: str,
        *,
        at: int = 0,
        when: When = When.BEFORE,
        act: Callable[[], None] | None = None,
    ) -> None:
        """Listen.

        Args:
            folder: Of the socket; short, since a socket's path may not be long.
            url: Of the real server; over a Unix socket.
            at: The request at which the wire breaks, counted from 1; 0 for never.
            when: Before the server has seen it, or after it has answered.
            act: Done first, for instance a kill; then that connection is cut.
        """
        facts = conninfo_to_dict(url)
        self._server = f"{facts['host']}/.s.PGSQL.{facts.get('port') or 5432}"
        self.url = _with_host(url, str(facts["host"]), str(folder))
        self._at, self._when, self._act = at, when, act
        self._lock = threading.Lock()
        self.requests = 0
        self.broke = threading.Event()
        self._ends: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Cut every connection and listen no more."""
        for end in [self._listener, *self._ends]:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            try:
                server.connect(self._server)
            except OSError:
                client.close()
                server.close()
                continue
            self._ends += [client, server]
            withheld = threading.Event()
            threading.Thread(target=self._ask, args=(client, server, withheld), daemon=True).start()
            threading.Thread(target=self._answer, args=(client, server, withheld), daemon=True).start()

    def _ask(self, client: socket.socket, server: socket.socket, withheld: threading.Event) -> None:
        with suppress(OSError):
            while request := client.recv(CHUNK):
                with self._lock:
                    self.requests += 1
                    mine = self.requests == self._at
                if mine and self._when is When.BEFORE:
                    self._break(client, server)
                    return
                if mine:
                    # From here on nothing that the server says gets through.
                    withheld.set()
                server.sendall(request)
        _hang_up(client, server)

    def _answer(self, client: socket.socket, server: socket.socket, withheld: threading.Event) -> None:
        with suppress(OSError):
            while answer := server.recv(CHUNK):
                if withheld.is_set():
                    self._break(client, server)
                    return
                client.sendall(answer)
        if withheld.is_set():
            # A goodbye has no answer but the end of the connection.
            self._break(client, server)
        _hang_up(client, server)

    def _break(self, client: socket.socket, server: socket.socket) -> None:
        if self._act is not None:
            self._act()
        _hang_up(client, server)
        self.broke.set()


def _with_host(url: str, old: str, new: str) -> str:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    assert query["host"] == old, "the server's socket stands in the query of its address"
    return urlunsplit(parts._replace(query=urlencode({**query, "host": new})))


def _hang_up(*ends: socket.socket) -> None:
    for end in ends:
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
