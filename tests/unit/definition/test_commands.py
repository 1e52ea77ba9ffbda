"""`validate`, `graph` and `schema` as a user calls them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from framework.cli import drawing
from framework.cli.drawing import Way
from framework.definition.loader import parse_workflow
from tests.unit.definition.bad_workflows import GOOD
from tests.unit.definition.sample_code import FILES
from tests.unit.definition.test_loader import FULL

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def project(tmp_path):
    folder = tmp_path / "workflows" / "demo"
    folder.mkdir(parents=True)
    for name, text in FILES.items():
        (folder / name).write_text(text)
    (folder / "workflow.yaml").write_text(GOOD)
    return tmp_path


CALL = """\
import sys
from pathlib import Path
from framework.cli.app import entry_point
entry_point(Path(sys.argv[1]), sys.argv[2:])
"""


def call(project, *words):
    child = subprocess.run(
        [sys.executable, "-c", CALL, str(project), *words],
        cwd=project,
        check=False,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HOME": str(project)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert "Traceback" not in child.stderr
    return child


def test_a_good_project_is_good(project):
    child = call(project, "validate")
    assert (child.returncode, child.stdout) == (0, "1 workflow, none wrong\n")


def test_every_problem_of_every_file_is_printed(project):
    (project / "workflows" / "demo" / "workflow.yaml").write_text(
        GOOD.replace("b -> end", "b -> edn").replace("30s", "30")
    )
    (project / "workflows" / "other").mkdir()
    (project / "workflows" / "other" / "workflow.yaml").write_text("a: [")
    child = call(project, "validate")
    assert child.returncode == 2
    assert "workflows/demo/workflow.yaml:6:21: defaults.timeout: 30 has no unit" in child.stdout
    assert "workflows/demo/workflow.yaml:12:10: edges[1]: there is no node 'edn'" in child.stdout
    assert "workflows/other/workflow.yaml:1:5: not valid YAML" in child.stdout
    assert child.stdout.endswith("2 workflows, 2 wrong\n")


def test_problems_as_json(project):
    (project / "workflows" / "demo" / "workflow.yaml").write_text(GOOD.replace("b -> end", "b -> edn"))
    child = call(project, "validate", "demo", "--json")
    assert child.returncode == 2
    (entry,) = json.loads(child.stdout)
    assert entry["valid"] is False
    assert entry["problems"][0]["line"] == 12


def test_warnings_do_not_fail(project):
    (project / "workflows" / "demo" / "workflow.yaml").write_text(
        GOOD.replace('"nodes:read"', '"nodes:work"')
    )
    child = call(project, "validate", "workflows/demo")
    assert child.returncode == 0
    assert "warning: defaults.timeout" in child.stdout
    assert "1 warning" in child.stdout


def test_what_is_not_there_is_the_users_mistake(project):
    child = call(project, "validate", "dmeo")
    assert child.returncode == 2
    assert "did you mean 'demo'?" in child.stderr


def test_a_control_character_in_a_file_does_not_reach_the_terminal(project):
    (project / "workflows" / "demo" / "workflow.yaml").write_text("a: \x1b[2J\n")
    assert "\x1b" not in call(project, "validate").stdout


def test_a_workflow_is_drawn(project):
    child = call(project, "graph", "demo")
    assert child.returncode == 0
    assert "│ a │" in child.stdout
    assert json.loads(call(project, "graph", "demo", "--json").stdout)["edges"][0] == {
        "from": "start",
        "to": "a",
        "when": None,
    }
    assert call(project, "graph", "demo", "--mermaid").stdout.startswith("flowchart TD\n")


def test_the_schema_is_printed(project):
    assert json.loads(call(project, "schema").stdout)["title"] == "Holdfast workflow"
    assert call(project, "schema", "--write").returncode == 0
    assert (project / "config" / "schema" / "workflow.schema.json").is_file()


def test_a_drawing_shows_fan_out_join_and_the_way_back():
    ways = drawing.ways_of(
        parse_workflow(
            GOOD.replace(
                "  - start -> a -> b\n  - b -> end\n",
                "  - start -> a -> b\n  - {from: b, route: [{if: 'state.n == 1', to: a}, {else: end}]}\n",
            ),
            "f",
            check_code=False,
        ).workflow
    )
    assert (
        drawing.draw(ways, width=80)
        == """\
╭───────╮
│ start │
╰───┬───╯
    ▼
  ┌───┐
  │ a │◀───╮
  └─┬─┘    │
    ▼      │
  ┌───┐    │
  │ b ├────╯
  └─┬─┘
    ▼
 ╭─────╮
 │ end │
 ╰─────╯

b  state.n == 1  → a
   else          → end"""
    )


def test_every_node_and_every_way_is_in_a_drawing():
    ways = drawing.ways_of(parse_workflow(FULL, "f", check_code=False).workflow)
    for width in (200, 10):
        text = drawing.draw(ways, width=width)
        for name in ("start", "one", "two", "three", "end", "on error", "else"):
            assert name in text
    assert max(len(line) for line in drawing.draw(ways, width=100).splitlines()) <= 100


def test_crossing_ways_do_not_look_joined():
    ways = [
        Way("start", "a"),
        Way("start", "b"),
        Way("a", "c"),
        Way("b", "d"),
        Way("a", "d"),
        Way("c", "end"),
        Way("d", "end"),
    ]
    text = drawing.draw(ways, width=100)
    assert text.count("▼") == 2 + 2 + 1 or text.count("▼") >= 5
    assert re.search("[┌╭]", text)


def test_odd_graphs_are_drawn_too():
    """Self-loops, two nodes that lead to each other, and a node that nothing leads to."""
    for ways in (
        [Way("start", "a"), Way("a", "a"), Way("a", "end")],
        [
            Way("start", "a"),
            Way("a", "b"),
            Way("b", "a"),
            Way("b", "c"),
            Way("c", "b"),
            Way("c", "end"),
            Way("c", "a"),
        ],
        [
            Way("start", "a"),
            Way("a", "b"),
            Way("a", "c"),
            Way("b", "c"),
            Way("c", "b"),
            Way("b", "end"),
            Way("c", "end"),
        ],
        [Way("x", "y")],
        [],
        [Way("start", f"n{number}") for number in range(60)]
        + [Way(f"n{number}", "end") for number in range(60)],
        [Way("start", "n" * 63), Way("n" * 63, "end")],
    ):
        assert isinstance(drawing.draw(ways, width=120), str)


def test_mermaid_is_not_confused_by_names_and_quotes():
    text = drawing.mermaid([Way("start", "end", 'state.x == "a" | b'), Way("a-b", "graph", "on error")])
    assert 'n0(["start"]) --> ' not in text
    assert '|"state.x == #34;a#34; | b"|' in text
    assert "-.->" in text
