"""What each kind of node does when it is its turn.

A kind knows how to do the work of one try; everything around it (tries,
timeouts, faults, the journal, routing) is the runner's. A new kind is a class
here and a line in `KINDS`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from langgraph.runtime import Runtime

from framework.definition.bindings import Binding, compile_binding
from framework.definition.callables import Resolver
from framework.definition.functions import Moments
from framework.definition.models import Node
from framework.graph.call import Call, plan_call
from framework.graph.context import NodeTry, RunContext
from framework.graph.node_context import NodeContext


@dataclass(frozen=True, slots=True)
class Work:
    """All that one try of a node can look at."""

    context: RunContext
    node_try: NodeTry
    state: Mapping[str, Any]
    names: Mapping[str, Any]
    moments: Moments
    runtime: Runtime[Any]

    def resolve(self, binding: Binding, more: Mapping[str, Any] | None = None) -> Any:
        """Fill a binding's holes, at the moment of the call: environment and secrets are never stored."""
        names = {**self.names, **more} if more else self.names
        return binding.resolve(names, env=os.environ.get, secret=self.context.secret, moments=self.moments)


class NodeKind(Protocol):
    """How one node does its work."""

    @property
    def can_be_stopped(self) -> bool:
        """Whether cancelling stops it; a thread cannot be stopped."""
        ...

    async def work(self, work: Work) -> Any:  # what the node returns
        """Do it once."""
        ...


@dataclass(frozen=True, slots=True)
class UseNode:
    """`use: module:function`, called with its parameters by name."""

    call: Call
    bindings: Mapping[str, Binding]

    @property
    def can_be_stopped(self) -> bool:
        """Only a coroutine can."""
        return self.call.is_async

    async def work(self, work: Work) -> Any:  # what the function returns
        """Resolve `with:` and call the function."""
        bound = {name: work.resolve(binding) for name, binding in self.bindings.items()}
        offered: dict[str, Any] = {"state": dict(work.state), "runtime": work.runtime}
        if "ctx" in self.call.provided:
            offered["ctx"] = NodeContext(work.context, work.node_try)
        return await self.call(offered, bound)


def use_node(node: Node, resolver: Resolver) -> NodeKind:
    """Look up a `use` node's function.

    Raises:
        CallableRefused: Not allowed, not there, or its parameters do not fit `with:`.
    """
    call = plan_call(resolver.resolve(node.use), node.with_, use=node.use)
    return UseNode(call, {name: compile_binding(value) for name, value in node.with_.items()})


KINDS: Mapping[str, Callable[[Node, Resolver], NodeKind]] = {"use": use_node}
"""Kind, as the key in the file that makes it one → how to prepare it."""


def prepare(node: Node, resolver: Resolver) -> NodeKind:
    """Prepare a node of whatever kind it is."""
    return KINDS["use"](node, resolver)
