"""`ctx`: what a node can ask about the run it works for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any

from framework.graph.context import NodeTry, RunContext

LOGGER_NAME = "holdfast.node"


class NodeContext:
    """Handed to a node that has a parameter `ctx`.

    `idempotency_key` is the same over retries, crashes and resumes of this
    visit of the node, and another for the next visit: give it to whatever must
    not do a thing twice. `attempt` is the process's turn at the run,
    `try_number` counts the executions of this visit over all processes.
    """

    __slots__ = ("_node_try", "_run", "logger")

    def __init__(self, run: RunContext, node_try: NodeTry) -> None:
        self._run = run
        self._node_try = node_try
        self.logger = logging.LoggerAdapter(
            logging.getLogger(f"{LOGGER_NAME}.{run.workflow}.{node_try.node}"),
            {"run_id": run.run_id, "node": node_try.node, "try_number": node_try.number},
        )

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self._run.run_id

    @property
    def thread_id(self) -> str:
        """LangGraph's key to the run's checkpoints."""
        return self._run.thread_id

    @property
    def workflow(self) -> str:
        """The workflow's name."""
        return self._run.workflow

    @property
    def node(self) -> str:
        """This node's name in the workflow."""
        return self._node_try.node

    @property
    def attempt(self) -> int:
        """Which process's turn at the run this is, counted from 1."""
        return self._run.attempt

    @property
    def try_number(self) -> int:
        """Which execution of this visit this is, counted from 1 over all processes."""
        return self._node_try.number

    @property
    def visit(self) -> int:
        """How often the run has come to this node, counted from 1."""
        return self._node_try.visit

    @property
    def inputs(self) -> Mapping[str, Any]:
        """The run's inputs."""
        return self._run.inputs

    @property
    def idempotency_key(self) -> str:
        """A name for this visit's effect that stays the same whenever it is repeated."""
        return f"{self._run.thread_id}:{self._node_try.task_key}"

    def progress(self, text: str) -> None:
        """Show in the live view how far the node is; nothing is stored."""
        tell(self._run.observe, "progress", self._node_try, {"text": text})

    async def sleep(self, seconds: float) -> None:
        """Wait inside this process. A crash ends it, and the node begins again."""
        await asyncio.sleep(seconds)


def tell(
    observe: Callable[[str, NodeTry, Mapping[str, Any]], None] | None,
    event: str,
    node_try: NodeTry,
    facts: Mapping[str, Any],
) -> None:
    """Tell the live view, if there is one; what it does wrong never harms the run."""
    if observe is None:
        return
    try:
        observe(event, node_try, facts)
    except Exception:  # a process boundary of its own: a page is not worth a run
        logging.getLogger(LOGGER_NAME).exception("the live view raised on %r", event)
