"""The node `draft`: notes → a first text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mocks.effects import Context, record

WORKFLOW_FOLDER = Path(__file__).resolve().parent


def draft_report(notes: str, ctx: Context) -> dict[str, Any]:
    """Turn notes into sections and sentences; nothing is judged yet.

    Raises:
        FileNotFoundError: The notes are not there.
        ValueError: They hold no title.
    """
    lines = _find(notes).read_text("utf-8").splitlines()
    title = next((line.removeprefix("# ").strip() for line in lines if line.startswith("# ")), "")
    if not title:
        raise ValueError(f"Input 'notes': {notes} has no title; its first line should be '# Title'")
    blocks: list[str] = []
    for line in lines:
        if line.startswith("## "):
            blocks.append(line.strip())
        elif line.startswith(("- ", "* ")):
            sentence = line[2:].strip()
            sentence = sentence[:1].upper() + sentence[1:]
            blocks.append(sentence if sentence.endswith((".", "!", "?")) else f"{sentence}.")
    record(ctx)
    return {"title": title, "text": "\n\n".join(blocks)}


def _find(notes: str) -> Path:
    given = Path(notes).expanduser()
    for base in (Path.cwd(), WORKFLOW_FOLDER.parents[1], WORKFLOW_FOLDER):
        if (base / given).is_file():
            return base / given
    raise FileNotFoundError(f"Input 'notes': there is no {notes!r}; give another: --input notes=PATH")
