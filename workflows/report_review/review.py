"""The node `review`: a text → its score and what is wrong with it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mocks.effects import Context, record
from workflows.report_review.models import Finding, Flaw, Review

MAX_WORDS = 25
OPEN_MARKER = re.compile(r"\s*\b(?:TODO|TBD|FIXME)\b:?[^.\n]*\.?|\s*\?\?\?")
WEAK = re.compile(r"\b(?:very|really|basically|actually|quite|somewhat) ", re.IGNORECASE)
EMPTY_SECTION = re.compile(r"^(## .+)\n+(?=## |\Z)", re.MULTILINE)
POINTS = {
    Flaw.NO_SUMMARY: 20,
    Flaw.OPEN_MARKER: 15,
    Flaw.EMPTY_SECTION: 10,
    Flaw.LONG_SENTENCE: 5,
    Flaw.WEAK_WORDS: 3,
}


def review_report(state: Mapping[str, Any], ctx: Context) -> Review:
    """Score the text; each kind of flaw costs its points once."""
    found = {finding.flaw: finding for finding in _findings(state["text"])}
    findings = [found[flaw] for flaw in Flaw if flaw in found]
    review = Review(score=100 - sum(finding.points for finding in findings), findings=findings)
    ctx.progress(f"score {review.score}")
    record(ctx)
    return review


def _findings(text: str) -> Iterator[Finding]:
    if not text.startswith("## Summary"):
        yield _finding(Flaw.NO_SUMMARY, "the report does not begin with a summary")
    if markers := OPEN_MARKER.findall(text):
        yield _finding(Flaw.OPEN_MARKER, f"{len(markers)} open markers, such as {markers[0].strip()!r}")
    if sections := EMPTY_SECTION.findall(f"{text}\n"):
        yield _finding(Flaw.EMPTY_SECTION, f"nothing stands under {sections[0]!r}")
    sentences = re.split(r"(?<=[.!?])\s+", text)
    if long := [one for one in sentences if len(one.split()) > MAX_WORDS]:
        yield _finding(Flaw.LONG_SENTENCE, f"{len(long[0].split())} words: {long[0][:40]!r}…")
    if weak := WEAK.findall(text):
        yield _finding(Flaw.WEAK_WORDS, f"{len(weak)} words that say nothing")


def _finding(flaw: Flaw, detail: str) -> Finding:
    return Finding(flaw=flaw, detail=detail, points=POINTS[flaw])
