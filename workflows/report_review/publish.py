"""The node `publish`: the text → a file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mocks.effects import Context, record


def publish_report(state: Mapping[str, Any], out: str, ctx: Context) -> str:
    """Write the report at once: a crash leaves the old file or the new one, never half of it."""
    path = Path(out).expanduser()
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(f"# {state['title']}\n\n{state['text']}\n")
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    record(ctx)
    return str(path)
