"""Mails from an IMAP server, read-only."""

from __future__ import annotations

import imaplib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from workflows.daily_task_planner.window import Window

SETTINGS = {"host", "user", "password", "port", "folder", "tls", "timeout_seconds"}
BATCH = 50
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def fetch_imap(settings: Mapping[str, Any], window: Window) -> Iterator[bytes]:
    """Yield each mail that the server received since the window's start.

    The mailbox is opened read-only and bodies are peeked at, so nothing becomes "seen".

    Raises:
        ValueError: A setting is missing or unknown, or the server refuses user, password or folder.
        ConnectionError: The server cannot be reached or breaks off; worth another try.
    """
    missing = [name for name in ("host", "user", "password") if not settings.get(name)]
    unknown = sorted(set(settings) - SETTINGS)
    if missing or unknown:
        raise ValueError(f"imap: missing {missing}, unknown {unknown}; it takes {sorted(SETTINGS)}")
    try:
        connection = _connect(settings)
    except OSError as error:
        raise ConnectionError(f"IMAP server {settings['host']}: {error}") from error
    try:
        yield from _fetch_all(connection, settings, window)
    except imaplib.IMAP4.abort as error:
        raise ConnectionError(f"IMAP server {settings['host']} broke off: {error}") from error
    except imaplib.IMAP4.error as error:
        raise ValueError(f"IMAP server {settings['host']} refused: {error}") from error
    finally:
        try:
            connection.logout()
        except (OSError, imaplib.IMAP4.error):
            # It is gone already; what is left of it is our end of the socket.
            connection.shutdown()


def _connect(settings: Mapping[str, Any]) -> imaplib.IMAP4:
    timeout = float(settings.get("timeout_seconds", 20))
    if settings.get("tls", True):
        return imaplib.IMAP4_SSL(settings["host"], int(settings.get("port", 993)), timeout=timeout)
    return imaplib.IMAP4(settings["host"], int(settings.get("port", 143)), timeout=timeout)


def _fetch_all(connection: imaplib.IMAP4, settings: Mapping[str, Any], window: Window) -> Iterator[bytes]:
    connection.login(str(settings["user"]), str(settings["password"]))
    folder = str(settings.get("folder", "INBOX")).replace("\\", "\\\\").replace('"', '\\"')
    status, answer = connection.select(f'"{folder}"', readonly=True)
    if status != "OK":
        raise imaplib.IMAP4.error(f"folder {folder!r}: {answer!r}")
    # The server compares days in its own time zone, so ask for one more.
    start = window.start - timedelta(days=1)
    since = f"{start.day:02}-{MONTHS[start.month - 1]}-{start.year}"
    _, found = connection.uid("SEARCH", "SINCE", since)
    uids = (found[0] or b"").split()
    for first in range(0, len(uids), BATCH):
        wanted = b",".join(uids[first : first + BATCH]).decode()
        _, parts = connection.uid("FETCH", wanted, "(BODY.PEEK[])")
        for part in parts:
            if isinstance(part, tuple):
                yield part[1]
