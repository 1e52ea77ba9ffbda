"""What the nodes of the report review hand to each other."""

from __future__ import annotations

from enum import StrEnum

from pydantic import BaseModel, ConfigDict


class Model(BaseModel):
    """Frozen, and refuses fields it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Flaw(StrEnum):
    """What a review can find, the worst first."""

    NO_SUMMARY = "no_summary"
    OPEN_MARKER = "open_marker"
    EMPTY_SECTION = "empty_section"
    LONG_SENTENCE = "long_sentence"
    WEAK_WORDS = "weak_words"


class Finding(Model):
    """One thing that is wrong, and what it costs."""

    flaw: Flaw
    detail: str
    points: int


class Review(Model):
    """How good a text is, of 100, and why not better; the worst finding comes first."""

    score: int
    findings: list[Finding]
