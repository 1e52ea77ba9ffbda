"""A stand-in for the run when a compiled workflow is used as a plain LangGraph graph."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from langchain_core.runnables import RunnableConfig

from framework.definition.functions import Moments
from framework.errors import SettingsError
from framework.graph.context import RUN_CONTEXT_KEY, NodeTry, RunContext, TryOutcome


class NoJournal:
    """Counts nothing: without a run there is nobody who would read it."""

    def tries_started(self, task_key: str) -> int:  # noqa: ARG002  # the protocol's parameter
        """Return zero."""
        return 0

    def tries_failed(self, task_key: str) -> int:  # noqa: ARG002  # the protocol's parameter
        """Return zero."""
        return 0

    def visits(self, node: str, task_key: str) -> int:  # noqa: ARG002  # the protocol's parameters
        """Return zero."""
        return 0

    def started(self, node_try: NodeTry) -> None:
        """Do nothing."""

    def ended(
        self, node_try: NodeTry, outcome: TryOutcome, *, error: Mapping[str, Any] | None = None
    ) -> None:
        """Do nothing."""

    async def flush(self) -> None:
        """Do nothing."""


def run_context(config: RunnableConfig, workflow: str) -> tuple[RunContext, bool]:
    """Return the run that a config belongs to, and whether there is one.

    Without one (the graph is used as a library), nodes still get a context:
    the thread's id for a run id, `configurable["inputs"]` for inputs, secrets
    from the environment. Limits are not counted then, since nobody keeps count.
    """
    configurable = config.get("configurable") or {}
    context = configurable.get(RUN_CONTEXT_KEY)
    if isinstance(context, RunContext):
        return context, True
    thread_id = str(configurable.get("thread_id") or "")
    inputs = configurable.get("inputs")
    return (
        RunContext(
            run_id=thread_id,
            thread_id=thread_id,
            workflow=workflow,
            attempt=1,
            inputs=inputs if isinstance(inputs, Mapping) else {},
            admission={},
            journal=NoJournal(),
            secret=_environment_secret,
        ),
        False,
    )


def moments_of(context: RunContext) -> Moments:
    """Return what `now()` and `today()` give in this run: the moment it was accepted.

    `admission["now"]` holds it as text; without one (library use) it is now.
    """
    text = context.admission.get("now")
    return Moments.at(text) if isinstance(text, str) else Moments(datetime.now(UTC))


def _environment_secret(name: str) -> str:
    value = os.environ.get(name)
    if value is None:
        raise SettingsError(f"The secret {name!r} is not set in the environment.", hint=f"export {name}=…")
    return value
