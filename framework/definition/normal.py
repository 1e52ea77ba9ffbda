"""A document → the normal form: shapes checked, defaults merged, edges parsed.

Whatever is wrong is noted and replaced by something harmless, so that the
rules can look at the rest of the file too.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from framework.definition.checked import PLACEHOLDER, checked
from framework.definition.edges import WrittenEdges, bare_condition, read_edges
from framework.definition.models import (
    NAME_PATTERN,
    Effects,
    Input,
    Limits,
    Node,
    OnError,
    RetryPolicy,
    StateKey,
    Workflow,
)
from framework.definition.problems import Problems
from framework.definition.shape import NodeShape, OnErrorShape, RetryShape, WorkflowShape
from framework.definition.source import Document, shown

MAX_WORKFLOW_NODES = 1000
MAX_WORKFLOW_EDGES = 10_000
MAX_EXPRESSIONS = 3000
MAX_EXPRESSION_TEXT = 200_000


@dataclass(slots=True)
class Draft:
    """A workflow on its way through the rules."""

    document: Document
    problems: Problems
    workflow: Workflow
    written: WrittenEdges = field(default_factory=WrittenEdges)
    broken: set[str] = field(default_factory=set)
    """Nodes whose `use` is missing: nothing more can be said about their code."""
    explicit_max_steps: bool = False


def read_draft(document: Document, problems: Problems) -> Draft | None:
    """Read the whole file; None when it is not even a mapping."""
    data = document.data
    if data is None:
        problems.add((), "the file is empty", "begin with: version: 1")
        return None
    if not isinstance(data, dict):
        problems.add((), f"a workflow is a mapping, not {shown(data)}", "begin with: version: 1")
        return None
    if _too_large(data, problems):
        return None
    shape = checked(WorkflowShape, data, (), problems)
    if shape is None:
        return None
    written = read_edges(shape.edges, problems)
    workflow = Workflow(
        version=1,
        name=_name(shape, problems),
        description=shape.description,
        inputs={name: Input(**_given(entry)) for name, entry in shape.inputs.items()},
        state={name: StateKey(**_given(entry)) for name, entry in shape.state.items()},
        types=shape.types,
        nodes={name: _node(name, entry, shape, problems) for name, entry in shape.nodes.items()},
        edges=tuple(written_edge.edge for written_edge in written.edges),
        routes=tuple(written_route.route for written_route in written.routes),
        graph=shape.graph,
        interrupt_before=tuple(shape.interrupt_before or ()),
        interrupt_after=tuple(shape.interrupt_after or ()),
        limits=Limits(max_steps=shape.limits.max_steps, max_visits=shape.limits.max_visits),
        outputs=shape.outputs,
        on_code_change=shape.on_code_change,
    )
    broken = {name for name, entry in shape.nodes.items() if entry.use == PLACEHOLDER}
    explicit = "max_steps" in shape.limits.model_fields_set
    return Draft(document, problems, workflow, written, broken, explicit)


def _too_large(data: dict[str, Any], problems: Problems) -> bool:
    """Refuse what the rules, whose work grows faster than the file, would take too long for."""
    nodes, edges = data.get("nodes"), data.get("edges")
    if isinstance(nodes, dict) and len(nodes) > MAX_WORKFLOW_NODES:
        problems.add(("nodes",), f"a workflow has at most {MAX_WORKFLOW_NODES:,} nodes", key=True)
    elif isinstance(edges, list) and _amount(edges, "")[0] > MAX_WORKFLOW_EDGES:
        problems.add(
            ("edges",),
            f"a workflow has at most {MAX_WORKFLOW_EDGES:,} names and conditions in its edges",
            key=True,
        )
    elif isinstance(edges, list) and _amount(edges, "")[1] > MAX_EXPRESSION_TEXT:
        problems.add(("edges",), f"edges take more than {MAX_EXPRESSION_TEXT:,} characters", key=True)
    else:
        count, size = _amount(data, "${")
        if count <= MAX_EXPRESSIONS and size <= MAX_EXPRESSION_TEXT:
            return False
        limits = (
            f"{MAX_EXPRESSIONS:,} expressions, or {MAX_EXPRESSION_TEXT:,} characters of text that holds them"
        )
        problems.add((), f"the workflow has more than {limits}")
    return True


def _amount(value: Any, mark: str) -> tuple[int, int]:
    """How often a mark stands in the texts inside a value, and how long those texts are; '' counts texts."""
    count = size = 0
    todo = [value]
    while todo:
        item = todo.pop()
        if isinstance(item, dict):
            todo.extend(item.values())
        elif isinstance(item, list):
            todo.extend(item)
        elif isinstance(item, str) and mark in item:
            count += item.count(mark) if mark else 1
            size += len(item)
    return count, size


def _given(shape: Any) -> dict[str, Any]:
    """Only what the file says, so that the normal form knows what was left out."""
    return {name: getattr(shape, name) for name in shape.model_fields_set}


def _name(shape: WorkflowShape, problems: Problems) -> str:
    if re.fullmatch(NAME_PATTERN, shape.name):
        return shape.name
    hint = "use lower-case letters, digits, - and _, beginning with a letter; at most 63"
    problems.add(("name",), f"{shown(shape.name)} is not a name", hint)
    return "unnamed"


def _node(name: str, shape: NodeShape, workflow: WorkflowShape, problems: Problems) -> Node:
    return Node(
        use=shape.use,
        **{"with": shape.with_},
        writes=_writes(name, shape.writes, problems),
        retry=_retry(workflow.defaults.retry, shape.retry),
        timeout=shape.timeout if "timeout" in shape.model_fields_set else workflow.defaults.timeout,
        on_error=_on_error(name, shape.on_error, problems),
        effects=Effects(shape.effects),
        description=shape.description,
    )


def _retry(defaults: RetryShape, own: RetryShape | None) -> RetryPolicy:
    return RetryPolicy(**{**_given(defaults), **(_given(own) if own is not None else {})})


def _on_error(name: str, shape: OnErrorShape | None, problems: Problems) -> OnError | None:
    if shape is None:
        return None
    if (shape.continue_with is None) == (shape.goto is None):
        path = ("nodes", name, "on_error")
        problems.add(path, "on_error has either 'continue_with' or 'goto'", key=True)
        return None
    return OnError(continue_with=shape.continue_with, goto=shape.goto)


def _writes(name: str, value: Any, problems: Problems) -> tuple[str, ...] | Mapping[str, str]:
    path = ("nodes", name, "writes")
    if value == ():
        return ()
    if isinstance(value, dict):
        good: dict[str, str] = {}
        for key, text in value.items():
            if isinstance(text, str):
                # The normal form holds the bare expression, as a condition does.
                good[key] = bare_condition(text)[0] or text
            else:
                hint = 'for instance "${{ result }}"'
                problems.add((*path, key), f"an expression is expected, not {shown(text)}", hint)
        return good
    if isinstance(value, str):
        problems.add(path, "a list is expected, not text", f"write [{value[:60]}]")
        return (value,)
    if not isinstance(value, list):
        problems.add(path, f"a list of state keys is expected, not {shown(value)}")
        return ()
    keys: list[str] = []
    for index, key in enumerate(value):
        if not isinstance(key, str):
            problems.add((*path, index), f"a state key is expected, not {shown(key)}")
        elif key in keys:
            problems.add((*path, index), f"{shown(key)} is listed twice")
        else:
            keys.append(key)
    return tuple(keys)
