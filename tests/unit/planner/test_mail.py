"""Mail in its odd forms: files, folders, servers."""

from __future__ import annotations

import mailbox
from datetime import UTC, datetime

import pytest

from mocks.imap_server import ImapServer
from tests.unit.planner.support import DAY, SAMPLE, ZONE
from workflows.daily_task_planner.mail import collect_email, read_files
from workflows.daily_task_planner.mail_message import read_mail
from workflows.daily_task_planner.mail_text import html_to_text, own_words

WHEN = datetime(2026, 11, 20, tzinfo=UTC)
HEAD = (
    b"From: Ben <ben@example.com>\nTo: ana@example.com\nSubject: x\nMessage-ID: <x@example.com>\n"
    b"Date: Thu, 19 Nov 2026 10:00:00 +0100\n"
)


def read(*lines: bytes):
    return read_mail(b"\n".join(lines), unknown_date=WHEN)


@pytest.mark.parametrize(
    ("header", "text"),
    [
        (b"=?utf-8?B?WmRqxJljaWE=?= / photos", "Zdjęcia / photos"),
        (b"=?iso-8859-1?Q?R=FCckfragen?=", "Rückfragen"),
        (b"R\xfcckfragen, raw", "Rückfragen, raw"),
        ("Rückfragen, raw".encode(), "Rückfragen, raw"),
        (b"=?utf-8?B?broken", "=?utf-8?B?broken"),
        (b"=?x-unknown?Q?a=FFb?=", None),
    ],
)
def test_subjects_are_decoded_or_at_least_kept(header, text):
    """RFC 2047 is as often broken as followed; a checkpoint takes no surrogates."""
    subject = read(HEAD.replace(b"Subject: x", b"Subject: " + header), b"hello").subject

    subject.encode("utf-8")
    assert subject == text or text is None


@pytest.mark.parametrize(
    ("headers", "body", "text", "note"),
    [
        (
            b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable",
            b"gr=C3=BCn",
            "grün",
            "",
        ),
        (
            b"Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64",
            b"Z3LDvG4=",
            "grün",
            "",
        ),
        (b"Content-Type: text/plain; charset=iso-8859-1", b"gr\xfcn", "grün", ""),
        (b"Content-Type: text/plain; charset=klingon", b"gr\xfcn", "grün", "charset (klingon) is wrong"),
        (b"Content-Type: text/plain; charset=utf-8", b"gr\xfcn", "grün", "charset (utf-8) is wrong"),
        (b"Content-Type: text/html", b"<p>one</p><style>x{}</style><p>two</p>", "one\n\ntwo", ""),
        (b"Content-Type: application/pdf", b"%PDF", "", "it has no text"),
    ],
)
def test_bodies_are_read_in_any_charset_and_encoding(headers, body, text, note):
    """A wrong charset is said, not fatal."""
    message = read(HEAD + headers, b"", body)

    assert message.text == text
    assert note in message.note if note else message.note == ""


def test_a_mail_cut_in_half_is_kept_with_a_note():
    """Lost mail is the one thing nobody forgives."""
    message = read(
        b"From: scanner@example.com",
        b"Date: yesterday",
        b"Content-Type: multipart/mixed; boundary=b",
        b"",
        b"--b",
        b"",
        b"Please sign.",
    )

    assert message.text == "Please sign."
    assert message.sent_at == WHEN
    assert "no readable date" in message.note
    assert "no message id" in message.note
    assert (
        message.id
        == read_mail(
            b"From: scanner@example.com\nDate: yesterday\n"
            b"Content-Type: multipart/mixed; boundary=b\n\n--b\n\nPlease sign.",
            unknown_date=WHEN,
        ).id
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\n",
        b"\xff\xfe\x00",
        b"From: <\nTo: ,,,;:\n\nhi",
        b"From: a@[\nDate: 1\n\n",
        b"Content-Type: multipart/\n\nx",
    ],
)
def test_rubbish_never_raises(raw):
    """One broken mail must not cost the other thousand."""
    message = read_mail(raw, unknown_date=WHEN)

    assert message.note
    message.model_dump_json()


def test_a_thread_is_its_first_mail():
    first = read(HEAD, b"a")
    answer = read(HEAD.replace(b"<x@", b"<y@") + b"In-Reply-To: <x@example.com>", b"", b"b")
    third = read(HEAD.replace(b"<x@", b"<z@") + b"References: <x@example.com> <y@example.com>", b"", b"c")

    assert first.thread == answer.thread == third.thread == "mail:x@example.com"


def test_attachments_are_named_and_not_read():
    message = read(
        HEAD + b'Content-Type: multipart/mixed; boundary="b"',
        b"",
        b"--b",
        b"Content-Type: text/plain",
        b"",
        b"see attached",
        b"--b",
        b"Content-Type: application/pdf",
        b"Content-Disposition: attachment; filename*=utf-8''Zdj%C4%99cie.pdf",
        b"",
        b"PDF",
        b"--b--",
    )

    assert message.attachments == ["Zdjęcie.pdf"]
    assert message.text == "see attached"


@pytest.mark.parametrize(
    ("header", "why"),
    [
        (b"List-Id: <a.example.org>", "newsletter or mailing list"),
        (b"Auto-Submitted: auto-replied (vacation)", "automatic reply"),
        (b"Auto-Submitted: auto-generated", "sent by a machine"),
        (b"Precedence: bulk", "bulk mail (Precedence: bulk)"),
        (b"Auto-Submitted: no", ""),
        (b"X-Mailer: pine", ""),
    ],
)
def test_machines_are_recognised(header, why):
    assert read(HEAD + header, b"", b"hello").automatic == why


def test_a_name_with_a_comma_is_one_person():
    message = read(
        HEAD.replace(
            b"ana@example.com", b'"Weber, Ana" <ana@example.com>, =?utf-8?Q?Gro=C3=9F=2C_J?= <j@example.com>'
        ),
        b"",
        b"x",
    )

    assert [(one.name, one.address) for one in message.recipients] == [
        ("Weber, Ana", "ana@example.com"),
        ("Groß, J", "j@example.com"),
    ]


def test_only_what_this_person_wrote_counts():
    """A quoted request was asked before, of whoever was asked then."""
    text = (
        "Done.\n\nOn Tue, 17 Nov 2026 at 08:12, Petra Lindqvist\n<petra@example.com> wrote:\n"
        "> please send it\nplease send it too"
    )

    assert own_words(text) == "Done."
    assert own_words("Sure\n> please send it\nmore") == "Sure\nmore"
    assert own_words("Yes\n-- \nBen\nplease recycle") == "Yes"
    assert html_to_text('<div>ok</div><div class="gmail_quote">please send</div>') == "ok"
    assert html_to_text("<p>a<br>b</p><ul><li>c</li></ul>") == "a\nb\n\nc"


def test_a_maildir_gives_the_same_mails(tmp_path, ctx):
    box = mailbox.Maildir(tmp_path / "Mail", create=True)
    for raw in read_files(SAMPLE / "inbox.mbox"):
        box.add(raw)

    found = collect_email(str(tmp_path / "Mail"), DAY, ZONE, ctx)

    assert found == collect_email("sample/inbox.mbox", DAY, ZONE, ctx)
    assert len(found["messages"]) == 42


def test_an_imap_server_gives_the_same_mails_and_stays_untouched(ctx):
    mails = list(read_files(SAMPLE / "inbox.mbox"))
    with ImapServer(mails) as server:
        settings = {
            "host": server.host,
            "port": server.port,
            "user": "ana",
            "password": "secret",
            "tls": False,
        }
        found = collect_email("", DAY, ZONE, ctx, imap=settings)

    ids = {message.id for message in collect_email("sample/inbox.mbox", DAY, ZONE, ctx)["messages"]}
    # A mail without an id is named by its bytes, and those have other line ends on the wire.
    assert {one.id for one in found["messages"] if "no-message-id" not in one.id} == {
        one for one in ids if "no-message-id" not in one
    }
    assert len(found["messages"]) == 42
    assert any(command.startswith("EXAMINE") for command in server.commands)
    assert not any("STORE" in command or "BODY[]" in command for command in server.commands)


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"password": "wrong"}, ValueError, "refused: .*wrong user or password"),
        ({"folder": "Nope"}, ValueError, "no such folder"),
        ({"port": 1}, ConnectionError, "IMAP server 127.0.0.1"),
        ({"password": ""}, ValueError, r"missing \['password'\]"),
        ({"passwort": "x"}, ValueError, r"unknown \['passwort'\]"),
    ],
)
def test_an_imap_mistake_says_what_is_wrong(ctx, change, error, words):
    """What another try may mend is a ConnectionError; the rest is not retried."""
    with ImapServer([]) as server:
        settings = {
            "host": server.host,
            "port": server.port,
            "user": "ana",
            "password": "secret",
            "tls": False,
        }
        with pytest.raises(error, match=words):
            collect_email("", DAY, ZONE, ctx, imap={**settings, **change})


def test_a_server_that_breaks_off_is_a_connection_error(ctx):
    with ImapServer(list(read_files(SAMPLE / "inbox.mbox")), drop_after=3) as server:
        settings = {
            "host": server.host,
            "port": server.port,
            "user": "ana",
            "password": "secret",
            "tls": False,
        }
        with pytest.raises(ConnectionError, match="broke off"):
            collect_email("", DAY, ZONE, ctx, imap=settings)


@pytest.mark.parametrize(
    ("mail", "error", "words"),
    [
        ("nowhere.mbox", FileNotFoundError, "Input 'mail': there is no 'nowhere.mbox'"),
        ("", ValueError, "Input 'mail' is empty"),
        (str(SAMPLE / "calendar.ics"), ValueError, "is no mbox file"),
        (str(SAMPLE), ValueError, "no Maildir"),
    ],
)
def test_a_wrong_path_names_the_input(ctx, mail, error, words):
    with pytest.raises(error, match=words):
        collect_email(mail, DAY, ZONE, ctx)


def test_mails_of_another_time_are_counted_with_a_hint(ctx):
    found = collect_email("sample/inbox.mbox", "2026-11-10", ZONE, ctx)

    whys = {one.why: one.what for one in found["skipped"]}
    assert whys["sent after 2026-11-10; to plan another day: --input day=YYYY-MM-DD"].endswith(" mails")
    assert "older than 14 days before 2026-11-10" in " ".join(whys)


def test_an_empty_mailbox_is_no_mistake(tmp_path, ctx):
    (tmp_path / "empty.mbox").touch()

    found = collect_email(str(tmp_path / "empty.mbox"), DAY, ZONE, ctx)

    assert found == {"messages": [], "skipped": []}
