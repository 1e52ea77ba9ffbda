"""The wrapper around a node, or a router, of a graph that somebody else built."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph.channels import UntrackedValue
from langgraph.channels.base import BaseChannel
from langgraph.constants import END
from langgraph.errors import NodeTimeoutError, ParentCommand
from langgraph.pregel._retry import _should_retry_on  # the judgement that LangGraph will make; no public door
from langgraph.runtime import Runtime
from langgraph.types import Command, Overwrite, RetryPolicy, Send
from pydantic import BaseModel

from framework.definition.models import Limits
from framework.errors import OutputRefused
from framework.graph.context import NodeTry, Point, TryOutcome
from framework.graph.failure import NodeFailure, describe_error
from framework.graph.library import run_context
from framework.graph.node_context import LOGGER_NAME
from framework.graph.node_runner import how_it_ended
from framework.graph.storable import check_storable
from framework.graph.visit import Visit, open_visit

logger = logging.getLogger(LOGGER_NAME)
ROOT = "__root__"


@dataclass(frozen=True, slots=True)
class WrappedNode:
    """Journal, faults, limits and the storable check for one node; the rest is the graph's own."""

    name: str
    workflow: str
    limits: Limits
    policies: tuple[RetryPolicy, ...]
    has_handler: bool
    run_timeout: float | None
    channels: Mapping[str, BaseChannel[Any, Any, Any]]
    targets: AbstractSet[str]
    allowed: AbstractSet[tuple[str, ...]]
    warned: set[str] = field(default_factory=set)

    async def run(
        self,
        inner: Runnable[Any, Any],
        state: Any,
        config: RunnableConfig,
        runtime: Runtime[Any],
    ) -> Any:  # what the node returns
        """Call the node once; LangGraph's own retry policy may call again.

        Raises:
            NodeFailure: It raised, and neither a retry nor an error handler of the graph's will follow.
        """
        visit = open_visit(self.name, self.workflow, self.limits, config, runtime)
        node_try = visit.begin()
        try:
            result = await self._try(visit, node_try, inner, state, config)
        except ParentCommand:
            # The node is done, and what it says is for the graph around it.
            visit.end(node_try, TryOutcome.SUCCEEDED)
            raise
        except BaseException as error:
            outcome = how_it_ended(error, visit.context)
            if outcome is not TryOutcome.FAILED:
                visit.end(node_try, outcome)
                raise
            described = error.error if isinstance(error, NodeFailure) else describe_error(error, node_try)
            visit.end(node_try, outcome, described)
            if isinstance(error, NodeFailure) or handled_by_langgraph(
                error, self.policies, runtime, has_handler=self.has_handler
            ):
                raise
            raise NodeFailure(node_try, error, described) from error
        visit.end(node_try, TryOutcome.SUCCEEDED)
        return result

    async def _try(
        self,
        visit: Visit,
        node_try: NodeTry,
        inner: Runnable[Any, Any],
        state: Any,
        config: RunnableConfig,
    ) -> Any:  # what the node returns
        seen = _as_mapping(state) if visit.context.faults is not None else {}
        stand_in = await visit.fault(Point.BEFORE, node_try, seen)
        if stand_in is None:
            began = time.monotonic()
            try:
                async with asyncio.timeout(self.run_timeout) as deadline:
                    stand_in = await visit.fault(Point.INSIDE, node_try, seen)
                    result = await inner.ainvoke(state, config) if stand_in is None else stand_in.value
            except TimeoutError:
                if deadline.expired():
                    elapsed = time.monotonic() - began
                    raise NodeTimeoutError(
                        self.name, elapsed, kind="run", run_timeout=self.run_timeout
                    ) from None
                raise
        else:
            result = stand_in.value
        self._check(visit.context.run_id, result)
        stand_in = await visit.fault(Point.AFTER, node_try, seen)
        if stand_in is not None:
            result = stand_in.value
            self._check(visit.context.run_id, result)
        return result

    def _check(self, run_id: str, result: object) -> None:
        for key, value in _updates(result, set(self.channels)):
            self._check_value(run_id, key, value)
        for target in _targets(result):
            name = target.node if isinstance(target, Send) else target
            if name not in self.targets:
                raise OutputRefused(
                    run_id,
                    self.name,
                    "goto",
                    f"Node {self.name!r} goes to {str(name)[:80]!r}, which is no node.",
                )
            if isinstance(target, Send):
                self._check_value(run_id, f"Send to {name}", target.arg)

    def _check_value(self, run_id: str, key: str, value: object) -> None:
        if isinstance(self.channels.get(key), UntrackedValue):
            return
        refusal = check_storable(value.value if isinstance(value, Overwrite) else value, allowed=self.allowed)
        if refusal is None:
            return
        message = f"Node {self.name!r} returned something for state key {key!r} that is refused: {refusal}."
        if not refusal.changed:
            raise OutputRefused(run_id, self.name, key, message, hint=refusal.hint)
        if key not in self.warned:
            # Not refused, since such graphs run without us; but after a crash the value is another one.
            self.warned.add(key)
            logger.warning("%s It is stored as something near it. %s", message, refusal.hint or "")


@dataclass(frozen=True, slots=True)
class RouterGuard:
    """Makes a router that raises fail its node, instead of ending the run without a word on a resume."""

    source: str
    workflow: str
    policies: tuple[RetryPolicy, ...]
    has_handler: bool
    targets: AbstractSet[str]

    async def run(
        self,
        path: Runnable[Any, Any],
        ends: Mapping[Hashable, str] | None,
        value: Any,  # the state
        config: RunnableConfig,
        runtime: Runtime[Any],
    ) -> Any:  # what the router returns
        """Ask the router, and check that what it says exists.

        Raises:
            NodeFailure: It raised, or named no node. Nothing of the task is stored then, so a
                resume runs the node again.
        """
        context, _known = run_context(config, self.workflow)
        try:
            chosen = await path.ainvoke(value, config)
            self._expect_known(chosen, ends)
        except BaseException as error:
            if isinstance(error, NodeFailure) or how_it_ended(error, context) is not TryOutcome.FAILED:
                raise
            if handled_by_langgraph(error, self.policies, runtime, has_handler=self.has_handler):
                raise
            task_key = (config.get("configurable") or {}).get("checkpoint_ns") or ""
            step = (config.get("metadata") or {}).get("langgraph_step", 0)
            number = context.journal.tries_started(task_key) or 1
            visits = context.journal.visits(self.source, task_key) + 1
            node_try = NodeTry(context.run_id, self.source, task_key, number, visits, step)
            raise NodeFailure(node_try, error, describe_error(error, node_try)) from error
        return chosen

    def _expect_known(self, chosen: object, ends: Mapping[Hashable, str] | None) -> None:
        for choice in chosen if isinstance(chosen, list | tuple) else [chosen]:
            if isinstance(choice, Send):
                name: object = choice.node
            else:
                name = choice if ends is None else ends.get(choice)
            if name not in self.targets:
                raise ValueError(
                    f"The router after {self.source!r} returned {choice!r:.80}, which leads to no node."
                )


def handled_by_langgraph(
    error: BaseException,
    policies: Sequence[RetryPolicy],
    runtime: Runtime[Any],
    *,
    has_handler: bool,
) -> bool:
    """Whether LangGraph will catch an error itself: by another try, or by the node's error handler."""
    if not isinstance(error, Exception):
        return False
    if has_handler:
        return True
    policy = next((policy for policy in policies if _should_retry_on(policy, error)), None)
    info = runtime.execution_info
    return policy is not None and (info.node_attempt if info else 1) < policy.max_attempts


def _updates(result: object, channels: set[str]) -> Iterator[tuple[str, object]]:
    """Yield what a result writes to which channel, as LangGraph will understand it."""
    if isinstance(result, Command):
        if result.graph != Command.PARENT and result.update is not None:
            yield from _updates(result.update, channels)
    elif isinstance(result, list | tuple) and any(isinstance(item, Command | Send) for item in result):
        for item in result:
            yield from _updates(item, channels)
    elif isinstance(result, Send) or result is None:
        return
    elif channels == {ROOT}:
        yield ROOT, result
    elif isinstance(result, list | tuple):
        # The tuple form of an update: (key, value) pairs.
        yield from (
            (pair[0], pair[1]) for pair in result if isinstance(pair, list | tuple) and len(pair) == 2
        )
    else:
        yield from ((key, value) for key, value in _as_mapping(result).items() if key in channels)


def _targets(result: object) -> Iterator[str | Send]:
    if isinstance(result, Send):
        yield result
    elif isinstance(result, Command):
        if result.graph is None:
            goto = [result.goto] if isinstance(result.goto, Send | str) else result.goto
            yield from (target for target in goto if target != END)
    elif isinstance(result, list | tuple):
        for item in result:
            if isinstance(item, Command | Send):
                yield from _targets(item)


def _as_mapping(state: object) -> Mapping[str, Any]:
    if isinstance(state, Mapping):
        return state
    if isinstance(state, BaseModel):
        return dict(state)
    if is_dataclass(state) and not isinstance(state, type):
        return {part.name: getattr(state, part.name) for part in fields(state)}
    return {}
