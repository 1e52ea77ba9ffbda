"""Scalars mean what YAML 1.2 says, and every part of a file can be found again."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from framework.definition.source import path_text, read_document, read_file, read_text, shown
from framework.errors import DefinitionInvalid, ScenarioInvalid


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("on", "on"),
        ("off", "off"),
        ("yes", "yes"),
        ("no", "no"),
        ("y", "y"),
        ("n", "n"),
        ("12:30", "12:30"),
        ("190:20:30", "190:20:30"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("-7", -7),
        ("+7", 7),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("2026-01-01", "2026-01-01"),
        ("2026-01-01T10:00:00Z", "2026-01-01T10:00:00Z"),
        ("~", None),
        ("null", None),
        ("Null", None),
        ("", None),
        ("true", True),
        ("False", False),
        ("tRue", "tRue"),
        ("1.10", 1.1),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("1.2.3", "1.2.3"),
        ("-", [None]),
        ("'5'", "5"),
        ('"on"', "on"),
        ("nullable", "nullable"),
        ("0o8", "0o8"),
        ("=", "="),
        ("-.5", -0.5),
        ("1e", "1e"),
    ],
)
def test_a_scalar_means_what_yaml_1_2_says(written, value):
    text = f"a:\n  {written}\n" if written == "-" else f"a: {written}\n"
    found = read_document(text, "f").data["a"]
    assert found == value
    assert type(found) is type(value)


def test_every_part_can_be_found():
    document = read_document('a: {b: [1, "two"]}\nc:\n  d: 5\n', "f")
    assert document.data == {"a": {"b": [1, "two"]}, "c": {"d": 5}}
    places = {
        ("a", "b", 1): (1, 12, 5),
        ("a",): (1, 4, 1),
        ("c", "d"): (3, 6, 1),
        (): (1, 1, 1),
    }
    for path, (line, column, width) in places.items():
        at = document.locate(path)
        assert (at.line, at.column, at.width) == (line, column, width)


def test_a_key_can_be_found():
    at = read_document("a:\n  long_name: 5\n", "f").locate(["a", "long_name"], key=True)
    assert (at.line, at.column, at.width) == (2, 3, 9)


def test_what_is_missing_is_looked_for_at_the_deepest_part_that_exists():
    """Pydantic names keys that the file lacks."""
    document = read_document("a:\n  b: {c: 1}\n", "f")
    at = document.locate(["a", "b", "x", "y"])
    assert (at.line, at.column) == (2, 3)


def test_an_alias_is_found_where_it_stands():
    document = read_document("a: &x {k: 1}\nb: *x\n", "f")
    assert document.data == {"a": {"k": 1}, "b": {"k": 1}}
    assert document.locate(["b"]).line == 2


@pytest.mark.parametrize(
    ("text", "path", "offset", "place"),
    [
        ("a: plain text\n", ["a"], 6, (1, 10)),
        ("a: 'it''s x'\n", ["a"], 5, (1, 11)),
        ('a: "\\tx \\u00e4 y"\n', ["a"], 5, (1, 16)),
        ('a: "\\x41\\U0001F600z"\n', ["a"], 2, (1, 19)),
        ("a: |\n  one\n  two x\n", ["a"], 8, (3, 7)),
        ("a: |-\n    one\n      two\n", ["a"], 6, (3, 7)),
        ("a: >\n  folded\n  text\n", ["a"], 8, (1, 4)),
        ('a: "over\n  lines"\n', ["a"], 6, (1, 4)),
        ("ä: 'ö ü'\n", ["ä"], 2, (1, 7)),
    ],
)
def test_a_character_inside_a_text_can_be_found(text, path, offset, place):
    at = read_document(text, "f").locate_text(path, offset)
    assert (at.line, at.column) == place


def test_a_byte_order_mark_moves_nothing():
    document = read_document("\ufeffa: 1\n", "f")
    assert document.locate(["a"], key=True).column == 1


def test_carriage_returns_are_line_ends():
    document = read_document("a: 1\r\nb:\r\n  c: 2\r\n", "f")
    assert document.data == {"a": 1, "b": {"c": 2}}
    assert document.locate(["b", "c"]).line == 3


def test_a_tab_is_no_indentation_but_may_stand_in_text():
    assert read_document("a: |\n  x\n  \ty\nb:\t1\n", "f").data == {"a": "x\n\ty\n", "b": 1}
    assert read_document('a: "x\n\ty"\n', "f").data == {"a": "x y"}


def test_limits_are_not_one_too_tight():
    """64 levels, 100 aliases and 50,000 values are fine; the next one is not."""
    read_document("[" * 64 + "]" * 64, "f")
    read_document("a: &a x\nb: [" + ", ".join(["*a"] * 100) + "]\n", "f")
    read_document("[" + "a," * 49_999 + "]", "f")
    for text in (
        "[" * 65 + "]" * 65,
        "a: &a x\nb: [" + ", ".join(["*a"] * 101) + "]\n",
        "[" + "a," * 50_000 + "]",
    ):
        with pytest.raises(DefinitionInvalid):
            read_document(text, "f")


def test_a_file_of_exactly_one_megabyte_is_read():
    text = "a: '" + "x" * (1_000_000 - 6) + "'\n"
    assert len(text) == 1_000_000
    read_document(text, "f")
    with pytest.raises(DefinitionInvalid, match="larger than 1 MB"):
        read_document(text + "#", "f")
    with pytest.raises(DefinitionInvalid, match="larger than 1 MB"):
        read_document("a: '" + "ä" * 500_000 + "'\n", "f")


def test_the_error_class_is_the_callers(tmp_path):
    with pytest.raises(ScenarioInvalid):
        read_document("a: [", "f", error=ScenarioInvalid)
    with pytest.raises(ScenarioInvalid):
        read_file(tmp_path / "missing.yaml", error=ScenarioInvalid)


@pytest.mark.parametrize(
    ("raw", "fragment"),
    [
        (b"a: \xff\n", "byte 0xff is not valid UTF-8"),
        ("a: ä".encode("latin-1"), "byte 0xe4 is not valid UTF-8"),
        ("a: 1".encode("utf-16"), "the file is UTF-16"),
        (b"x" * 1_000_001, "larger than 1 MB"),
        (b"a: \x00", "U+0000"),
        (b"\xed\xa0\x80: 1", "is not valid UTF-8"),
    ],
)
def test_bytes_that_are_no_text_are_refused(tmp_path, raw, fragment):
    path = tmp_path / "w.yaml"
    path.write_bytes(raw)
    with pytest.raises(DefinitionInvalid) as caught:
        read_file(path)
    assert fragment in caught.value.problems[0].message


def test_a_wrong_byte_is_found(tmp_path):
    path = tmp_path / "w.yaml"
    path.write_bytes("a: 1\nb: ö".encode() + b"\xff")
    with pytest.raises(DefinitionInvalid) as caught:
        read_file(path)
    assert (caught.value.problems[0].line, caught.value.problems[0].column) == (2, 5)


def test_what_is_no_file_is_said_to_be_none(tmp_path):
    for path, fragment in (
        (tmp_path, "a folder"),
        (tmp_path / "no.yaml", "no such file"),
        (tmp_path / "a\0b", "not a path"),
        (tmp_path / ("x" * 5000), "cannot be read"),
    ):
        with pytest.raises(DefinitionInvalid, match=fragment):
            read_text(path)


def test_a_pipe_is_not_waited_for():
    """Opening a FIFO would block for ever."""
    with pytest.raises(DefinitionInvalid, match="not a regular file"):
        read_text(Path("/dev/null"))


def test_values_are_shown_short():
    for value in ("x" * 5000, 10**400, {"a": "x" * 500}, ["x"] * 500, None, True, 1.5, object()):
        assert len(shown(value)) <= 80


def test_paths_are_shown_as_people_write_them():
    assert path_text(["nodes", "a", "with", 0, "b"]) == "nodes.a.with[0].b"
    assert len(path_text(["k" * 500] * 60)) < 200


def test_a_float_that_is_accepted_is_finite():
    assert math.isfinite(read_document("a: 1e308", "f").data["a"])


def test_levels_behind_an_alias_count():
    """Each level is shallow; written out they are deeper than anything that walks them can bear."""
    rung = "[" * 10, "]" * 10
    ladder = "a0: &a0 x\n" + "".join(f"a{n}: &a{n} {rung[0]}*a{n - 1}{rung[1]}\n" for n in range(1, 7))
    read_document(ladder + "b: [[[*a6]]]\n", "f")
    with pytest.raises(DefinitionInvalid, match="more than 64 levels"):
        read_document(ladder + "b: [[[[*a6]]]]\n", "f")


@pytest.mark.parametrize("value", ["[" + "x," * 300 + "]", "x" * 2000], ids=["nodes", "text"])
def test_aliases_may_not_blow_a_file_up(value):
    text = f"a: &a {value}\n" + "".join(f"b{n}: *a\n" for n in range(50))
    with pytest.raises(DefinitionInvalid, match="more than 10 times larger"):
        read_document(text, "f")
