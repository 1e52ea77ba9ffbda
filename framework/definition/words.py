"""Did-you-mean, for keys and names of every kind."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

# Comparing costs time for every candidate; a file may hold thousands of names.
_MOST_CANDIDATES = 300
_LONGEST_WORD = 64


def did_you_mean(word: str, candidates: Iterable[str]) -> str | None:
    """Return the candidate that was probably meant, if any is close."""
    if len(word) > _LONGEST_WORD:
        return None
    known = [name for name in candidates if len(name) <= _LONGEST_WORD][:_MOST_CANDIDATES]
    lowered = {name.lower().replace("-", "_"): name for name in reversed(known)}
    near = get_close_matches(word.lower().replace("-", "_"), lowered, 1, cutoff=0.6)
    return lowered[near[0]] if near else None


def suggest(word: str, candidates: Iterable[str], *, kind: str) -> str | None:
    """A hint for an unknown word: what was probably meant, or what there is."""
    known = sorted(candidates)
    near = did_you_mean(word, known)
    if near:
        return f"did you mean {near!r}?"
    if not known:
        return None
    more = f", and {len(known) - 12} more" if len(known) > 12 else ""
    return f"{kind}: {', '.join(known[:12])}{more}"
