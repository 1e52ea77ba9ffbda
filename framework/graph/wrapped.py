"""An existing LangGraph graph as a workflow: copied, each node in our wrapper, otherwise its own."""

from __future__ import annotations

import copy
import dataclasses
import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from langchain_core.runnables import Runnable, RunnableConfig
from langgraph._internal._runnable import RunnableCallable  # what functions become anyway
from langgraph.constants import END
from langgraph.graph import StateGraph
from langgraph.graph._branch import BranchSpec
from langgraph.graph._node import StateNodeSpec
from langgraph.graph.state import _DEFAULT_ERROR_HANDLER_NODE, CompiledStateGraph, _NodeDefaults
from langgraph.pregel._utils import validate_timeout_supported
from langgraph.runtime import Runtime
from langgraph.types import RetryPolicy

from framework.definition.models import Limits
from framework.errors import CallableRefused
from framework.graph.allowlist import allowed_modules
from framework.graph.wrapped_node import RouterGuard, WrappedNode

Graph = StateGraph[Any, Any, Any, Any]
Compiled = CompiledStateGraph[Any, Any, Any, Any]
Spec = StateNodeSpec[Any, Any]


def open_graph(found: object, reference: str) -> tuple[Graph, Compiled | None]:
    """Return the `StateGraph` behind `graph:`, and its compiled form if that is what was named.

    Args:
        found: A `StateGraph`, a compiled one, or a function that returns either.
        reference: Its name in the file, for messages.

    Raises:
        CallableRefused: It is neither, or the function raised.
    """
    if not isinstance(found, StateGraph | CompiledStateGraph) and callable(found):
        found = _call(found, reference)
    if isinstance(found, CompiledStateGraph):
        return found.builder, found
    if isinstance(found, StateGraph):
        return found, None
    raise CallableRefused(
        f"{reference!r} is a {type(found).__name__}, not a LangGraph StateGraph.",
        hint="A StateGraph, a compiled one, or a function that returns one of them.",
    )


def _call(function: Callable[..., Any], reference: str) -> object:
    if inspect.iscoroutinefunction(function):
        raise CallableRefused(
            f"{reference!r} is async; a graph is built without waiting.",
            hint="Build the graph in a plain function.",
        )
    try:
        return function()
    except Exception as error:
        # The user's code runs here, so anything can come out of it.
        raise CallableRefused(
            f"{reference!r} could not build its graph: {type(error).__name__}: {error}"
        ) from error


def allowed_classes(graph: Graph, types: list[type]) -> frozenset[tuple[str, str]]:
    """Return the classes that its state can hold, as LangGraph's strict mode derives them."""
    schemas: list[Any] = [*graph.schemas, *types]
    if graph.context_schema is not None:
        schemas.append(graph.context_schema)
    return allowed_modules(schemas)


def copy_graph(graph: Graph, *, workflow: str, limits: Limits, allowed: frozenset[tuple[str, str]]) -> Graph:
    """Copy a graph with each node and router in our wrapper; the user's own object is not touched.

    Raises:
        CallableRefused: A node's timeout cannot work, as LangGraph itself would say.
    """
    copied = copy.copy(graph)
    copied.compiled = False
    copied.edges = set(graph.edges)
    copied.waiting_edges = set(graph.waiting_edges)
    copied.nodes = _with_defaults(graph)
    # Applied above; left in place, a second compile would add the default handler twice.
    copied._node_defaults = _NodeDefaults()  # noqa: SLF001
    targets = frozenset([*copied.nodes, END])
    own = {name: _own_policies(spec) for name, spec in copied.nodes.items()}
    for name, spec in copied.nodes.items():
        node = WrappedNode(
            name=name,
            workflow=workflow,
            limits=limits,
            policies=own[name],
            has_handler=spec.error_handler_node is not None,
            run_timeout=_run_timeout(name, spec),
            channels=graph.channels,
            targets=targets,
            allowed=allowed,
        )
        spec.runnable = _bound(node, spec.runnable, name)
    copied.branches = defaultdict(dict)
    for source, branches in graph.branches.items():
        handled = source in copied.nodes and copied.nodes[source].error_handler_node is not None
        guard = RouterGuard(source, workflow, own.get(source, ()), handled, targets)
        for name, branch in branches.items():
            copied.branches[source][name] = _guarded(guard, branch)
    return copied


def _with_defaults(graph: Graph) -> dict[str, Spec]:
    """Copy the node specs, with `set_node_defaults` applied as `compile()` would."""
    defaults = graph._node_defaults  # noqa: SLF001  # the only place where LangGraph keeps them
    nodes = {name: dataclasses.replace(spec) for name, spec in graph.nodes.items()}
    if defaults.error_handler is not None and _DEFAULT_ERROR_HANDLER_NODE not in nodes:
        # LangGraph's own code makes the node; on a copy, for the builder is the user's.
        scratch = StateGraph(graph.state_schema, graph.context_schema)
        scratch.add_node("node", lambda _: None, error_handler=defaults.error_handler)
        handler = scratch.nodes["__error_handler__node"]
        nodes[_DEFAULT_ERROR_HANDLER_NODE] = dataclasses.replace(handler, input_schema=graph.state_schema)
    for spec in nodes.values():
        spec.retry_policy = spec.retry_policy or defaults.retry_policy
        spec.timeout = spec.timeout or defaults.timeout
        if not spec.is_error_handler:
            spec.cache_policy = spec.cache_policy or defaults.cache_policy
            if defaults.error_handler is not None and spec.error_handler_node is None:
                spec.error_handler_node = _DEFAULT_ERROR_HANDLER_NODE
    return nodes


def _own_policies(spec: Spec) -> tuple[RetryPolicy, ...]:
    policy = spec.retry_policy
    if policy is None:
        return ()
    return (policy,) if isinstance(policy, RetryPolicy) else tuple(policy)


def _run_timeout(name: str, spec: Spec) -> float | None:
    """Take a plain run timeout over into our wrapper; one for idleness stays LangGraph's own.

    LangGraph raises its timeout outside of the node, where it would cancel the siblings.
    """
    timeout = spec.timeout
    if timeout is None:
        return None
    try:
        # Our wrapper is async, so LangGraph would no longer see that the node is not.
        validate_timeout_supported(spec.runnable, name=name)  # type: ignore[arg-type]  # a Runnable by now
    except ValueError as error:
        raise CallableRefused(str(error)) from error
    if timeout.idle_timeout is not None or timeout.run_timeout is None:
        return None
    spec.timeout = None
    seconds = timeout.run_timeout
    return seconds if isinstance(seconds, int | float) else seconds.total_seconds()


def _bound(node: WrappedNode, inner: Any, name: str) -> Runnable[Any, Any]:  # any runnable
    # LangGraph finds subgraphs in the free variables of a node's function: `inner` must be one.
    async def run(state: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        return await node.run(inner, state, config, runtime)

    return RunnableCallable(None, run, name=name, trace=False)


def _guarded(guard: RouterGuard, branch: BranchSpec) -> BranchSpec:
    path, ends = branch.path, branch.ends

    async def route(value: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Any:
        return await guard.run(path, ends, value, config, runtime)

    return branch._replace(path=RunnableCallable(None, route, name=path.name, trace=False))


def input_of(graph: Graph, inputs: Mapping[str, Any]) -> Any:  # whatever the graph takes
    """Return a run's inputs as the graph's input: the keys that it knows, or all of them."""
    keys = graph.schemas[graph.input_schema]
    if "__root__" in keys:
        return dict(inputs)
    return {name: value for name, value in inputs.items() if name in keys}
