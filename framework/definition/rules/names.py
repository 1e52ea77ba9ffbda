"""Names inside expressions and lists: state keys, inputs, secrets, and where each may stand."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from framework.definition.bindings import has_holes, parse_binding
from framework.definition.expressions import Expression, Reference, compile_expression
from framework.definition.models import Workflow
from framework.definition.normal import Draft
from framework.definition.source import Key, shown
from framework.definition.words import suggest
from framework.errors import ExpressionError

_FIELD = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
_SECRET_KEY = re.compile(r"passw(or)?d|token|secret|api[_-]?key|credential", re.IGNORECASE)
ROOTS = ("inputs", "state", "run")
RUN_FIELDS = ("id", "thread_id", "workflow", "now")


def check_names(draft: Draft) -> None:
    """Check every name that the file uses, and where expressions and secrets stand."""
    workflow = draft.workflow
    _check_field_names(draft, "state", workflow.state)
    _check_field_names(draft, "inputs", workflow.inputs)
    _check_inputs(draft)
    for name in workflow.nodes:
        _check_node(draft, name)
    for route in draft.written.routes:
        for branch in route.branches:
            if branch.branch.condition is not None:
                path = (*branch.path, "if")
                check_expression(draft, branch.branch.condition, path, branch.shift, ROOTS)
    if workflow.outputs is not None:
        _check_binding(draft, workflow.outputs, ("outputs",), ROOTS, stored="outputs")


def _check_field_names(draft: Draft, where: str, names: Iterable[str]) -> None:
    for name in names:
        if not _FIELD.fullmatch(name):
            hint = "use letters, digits and _, beginning with a letter; at most 63"
            message = f"{shown(name)} is not a name that an expression can read"
            draft.problems.add((where, name), message, hint, key=True)


def _check_inputs(draft: Draft) -> None:
    before: list[str] = []
    for name, entry in draft.workflow.inputs.items():
        path = ("inputs", name, "default")
        _check_binding(draft, entry.default, path, ("inputs",), stored="an input", inputs=before)
        before.append(name)


def _check_node(draft: Draft, name: str) -> None:
    node = draft.workflow.nodes[name]
    path = ("nodes", name)
    _check_binding(draft, node.with_, (*path, "with"), ROOTS)
    _check_literal_secrets(draft, node.with_, (*path, "with"))
    if isinstance(node.writes, tuple):
        for index, key in enumerate(node.writes):
            _check_state_key(draft, key, (*path, "writes", index), at_key=False)
    else:
        for key, text in node.writes.items():
            place = (*path, "writes", key)
            _check_state_key(draft, key, place, at_key=True)
            raw = draft.document.data["nodes"][name]["writes"][key]
            check_expression(draft, text, place, raw.find(text), (*ROOTS, "result"))
    continue_with = node.on_error.continue_with if node.on_error is not None else None
    if continue_with is not None:
        place = (*path, "on_error", "continue_with")
        for key in continue_with:
            _check_state_key(draft, key, (*place, key), at_key=True)
        _check_binding(draft, continue_with, place, ROOTS, stored="the state")


def _check_state_key(draft: Draft, key: str, path: Sequence[Key], *, at_key: bool) -> None:
    state = draft.workflow.state
    if key not in state:
        hint = suggest(key, state, kind="state keys") or "declare it under state:"
        draft.problems.add(path, f"there is no state key {shown(key)}", hint, key=at_key)


def _check_binding(
    draft: Draft,
    value: Any,
    path: tuple[Key, ...],
    roots: Sequence[str],
    *,
    stored: str | None = None,
    inputs: Sequence[str] | None = None,
) -> None:
    binding, found = parse_binding(value)
    for problem in found:
        place = (*path, *problem.path)
        draft.problems.add(place, problem.message, problem.hint, offset=problem.offset)
    for bound in binding.expressions:
        place = (*path, *bound.path)
        check_references(draft, bound.expression, place, bound.offset, roots, inputs=inputs)
    if stored is not None and binding.secrets:
        hint = "a secret can only be given to a node, in its 'with'"
        draft.problems.add(path, f"a secret would be stored with {stored}", hint)


def check_expression(draft: Draft, text: str, path: Sequence[Key], shift: int, roots: Sequence[str]) -> None:
    """Check a bare expression that begins `shift` characters into the text at `path`."""
    if has_holes(text):
        hint = "write one expression; secrets and environment variables belong into a node's 'with'"
        draft.problems.add(path, "a hole cannot stand inside an expression", hint)
        return
    try:
        expression = compile_expression(text)
    except ExpressionError as error:
        offset = shift + error.column - 1
        draft.problems.add(path, error.message, error.hint, offset=offset)
        return
    check_references(draft, expression, path, shift, roots)


def check_references(
    draft: Draft,
    expression: Expression,
    path: Sequence[Key],
    shift: int,
    roots: Sequence[str],
    *,
    inputs: Sequence[str] | None = None,
) -> None:
    """Check what an expression reads against what there is."""
    for reference in expression.references:
        message, hint = _unknown(draft.workflow, reference, roots, inputs)
        if message:
            offset = shift + reference.column - 1
            draft.problems.add(path, message, hint, offset=offset, width=len(str(reference)))


def _unknown(
    workflow: Workflow, reference: Reference, roots: Sequence[str], inputs: Sequence[str] | None
) -> tuple[str | None, str | None]:
    root = reference.root
    if root not in roots:
        if root == "result":
            return "'result' is known in a node's 'writes' only", None
        if root in ROOTS:
            return f"'{root}' is not known here", None
        near = [f"{kind}.{root}" for kind, names in (("state", workflow.state), ("inputs", workflow.inputs))
                if root in names and kind in roots]  # fmt: skip
        if near:
            return f"unknown name {shown(root)}", f"did you mean {near[0]!r}?"
        return f"unknown name {shown(root)}", suggest(root, roots, kind="names")
    known: Iterable[str] = {
        "state": workflow.state,
        "inputs": workflow.inputs if inputs is None else inputs,
        "run": RUN_FIELDS,
    }.get(root, ())
    if root == "state" and workflow.graph is not None:
        return None, None  # A wrapped graph declares its own.
    if root == "result" or len(reference.parts) == 1 or reference.parts[1] in known:
        return None, None
    name = reference.parts[1]
    kind = {"state": "state key", "inputs": "input", "run": "field of run"}[root]
    if root == "inputs" and inputs is not None and name in workflow.inputs:
        return f"input {shown(name)} is declared further down", "move it up"
    return f"there is no {kind} {shown(name)}", suggest(name, known, kind=f"{kind}s")


def _check_literal_secrets(draft: Draft, value: Any, path: tuple[Key, ...]) -> None:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        literal = isinstance(item, str) and item and not has_holes(item)
        if literal and isinstance(key, str) and _SECRET_KEY.search(key):
            hint = f"write ${{secret:{key.upper().replace('-', '_')[:40]}}} and set it in the environment"
            draft.problems.warn((*path, key), "a secret seems to stand in the file as text", hint)
        _check_literal_secrets(draft, item, (*path, key))
