"""The run verbs as a person or a script uses them: real processes, a real database, a tiny workflow."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOON = 60.0

CONFIG = """
workflows: {default: tiny, folders: [workflows], allowed_packages: []}
"""
TINY = """
version: 1
name: tiny
inputs:
  name: {type: string, default: world}
state:
  greeting: {type: str}
  summary: {type: str}
nodes:
  greet: {use: "nodes:greet", with: {name: "${{ inputs.name }}"}, writes: [greeting]}
  tell:
    use: nodes:tell
    writes: [summary]
    retry: {max_attempts: 2, initial: 10ms, on: [ConnectionError]}
edges:
  - start -> greet -> tell -> end
outputs: {summary: "${{ state.summary }}"}
"""
NODES = """
import time
from pathlib import Path

HERE = Path(__file__).parent

def done(what):
    with (HERE / "effects").open("a") as file:
        file.write(what + "\\n")

def wait(node):
    done(node + " begins")
    while (HERE / ("hold-" + node)).exists():
        time.sleep(0.02)

def greet(name):
    wait("greet")
    done("greet")
    print("what a node prints is no part of a JSON document")
    return "hello " + name

def tell(state):
    wait("tell")
    if (HERE / "broken").exists():
        raise ConnectionError("nobody listens")
    done("tell")
    return state["greeting"] + "!"
"""
ASKING = """
version: 1
name: asking
graph: "graph:build"
"""
GRAPH = """
from typing import TypedDict
from langgraph.graph import END, START, StateGraph
from langgraph.types import interrupt

class State(TypedDict):
    answer: str

def ask(state):
    return {"answer": interrupt("shall we?")}

def build():
    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", END)
    return graph
"""
KILL = """
description: The process is killed while it tells.
faults:
  - {node: tell, where: inside, kill: true%s}
"""
READER = """
import sys
from pathlib import Path
from framework.cli.app import entry_point

try:
    entry_point(Path(sys.argv[1]), sys.argv[2:])
except SystemExit as end:
    assert not end.code, end.code
assert "langgraph" not in sys.modules, "a reading verb imported LangGraph"
"""


@dataclass(frozen=True)
class Project:
    """A project with two workflows, and the command line on it."""

    folder: Path
    url: str
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def tiny(self) -> Path:
        return self.folder / "workflows" / "tiny"

    @property
    def effects(self) -> list[str]:
        path = self.tiny / "effects"
        return path.read_text().split("\n")[:-1] if path.exists() else []

    def command(self, *words: str) -> list[str]:
        return [sys.executable, str(ROOT / "main.py"), "--root", str(self.folder), *words]

    def environ(self, more: Mapping[str, str]) -> dict[str, str]:
        # Bytecode is written: compiling all of it anew at each start would take most of the time here.
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("HOLDFAST_") and name != "PYTHONDONTWRITEBYTECODE"
        }
        return {**kept, "DATABASE_URL": self.url, **more}

    def run(self, *words: str, **environ: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*words),
            env=self.environ(environ),
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )

    def start(self, *words: str, **environ: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            self.command(*words),
            env=self.environ(environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def document(self, *words: str, **environ: str) -> Any:
        done = self.run(*words, "--json", **environ)
        return json.loads(done.stdout)

    def read(self, *words: str) -> str:
        """Return what a reading verb prints, and hold it to its promise: it costs no LangGraph."""
        done = subprocess.run(
            [sys.executable, "-c", READER, str(self.folder), *words],
            env=self.environ({}),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, (words, done.stderr)
        return done.stdout

    def wait_for_line(self, process: subprocess.Popen[str], text: str) -> None:
        """Read the process's stderr up to a line."""
        assert process.stderr is not None
        seen = ""
        while text not in seen:
            line = process.stderr.readline()
            assert line, seen
            seen += line

    def wait_for_effect(self, effect: str) -> None:
        deadline = time.monotonic() + SOON
        while effect not in self.effects:
            assert time.monotonic() < deadline, self.effects
            time.sleep(0.02)

    def scenario(self, text: str) -> None:
        folder = self.folder / "mocks" / "scenarios"
        folder.mkdir(parents=True)
        (folder / "default.yaml").write_text(text)


@pytest.fixture
def project(tmp_path, database_url) -> Iterator[Project]:
    for name, files in {
        "tiny": {"workflow.yaml": TINY, "nodes.py": NODES},
        "asking": {"workflow.yaml": ASKING, "graph.py": GRAPH},
    }.items():
        folder = tmp_path / "workflows" / name
        folder.mkdir(parents=True)
        for file_name, text in files.items():
            (folder / file_name).write_text(text)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "framework_config.yaml").write_text(CONFIG)
    project = Project(tmp_path, database_url)
    yield project
    for process in project.started:
        # A test that failed half-way leaves one behind; it must not outlive its database.
        process.kill()
        process.communicate()


def test_a_run_is_one_json_document_and_its_key_starts_it_once(project):
    """Scripts read stdout; what people read goes to stderr."""
    done = project.run("run", "tiny", "--input", "name=Ana", "--run-key", "monday", "--json")

    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert document.keys() == {"run_id", "thread_id", "workflow", "run_key", "status", "output", "error"}
    assert (document["status"], document["output"]) == ("succeeded", {"summary": "hello Ana!"})
    assert "greet started (try 1" in done.stderr

    shown = project.document("show", document["run_id"][:8])
    assert shown["state"]["greeting"] == "hello Ana"
    nodes = [(row["node"], row["outcome"]) for row in shown["nodes"]]
    assert nodes == [("greet", "succeeded"), ("tell", "succeeded")]
    assert [row["action"] for row in shown["decisions"]] == ["start"]
    assert shown["created_at"].endswith("+00:00")

    assert project.document("run", "--run-key", "monday", "--input", "name=Ana") == document
    assert project.effects.count("tell") == 1
    assert "monday" in project.read("show", "monday", "--no-state")
    assert "It came to its end" in project.read("why", "last")
    assert "would remove 0 runs" in project.read("prune", "--dry-run")
    assert "deleted" in project.read("delete", "last")
    assert json.loads(project.read("list", "--json")) == []


def test_a_failed_run_is_finished_by_the_next_start(project):
    """People mend the cause and start again; what was saved is not repeated."""
    (project.tiny / "broken").touch()
    failed = project.run()
    assert failed.returncode == 1, failed.stderr
    assert "node tell failed on try 2: ConnectionError: nobody listens" in failed.stdout
    assert "1 of 2 nodes are saved; mend it and start again: python3 main.py" in failed.stdout
    assert "no try is left" in project.read("why", "last")

    (project.tiny / "broken").unlink()
    again = project.run()

    assert again.returncode == 0, again.stderr
    assert "taking up tiny" in again.stdout
    assert "greet saved earlier" in again.stdout
    assert project.effects.count("greet") == 1
    assert len(json.loads(project.read("list", "--json"))) == 1


def test_a_killed_process_is_known_to_the_next_start(project):
    """The scenario's fault strikes once over both processes, and the end says so."""
    project.scenario(KILL % ", attempts: [1]")
    assert project.run("run").returncode == -signal.SIGKILL
    assert "its process is gone" in project.read("list")

    again = project.run("resume")

    assert again.returncode == 0, again.stderr
    assert "its process died; 1 of 2 nodes were saved" in again.stdout
    assert "fault that fired: killed the process inside tell, try 1" in again.stdout
    assert project.effects == ["greet begins", "greet", "tell begins", "tell"]


def test_a_run_that_kills_its_process_is_set_aside(project):
    """A suspect is driven in a child, so that it cannot take the others along."""
    project.scenario(KILL % "")
    few = {"HOLDFAST__DURABILITY__RESUME__MAX_CRASHES": "2"}
    for words in (["run"], ["resume"]):
        assert project.run(*words, **few).returncode == -signal.SIGKILL

    third = project.run("resume", **few)

    assert third.returncode == 3, third.stderr
    assert "in a process of its own" in third.stdout
    assert "quarantined" in third.stdout
    assert "main.py release" in project.read("why", "last")


def test_the_first_signal_stops_at_the_next_step_and_hands_back(project):
    """It works while a sync node blocks its thread; the node's result is saved."""
    (project.tiny / "hold-greet").touch()
    process = project.start("run")
    project.wait_for_effect("greet begins")
    process.send_signal(signal.SIGTERM)
    project.wait_for_line(process, "stopping at the next step boundary")
    (project.tiny / "hold-greet").unlink()
    _, err = process.communicate(timeout=SOON)

    assert process.returncode == 130, err
    assert "the state is safe. Go on: python3 main.py" in err
    assert project.effects == ["greet begins", "greet"]
    assert json.loads(project.read("list", "--json"))[0]["status"] == "pending"


def test_the_second_signal_stops_at_once(project):
    """A node that hangs for ever must not keep the terminal."""
    (project.tiny / "hold-tell").touch()
    process = project.start("run")
    project.wait_for_effect("tell begins")
    process.send_signal(signal.SIGINT)
    project.wait_for_line(process, "stopping at the next step boundary")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=SOON)

    assert process.returncode == 130
    assert "the state is safe. Go on: python3 main.py" in err
    assert "The next start takes it up: its process died" in project.read("why", "last")


def test_a_question_waits_for_its_answer(project):
    """Waiting is exit code 3, and the answer lets the run go on."""
    asked = project.run("run", "asking")
    assert asked.returncode == 3, asked.stderr
    assert "ask asks: shall we?" in asked.stdout
    assert project.run("resume", "last", "--data", "yes").returncode == 2

    answered = project.document("resume", "last", "--data", '"yes"')

    assert (answered["status"], answered["output"]) == ("succeeded", {"answer": "yes"})


def test_nothing_survives_without_durability(project):
    """It runs, it says so loudly, and what needs a saved run is refused."""
    off = {"HOLDFAST__DURABILITY__ENABLED": "false"}
    done = project.run("run", "--json", **off)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["output"] == {"summary": "hello world!"}
    assert "nothing of it survives" in done.stderr

    refused = project.run("resume", "last", **off)
    assert refused.returncode == 2
    assert "durability.enabled is false" in refused.stderr


def test_mistakes_are_named(project):
    """Exit code 2, and the next thing to type."""
    for words, said in (
        (["run", "tiney"], "did you mean"),
        (["list", "--status", "runing"], "did you mean"),
        (["show", "abcdef"], "There is no run"),
    ):
        done = project.run(*words)
        assert done.returncode == 2, (words, done.stderr)
        assert said in done.stderr
        assert not done.stdout
