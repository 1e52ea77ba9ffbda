"""From a file to the normal form, and from a name to a file."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from datetime import timedelta

import pytest

from framework.definition.models import Backoff, Branch, Edge
from framework.errors import DefinitionInvalid, WorkflowNotFound
from framework.loader import find_workflow, find_workflows, load_workflow, parse_workflow
from tests.unit.definition.bad_workflows import GOOD

FULL = """\
# yaml-language-server: $schema=../../config/schema/workflow.schema.json
version: 1
name: full
description: Everything at once
inputs:
  user: {type: string, default: me, description: Who}
state:
  messages: {type: "list[Task]", reducer: append}
  plan: {type: "Task | None", default: null}
  size: {type: Size, default: small}
  point: {type: Point, default: {x: 1}}
  tasks: {type: "list[Task]", reducer: "merge_by:id", default: [{id: 1, due: 2026-01-01}]}
  newest: {reducer: "nodes:newest"}
types: models
defaults:
  timeout: 30s
  retry: {max_attempts: 4, backoff: linear, initial: 500ms, on: [TimeoutError, "nodes:Unlucky"]}
nodes:
  one: {use: "nodes:greet", with: {user: "${{ inputs.user }}", size: 5}, writes: [messages]}
  two:
    use: nodes:read
    writes: {plan: "${{ result.plan }}", newest: result.x}
    retry: {max_attempts: 8}
    timeout: 5m
    effects: idempotent
    on_error: {goto: three}
  three: {use: "nodes:caller", with: {user: x}, on_error: {continue_with: {messages: []}}, description: Last}
edges:
  - start -> [one, two]
  - "[one, two] -> three"
  - from: three
    route:
      - {if: "${{ state.plan == null }}", to: [one, two]}
      - if: state.size == 'small'
        to: end
      - {else: one}
limits: {max_steps: 20, max_visits: {one: 3}}
outputs: {plan: "${{ state.plan }}", all: ["${{ run.id }}"]}
on_code_change: hold
"""


def load(text, folder, **options):
    return parse_workflow(text, "workflow.yaml", path=folder / "workflow.yaml", **options)


def test_the_normal_form(code_folder):
    workflow = load(FULL, code_folder).workflow
    one, two, three = workflow.nodes.values()
    assert one.retry.max_attempts == 4
    assert one.timeout == timedelta(seconds=30)
    assert two.timeout == timedelta(minutes=5)
    assert (two.retry.max_attempts, two.retry.backoff, two.retry.initial) == (
        8,
        Backoff.LINEAR,
        timedelta(milliseconds=500),
    )
    assert two.retry.on == ("TimeoutError", "nodes:Unlucky")
    assert two.writes == {"plan": " result.plan ", "newest": "result.x"}
    assert two.on_error.goto == "three"
    assert three.on_error.continue_with == {"messages": []}
    assert workflow.edges == (
        Edge(sources=("start",), targets=("one", "two")),
        Edge(sources=("one", "two"), targets=("three",)),
    )
    assert workflow.edges[1].is_join
    assert workflow.routes[0].branches == (
        Branch(condition=" state.plan == null ", targets=("one", "two")),
        Branch(condition="state.size == 'small'", targets=("end",)),
        Branch(condition=None, targets=("one",)),
    )
    assert workflow.state["plan"].has_default
    assert not workflow.state["messages"].has_default
    assert workflow.limits.max_visits == {"one": 3}


@pytest.mark.parametrize(
    ("written", "edges"),
    [
        ("a -> b", [(("a",), ("b",))]),
        ("a->b", [(("a",), ("b",))]),
        ("a-1->b-2", [(("a-1",), ("b-2",))]),
        ("[a, b] -> [c,d] -> end", [(("a", "b"), ("c", "d")), (("c", "d"), ("end",))]),
        ("  a  ->  b  ", [(("a",), ("b",))]),
    ],
)
def test_edges_are_read_as_they_are_written(written, edges):
    from framework.definition.edges import read_edges
    from framework.definition.problems import Problems
    from framework.definition.source import read_document

    problems = Problems(read_document("a: 1", "f"))
    found = read_edges([written], problems).edges
    assert [(edge.edge.sources, edge.edge.targets) for edge in found] == edges
    assert not problems.any


def test_without_defaults_a_node_is_tried_once(code_folder):
    node = load(GOOD.replace("defaults: {timeout: 30s}\n", ""), code_folder).workflow.nodes["a"]
    assert node.retry.max_attempts == 1
    assert node.timeout is None


def test_a_node_can_take_back_the_default_timeout(code_folder):
    text = GOOD.replace('"nodes:read", writes: [n]', '"nodes:read", writes: [n], timeout: null')
    assert load(text, code_folder).workflow.nodes["a"].timeout is None


def test_the_frozen_text_needs_no_code(tmp_path):
    """A run's definition is read where its code may be gone."""
    loaded = parse_workflow(FULL, "frozen", check_code=False)
    assert loaded.source == FULL
    with pytest.raises(DefinitionInvalid):
        load(FULL, tmp_path)


def test_a_file_is_loaded_with_its_hash(tmp_path, code_folder):
    path = code_folder / "workflow.yaml"
    path.write_bytes(("\ufeff" + GOOD.replace("\n", "\r\n")).encode())
    loaded = load_workflow(path)
    assert loaded.content_hash == hashlib.sha256(loaded.source.encode()).hexdigest()
    assert loaded.path == path
    assert not loaded.source.startswith("\ufeff")
    assert load(loaded.source, code_folder).content_hash == loaded.content_hash
    path.unlink()


def test_a_file_that_is_not_there_is_said_to_be_missing(tmp_path):
    for path, fragment in ((tmp_path / "none.yaml", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(DefinitionInvalid, match=fragment):
            load_workflow(path)


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        (
            ('"nodes:read", writes: [n]', '"nodes:anything", with: {api_key: sk-123}, writes: [n]'),
            "a secret seems to stand",
        ),
        (
            ('"nodes:read", writes: [n]', '"nodes:anything", with: {x: [{password: abc}]}, writes: [n]'),
            "a secret seems to stand",
        ),
        (('"nodes:read", writes: [n]', '"nodes:work", writes: [n], timeout: 5s'), "work() is not async"),
        (('"nodes:read", writes: [n]', '"nodes:work", writes: [n]'), "functions that are not async"),
        (('"nodes:read", writes: [n]', '"nodes:read", retry: {jitter: true}'), "not tried again"),
    ],
)
def test_what_works_but_is_probably_not_meant_is_a_warning(code_folder, change, fragment):
    loaded = load(GOOD.replace(*change), code_folder)
    found = [warning for warning in loaded.warnings if fragment in warning.message]
    assert len(found) == 1
    assert found[0].line > 1


def test_a_secret_that_is_looked_up_is_no_warning(code_folder):
    text = GOOD.replace(
        '"nodes:read", writes: [n]',
        '"nodes:anything", with: {token: "${secret:TOKEN}", password: "${{ inputs.user }}"}',
    )
    assert [warning.path for warning in load(text, code_folder).warnings] == ["defaults.timeout"]


def test_a_wrapped_graph_needs_no_state(tmp_path):
    (tmp_path / "agent.py").write_text("from langgraph.graph import StateGraph\nbuilder = StateGraph(dict)\n")
    text = """\
version: 1
name: wrapped
graph: "agent:builder"
interrupt_before: [send]
outputs: {x: "${{ state.any }}"}
limits: {max_visits: {send: 2}}
"""
    workflow = load(text, tmp_path).workflow
    assert workflow.graph == "agent:builder"
    assert workflow.interrupt_before == ("send",)


@pytest.fixture
def project(tmp_path):
    for folder, text in (
        ("good_one", GOOD),
        ("other", GOOD.replace("name: demo", "name: other-flow")),
        ("broken", "name: ["),
    ):
        (tmp_path / "workflows" / folder).mkdir(parents=True)
        (tmp_path / "workflows" / folder / "workflow.yaml").write_text(text)
    (tmp_path / "workflows" / "empty").mkdir()
    return tmp_path


def test_workflows_are_found_by_their_names(project):
    found = find_workflows(project, ["workflows", "missing"])
    assert {name: path.parent.name for name, path in found.items()} == {
        "demo": "good_one",
        "other-flow": "other",
        "broken": "broken",
    }


@pytest.mark.parametrize(
    "reference",
    ["demo", "workflows/good_one/workflow.yaml", "workflows/good_one", "workflows/good_one/", "good_one"],
)
def test_a_workflow_is_found_by_name_file_or_folder(project, reference):
    path = find_workflow(reference, root=project, folders=["workflows"], cwd=project / "workflows")
    assert path.resolve() == project / "workflows" / "good_one" / "workflow.yaml"


def test_a_workflow_is_found_from_where_the_user_is(project):
    for reference, cwd in (
        ("good_one", project / "workflows"),
        ("workflow.yaml", project / "workflows" / "good_one"),
        (".", project / "workflows" / "good_one"),
    ):
        assert find_workflow(reference, root=project, folders=["workflows"], cwd=cwd).read_text() == GOOD
    absolute = str(project / "workflows" / "other")
    assert find_workflow(absolute, root=project, folders=[], cwd=project).parent.name == "other"


@pytest.mark.parametrize(
    ("reference", "hint"),
    [
        ("dmo", "did you mean 'demo'?"),
        ("other_flo", "did you mean 'other-flow'?"),
        ("xyz", "workflows: broken, demo, other-flow"),
        ("a/b.yaml", "main.py"),
        ("x" * 5000, ""),
        ("a\0b", ""),
    ],
)
def test_what_is_not_there_has_a_suggestion(project, reference, hint):
    with pytest.raises(WorkflowNotFound) as caught:
        find_workflow(reference, root=project, folders=["workflows"], cwd=project)
    assert hint in (caught.value.hint or "")
    assert len(caught.value.message) < 300


def test_reading_a_definition_needs_neither_langgraph_nor_a_database():
    """Editors and pre-commit hooks call `validate` on every save."""
    code = "import sys, framework.loader; print({name.split('.')[0] for name in sys.modules})"
    child = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert "'pydantic'" in child.stdout
    assert not any(f"'{name}'" in child.stdout for name in ("langgraph", "langchain_core", "psycopg", "rich"))
