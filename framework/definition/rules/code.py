"""What the file says about Python code: functions, their parameters, reducers, types, exceptions."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from framework.definition.bindings import has_holes
from framework.definition.callables import Purpose, Resolver, exception_class
from framework.definition.models import StateKey
from framework.definition.normal import Draft
from framework.definition.source import Key, shown
from framework.definition.types import declared_types, misfit, resolve_type
from framework.definition.words import suggest
from framework.errors import CallableRefused

REDUCERS = ("last", "append", "add", "merge")
MERGE_BY = "merge_by:"
INJECTED = ("state", "ctx", "runtime")


def check_code(draft: Draft, resolver: Resolver) -> None:
    """Import what the file names, and hold the file against it."""
    workflow = draft.workflow
    types = _types_module(draft, resolver)
    if workflow.graph is not None:
        _resolved(draft, resolver, workflow.graph, ("graph",), Purpose.GRAPH)
        return
    for name, entry in workflow.state.items():
        _check_state_key(draft, resolver, name, entry, types)
    for name, node in workflow.nodes.items():
        if name in draft.broken:
            continue
        found = _resolved(draft, resolver, node.use, ("nodes", name, "use"))
        if found is not None:
            _check_parameters(draft, name, found)
            _check_timeout(draft, name, found)
    _check_exceptions(draft, resolver)


def check_reducer_words(draft: Draft) -> None:
    """Check reducers' names as far as that needs no code."""
    for name, entry in draft.workflow.state.items():
        path = ("state", name, "reducer")
        reducer = entry.reducer
        if reducer in REDUCERS or re.fullmatch(r"[^:\s]+:[^:\s]+", reducer):
            continue
        if reducer.startswith(MERGE_BY) or reducer == "merge_by":
            draft.problems.add(path, "merge_by needs the name of a field", "write merge_by:id")
        else:
            hint = suggest(reducer, REDUCERS, kind="reducers")
            draft.problems.add(path, f"there is no reducer {shown(reducer)}", hint)


def _resolved(
    draft: Draft,
    resolver: Resolver,
    reference: str,
    path: Sequence[Key],
    purpose: Purpose = Purpose.FUNCTION,
) -> Any:
    try:
        return resolver.resolve(reference, purpose)
    except CallableRefused as error:
        draft.problems.add(path, error.message, error.hint)
        return None


def _types_module(draft: Draft, resolver: Resolver) -> ModuleType | None:
    if draft.workflow.types is None:
        return None
    try:
        return resolver.module(draft.workflow.types)
    except CallableRefused as error:
        draft.problems.add(("types",), error.message, error.hint)
        return None


def _check_state_key(
    draft: Draft, resolver: Resolver, name: str, entry: StateKey, types: ModuleType | None
) -> None:
    path = ("state", name)
    annotation: Any = Any
    if types is not None or draft.workflow.types is None:
        try:
            annotation = resolve_type(entry.type, declared_types(types))
        except CallableRefused as error:
            draft.problems.add((*path, "type"), error.message, error.hint)
    if ":" in entry.reducer and not entry.reducer.startswith(MERGE_BY):
        function = _resolved(draft, resolver, entry.reducer, (*path, "reducer"))
        if function is not None:
            _check_reducer(draft, function, (*path, "reducer"))
    elif annotation is not Any:
        _check_reducer_type(draft, name, entry, annotation)
    if entry.has_default and entry.default is not None:
        _check_default(draft, name, entry, annotation)


def _check_reducer_type(draft: Draft, name: str, entry: StateKey, annotation: Any) -> None:
    kind = {"append": list, "merge": dict}.get(entry.reducer)
    if entry.reducer.startswith(MERGE_BY):
        kind = list
    origin = getattr(annotation, "__origin__", annotation)
    if kind is not None and origin is not kind:
        message = f"the reducer {entry.reducer} needs a {kind.__name__}, not {entry.type}"
        draft.problems.add(("state", name, "reducer"), message, f"type: {kind.__name__}")


def _check_default(draft: Draft, name: str, entry: StateKey, annotation: Any) -> None:
    path = ("state", name, "default")
    if isinstance(entry.default, str) and has_holes(entry.default):
        draft.problems.add(
            path, "a state key's default is a plain value", "compute it in a node, or make it an input"
        )
        return
    reason = misfit(entry.default, annotation)
    if reason is not None:
        draft.problems.add(path, f"the default does not fit {entry.type}: {reason}")


def _check_reducer(draft: Draft, function: Callable[..., Any], path: Sequence[Key]) -> None:
    signature = _signature(function)
    if inspect.iscoroutinefunction(function):
        draft.problems.add(path, "a reducer cannot be async")
    if signature is None:
        return
    try:
        signature.bind(object(), object())
    except TypeError:
        hint = "def reducer(so_far, update): …"
        draft.problems.add(path, f"a reducer takes two values; {shown_signature(function)}", hint)


def _signature(function: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):
        return None


def shown_signature(function: Callable[..., Any]) -> str:
    """A function's name and parameters, cut to what a message can bear."""
    signature = _signature(function)
    names = ", ".join(signature.parameters) if signature is not None else "…"
    return f"{getattr(function, '__name__', 'it')}({names})"[:120]


def _check_parameters(draft: Draft, name: str, function: Callable[..., Any]) -> None:
    signature = _signature(function)
    if signature is None:
        return
    given = draft.workflow.nodes[name].with_
    parameters = signature.parameters.values()
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters)
    by_name = {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    path: tuple[Key, ...] = ("nodes", name, "with")
    for key in given:
        if key in INJECTED:
            hint = "it is passed by itself; give the parameter another name"
            draft.problems.add((*path, key), f"'{key}' is reserved", hint, key=True)
        elif key not in by_name and not takes_any:
            message = f"{shown_signature(function)} has no parameter {shown(key)}"
            draft.problems.add(
                (*path, key), message, suggest(key, by_name - {*INJECTED}, kind="parameters"), key=True
            )
    for parameter in parameters:
        required = parameter.default is parameter.empty
        if not required or parameter.name in INJECTED or parameter.name in given:
            continue
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            where = path if given else ("nodes", name)
            message = f"{shown_signature(function)} needs the parameter {parameter.name!r}"
            hint = f"add it under 'with', or name the parameter one of: {', '.join(INJECTED)}"
            draft.problems.add(where, message, hint, key=True)
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            message = f"{shown_signature(function)} takes {parameter.name!r} by position only"
            draft.problems.add(("nodes", name, "use"), message, "remove the '/' from its parameters")


def _check_timeout(draft: Draft, name: str, function: Callable[..., Any]) -> None:
    node = draft.workflow.nodes[name]
    target = inspect.unwrap(function)
    # Of an object that can be called, the method is what is async or not.
    method = getattr(type(target), "__call__", None)  # noqa: B004  # not asked whether, but which
    is_async = inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(method)
    if node.timeout is None or is_async:
        return
    data = draft.document.data["nodes"][name]
    own = isinstance(data, dict) and "timeout" in data
    path = ("nodes", name, "timeout") if own else ("defaults", "timeout")
    if own:
        message = f"{shown_signature(function)} is not async: its timeout counts when it returns"
    else:
        message = "functions that are not async cannot be stopped: the timeout counts when they return"
    draft.problems.warn(path, message, "make it async def to have it stopped in time", key=True)


def _check_exceptions(draft: Draft, resolver: Resolver) -> None:
    # As written: in the normal form a name of `defaults` stands in every node.
    data = draft.document.data
    places: list[tuple[tuple[Key, ...], Any]] = [(("defaults", "retry"), data.get("defaults"))]
    places += [(("nodes", name, "retry"), data["nodes"].get(name)) for name in draft.workflow.nodes]
    for path, holder in places:
        retry = holder.get("retry") if isinstance(holder, dict) else None
        names = retry.get("on") if isinstance(retry, dict) else None
        for index, name in enumerate(names if isinstance(names, list) else ()):
            if isinstance(name, str):
                try:
                    exception_class(name, resolver)
                except CallableRefused as error:
                    draft.problems.add((*path, "on", index), error.message, error.hint)
