"""A compiled workflow: one graph for all its runs, and what a run needs to know of it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from langgraph.types import Checkpointer

from framework.definition.bindings import compile_binding
from framework.definition.models import Workflow
from framework.graph.context import RunContext
from framework.graph.json_view import as_json, as_json_mapping
from framework.graph.library import moments_of
from framework.graph.state import State
from framework.graph.topology import topology
from framework.graph.wrapped import Compiled, Graph, input_of

_KEPT_GRAPHS = 16
"""Compiled graphs kept per workflow, one per checkpointer; a process has one or two."""


class CompiledWorkflow:
    """What `compile_workflow()` returns. Holds no run's state, so all runs share it."""

    def __init__(
        self,
        workflow: Workflow,
        builder: Graph,
        *,
        state: State | None,
        original: Compiled | None,
        allowed: frozenset[tuple[str, str]],
        fingerprints: Mapping[str, str],
        ways: Mapping[str, Sequence[str]],
        joins: Mapping[str, Sequence[str]],
    ) -> None:
        self.workflow = workflow
        self.state = state
        self.builder = builder
        self.fingerprints = dict(fingerprints)
        self._original = original
        self._allowed = allowed
        self._ways = ways
        self._joins = joins
        self._outputs = compile_binding(dict(workflow.outputs)) if workflow.outputs is not None else None
        # The checkpointer is kept with its graph, so that its id is not given to another object.
        self._graphs: dict[int, tuple[Checkpointer, Compiled]] = {}

    @property
    def name(self) -> str:
        """The workflow's name."""
        return self.workflow.name

    def graph(self, checkpointer: Checkpointer = None) -> Compiled:
        """Return the graph that saves with this checkpointer; the same one each time."""
        known = self._graphs.get(id(checkpointer))
        if known is not None:
            return known[1]
        graph = self._compile(checkpointer)
        while len(self._graphs) >= _KEPT_GRAPHS:
            del self._graphs[next(iter(self._graphs))]
        self._graphs[id(checkpointer)] = (checkpointer, graph)
        return graph

    def _compile(self, checkpointer: Checkpointer) -> Compiled:
        own = self._original
        before, after = list(self.workflow.interrupt_before), list(self.workflow.interrupt_after)
        if own is None:
            return self.builder.compile(
                checkpointer, interrupt_before=before, interrupt_after=after, name=self.workflow.name
            )
        graph = self.builder.compile(
            checkpointer,
            cache=own.cache,
            store=own.store,
            interrupt_before=_both(own.interrupt_before_nodes, before),
            interrupt_after=_both(own.interrupt_after_nodes, after),
            name=self.workflow.name,
        )
        return graph.with_config(own.config) if own.config else graph

    def initial_input(self, inputs: Mapping[str, Any], *, fresh_thread: bool) -> Any:
        """Return what to stream for the first start of a run.

        A workflow file's state begins with its defaults, on a fresh thread
        only: a conversation's next run goes on with what is there. A wrapped
        graph gets the run's inputs, the keys that its input schema knows.
        """
        if self.state is None:
            return input_of(self.builder, inputs)
        return dict(self.state.defaults) if fresh_thread else {}

    def outputs(self, values: Mapping[str, Any], context: RunContext) -> Mapping[str, Any]:
        """Return what a run returns, as JSON: `outputs:`, or the whole state.

        Raises:
            ExpressionError: An expression of `outputs` cannot be evaluated.
        """
        if self._outputs is None:
            return as_json_mapping(values if isinstance(values, Mapping) else {"result": values})
        names = {"inputs": context.inputs, "state": values, "run": context.admission}
        result = self._outputs.resolve(
            names, env=os.environ.get, secret=context.secret, moments=moments_of(context)
        )
        found: Mapping[str, Any] = as_json(result)
        return found

    @property
    def allowed_msgpack_modules(self) -> list[tuple[str, str]]:
        """`(module, class)` of each class that the strict serializer may build for this workflow."""
        return sorted(self._allowed)

    @cached_property
    def topology(self) -> dict[str, Any]:
        """The graph's shape as JSON; stored with the definition, compared before a resume."""
        branches = {source: list(found) for source, found in self.builder.branches.items()}
        return topology(
            self.graph(None), state=self.state, ways=self._ways, joins=self._joins, branches=branches
        )


def _both(own: Any, added: list[str]) -> Any:  # "*" or names
    return own if own == "*" else [*own, *(name for name in added if name not in own)]
