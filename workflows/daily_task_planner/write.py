"""The node `write`: the plan → a page on disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mocks.effects import Context, record
from workflows.daily_task_planner.models import Plan
from workflows.daily_task_planner.render import markdown, summary


def write_plan(state: Mapping[str, Any], out: str, ctx: Context) -> dict[str, Any]:
    """Write the page; a second time changes nothing, and a crash leaves the old page or the new one.

    Args:
        state: `plan` is read.
        out: The page's path; a relative one starts from the current folder.
        ctx: Of this node.
    """
    plan: Plan = state["plan"]
    path = Path(out).expanduser()
    if path.is_dir():
        raise ValueError(f"Input 'out': {out} is a folder; give a file's name")
    write_whole(path, markdown(plan))
    ctx.progress(f"wrote {path}")
    record(ctx)
    return {"plan_file": str(path), "summary": summary(plan)}


def write_whole(path: Path, text: str) -> None:
    """Replace the file at once: a reader sees all of it or none of it, even after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
