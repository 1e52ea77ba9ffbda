"""The exception class that a fault names."""

from __future__ import annotations

import builtins
import importlib

from framework.definition.words import suggest

_BUILTINS = {
    name: value
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
}
# `raise` of one of these in a coroutine arrives as a RuntimeError.
_SWALLOWED = (StopIteration, StopAsyncIteration)


class ExceptionRefused(Exception):
    """The name leads to nothing that a node could raise."""

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.hint = hint


def find_exception(name: str, message: str) -> type[Exception]:
    """Return the class that `ConnectionError` or `module:Class` names.

    It is built once, so that a class that takes other arguments is refused
    when the file is read, not in the middle of a run.

    Raises:
        ExceptionRefused: With what is wrong, and a hint.
    """
    found = _import(name) if ":" in name else _BUILTINS.get(name)
    if found is None:
        hint = suggest(name, _BUILTINS, kind="builtin") if len(name) > 3 else None
        raise ExceptionRefused(f"{name!r} is not a builtin exception", hint or "write module:Class")
    if not (isinstance(found, type) and issubclass(found, BaseException)):
        raise ExceptionRefused(f"{name!r} is not an exception class")
    if not issubclass(found, Exception):
        raise ExceptionRefused(
            f"{name} is not an error: it ends the process or a task", "use kill: true, exit: 1 or hang: true"
        )
    if issubclass(found, _SWALLOWED):
        raise ExceptionRefused(f"a node cannot raise {name}: Python turns it into a RuntimeError")
    if any(base.__name__ == "GraphBubbleUp" for base in found.__mro__):
        raise ExceptionRefused(f"{name} is not an error: LangGraph steers the graph with it")
    try:
        built = found(message) if message else found()
        text = str(built)
    except Exception as problem:  # noqa: BLE001  # whatever a foreign constructor raises is the answer
        raise ExceptionRefused(
            f"{name} cannot be built from a message alone: {problem}", "use another exception, or a subclass"
        ) from None
    if not isinstance(text, str):
        raise ExceptionRefused(f"{name} has no text")
    return found


def _import(name: str) -> object:
    module_name, _, class_name = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as problem:
        raise ExceptionRefused(f"no module named {problem.name!r}") from None
    except Exception as problem:  # noqa: BLE001  # a foreign module's own code runs here
        raise ExceptionRefused(
            f"{module_name} cannot be imported: {type(problem).__name__}: {problem}"
        ) from None
    try:
        return getattr(module, class_name)
    except AttributeError:
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        raise ExceptionRefused(
            f"{module_name} has no {class_name!r}", suggest(class_name, classes, kind="classes")
        ) from None
