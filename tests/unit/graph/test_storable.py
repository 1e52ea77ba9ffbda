"""A value that a node returns is stored unchanged, or that node is told so at once."""

from __future__ import annotations

import array
import asyncio
import datetime as dt
import decimal
import ipaddress
import pathlib
import re
import threading
import time
import types
import uuid
from collections import Counter, OrderedDict, UserDict, defaultdict, deque
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from langgraph.types import Command, Send
from pydantic import SecretStr

from framework.graph.round_trip import _same
from framework.graph.storable import MAX_DEPTH, check_storable
from tests.unit.graph import samples as s


class Text(str):
    __slots__ = ()


class Number(int):
    pass


class Mapping(dict):
    pass


def nested(depth: int) -> list[object]:
    value: list[object] = []
    for _ in range(depth):
        value = [value]
    return value


BERLIN = ZoneInfo("Europe/Berlin")
MOMENT = dt.datetime(2025, 11, 3, 7, tzinfo=dt.UTC)
FINE = [
    None,
    True,
    0,
    -(2**63),
    2**64 - 1,
    1.5,
    float("inf"),
    "text",
    "ä\0é",
    "",
    b"\xff",
    [],
    {},
    set(),
    [1, [2, {"a": None}]],
    {1: "a", None: 2, 2.5: 3, False: 4, b"k": 5},
    {1, 2},
    frozenset({"a"}),
    {frozenset({1})},
    deque([1, 2]),
    MOMENT,
    dt.datetime(2025, 1, 1),  # noqa: DTZ001  # a naive one is the subject
    dt.date(2025, 1, 1),
    dt.datetime(2025, 1, 1, tzinfo=dt.timezone(dt.timedelta(hours=2))),
    dt.time(7, 30),
    dt.time(7, tzinfo=dt.UTC),
    dt.time(7, tzinfo=BERLIN),
    dt.timedelta(days=-1, seconds=3),
    dt.UTC,
    BERLIN,
    decimal.Decimal("1.10"),
    decimal.Decimal("Infinity"),
    uuid.uuid4(),
    pathlib.Path("/a/b"),
    re.compile("a.b", re.IGNORECASE),
    re.compile(b"x"),
    ipaddress.ip_address("10.0.0.1"),
    ipaddress.ip_network("10.0.0.0/8"),
    ipaddress.ip_address("::1"),
    ipaddress.ip_interface("10.0.0.1/8"),
    s.Colour.RED,
    s.Level.LOW,
    s.Word.YES,
    s.Rights.READ | s.Rights.WRITE,
    s.Message(id="1", tags=["a"], colour=s.Colour.RED, when=MOMENT),
    [s.Message(id="1"), s.Message(id="2")],
    s.Outer(inner=s.Inner(n=3)),
    s.Loose(anything={"a": [1]}),
    s.Point(1, [2]),
    s.Checked(-1),
    s.Pair(1, "b"),
    s.Open(value=1, more=[2]),
    {"deep": {"er": [s.Point(1, s.Point(2))]}},
    nested(50),
    HumanMessage("hello"),
    AIMessage("hi", tool_calls=[{"name": "f", "args": {"a": 1}, "id": "1"}]),
]
REFUSED = [
    (1, 2),
    [(1, 2)],
    {"a": (1,)},
    {(1, 2): 3},
    {("a", ("b",)): 1},
    {(1, 2)},
    OrderedDict(a=1),
    defaultdict(int, a=1),
    Counter("ab"),
    Mapping(a=1),
    UserDict(a=1),
    Text("x"),
    Number(3),
    [Text("x")],
    {Text("x"): 1},
    memoryview(b"x"),
    array.array("i", [1]),
    ValueError("x"),
    "\ud800",
    {"\ud800": 1},
    ["a\udfff"],
    2**64,
    -(2**63) - 1,
    {2**64: 1},
    1j,
    range(3),
    deque([1], maxlen=3),
    dt.datetime(2025, 1, 1, tzinfo=BERLIN),
    dt.datetime(2025, 1, 1, fold=1),  # noqa: DTZ001  # likewise
    Fraction(1, 2),
    asyncio.Queue,
    threading.Lock(),
    object(),
    print,
    s.Colour,
    len,
    lambda: 1,
    (x for x in [1]),
    types.MappingProxyType({}),
    pathlib.PurePosixPath("a"),
    bytearray(b"x"),
    [bytearray(b"x")],
    SecretStr("x"),
    s.Undeclared(),
    s.Holder.Nested(),
    s.Holder.NestedData(),
    s.Colour.PAIR,
    s.Point(1, (1, 2)),
    s.Pair(1, (2, 3)),
    s.Counted(1),
    s.Doubling(2),
    s.Hidden(value=2),
    s.Shouting(text="a"),
    s.Outer.model_construct(inner=s.Derived(n=1), pair=(1, 2)),
    s.Loose(anything=(1, 2)),
    s.Loose(anything=s.Inner()),
    s.Aliased(Value=1, inner=s.Inner()),
    s.Computed(inner=s.Inner()),
    s.Message(id="1", when=dt.datetime(2025, 1, 1, tzinfo=BERLIN)),
    Command(goto="x"),
    Send("x", 1),
    {uuid.UUID(int=1): 1},
    {MOMENT: 1},
    {s.Word.YES: 1},
    {s.Colour.RED: 1},
    {decimal.Decimal(1): 1},
    {frozenset({1}): 1},
    nested(300),
    open,
    time.struct_time(range(9)),
]


def name(value: object) -> str:
    try:
        shown = repr(value)
    except Exception:  # noqa: BLE001  # whatever an odd value's repr raises
        shown = "…"
    # Neither an address nor a random id: two processes of a test run collect the same names.
    shown = re.sub(r" at 0x[0-9a-f]+|[0-9a-f]{8}-[0-9a-f-]{27}", "", shown)
    return f"{type(value).__name__}-{shown[:48]}"


def comes_back(value: object) -> bool:
    serializer = JsonPlusSerializer(allowed_msgpack_modules=sorted(s.ALLOWED))
    try:
        again = serializer.loads_typed(serializer.dumps_typed([value]))[0]
    except Exception:  # noqa: BLE001  # whatever the serializer raises
        return False
    return _same(value, again) and bool(value == again)


@pytest.mark.parametrize("value", [*FINE, *REFUSED], ids=name)
def test_what_is_accepted_comes_back_exactly(value):
    """Nothing that passes may be changed or refused by the strict serializer afterwards."""
    accepted = check_storable(value, allowed=s.ALLOWED) is None

    assert not accepted or comes_back(value)


@pytest.mark.parametrize("value", FINE, ids=name)
def test_what_can_be_stored_is_accepted(value):
    """A check that refuses what works would fail nodes for nothing."""
    assert check_storable(value, allowed=s.ALLOWED) is None
    assert comes_back(value)


@pytest.mark.parametrize("value", REFUSED, ids=name)
def test_what_cannot_be_stored_is_refused(value):
    """Each of these is lost, changed or refused by the serializer, or not worth the risk."""
    refusal = check_storable({"key": [value]}, allowed=s.ALLOWED)

    assert refusal is not None
    assert refusal.path.startswith("['key'][0]") or refusal.path == ""


def test_a_private_attribute_is_not_lost():
    """A model's hidden part is not dumped, so an instance that has one is refused."""
    value = s.Private(value=1)
    value._secret = 3

    assert check_storable(value, allowed=s.ALLOWED) is not None


def test_the_refusal_says_where():
    """A person finds the value in a big result by its path."""
    refusal = check_storable({"a": [1, s.Point(1, {"b": (1,)})]}, allowed=s.ALLOWED)

    assert refusal is not None
    assert refusal.path == "['a'][1].y['b']"
    assert refusal.found == "tuple"
    assert refusal.hint == "A tuple comes back as a list: return a list."


def test_a_value_that_contains_itself_is_refused():
    """The serializer would end in a recursion error."""
    value: list[object] = [1]
    value.append({"again": value})

    refusal = check_storable(value)

    assert refusal is not None
    assert refusal.reason == "it contains itself"


def test_one_object_at_two_places_is_no_cycle():
    """Only an ancestor makes a cycle."""
    shared = [1]

    assert check_storable([shared, shared, {"again": shared}]) is None


def test_the_depth_is_bounded():
    """The serializer's own recursion must not be what fails."""
    assert check_storable(nested(MAX_DEPTH)) is None
    assert check_storable(nested(MAX_DEPTH + 5)) is not None


def test_a_huge_value_is_refused(monkeypatch):
    """A checkpoint is written at each step; a file belongs elsewhere."""
    monkeypatch.setattr("framework.graph.storable.MAX_SIZE_BYTES", 1000)

    assert check_storable(["x" * 400, b"x" * 400]) is None
    assert check_storable(["x" * 400, b"x" * 800]) is not None


def test_numpy_arrays_of_numbers_are_stored():
    """Object arrays come back as None, scalars are refused."""
    np = pytest.importorskip("numpy")

    assert check_storable(np.arange(6).reshape(2, 3)) is None
    assert check_storable(np.asfortranarray(np.ones((2, 3)))) is None
    assert check_storable(np.array([object()])) is not None
    assert check_storable(np.float64(1)) is not None


def test_the_check_is_fast():
    """It runs on each result: a thousand small records take a few milliseconds."""
    records = [{"id": str(i), "n": i, "tags": ["a", "b"], "at": MOMENT} for i in range(1000)]
    models = [s.Message(id=str(i), tags=["a"]) for i in range(1000)]

    began = time.perf_counter()
    assert check_storable(records) is None
    assert check_storable(models, allowed=s.ALLOWED) is None

    assert time.perf_counter() - began < 0.5
