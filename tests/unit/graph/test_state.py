"""State keys: their types, and how two updates become one value."""

from __future__ import annotations

import copy
import datetime as dt
from decimal import Decimal

import pytest
from langgraph.errors import EmptyChannelError, InvalidUpdateError

from framework.definition.models import StateKey
from framework.errors import CallableRefused
from framework.graph.state import State, StateChannel, build_state
from tests.unit.graph import samples


def union(so_far, update):
    return sorted({*so_far, *update})


def state(**keys) -> State:
    declared = {name: StateKey(**settings) for name, settings in keys.items()}
    return build_state(declared, types=samples, resolve=lambda _name: union, writers={})


def channel(**settings) -> StateChannel:
    return state(key=settings).keys["key"].channel.copy()


@pytest.mark.parametrize(
    ("reducer", "words", "updates", "value"),
    [
        ("append", "list", [[1], [2, 3]], [1, 2, 3]),
        ("append", "object", [[1]], [1]),
        ("add", "int", [2, 3], 5),
        ("add", "object", [2, 0.5], 2.5),
        ("add", "Decimal", [Decimal("0.1"), Decimal("0.2")], Decimal("0.3")),
        ("merge", "dict", [{"a": 1, "b": 1}, {"b": 2}], {"a": 1, "b": 2}),
        ("merge", "dict", [{"__overwrite__": 1}, {"b": 2}], {"__overwrite__": 1, "b": 2}),
        (
            "merge_by:id",
            "list",
            [[{"id": 1, "v": "a"}, {"id": 2}], [{"id": 3}, {"id": 1, "v": "b"}]],
            [{"id": 1, "v": "b"}, {"id": 2}, {"id": 3}],
        ),
        ("t:union", "list", [[2], [1, 2]], [1, 2]),
        ("last", "object", [5], 5),
    ],
)
def test_reducers(reducer, words, updates, value):
    """Each keeps to its word, and changes nothing that it is given."""
    held = channel(type=words, reducer=reducer)
    given = copy.deepcopy(updates)

    assert held.update(updates)
    assert held.get() == value
    assert updates == given
    assert held.from_checkpoint(held.checkpoint()).get() == value


def test_merge_by_takes_models():
    """Replaced in place, in the order of first appearance."""
    one, two = samples.Message(id="1"), samples.Message(id="2")
    newer = samples.Message(id="1", body="new")
    held = channel(type="list[Message]", reducer="merge_by:id")
    held.update([[one, two], [newer]])

    assert held.get() == [newer, two]


@pytest.mark.parametrize(
    ("reducer", "empty"), [("append", []), ("merge", {}), ("add", 0), ("merge_by:id", [])]
)
def test_what_a_key_holds_before_its_first_update(reducer, empty):
    """Something empty, which the first update is reduced into; never `object()`."""
    assert channel(reducer=reducer).get() == empty


def test_a_key_without_a_reducer_is_empty_at_first():
    """And a node sees no such key, so expressions see null."""
    with pytest.raises(EmptyChannelError):
        channel().get()


def test_two_values_for_a_key_without_a_reducer():
    """A clear error; what was there stays."""
    held = channel()
    held.key = "key"

    with pytest.raises(InvalidUpdateError, match="'key' was written by 2 nodes"):
        held.update([1, 2])


def test_an_empty_value_is_not_shared():
    """Two runs must not meet in one list."""
    held, other = channel(reducer="append"), channel(reducer="append")
    held.get().append("leak")

    assert other.get() == []
    assert channel(reducer="append").get() == []


@pytest.mark.parametrize(
    ("words", "good", "bad"),
    [
        ("int", 1, "1"),
        ("int", 0, True),
        ("float", 1.5, "1.5"),
        ("str", "a", 1),
        ("bool", True, 1),
        ("list[int]", [1], ["1"]),
        ("list[int]", [], (1,)),
        ("dict[str, int]", {"a": 1}, {"a": "1"}),
        ("Message", {"id": "1"}, {"id": 1}),
        ("list[Message]", [{"id": "1"}], [{}]),
        ("Message | None", None, "x"),
        ("int | str", "1", 1.5),
        ("object", object, None),
        ("dict[str, list[Message]]", {"a": [{"id": "1"}]}, {"a": {"id": "1"}}),
    ],
)
def test_types(words, good, bad):
    """Nothing is converted in silence but a mapping into the model that is declared."""
    key = state(key={"type": words}).keys["key"]

    key.accept(good)
    if words != "object":
        with pytest.raises(ValueError, match=r"expected .* found an? "):
            key.accept(bad)


@pytest.mark.parametrize(
    "words",
    [
        "Mesage",
        "list[",
        "list[int, int]",
        "tuple[int]",
        "__import__('os')",
        "int()",
        "os.path",
        "lambda: 1",
        "x" * 999,
        "[1]",
        "dict[str]",
        "int[str]",
        "1",
    ],
)
def test_words_that_are_no_type(words):
    """Refused with the key named; nothing is evaluated."""
    with pytest.raises(CallableRefused, match="State key 'key'"):
        state(key={"type": words})


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"reducer": "apend"}, "no reducer"),
        ({"reducer": "append", "type": "int"}, "needs a key of type list"),
        ({"reducer": "merge", "type": "list"}, "needs a key of type dict"),
        ({"type": "int", "default": "x"}, "default"),
    ],
)
def test_keys_that_do_not_fit_together(settings, says):
    """Before anything runs."""
    with pytest.raises(CallableRefused, match=says):
        state(key=settings)


def test_defaults_are_of_the_declared_type():
    """Mappings in the file become models; null on a reduced key stands for nothing."""
    built = state(
        m={"type": "Message", "default": {"id": "1"}},
        n={"default": None},
        log={"reducer": "append", "default": None},
    )

    assert built.defaults == {"m": samples.Message(id="1"), "n": None}
    day = state(day={"type": "date", "default": "2025-11-03"})
    assert day.defaults == {"day": dt.date(2025, 11, 3)}


@pytest.mark.parametrize(
    ("reducer", "update"),
    [
        ("append", {"a": 1}),
        ("append", "text"),
        ("add", "1"),
        ("add", True),
        ("merge", [1]),
        ("merge_by:id", [{"x": 1}]),
        ("merge_by:id", [{"id": []}]),
        ("merge_by:id", {"id": 1}),
    ],
)
def test_updates_that_a_reducer_cannot_take(reducer, update):
    """Found while a node can still be blamed for it."""
    with pytest.raises(ValueError, match=r"reducer .* cannot take this"):
        state(key={"reducer": reducer}).keys["key"].accept(update)
