"""What nodes really did in the world, read from the file that `mocks/effects.py` appends to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Effect:
    """One line: a node's work was done, whatever became of its process afterwards."""

    run_id: str
    node: str
    attempt: int
    key: str
    """The idempotency key: one for each visit of the node, the same over repeats."""

    @property
    def task_id(self) -> str:
        """LangGraph's id of the task; what stands in `checkpoint_writes`."""
        return self.key.rpartition(":")[2]


class Effects:
    """A file that any number of processes append to; a killed one leaves whole lines."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, run_id: str | None = None) -> list[Effect]:
        """Every effect so far, in the order in which they happened."""
        if not self.path.exists():
            return []
        found = []
        for line in self.path.read_text("utf-8").splitlines():
            owner, node, attempt, key = line.split(" ", 3)
            found.append(Effect(owner, node, int(attempt), key))
        return [effect for effect in found if run_id in (None, effect.run_id)]

    def tasks(self, run_id: str) -> Counter[str]:
        """How often each task of a run did its work."""
        return Counter(effect.task_id for effect in self.read(run_id))

    def nodes(self, run_id: str) -> Counter[str]:
        """How often each node of a run did its work."""
        return Counter(effect.node for effect in self.read(run_id))


def visits(effects: Iterable[Effect]) -> Counter[str]:
    """How many different visits each node had; repeats of a visit are not counted."""
    return Counter(node for node, _ in {(effect.node, effect.key) for effect in effects})
