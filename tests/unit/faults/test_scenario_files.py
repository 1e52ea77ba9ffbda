"""A scenario file is read whole, and everything wrong in it is told with its place."""

from __future__ import annotations

import json
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest

from framework.errors import ScenarioInvalid, UsageError
from framework.faults.actions import CutDatabase, Delay, ExitProcess, Hang, Kill, Raise, Return
from framework.faults.json_schema import SCHEMA_FILE, scenario_schema_text
from framework.faults.reader import load_scenario, parse_scenario, scenario_names
from framework.faults.scenario import Scenario
from framework.graph.context import Point

ROOT = Path(__file__).resolve().parents[3]
SCENARIOS = ROOT / "mocks/scenarios"

HEAD = "description: a test\nfaults:\n"
OK = "  - {node: a, where: inside, kill: true}\n"


def one(written: str) -> str:
    """A file with one fault; what is given begins at column 30 of line 3."""
    return f"{HEAD}  - {{node: a, where: inside, {written}}}\n"


def read(text: str) -> Scenario:
    """Parse one text."""
    return parse_scenario(text, "s.yaml", name="s")


BAD = {
    "not-a-mapping": ("- a\n", "1:1: a mapping with 'description' and 'faults' is expected"),
    "empty-file": ("", "1:1: a mapping with 'description' and 'faults' is expected"),
    "no-description": ("faults: []\n", "1:1: description: this key is missing"),
    "empty-description": ('description: ""\nfaults: []\n', "1:14: description: must not be empty"),
    "no-faults": ("description: x\n", "1:1: faults: this key is missing"),
    "faults-null": ("description: x\nfaults:\n", "2:1: faults: nothing stands here"),
    "faults-mapping": (
        "description: x\nfaults: {node: a}\n",
        "2:9: faults: a list is expected, not a mapping",
    ),
    "unknown-top-key": ("descripton: x\nfaults: []\n", "1:1: descripton: unknown key"),
    "duplicate-key": (one("kill: true, kill: true"), "3:42: faults[0]: duplicate key 'kill'"),
    "not-yaml": ("description: [\n", "s.yaml:1:15: not valid YAML"),
    "fault-not-a-mapping": (HEAD + "  - kill\n", "3:5: faults[0]: a mapping is expected, not 'kill'"),
    "no-node": (HEAD + "  - {where: inside, kill: true}\n", "faults[0].node: this key is missing"),
    "no-where": (HEAD + "  - {node: a, kill: true}\n", "faults[0].where: this key is missing"),
    "node-not-a-name": (
        HEAD + "  - {node: A b, where: inside, kill: true}\n",
        "3:12: faults[0].node: 'A b' is not the name of a node",
    ),
    "where-unknown": (
        HEAD + "  - {node: a, where: insid, kill: true}\n",
        "3:22: faults[0].where: 'insid' is not possible here",
    ),
    "no-action": (HEAD + "  - {node: a, where: inside}\n", "3:5: faults[0]: nothing goes wrong here"),
    "two-actions": (one("kill: true, hang: true"), "3:42: faults[0].hang: a second action beside 'kill'"),
    "action-unknown": (one("rais: {type: OSError}"), "3:30: faults[0].rais: unknown key"),
    "kill-false": (one("kill: false"), "3:36: faults[0].kill: only true is possible"),
    "hang-text": (one("hang: yes"), "3:36: faults[0].hang: only true is possible, not 'yes'"),
    "raise-text": (one("raise: OSError"), "3:37: faults[0].raise: a mapping is expected, not 'OSError'"),
    "raise-no-type": (one("raise: {message: m}"), "faults[0].raise.type: this key is missing"),
    "raise-unknown-class": (
        one("raise: {type: ConectionError}"),
        "3:44: faults[0].raise.type: 'ConectionError' is not a builtin exception",
    ),
    "raise-not-a-name": (one("raise: {type: 'os.system(1)'}"), "is not the name of an exception"),
    "raise-no-module": (one("raise: {type: 'no_such_module:E'}"), "no module named 'no_such_module'"),
    "raise-no-class": (one("raise: {type: 'json:JSONDecodError'}"), "json has no 'JSONDecodError'"),
    "raise-a-function": (one("raise: {type: 'json:dumps'}"), "is not an exception class"),
    "raise-base-exception": (one("raise: {type: KeyboardInterrupt}"), "KeyboardInterrupt is not an error"),
    "raise-stop-iteration": (one("raise: {type: StopIteration}"), "Python turns it into a RuntimeError"),
    "raise-many-arguments": (
        one("raise: {type: UnicodeDecodeError, message: m}"),
        "cannot be built from a message alone",
    ),
    "raise-graph-control": (
        one("raise: {type: 'langgraph.errors:GraphInterrupt'}"),
        "LangGraph steers the graph with it",
    ),
    "delay-no-unit": (one("delay: 5"), "3:37: faults[0].delay: 5 has no unit"),
    "delay-not-a-duration": (one("delay: soon"), "3:37: faults[0].delay: 'soon' is not a duration"),
    "exit-too-large": (one("exit: 256"), "3:36: faults[0].exit: must be at most 255"),
    "exit-true": (one("exit: true"), "3:36: faults[0].exit: a whole number is expected, not true"),
    "cut-duration": (one("cut_database: 3s"), "3:44: faults[0].cut_database: write true, or {for: 3s}"),
    "cut-false": (one("cut_database: false"), "3:44: faults[0].cut_database: write true, or {for: 3s}"),
    "cut-unknown-key": (one("cut_database: {fro: 3s}"), "3:45: faults[0].cut_database.fro: unknown key"),
    "return-at-commit": (
        HEAD + "  - {node: a, where: after_commit, return: 1}\n",
        "3:36: faults[0].return: no result can be replaced at after_commit",
    ),
    "attempts-number": (
        one("kill: true, attempts: 1"),
        "3:52: faults[0].attempts: a list is expected, not 1",
    ),
    "attempts-zero": (one("kill: true, attempts: [1, 0]"), "3:56: faults[0].attempts[1]: must be at least 1"),
    "attempts-empty": (
        one("kill: true, attempts: []"),
        "3:52: faults[0].attempts: an empty list would never match",
    ),
    "times-zero": (one("kill: true, times: 0"), "3:49: faults[0].times: must be at least 1"),
    "times-null": (one("kill: true, times: "), "3:42: faults[0].times: nothing stands here"),
    "probability-percent": (
        one("kill: true, probability: 30"),
        "3:55: faults[0].probability: must be at most 1",
    ),
    "probability-zero": (
        one("kill: true, probability: 0"),
        "3:55: faults[0].probability: must be more than 0",
    ),
    "only-if-syntax": (
        one("kill: true, only_if: \"inputs.user = 'a'\""),
        "3:64: faults[0].only_if: '=' does not compare",
    ),
    "only-if-name": (
        one("kill: true, only_if: inputs.a == user"),
        "3:63: faults[0].only_if: unknown name 'user'",
    ),
    "only-if-run-name": (
        one("kill: true, only_if: run.tries == 1"),
        "3:51: faults[0].only_if: unknown name 'run.tries'",
    ),
    "only-if-time": (one("kill: true, only_if: now() == 1"), "nothing here may depend on the time"),
    "only-if-state-at-commit": (
        HEAD + "  - {node: a, where: before_commit, kill: true, only_if: state.x}\n",
        "the state is not known at a commit",
    ),
    "workflow-not-a-name": (
        one("kill: true, workflow: My Flow"),
        "3:52: faults[0].workflow: 'My Flow' is not the name of a workflow",
    ),
    "on-without-commit": (one("kill: true, on: writes"), "3:42: faults[0].on: 'on' tells commits apart"),
    "on-checkpoint-of-node": (
        HEAD + "  - {node: a, where: before_commit, kill: true, on: checkpoint}\n",
        "a step's checkpoint belongs to no single node",
    ),
    "on-unknown": (
        HEAD + "  - {node: '*', where: before_commit, kill: true, on: write}\n",
        "3:55: faults[0].on: 'write' is not possible here",
    ),
    "step-of-no-node": (one("kill: true, step: 0"), "3:48: faults[0].step: no node runs in step 0"),
    "step-too-small": (
        HEAD + "  - {node: '*', where: before_commit, kill: true, step: -2}\n",
        "faults[0].step: must be at least -1",
    ),
    "unknown-key": (one("kill: true, atempts: [1]"), "3:42: faults[0].atempts: unknown key"),
}


@pytest.mark.parametrize(("text", "expected"), BAD.values(), ids=BAD)
def test_a_bad_scenario_is_refused_with_its_place(text: str, expected: str) -> None:
    """Whoever edits the file is sent to the line, the column and the key."""
    with pytest.raises(ScenarioInvalid) as refusal:
        read(text)
    report = str(refusal.value)
    assert expected in report
    assert report.startswith("s.yaml:")
    assert len(refusal.value.problems) == 1


def test_all_problems_of_a_file_are_told_at_once() -> None:
    """Nobody repairs a file one start at a time; the carets stand under what is wrong."""
    with pytest.raises(ScenarioInvalid) as refusal:
        read(
            HEAD
            + "  - {node: a, where: insid, kill: true}\n"
            + OK
            + "  - {node: a, where: inside, times: 0, exit: 300}\n"
        )
    assert [(each.line, each.path) for each in refusal.value.problems] == [
        (3, "faults[0].where"),
        (5, "faults[2].times"),
        (5, "faults[2].exit"),
    ]
    assert "      |                      ^^^^^\nhint: did you mean 'inside'?" in str(refusal.value)


def test_a_misspelt_key_is_one_problem_with_a_suggestion() -> None:
    """An unknown key and a missing one are the same slip."""
    with pytest.raises(ScenarioInvalid) as refusal:
        read(HEAD + "  - {nod: a, where: inside, kill: true}\n")
    (problem,) = refusal.value.problems
    assert (problem.path, problem.hint) == ("faults[0].nod", "did you mean 'node'?")


@pytest.mark.parametrize(
    ("written", "action"),
    [
        ("raise: {type: ConnectionError, message: refused}", Raise(ConnectionError, "refused")),
        ("raise: {type: 'subprocess:SubprocessError'}", Raise(subprocess.SubprocessError, "")),
        ("delay: 500ms", Delay(timedelta(milliseconds=500))),
        ("hang: true", Hang()),
        ("kill: true", Kill()),
        ("exit: 3", ExitProcess(3)),
        ("cut_database: true", CutDatabase(None)),
        ("cut_database: {for: 5s}", CutDatabase(timedelta(seconds=5))),
        ("return: null", Return(None)),
        ("return: {messages: [{a: null}]}", Return({"messages": [{"a": None}]})),
    ],
)
def test_each_action_is_read(written: str, action: object) -> None:
    """What a file says is what the injector gets; stand-in data may hold anything, null included."""
    assert read(one(written)).rules[0].action == action


def test_a_fault_reads_as_a_sentence() -> None:
    """`scenario show` says in words what a file will do."""
    text = HEAD + (
        "  - node: slack\n    where: inside\n    raise: {type: OSError, message: gone}\n"
        "    attempts: [1, 2, 4]\n"
        "    times: 2\n    probability: 0.3\n    only_if: inputs.user == 'ana'\n    workflow: day\n"
        "  - {node: '*', where: before_commit, on: checkpoint, step: -1, kill: true}\n"
        "  - {node: plan, where: after_commit, cut_database: {for: 3s}}\n"
    )
    first, second, third = (rule.in_words() for rule in read(text).rules)
    assert first == (
        "Inside slack: raises OSError (gone), only on tries 1, 2 and 4, at most twice per run, "
        "in 30% of the cases, drawn from the seed, only if inputs.user == 'ana', only in workflow day."
    )
    assert (
        second
        == "Just before a step's checkpoint is committed: kills the process (kill -9), only in step -1."
    )
    assert third == (
        "Just after the result of plan is committed: cuts this process's database connections "
        "and keeps the database away for 3s."
    )


def test_an_unknown_scenario_is_told_with_what_there_is() -> None:
    """A misspelt name in mock_config.yaml must not start a run without faults."""
    with pytest.raises(UsageError, match="There is no scenario 'poison_nod' in") as refusal:
        load_scenario(SCENARIOS, "poison_nod")
    assert refusal.value.hint == "did you mean 'poison_node'?"
    with pytest.raises(UsageError):
        load_scenario(SCENARIOS, "../scenarios/default")


@pytest.mark.parametrize("name", scenario_names(SCENARIOS))
def test_each_shipped_scenario_is_valid(name: str) -> None:
    """What we ship must load; each says in its description what a user will see."""
    scenario = load_scenario(SCENARIOS, name)
    assert len(scenario.description) > 15
    assert (scenario.rules == ()) == (name == "default")


def test_the_schema_file_is_current() -> None:
    """Editors see what the reader accepts; write it anew with python -m framework.faults.json_schema."""
    assert (ROOT / SCHEMA_FILE).read_text(encoding="utf-8") == scenario_schema_text()
    fault = json.loads(scenario_schema_text())["$defs"]["FaultShape"]["properties"]
    assert {"raise", "return", "on", "cut_database"} <= set(fault)
    assert "raise_" not in fault


def test_rules_for_nodes_that_a_workflow_lacks_are_found() -> None:
    """A misspelt node would make a fault that never fires."""
    scenario = read(
        HEAD + "  - {node: slac, where: inside, kill: true}\n  - {node: '*', where: inside, kill: true}\n"
    )
    assert [rule.node for rule in scenario.rules_for_unknown_nodes({"slack"}, workflow="w")] == ["slac"]
    assert scenario.rules[0].where is Point.INSIDE
