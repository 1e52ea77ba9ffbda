"""Calling a user's function: parameters by name, sync ones in a thread of their own."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from framework.definition.words import suggest
from framework.errors import CallableRefused

PROVIDED = ("state", "ctx", "runtime")
"""What a node gets by having a parameter of that name, unless `with:` gives it another value."""

MAX_THREADS = 128
"""Sync nodes that can be in flight at once in one process; a hung one keeps its thread."""

_NAMED = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


@dataclass(frozen=True, slots=True)
class Call:
    """A function and what it wants: `provided` of ours, and the keys of `with:`."""

    function: Callable[..., Any]
    is_async: bool
    provided: tuple[str, ...]

    async def __call__(self, offered: Mapping[str, Any], bound: Mapping[str, Any]) -> Any:
        """Call it; a sync function runs in a thread and never blocks the loop."""
        arguments = {name: offered[name] for name in self.provided}
        arguments.update(bound)
        if self.is_async:
            return await self.function(**arguments)
        result = await in_thread(functools.partial(self.function, **arguments))
        # A sync callable may still hand back something to await (a lambda around a coroutine).
        return await result if inspect.isawaitable(result) else result


def plan_call(function: Any, bound: Iterable[str], *, use: str) -> Call:  # what `use:` named
    """Match a function's parameters with what a node can give it.

    Args:
        function: What `use:` named.
        bound: The keys of `with:`.
        use: Its name in the file, for messages.

    Raises:
        CallableRefused: It is no function, lacks a key of `with:`, or wants something nobody gives.
    """
    if not callable(function) or isinstance(function, type):
        raise CallableRefused(f"{use!r} is not a function.")
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise CallableRefused(f"{use!r} is a generator.", hint="Return the values as a list.")
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        raise CallableRefused(
            f"The parameters of {use!r} cannot be read.", hint="Wrap it in a function of your own."
        ) from None
    given = set(bound)
    names = {parameter.name for parameter in parameters if parameter.kind in _NAMED}
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters)
    for name in sorted(given - names):
        if not takes_any:
            raise CallableRefused(
                f"{use!r} has no parameter {name!r}, which `with:` gives it.",
                hint=suggest(name, names, kind="parameters"),
            )
    provided = tuple(name for name in PROVIDED if name in names and name not in given)
    for parameter in parameters:
        _expect_value(parameter, given | set(provided), use)
    return Call(function, _is_async(function), provided)


def _expect_value(parameter: inspect.Parameter, given: set[str], use: str) -> None:
    variable = parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    if variable or parameter.default is not inspect.Parameter.empty:
        return
    if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
        raise CallableRefused(
            f"{use!r} wants {parameter.name!r} by position; nodes are called by name.",
            hint="Take the '/' out of its parameters.",
        )
    if parameter.name not in given:
        message = f"Nobody gives {use!r} its parameter {parameter.name!r}."
        hint = f"with: {{{parameter.name}: …}}, or call it one of: {', '.join(PROVIDED)}"
        raise CallableRefused(message, hint=hint)


def _is_async(function: Any) -> bool:  # any callable
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
        getattr(function, "__call__", None)  # noqa: B004  # asks for the method, not whether there is one
    )


async def in_thread(function: Callable[[], Any]) -> Any:  # whatever it returns
    """Run a sync function beside the loop, with this task's context variables.

    A thread cannot be stopped: when the caller is cancelled, the function
    goes on to its end and its result is dropped.
    """
    context = contextvars.copy_context()
    loop = asyncio.get_running_loop()
    result, error = await loop.run_in_executor(_threads(), context.run, _outcome, function)
    if error is not None:
        raise error
    return result


def _outcome(function: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    # Handed over as a value: a future refuses StopIteration, and its waiter would hang.
    try:
        return function(), None
    except BaseException as error:  # noqa: BLE001  # raised again, on the side that waits
        return None, error


@functools.cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(MAX_THREADS, thread_name_prefix="holdfast-node")
