"""One mail's bytes → `Message`. Broken mails are kept, with a note that says what is wrong."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime
from typing import cast
from urllib.parse import quote

from workflows.daily_task_planner.mail_text import BROKEN, body_of, own_words
from workflows.daily_task_planner.models import Message, Person, Source

MESSAGE_ID = re.compile(r"<([^<>\s]+)>")


def sent_at(headers: EmailMessage) -> datetime | None:
    """Return when the mail was sent, else when the last server received it, else None."""
    received = header(headers, "Received").rpartition(";")[2]
    for text in (header(headers, "Date"), received.strip()):
        try:
            moment = parsedate_to_datetime(text)
        except BROKEN:
            continue
        # "-0000" means UTC without saying where.
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return None


def read_mail(raw: bytes, *, unknown_date: datetime) -> Message:
    """Reduce one mail to a `Message`.

    `unknown_date` stands in for a date that is missing or broken.
    """
    mail = message_from_bytes(raw, policy=policy.default)
    notes: list[str] = []
    date = sent_at(mail)
    if date is None:
        notes.append("it has no readable date")
    body, note = body_of(mail)
    if note:
        notes.append(note)
    if mail.defects:
        notes.append(
            "it breaks the rules of mail: " + ", ".join(sorted({type(d).__name__ for d in mail.defects}))
        )
    message_id = first_id(header(mail, "Message-ID"))
    if not message_id:
        message_id = f"{hashlib.sha256(raw).hexdigest()[:24]}@no-message-id"
        notes.append("it has no message id")
    senders = people(mail, "From") or people(mail, "Sender") or [Person(name="unknown sender")]
    return Message(
        id=f"mail:{message_id}",
        source=Source.EMAIL,
        sender=senders[0],
        sent_at=date or unknown_date,
        subject=header(mail, "Subject"),
        text=own_words(body),
        recipients=people(mail, "To"),
        copies=people(mail, "Cc"),
        thread=thread_of(mail, message_id),
        link=f"mid:{quote(message_id, safe='@.-_')}",
        attachments=attachment_names(mail),
        automatic=why_automatic(mail, senders[0]),
        note="; ".join(notes),
    )


def header(mail: EmailMessage, name: str) -> str:
    """Return a header's text, decoded (RFC 2047), on one line; empty when it is missing or hopeless."""
    try:
        value = mail.get(name)
        if value is not None and "\N{REPLACEMENT CHARACTER}" in str(value):
            value = _raw_header(mail, name)
    except BROKEN:
        # The standard library gives up on some headers; their raw text is better than nothing.
        value = _raw_header(mail, name)
    return " ".join(_clean(str(value or "")).split())


def _raw_header(mail: EmailMessage, name: str) -> str:
    return next((str(text) for key, text in mail.raw_items() if key.lower() == name.lower()), "")


def _clean(text: str) -> str:
    # Raw bytes in a header come as surrogates, which nothing could store.
    raw = text.encode("utf-8", "surrogateescape")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def people(mail: EmailMessage, name: str) -> list[Person]:
    """Return who stands in an address header."""
    try:
        # Parsed before it is decoded: a comma inside an encoded name separates nothing.
        parsed = getattr(mail.get(name), "addresses", ())
        pairs = [(address.display_name, address.addr_spec) for address in parsed]
    except BROKEN:
        pairs = getaddresses([header(mail, name)])
    known = [(_clean(label).strip(), _clean(address).strip().lower()) for label, address in pairs]
    return [
        Person(name=label, address=address) for label, address in known if label or address not in ("", "<>")
    ]


def first_id(text: str) -> str:
    """Return the first `<message id>` of a header without its brackets, or an empty text."""
    found = MESSAGE_ID.search(text)
    return found.group(1) if found else ""


def thread_of(mail: EmailMessage, message_id: str) -> str:
    """Return the thread's first message id: the oldest reference, else what is answered, else itself."""
    for name in ("References", "In-Reply-To"):
        if known := first_id(header(mail, name)):
            return f"mail:{known}"
    return f"mail:{message_id}"


def attachment_names(mail: EmailMessage) -> list[str]:
    """Return the names of the attachments; their contents are never read."""
    try:
        return [_clean(part.get_filename() or "unnamed") for part in _attachments(mail)]
    except BROKEN:
        return []


def _attachments(mail: EmailMessage) -> Iterable[EmailMessage]:
    return cast("Iterable[EmailMessage]", mail.iter_attachments()) if mail.is_multipart() else ()


def why_automatic(mail: EmailMessage, sender: Person) -> str:
    """Say which kind of machine sent this, or return an empty text for a person."""
    submitted = header(mail, "Auto-Submitted").lower()
    precedence = header(mail, "Precedence").lower()
    if header(mail, "List-Id") or header(mail, "List-Unsubscribe"):
        return "newsletter or mailing list"
    if submitted.startswith("auto-replied") or header(mail, "X-Autoreply"):
        return "automatic reply"
    if submitted not in ("", "no"):
        return "sent by a machine"
    if precedence in ("bulk", "list", "junk", "auto_reply"):
        return f"bulk mail (Precedence: {precedence})"
    if re.match(r"(no-?reply|do-?not-?reply|mailer-daemon|postmaster|bounce)", sender.address):
        return f"sent by {sender.address}"
    return ""
