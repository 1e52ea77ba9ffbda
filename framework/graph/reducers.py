"""How two values of a state key become one.

Each built-in reducer is a pure function of the value so far and an update;
none of them changes what it is given. `problem()` finds what would make one
raise, before the node that wrote the update counts as done: a reducer that
raises between two steps would make a thread that nobody can resume.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, get_origin

from framework.errors import CallableRefused

Reduce = Callable[[Any, Any], Any]
MERGE_BY = "merge_by:"
_EMPTY: dict[type, Callable[[], Any]] = {
    list: list, dict: dict, set: set, frozenset: frozenset, str: str,
    int: int, float: float, Decimal: Decimal,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Reducer:
    """One reducer: `name` as in the file, `reduce`, and what a key holds before its first update.

    `empty` is None where there is nothing before the first update: that one is
    taken as it is. `problem` says why an update cannot be reduced, or None.
    `typed` is true where an update has the key's own type; what a function of
    the user's takes is its own affair. `total` is true where reducing an update
    without a problem cannot raise, nor give what cannot be stored.
    """

    name: str
    reduce: Reduce
    empty: Callable[[], Any] | None
    problem: Callable[[Any], str | None]
    typed: bool = True
    total: bool = True


def make_reducer(name: str, annotation: Any, resolve: Callable[[str], Any]) -> Reducer | None:
    """Return the reducer of this name; None for `last`, which needs none.

    Args:
        name: `last`, `append`, `add`, `merge`, `merge_by:<key>` or `module:function`.
        annotation: The key's type.
        resolve: Finds a `module:function` of the workflow.

    Raises:
        CallableRefused: No such reducer, or it does not fit the type.
    """
    if name == "last":
        return None
    if name == "append":
        _expect(name, annotation, list)
        return Reducer(name, _append, list, _not_a_list)
    if name == "merge":
        _expect(name, annotation, dict)
        return Reducer(name, _merge, dict, _not_a_mapping)
    if name == "add":
        return Reducer(name, _add, _empty_of(annotation) or int, _not_a_number, total=False)
    if name.startswith(MERGE_BY):
        key = name.removeprefix(MERGE_BY)
        _expect(name, annotation, list)
        return Reducer(name, _merge_by(key), list, _lacks(key))
    if ":" in name:
        function = resolve(name)
        if not callable(function):
            raise CallableRefused(f"The reducer {name!r} is not a function.")
        return Reducer(name, function, _empty_of(annotation), _nothing, typed=False, total=False)
    raise CallableRefused(
        f"There is no reducer {name!r}.", hint="last, append, add, merge, merge_by:<key> or module:function"
    )


def _expect(name: str, annotation: Any, kind: type) -> None:  # any type form
    if annotation is Any or annotation is kind or get_origin(annotation) is kind:
        return
    raise CallableRefused(
        f"The reducer {name!r} needs a key of type {kind.__name__}.", hint=f"type: {kind.__name__}"
    )


def _empty_of(annotation: Any) -> Callable[[], Any] | None:  # any type form
    return _EMPTY.get(get_origin(annotation) or annotation)


def _append(so_far: list[Any], update: list[Any]) -> list[Any]:
    return [*so_far, *update]


def _merge(so_far: Mapping[Any, Any], update: Mapping[Any, Any]) -> dict[Any, Any]:
    return {**so_far, **update}


def _add(so_far: Any, update: Any) -> Any:  # any number
    return so_far + update


def _merge_by(key: str) -> Reduce:
    def merge_by_key(so_far: list[Any], update: list[Any]) -> list[Any]:
        # A dict keeps the place of a key that is written again: order of first appearance.
        merged = {_field(item, key): item for item in so_far}
        merged.update((_field(item, key), item) for item in update)
        return list(merged.values())

    return merge_by_key


def _field(item: Any, key: str) -> Any:  # a mapping or a model
    return item[key] if isinstance(item, Mapping) else getattr(item, key)


def _nothing(_update: object) -> str | None:
    return None


def _not_a_list(update: object) -> str | None:
    return None if type(update) is list else f"it takes a list, not {article(update)}"


def _not_a_mapping(update: object) -> str | None:
    return None if type(update) is dict else f"it takes a mapping, not {article(update)}"


def _not_a_number(update: object) -> str | None:
    number = isinstance(update, int | float | Decimal) and not isinstance(update, bool)
    return None if number else f"it takes a number, not {article(update)}"


def _lacks(key: str) -> Callable[[Any], str | None]:
    def problem(update: object) -> str | None:
        if not isinstance(update, list):
            return _not_a_list(update)
        for index, item in enumerate(update):
            try:
                hash(_field(item, key))
            except (KeyError, AttributeError):
                return f"item {index} has no {key!r}"
            except TypeError:
                return f"item {index} has a {key!r} that cannot be compared by"
        return None

    return problem


def article(value: object) -> str:
    """`a str`, `an int`: the type of a value in a sentence."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
