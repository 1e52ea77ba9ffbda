"""Text → sentences."""

from __future__ import annotations

import re

BULLET = re.compile(r"^\s*(?:[-*•\u2013]|\d{1,2}[.)])\s+")
MARKER = re.compile(r"^\s*(?:[-*•\u2013]\s*)?(?:\[[ xX]?\]|☐|☑|TODO\b|To-?do\b|Action\b|AI\b)")
END_OF_SENTENCE = re.compile(r"(?<=[.!?…])[)\"']?\s+(?=[\"'(@]?[A-Z0-9ÄÖÜÀ-Þ])")
ABBREVIATION = re.compile(
    r"\b(e\.g|i\.e|etc|approx|vs|no|nr|dr|mr|mrs|ms|prof|inc|ltd|a\.m|p\.m"
    r"|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec)\.$",
    re.IGNORECASE,
)
WRAPPED_AT = 50
MAX_SENTENCE = 600


def sentences(text: str) -> list[str]:
    """Split a message into sentences; a list item and a marked line are one each."""
    found: list[str] = []
    for line in _unwrapped(text):
        if MARKER.match(line):
            found.append(line.strip())
            continue
        pending = ""
        for part in END_OF_SENTENCE.split(BULLET.sub("", line)):
            pending = f"{pending} {part}".strip()
            if not ABBREVIATION.search(pending):
                found.append(pending)
                pending = ""
        if pending:
            found.append(pending)
    # A pattern must never have to look at a page without a full stop.
    return [" ".join(one.split())[:MAX_SENTENCE] for one in found if one.strip()]


def _unwrapped(text: str) -> list[str]:
    """Join lines that only a mail program's line length has broken."""
    lines: list[str] = []
    long_before = False
    for line in text.split("\n"):
        bare = line.strip()
        begins = not bare or BULLET.match(line) or MARKER.match(line)
        if long_before and not begins and lines[-1][-1:] not in ".!?:":
            lines[-1] += f" {bare}"
        else:
            lines.append(bare)
        long_before = len(bare) >= WRAPPED_AT
    return lines
