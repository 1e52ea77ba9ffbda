"""Workflow → `StateGraph` → compiled graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from langchain_core.runnables import RunnableConfig
from langgraph.constants import END as LANGGRAPH_END
from langgraph.constants import START as LANGGRAPH_START
from langgraph.graph import StateGraph
from langgraph.runtime import Runtime
from langgraph.types import Command

from framework.definition.bindings import compile_binding
from framework.definition.callables import Purpose, Resolver
from framework.definition.models import END, START, Node, RetryPolicy, Workflow
from framework.errors import CallableRefused
from framework.graph.allowlist import allowed_modules, classes_of
from framework.graph.compiled import CompiledWorkflow
from framework.graph.entry import EntryNode
from framework.graph.fingerprint import fingerprint
from framework.graph.node_kinds import NodeKind, prepare
from framework.graph.node_runner import NodeRunner, Rescue
from framework.graph.results import make_results
from framework.graph.retrying import Retries, make_retries
from framework.graph.routing import JoinGate, WayOn, join_gates, joins, ways_on
from framework.graph.state import State, build_state
from framework.graph.wrapped import Graph, allowed_classes, copy_graph, open_graph

if TYPE_CHECKING:
    from framework.definition.loader import LoadedWorkflow


def compile_workflow(loaded: LoadedWorkflow) -> CompiledWorkflow:
    """Turn a validated definition into a graph that can be run.

    Imports the code that it names, so the workflow's modules run here.

    Raises:
        CallableRefused: A function, type, reducer, exception or graph that is
            not there, may not be used, or does not fit.
    """
    return _Compiler(loaded.workflow, loaded.resolver).compile()


class _Compiler:
    """Compiles one workflow."""

    def __init__(self, workflow: Workflow, resolver: Resolver) -> None:
        self.workflow = workflow
        self.resolver = resolver
        self.types = resolver.module(workflow.types) if workflow.types else None

    def compile(self) -> CompiledWorkflow:
        return self._file() if self.workflow.graph is None else self._wrapped(self.workflow.graph)

    def _wrapped(self, reference: str) -> CompiledWorkflow:
        graph, compiled = open_graph(self.resolver.resolve(reference, Purpose.GRAPH), reference)
        allowed = allowed_classes(graph, classes_of(self.types))
        copied = copy_graph(graph, workflow=self.workflow.name, limits=self.workflow.limits, allowed=allowed)
        ways = _ways_of(graph)
        prints = {name: fingerprint(_inside(spec.runnable)) for name, spec in graph.nodes.items()}
        return CompiledWorkflow(
            self.workflow,
            copied,
            state=None,
            original=compiled,
            allowed=allowed,
            fingerprints=prints,
            ways=ways,
            joins={end: starts for starts, end in graph.waiting_edges},
        )

    def _file(self) -> CompiledWorkflow:
        workflow = self.workflow
        writers = {
            key: tuple(name for name, node in workflow.nodes.items() if key in node.written_keys)
            for key in workflow.state
        }
        state = build_state(workflow.state, types=self.types, resolve=self.resolver.resolve, writers=writers)
        types = [*classes_of(self.types), *(key.annotation for key in state.keys.values())]
        allowed = allowed_modules(types)
        ways = ways_on(workflow)
        leads_to = {name: self._leads_to(name, way) for name, way in ways.items()}
        joined = joins(workflow)
        gates = join_gates(leads_to, joined)
        builder: Graph = StateGraph(state.schema)
        prints: dict[str, str] = {}
        for name, node in workflow.nodes.items():
            runner = self._runner(name, node, ways[name], gates.get(name), state, allowed)
            builder.add_node(name, _as_node(runner), destinations=_destinations(leads_to[name]))
            prints[name] = fingerprint(self.resolver.resolve(node.use))
        self._start(builder, ways[START], state, allowed)
        return CompiledWorkflow(
            workflow, builder, state=state, original=None, allowed=allowed,
            fingerprints=prints, ways=leads_to, joins=joined,
        )  # fmt: skip

    def _leads_to(self, name: str, way: WayOn) -> tuple[str, ...]:
        node = self.workflow.nodes.get(name)
        rescue = node.on_error.goto if node is not None and node.on_error is not None else None
        return tuple(dict.fromkeys([*way.all_targets, *([rescue] if rescue else [])]))

    def _runner(
        self,
        name: str,
        node: Node,
        way: WayOn,
        gate: JoinGate | None,
        state: State,
        allowed: frozenset[tuple[str, str]],
    ) -> NodeRunner:
        try:
            kind, retries = prepare(node, self.resolver), make_retries(node.retry, self.resolver)
        except CallableRefused as error:
            raise CallableRefused(f"Node {name!r}: {error.message}", hint=error.hint) from error
        return NodeRunner(
            name=name,
            workflow=self.workflow.name,
            kind=kind,
            results=make_results(name, node.writes, state.keys, allowed),
            way_on=way,
            retries=retries,
            timeout_seconds=node.timeout.total_seconds() if node.timeout is not None else None,
            rescue=_rescue(node),
            limits=self.workflow.limits,
            gate=gate,
        )

    def _start(self, builder: Graph, way: WayOn, state: State, allowed: frozenset[tuple[str, str]]) -> None:
        if not way.routes:
            for target in way.always:
                builder.add_edge(LANGGRAPH_START, LANGGRAPH_END if target == END else target)
            return
        # A router on LangGraph's own START would fail outside of any node; so `start` becomes one.
        entry: NodeKind = EntryNode()
        runner = NodeRunner(
            name=START,
            workflow=self.workflow.name,
            kind=entry,
            results=make_results(START, (), state.keys, allowed),
            way_on=way,
            retries=Retries(RetryPolicy(), (Exception,)),
            timeout_seconds=None,
            rescue=None,
            limits=self.workflow.limits,
            gate=None,
        )
        builder.add_node(START, _as_node(runner), destinations=_destinations(way.all_targets))
        builder.add_edge(LANGGRAPH_START, START)


def _rescue(node: Node) -> Rescue | None:
    if node.on_error is None:
        return None
    update = node.on_error.continue_with
    compiled = {key: compile_binding(value) for key, value in update.items()} if update is not None else None
    return Rescue(compiled, node.on_error.goto)


def _as_node(runner: NodeRunner) -> Callable[..., Any]:
    # A function, since LangGraph reads parameters and their types from one.
    async def node(state: Any, config: RunnableConfig, runtime: Runtime[Any]) -> Command[Any]:
        return await runner.run(state, config, runtime)

    return node


def _destinations(targets: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(LANGGRAPH_END if target == END else target for target in targets) or (LANGGRAPH_END,)


def _ways_of(graph: Graph) -> dict[str, tuple[str, ...]]:
    """Where each node of a wrapped graph can lead to, as far as its edges and path maps tell."""
    ways: dict[str, list[str]] = {name: [] for name in (LANGGRAPH_START, *graph.nodes)}
    for source, target in graph._all_edges:  # noqa: SLF001  # plain edges and joins in one
        ways[source].append(target)
    for source, branches in graph.branches.items():
        for branch in branches.values():
            ways[source].extend((branch.ends or {}).values())
    for name, spec in graph.nodes.items():
        ways[name].extend(spec.ends or ())
    return {name: tuple(dict.fromkeys(targets)) for name, targets in ways.items()}


def _inside(runnable: Any) -> Any:  # any runnable
    """The user's function inside what LangGraph made of it."""
    return getattr(runnable, "func", None) or getattr(runnable, "afunc", None) or runnable
