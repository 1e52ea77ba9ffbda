"""How an attempt ended, in the words that are stored."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Mapping
from typing import Any

from langgraph.types import StateSnapshot

from framework.durability.run import Ending, Run, RunStatus
from framework.errors import HoldfastError

ERROR_TEXT_CHARACTERS = 65_536


def waiting(run: Run, snapshot: StateSnapshot) -> Ending:
    """It waits for a person: for answers to its questions, or at a breakpoint."""
    questions = tuple(
        {"interrupt_id": interrupt.id, "node": task.name, "question": jsonable(interrupt.value)}
        for task in snapshot.tasks
        for interrupt in task.interrupts
    )
    nodes = ", ".join(snapshot.next)
    detail = f"an answer for {nodes}" if questions else f"to be resumed before or after {nodes}"
    return Ending(run.run_id, RunStatus.WAITING, detail=detail, questions=questions)


def set_aside(run: Run, code: str, message: str, hint: str | None) -> Ending:
    """It is quarantined: going on would lose or repeat something, so a person must look."""
    error = {"code": code, "message": message, "hint": hint}
    return Ending(run.run_id, RunStatus.QUARANTINED, detail=message, error=error)


def failed(run: Run, error: BaseException, document: Mapping[str, Any] | None = None) -> Ending:
    """It failed; `document` describes the error of a node, any other is described here."""
    return Ending(run.run_id, RunStatus.FAILED, detail=first_line(error), error=document or error_of(error))


def outcome(ending: Ending) -> str:
    """Name how the attempt ended, for its row."""
    return "handed back" if ending.status is RunStatus.PENDING else str(ending.status)


def first_line(error: BaseException) -> str:
    """Return an error's type and the first line of its text, even when `str()` of it raises."""
    with contextlib.suppress(Exception):
        text = str(error).strip()
        return f"{type(error).__name__}: {text.splitlines()[0][:500]}" if text else type(error).__name__
    return type(error).__name__


def error_of(error: BaseException) -> dict[str, Any]:
    """Describe an error that belongs to no node: a router, a reducer, the state itself."""
    document: dict[str, Any] = {
        "type": type(error).__name__,
        "message": first_line(error)[:ERROR_TEXT_CHARACTERS],
    }
    if isinstance(error, HoldfastError):
        document |= {"code": error.code, "message": error.message[:ERROR_TEXT_CHARACTERS], "hint": error.hint}
    else:
        with contextlib.suppress(Exception):
            document["traceback"] = "".join(traceback.format_exception(error))[-ERROR_TEXT_CHARACTERS:]
    return document


def jsonable(value: Any) -> Any:
    """Return what a user's `interrupt()` carries as JSON."""
    if isinstance(value, dict):
        return {str(key): jsonable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [jsonable(item) for item in value]
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    dump = getattr(value, "model_dump", None)
    return jsonable(dump(mode="json")) if callable(dump) else str(value)
