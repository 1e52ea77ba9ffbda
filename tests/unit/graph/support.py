"""A workflow, a run and a journal for tests, all in memory."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from types import ModuleType, SimpleNamespace
from typing import Any

from langgraph.checkpoint.memory import InMemorySaver
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer

from framework.definition.models import Branch, Edge, Route, StateKey, Workflow
from framework.errors import CallableRefused
from framework.graph.compiler import compile_workflow
from framework.graph.context import RUN_CONTEXT_KEY, NodeTry, RunContext, TryOutcome
from tests.unit.graph import samples


@dataclass
class MemoryJournal:
    """Keeps what it is told, as the database would."""

    tries: list[NodeTry] = field(default_factory=list)
    endings: list[tuple[NodeTry, TryOutcome, Any]] = field(default_factory=list)

    def tries_started(self, task_key):
        return sum(one.task_key == task_key for one in self.tries)

    def tries_failed(self, task_key):
        return sum(one.task_key == task_key and how is TryOutcome.FAILED for one, how, _ in self.endings)

    def visits(self, node, task_key):
        done = (TryOutcome.SUCCEEDED, TryOutcome.CONTINUED)
        return len(
            {
                one.task_key
                for one, how, _ in self.endings
                if one.node == node and one.task_key != task_key and how in done
            }
        )

    def started(self, node_try):
        self.tries.append(node_try)

    def ended(self, node_try, outcome, *, error=None):
        self.endings.append((node_try, outcome, error))

    async def flush(self):
        pass

    def outcomes(self, node):
        return [how.value for one, how, _ in self.endings if one.node == node]

    def counts(self):
        return Counter(one.node for one in self.tries)


class Code:
    """Stands for the user's modules: `t:name` is a function given to the test."""

    def __init__(self, functions, types):
        self.functions = functions
        self.types = types

    def resolve(self, reference, purpose=None):
        name = reference.partition(":")[2]
        if name not in self.functions:
            raise CallableRefused(f"no {reference}")
        return self.functions[name]

    def module(self, name):
        return self.types


def edge(text):
    sources, targets = (re.sub(r"[\[\]\s]", "", part).split(",") for part in text.split("->"))
    return Edge(sources=tuple(sources), targets=tuple(targets))


def edges(*texts):
    """`a -> b -> c` is two edges."""
    found = []
    for text in texts:
        parts = [part.strip() for part in text.split("->")]
        found.extend(edge(f"{one} -> {other}") for one, other in pairwise(parts))
    return tuple(found)


def route(source, *arms):
    """Arms are `(condition or None, target, …)`."""
    return Route(
        source=source, branches=tuple(Branch(condition=when, targets=tuple(to)) for when, *to in arms)
    )


def workflow(
    functions=None, *, nodes=None, state=None, routes=(), paths=(), types: ModuleType = samples, **more
):
    """Compile a workflow whose nodes are the given functions, unless `nodes` says more of them."""
    functions = functions or {}
    declared = {name: {"use": f"t:{name}"} for name in functions if nodes is None}
    for name, settings in (nodes or {}).items():
        declared[name] = {"use": f"t:{name}", **settings}
    keys = {name: StateKey(**settings) for name, settings in (state or {}).items()}
    definition = Workflow(
        version=1,
        name="test",
        state=keys,
        nodes=declared,
        edges=edges(*paths),
        routes=tuple(routes),
        types="samples",
        **more,
    )
    return compile_workflow(SimpleNamespace(workflow=definition, resolver=Code(functions, types)))


def wrapped(graph, **more):
    """Compile a workflow that is an existing graph."""
    definition = Workflow(version=1, name="test", graph="t:graph", types="samples", **more)
    return compile_workflow(SimpleNamespace(workflow=definition, resolver=Code({"graph": graph}, samples)))


def saver(compiled=None):
    """A checkpointer as strict as ours."""
    allowed = compiled.allowed_msgpack_modules if compiled is not None else []
    return InMemorySaver(serde=JsonPlusSerializer(allowed_msgpack_modules=allowed or None))


class Run:
    """One run of a compiled workflow on one thread, over as many attempts as a test wants."""

    def __init__(
        self, compiled, *, checkpointer=None, journal=None, faults=None, inputs=None, secrets=None, thread="t"
    ):
        self.compiled = compiled
        self.checkpointer = checkpointer or saver(compiled)
        self.journal = journal or MemoryJournal()
        self.events = []
        self.context = RunContext(
            run_id="run-1",
            thread_id=thread,
            workflow="test",
            attempt=1,
            inputs=inputs or {},
            admission={"id": "run-1", "now": "2025-11-03T07:00:00+00:00"},
            journal=self.journal,
            secret=(secrets or {}).__getitem__,
            faults=faults,
            observe=lambda *event: self.events.append(event),
        )

    @property
    def config(self):
        return {
            "configurable": {"thread_id": self.context.thread_id, RUN_CONTEXT_KEY: self.context},
            "recursion_limit": 1_000_000,
            "metadata": {"fence": self.context.attempt},
        }

    @property
    def graph(self):
        return self.compiled.graph(self.checkpointer)

    async def drive(self, given):
        async for _ in self.graph.astream(given, self.config, durability="sync", stream_mode="updates"):
            pass
        return (await self.graph.aget_state(self.config)).values

    async def start(self):
        return await self.drive(self.compiled.initial_input(self.context.inputs, fresh_thread=True))

    async def resume(self, given=None):
        self.context.attempt += 1
        return await self.drive(given)

    async def tasks(self):
        return (await self.graph.aget_state(self.config)).tasks
