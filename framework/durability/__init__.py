"""Run, checkpoint, resume.

The public names are imported on first use: reading the registry must not cost
LangGraph's import.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from framework.durability.library import init_durability
    from framework.durability.manager import DurabilityManager
    from framework.durability.registry import generate_thread_id

__all__ = ["DurabilityManager", "generate_thread_id", "init_durability"]

_HOMES = {
    "DurabilityManager": "framework.durability.manager",
    "generate_thread_id": "framework.durability.registry",
    "init_durability": "framework.durability.library",
}


def __getattr__(name: str) -> Any:  # whatever the name stands for
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
