"""A trace of what nodes really did, which a crash cannot take back.

Crash tests count these lines: a node that was finished before the process died
must not appear a second time after the resume.
"""

from __future__ import annotations

import os
from typing import Protocol

EFFECTS_FILE = "HOLDFAST_EFFECTS_FILE"


class Context(Protocol):
    """The part of a node's `ctx` that the shipped workflows use."""

    @property
    def run_id(self) -> str:
        """The run's id."""
        ...

    @property
    def node(self) -> str:
        """The node's name in its workflow."""
        ...

    @property
    def attempt(self) -> int:
        """Which process's turn at the run this is."""
        ...

    @property
    def idempotency_key(self) -> str:
        """The same whenever this visit of the node is repeated."""
        ...

    def progress(self, text: str) -> None:
        """Show how far the node is."""
        ...


def record(ctx: Context) -> None:
    """Append `<run_id> <node> <attempt> <idempotency_key>`; does nothing unless the variable is set.

    Nodes call it when their work is done. One short write with O_APPEND: lines
    of several processes never mix, and a killed process leaves a whole line or none.
    """
    path = os.environ.get(EFFECTS_FILE)
    if not path:
        return
    line = f"{ctx.run_id} {ctx.node} {ctx.attempt} {ctx.idempotency_key}\n"
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(file, line.encode())
    finally:
        os.close(file)
