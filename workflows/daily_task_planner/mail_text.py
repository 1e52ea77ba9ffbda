"""The words of a mail: body, charset, HTML, without quotes and signature."""

from __future__ import annotations

import re
from email.message import EmailMessage, MIMEPart

from bs4 import BeautifulSoup
from bs4.element import Tag

BLOCKS = ["p", "div", "li", "tr", "table", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "pre"]
NOT_SHOWN = ["script", "style", "head", "title", "template", "blockquote"]
QUOTE_INTRO = re.compile(
    r"^(on .{0,200}\bwrote:|am .{0,200}\bschrieb .{0,200}:|le .{0,200} a écrit\s?:"
    r"|-{2,}\s*(original message|forwarded message|ursprüngliche nachricht)\s*-{2,}|_{20,})$",
    re.IGNORECASE,
)
SIGN_OFF = re.compile(
    r"^(best|best regards|kind regards|regards|cheers|thanks|thank you|many thanks|all the best|"
    r"viele grüße|mit freundlichen grüßen)[,.!]?$",
    re.IGNORECASE,
)
MAX_CHARACTERS = 20_000
# What the standard library's mail parser raises on headers and bodies that break the rules.
BROKEN = (ValueError, LookupError, AttributeError, TypeError)


def body_of(mail: EmailMessage) -> tuple[str, str]:
    """Return the body as text, and a note when it had to be guessed or is missing."""
    try:
        part = mail.get_body(("plain", "html"))
    except BROKEN:
        return "", "its parts cannot be told apart"
    if part is None:
        return "", "" if mail.is_multipart() else "it has no text"
    text, note = _decoded(part)
    if part.get_content_type() == "text/html":
        return html_to_text(text), note
    if not text.strip():
        html = mail.get_body(("html",))
        if html is not None:
            text, note = _decoded(html)
            return html_to_text(text), note
    return text, note


def _decoded(part: MIMEPart) -> tuple[str, str]:
    try:
        content = part.get_content()
        if isinstance(content, str) and "\N{REPLACEMENT CHARACTER}" not in content:
            return content, ""
    except BROKEN:
        pass
    raw = part.get_payload(decode=True)
    if not isinstance(raw, bytes):
        return str(part.get_payload()), "its encoding is broken"
    charset = part.get_content_charset() or "none"
    # Nobody writes bytes that happen to be valid UTF-8; else it is the Windows charset.
    try:
        return raw.decode("utf-8"), f"its charset ({charset}) is wrong; read as UTF-8"
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace"), f"its charset ({charset}) is wrong; read as Windows-1252"


def html_to_text(html: str) -> str:
    """Return what a reader of the HTML would see, one line per block, quoted replies left out."""
    soup = BeautifulSoup(html, "html.parser")
    for tag in soup.find_all(_is_unseen):
        tag.decompose()
    for tag in soup.find_all("br"):
        tag.replace_with("\n")
    for tag in soup.find_all(BLOCKS):
        tag.insert_before("\n")
        tag.insert_after("\n")
    lines = (re.sub(r"[^\S\n]+", " ", line).strip() for line in soup.get_text().split("\n"))
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def _is_unseen(tag: Tag) -> bool:
    style = str(tag.get("style") or "").replace(" ", "").lower()
    classes = str(tag.get("class") or "")
    return tag.name in NOT_SHOWN or "display:none" in style or "gmail_quote" in classes


def own_words(text: str) -> str:
    """Return what this person wrote: no quoted lines, nothing after a signature or a forwarded head."""
    kept: list[str] = []
    lines = text[:MAX_CHARACTERS].replace("\r\n", "\n").split("\n")
    for number, line in enumerate(lines):
        bare = line.strip()
        # An introduction is often wrapped over two lines.
        following = lines[number + 1].strip() if number + 1 < len(lines) else ""
        if line.rstrip("\r") in ("-- ", "--") or QUOTE_INTRO.match(bare):
            break
        if bare.lower().startswith("on ") and QUOTE_INTRO.match(f"{bare} {following}"):
            break
        if SIGN_OFF.match(bare) and len([rest for rest in lines[number + 1 :] if rest.strip()]) <= 4:
            break
        if not bare.startswith(">"):
            kept.append(line.rstrip())
    return "\n".join(kept).strip()
