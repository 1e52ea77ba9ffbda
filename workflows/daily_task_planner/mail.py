"""The node `email_collector`: an mbox file, a Maildir folder or an IMAP mailbox → messages."""

from __future__ import annotations

import mailbox
import re
from collections.abc import Iterator, Mapping
from datetime import date, timedelta
from email.parser import BytesHeaderParser
from email.policy import default as mail_policy
from pathlib import Path
from typing import Any

from mocks.effects import Context, record
from workflows.daily_task_planner.imap import fetch_imap
from workflows.daily_task_planner.mail_message import read_mail, sent_at
from workflows.daily_task_planner.models import Message, Skipped
from workflows.daily_task_planner.paths import find_input
from workflows.daily_task_planner.window import Window


def collect_email(
    mail: str,
    day: date | str,
    timezone: str,
    ctx: Context,
    lookback_days: int = 14,
    imap: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Read the mails that count for the day.

    Args:
        mail: An mbox file or a Maildir folder; not looked at when `imap` is given.
        day: The day to plan.
        timezone: Says where the day begins and ends.
        ctx: Of this node.
        lookback_days: Older mails are counted, not read.
        imap: `host`, `user`, `password`, and if need be `port`, `folder`, `tls`.
    """
    window = Window.of(day, timezone, lookback_days)
    raw_mails = fetch_imap(imap, window) if imap else read_files(find_input("mail", mail))
    messages: list[Message] = []
    before = after = 0
    for raw in raw_mails:
        # The headers alone are quick to read; most of a large mailbox is too old to matter.
        headers = BytesHeaderParser(policy=mail_policy).parsebytes(raw)
        moment = sent_at(headers)
        if moment is not None and moment < window.start:
            before += 1
        elif moment is not None and moment >= window.end:
            after += 1
        else:
            # A mail without a date is treated as the newest: better seen twice than never.
            messages.append(read_mail(raw, unknown_date=window.end - timedelta(minutes=1)))
    messages.sort(key=lambda message: (message.sent_at, message.id))
    skipped = [Skipped(what=what, why=why) for what, why in window.left_out(before, after, "mail")]
    ctx.progress(f"{len(messages)} mails")
    record(ctx)
    return {"messages": messages, "skipped": skipped}


def read_files(path: Path) -> Iterator[bytes]:
    """Yield each mail's bytes from an mbox file or a Maildir folder; nothing is changed there.

    Raises:
        ValueError: It is neither.
    """
    if path.is_dir():
        if not (path / "cur").is_dir() or not (path / "new").is_dir():
            raise ValueError(f"Input 'mail': {path} is a folder but no Maildir (it has no cur/ and new/)")
        for folder in ("cur", "new"):
            for file in sorted((path / folder).iterdir()):
                if file.is_file() and not file.name.startswith("."):
                    yield file.read_bytes()
        return
    with path.open("rb") as stream:
        start = stream.read(5)
    if start and start != b"From ":
        raise ValueError(f"Input 'mail': {path} is no mbox file (it does not begin with 'From ')")
    box = mailbox.mbox(path, create=False)
    try:
        for key in box.iterkeys():
            # mbox writes a line that begins with "From " as ">From ".
            yield re.sub(rb"(?m)^>(>*From )", rb"\1", box.get_bytes(key))
    finally:
        box.close()
