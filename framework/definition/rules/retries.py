"""Retry policies and handlers that would not do what they seem to say."""

from __future__ import annotations

from typing import Any

from framework.definition.normal import Draft
from framework.definition.source import Key


def check_retries(draft: Draft) -> None:
    """Refuse a pause that shrinks; warn of a retry that never happens."""
    data = draft.document.data
    shared = _mapping(_mapping(data.get("defaults")).get("retry"))
    if _shrinks(draft, shared):
        return
    for name, node in draft.workflow.nodes.items():
        own = _mapping(_mapping(data["nodes"].get(name)).get("retry"))
        path: tuple[Key, ...] = ("nodes", name, "retry")
        if own and node.retry.max < node.retry.initial:
            _refuse(draft, (*path, "max" if "max" in own else "initial"))
        if own and "max_attempts" not in {**shared, **own}:
            message = "without max_attempts a failing node is not tried again"
            draft.problems.warn(path, message, "add max_attempts: 3", key=True)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _shrinks(draft: Draft, shared: dict[str, Any]) -> bool:
    plain = [node for node in draft.workflow.nodes.values() if node.retry.max < node.retry.initial]
    if not plain or not shared.keys() & {"initial", "max"} or len(plain) < len(draft.workflow.nodes):
        return False
    _refuse(draft, ("defaults", "retry", "max" if "max" in shared else "initial"))
    return True


def _refuse(draft: Draft, path: tuple[Key, ...]) -> None:
    message = "the longest pause is shorter than the first"
    draft.problems.add(path, message, "raise 'max', or lower 'initial'", key=True)
