"""How a node that failed for good leaves a superstep without taking its siblings along."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from langgraph.errors import GraphBubbleUp

from framework.errors import HoldfastError, NodeFailed
from framework.graph.context import NodeTry

MAX_TEXT = 64 * 1024
"""Characters of a message or a traceback that are kept: a run's error is a row, not an archive."""

_OURS = str(Path(__file__).parent)
_MACHINERY = (
    "/langgraph/",
    "/langchain_core/runnables/",
    "/asyncio/",
    "/concurrent/futures/",
    "/threading.py",
)


class NodeFailure(GraphBubbleUp):
    """A node's tries are spent; `__cause__` is what it raised last.

    LangGraph does not cancel the other tasks of a step for a `GraphBubbleUp`,
    stores no `__error__` row for it, and raises it from `astream` once they
    have finished and their writes are put. So the siblings are saved, and a
    resume runs this node again and nothing else.
    """

    def __init__(self, node_try: NodeTry, cause: BaseException, error: Mapping[str, Any]) -> None:
        super().__init__(f"node {node_try.node!r} failed: {error['type']}: {error['message']}")
        self.node = node_try.node
        self.node_try = node_try
        self.error = dict(error)
        self.__cause__ = cause

    @property
    def cause(self) -> BaseException:
        """What the node raised last."""
        # Set by `__init__`, and only replaced by somebody who says `raise failure from other`.
        return self.__cause__ or self


def describe_error(error: BaseException, node_try: NodeTry) -> dict[str, Any]:
    """Return what a person needs to know of an error, as JSON; never raises.

    Message and traceback are cut to `MAX_TEXT` characters, the traceback in
    its middle: it begins with the node's own frames and ends with the error.
    """
    kind = type(error)
    builtin = kind.__module__ in {"builtins", "__main__"}
    return {
        "code": error.code if isinstance(error, HoldfastError) else NodeFailed.code,
        "type": kind.__qualname__ if builtin else f"{kind.__module__}.{kind.__qualname__}",
        "message": _cut(_text(error)),
        "traceback": _cut(_traceback(error)),
        "node": node_try.node,
        "try": node_try.number,
        "hint": getattr(error, "hint", None),
    }


def _text(error: BaseException) -> str:
    try:
        text = str(error)
    except BaseException as broken:  # noqa: BLE001  # a user's __str__ may raise anything
        text = f"<its text cannot be read: {type(broken).__name__}>"
    return _printable(text)


def _traceback(error: BaseException) -> str:
    try:
        shown = traceback.TracebackException(
            type(error), error, _first_own_frame(error.__traceback__), compact=True
        )
        text = "".join(shown.format())
    except Exception as broken:  # noqa: BLE001  # formatting calls the user's code
        text = f"<no traceback: {type(broken).__name__}>"
    return _printable(text)


def _printable(text: str) -> str:
    # A lone surrogate or a NUL would make the row that tells of the error fail.
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def _first_own_frame(trace: TracebackType | None) -> TracebackType | None:
    """Skip the frames of ours and of LangGraph's that lead to the node."""
    frame = trace
    while frame is not None and _is_machinery(frame.tb_frame.f_code.co_filename):
        frame = frame.tb_next
    return frame if frame is not None else trace


def _is_machinery(file_name: str) -> bool:
    return file_name.startswith(_OURS) or any(part in file_name for part in _MACHINERY)


def _cut(text: str) -> str:
    if len(text) <= MAX_TEXT:
        return text
    mark = f"\n… {len(text) - MAX_TEXT} characters left out …\n"
    half = (MAX_TEXT - len(mark)) // 2
    return text[:half] + mark + text[-half:]
