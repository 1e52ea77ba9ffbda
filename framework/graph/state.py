"""Channels and reducers: a workflow's state keys as LangGraph channels."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any, Self

from langgraph._internal._typing import MISSING  # LangGraph's channels have no public word for "empty"
from langgraph.channels.base import BaseChannel
from langgraph.errors import EmptyChannelError, InvalidUpdateError
from pydantic import ValidationError

from framework.definition.models import StateKey
from framework.definition.types import declared_types, resolve_type
from framework.errors import CallableRefused
from framework.graph.reducers import Reducer, article, make_reducer
from framework.graph.type_checks import Check, checker, from_file


class StateChannel(BaseChannel[Any, Any, Any]):
    """Holds one state key.

    Unlike LangGraph's `BinaryOperatorAggregate` it takes no value for an
    instruction (`{"__overwrite__": …}` is data here), and starts from what the
    reducer says instead of calling the type.
    """

    __slots__ = ("reducer", "value", "writers")

    def __init__(self, typ: Any, reducer: Reducer | None, writers: tuple[str, ...] = ()) -> None:
        super().__init__(typ)
        self.reducer = reducer
        self.writers = writers
        self.value: Any = reducer.empty() if reducer and reducer.empty else MISSING

    def __eq__(self, other: object) -> bool:
        """Two channels are the same when they reduce the same way."""
        return isinstance(other, StateChannel) and self.reducer == other.reducer

    __hash__ = None  # type: ignore[assignment]  # as all of LangGraph's channels

    @property
    def ValueType(self) -> Any:  # noqa: N802  # LangGraph's name
        """The key's declared type."""
        return self.typ

    @property
    def UpdateType(self) -> Any:  # noqa: N802  # LangGraph's name
        """The type of an update: the same."""
        return self.typ

    def copy(self) -> Self:
        """Return a channel with the same value."""
        return self.from_checkpoint(self.value)

    def from_checkpoint(self, checkpoint: Any) -> Self:  # the stored value
        """Return a channel that holds what was stored."""
        channel = self.__class__(self.typ, self.reducer, self.writers)
        channel.key = self.key
        if checkpoint is not MISSING:
            channel.value = checkpoint
        return channel

    def checkpoint(self) -> Any:  # the value to store
        """Return what is stored."""
        return self.value

    def get(self) -> Any:  # the key's value
        """Return the value.

        Raises:
            EmptyChannelError: Nothing was written yet.
        """
        if self.value is MISSING:
            raise EmptyChannelError
        return self.value

    def is_available(self) -> bool:
        """Whether there is a value."""
        return self.value is not MISSING

    def update(self, values: Sequence[Any]) -> bool:
        """Take in the updates of one step.

        Raises:
            InvalidUpdateError: Two nodes wrote a key without a reducer in one step.
        """
        if not values:
            return False
        if self.reducer is None:
            if len(values) > 1:
                raise InvalidUpdateError(self._conflict(len(values)))
            self.value = values[0]
            return True
        for value in values:
            self.value = value if self.value is MISSING else self.reducer.reduce(self.value, value)
        return True

    def _conflict(self, count: int) -> str:
        writers = f" (of {', '.join(self.writers)})" if self.writers else ""
        return (
            f"State key {self.key!r} was written by {count} nodes{writers} in one step, and it has no "
            "reducer that says which value counts. Give it one (append, merge, …), or let one node write it."
        )


@dataclass(frozen=True, slots=True)
class Key:
    """One state key: its type, how updates are reduced, and what checks them."""

    name: str
    words: str
    annotation: Any
    reducer: Reducer | None
    check: Check | None
    channel: StateChannel

    @property
    def reducer_name(self) -> str:
        """As in the file."""
        return self.reducer.name if self.reducer else "last"

    def accept(self, value: Any) -> Any:  # any update
        """Return an update as the key's type, mappings made into models.

        Raises:
            ValueError: It is of another type; the text says what was found and expected.
        """
        if self.check is not None and (self.reducer is None or self.reducer.typed):
            try:
                value = self.check(value)
            except ValidationError as error:
                raise ValueError(f"expected {self.words}, found {article(value)}: {_first(error)}") from error
        if self.reducer is not None and (problem := self.reducer.problem(value)):
            raise ValueError(f"its reducer {self.reducer.name!r} cannot take this: {problem}")
        return value

    def reduced(self, state: Mapping[str, Any], value: Any) -> Any:  # any update
        """Return what the key holds after an update, as a route of the same step sees it."""
        if self.reducer is None:
            return value
        if self.name in state:
            return self.reducer.reduce(state[self.name], value)
        return self.reducer.reduce(self.reducer.empty(), value) if self.reducer.empty else value


@dataclass(frozen=True, slots=True)
class State:
    """The state of a workflow, as the compiler needs it."""

    keys: Mapping[str, Key]
    schema: type
    defaults: Mapping[str, Any]


def build_state(
    declared: Mapping[str, StateKey],
    *,
    types: ModuleType | None,
    resolve: Callable[[str], Any],
    writers: Mapping[str, tuple[str, ...]],
) -> State:
    """Turn `state:` into channels.

    Args:
        declared: The keys as the file has them.
        types: The workflow's `types` module.
        resolve: Finds a `module:function`.
        writers: Which nodes may write a key, for the message when two do at once.

    Raises:
        CallableRefused: A type, a reducer or a default that does not fit; names the key.
    """
    keys = {
        name: _key(name, state_key, types, resolve, writers.get(name, ()))
        for name, state_key in declared.items()
    }
    # Made of data, so there is no class body to write; LangGraph looks at nothing but the annotations.
    annotations = {name: Annotated[key.annotation, key.channel] for name, key in keys.items()}
    schema = type("State", (dict,), {"__annotations__": annotations, "__module__": __name__})
    defaults = {
        name: _default(keys[name], key.default)
        for name, key in declared.items()
        # A reducer cannot take null, and starts from something empty by itself.
        if key.has_default and (key.default is not None or keys[name].reducer is None)
    }
    return State(keys, schema, defaults)


def _key(
    name: str,
    declared: StateKey,
    types: ModuleType | None,
    resolve: Callable[[str], Any],
    writers: tuple[str, ...],
) -> Key:
    try:
        annotation = resolve_type(declared.type, declared_types(types))
        reducer = make_reducer(declared.reducer, annotation, resolve)
        check = checker(annotation)
    except CallableRefused as error:
        raise CallableRefused(f"State key {name!r}: {error.message}", hint=error.hint) from error
    return Key(name, declared.type, annotation, reducer, check, StateChannel(annotation, reducer, writers))


def _default(key: Key, value: Any) -> Any:
    if value is None:
        return None
    try:
        converted = from_file(key.annotation, value)
    except ValidationError as error:
        reason = _first(error)
    else:
        problem = key.reducer.problem(converted) if key.reducer is not None else None
        if problem is None:
            return converted
        reason = problem
    raise CallableRefused(f"State key {key.name!r}: its default does not fit {key.words}: {reason}")


def _first(error: ValidationError) -> str:
    """The first thing that a validation found, with its place, on one line."""
    problem = error.errors(include_url=False, include_context=False, include_input=False)[0]
    where = ".".join(
        str(part) for part in problem["loc"] if not str(part).startswith(("function-", "strict"))
    )
    return f"{where}: {problem['msg']}" if where else problem["msg"]
