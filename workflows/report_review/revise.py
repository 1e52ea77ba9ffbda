"""The node `revise`: a text and its review → a better text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mocks.effects import Context, record
from workflows.report_review.models import Flaw, Review
from workflows.report_review.review import EMPTY_SECTION, MAX_WORDS, OPEN_MARKER, WEAK


def revise_report(state: Mapping[str, Any], ctx: Context) -> dict[str, Any]:
    """Mend the worst finding and nothing else, as a person would, so that the loop has something to do."""
    review: Review = state["review"]
    text: str = state["text"]
    if not review.findings:
        record(ctx)
        return {"text": text, "changes": ["nothing was left to mend"]}
    worst = review.findings[0]
    record(ctx)
    return {"text": MENDING[worst.flaw](text), "changes": [f"{worst.flaw.value}: {worst.detail}"]}


def _add_summary(text: str) -> str:
    sentences = [block for block in text.split("\n\n") if not block.startswith("## ")]
    firsts = [one for one in sentences if not OPEN_MARKER.search(one)][:2]
    rest = text.replace("## Summary\n\n", "")
    return f"## Summary\n\n{' '.join(firsts)}\n\n{rest}"


def _drop_markers(text: str) -> str:
    blocks = [OPEN_MARKER.sub("", block).strip() for block in text.split("\n\n")]
    return "\n\n".join(block for block in blocks if block)


def _drop_empty(text: str) -> str:
    return EMPTY_SECTION.sub("", f"{text}\n").strip()


def _shorten(text: str) -> str:
    return "\n\n".join(_split_block(block) for block in text.split("\n\n"))


def _split_block(block: str) -> str:
    sentences = re.split(r"(?<=[.!?])\s+", block)
    return " ".join(_split(one) if len(one.split()) > MAX_WORDS else one for one in sentences)


def _split(sentence: str) -> str:
    left, found, right = sentence.partition(", and ")
    if not found:
        left, found, right = sentence.partition(", ")
    return f"{left}. {right[:1].upper()}{right[1:]}" if found else sentence


def _drop_weak(text: str) -> str:
    return WEAK.sub("", text)


MENDING = {
    Flaw.NO_SUMMARY: _add_summary,
    Flaw.OPEN_MARKER: _drop_markers,
    Flaw.EMPTY_SECTION: _drop_empty,
    Flaw.LONG_SENTENCE: _shorten,
    Flaw.WEAK_WORDS: _drop_weak,
}
