"""The node that a routed start becomes."""

from __future__ import annotations

from dataclasses import dataclass

from framework.graph.node_kinds import Work


@dataclass(frozen=True, slots=True)
class EntryNode:
    """Does nothing: only the routes after it matter. Journalled as `start`, as any node."""

    can_be_stopped: bool = True

    async def work(self, work: Work) -> None:  # the protocol's parameter
        """Return nothing to write."""
