"""`main.py scenario …`, and the one line of mock_config.yaml that it changes."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from framework.cli.app import build_app
from framework.errors import DefinitionInvalid, SettingsError, UsageError
from framework.faults.activation import activate_scenario, with_active_scenario

ROOT = Path(__file__).resolve().parents[3]

CONFIG = """\
# what goes wrong
enabled: true

# The scenario that plays.
active_scenario: default  # for now
seed: 4
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project with our scenarios, and the planner's file."""
    shutil.copytree(ROOT / "mocks/scenarios", tmp_path / "mocks/scenarios")
    (tmp_path / "config").mkdir()
    (tmp_path / "config/mock_config.yaml").write_text(CONFIG, encoding="utf-8")
    planner = tmp_path / "workflows/daily_task_planner"
    planner.mkdir(parents=True)
    shutil.copy(ROOT / "workflows/daily_task_planner/workflow.yaml", planner)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDFAST__MOCK__ACTIVE_SCENARIO", raising=False)
    return tmp_path


@pytest.fixture
def scenario(project, capsys):
    """Call the verb; its exit code, and what it printed."""

    def call(*words: str):
        code = build_app(project, program="main.py").main(args=["scenario", *words], standalone_mode=False)
        return code or 0, *capsys.readouterr()

    return call


def test_the_list_marks_the_active_scenario(scenario) -> None:
    """One look tells what is there and what plays."""
    code, out, _ = scenario("list")
    assert code == 0
    assert [line.split()[1] for line in out.splitlines() if line.startswith("*")] == ["default"]
    assert "poison_node" in out
    entries = json.loads(scenario("list", "--json")[1])
    assert {each["name"] for each in entries if each["active"]} == {"default"}


def test_a_wrong_file_does_not_hide_the_others(scenario, project) -> None:
    """The list is where a user looks when a scenario does not do what it should."""
    (project / "mocks/scenarios/odd.yaml").write_text("faults: 7\n", encoding="utf-8")
    code, out, _ = scenario("list")
    assert (code, "(wrong: main.py scenario validate)" in out, "poison_node" in out) == (0, True, True)
    code, out, _ = scenario("validate")
    assert code == 2
    assert "mocks/scenarios/odd.yaml:1:9: faults: a list is expected, not 7" in out
    assert scenario("validate", "default")[0] == 0


def test_a_scenario_is_shown_in_words_and_as_json(scenario) -> None:
    """Nobody should have to read YAML to know what will happen."""
    assert (
        "1. Inside extract: kills the process (kill -9), only on try 1."
        in scenario("show", "crash_in_extraction")[1]
    )
    assert "The seed is 4." in scenario("show", "flaky_network")[1]
    shown = json.loads(scenario("show", "email_timeout", "--json")[1])
    assert (shown["active"], shown["faults"][0]["attempts"]) == (False, [1, 2])


def test_using_a_scenario_changes_one_line(scenario, project) -> None:
    """The comments are the user's; the next start plays the other scenario."""
    assert scenario("use", "poison_node")[0] == 0
    text = (project / "config/mock_config.yaml").read_text(encoding="utf-8")
    assert text == CONFIG.replace("default ", "poison_node ")
    assert [path.name for path in (project / "config").iterdir()] == ["mock_config.yaml"]


def test_a_scenario_that_is_not_there_is_not_used(scenario, project) -> None:
    """The file still names one that exists."""
    with pytest.raises(UsageError, match="no scenario 'poison'"):
        scenario("use", "poison")
    assert (project / "config/mock_config.yaml").read_text(encoding="utf-8") == CONFIG


def test_a_stronger_setting_is_told(scenario, monkeypatch) -> None:
    """Otherwise the user changes the file and wonders."""
    monkeypatch.setenv("HOLDFAST__MOCK__ACTIVE_SCENARIO", "slow_calendar")
    _, _, errors = scenario("use", "poison_node")
    assert "HOLDFAST__MOCK__ACTIVE_SCENARIO" in errors
    assert "'slow_calendar', and wins" in errors


def test_a_fault_of_an_unknown_node_is_warned_of(scenario, project) -> None:
    """Its file is valid, and it would never fire."""
    text = "description: x\nfaults:\n  - {node: slack_colector, where: inside, kill: true}\n"
    (project / "mocks/scenarios/typo.yaml").write_text(text, encoding="utf-8")
    code, out, _ = scenario("validate")
    assert code == 0
    (warning,) = [line for line in out.splitlines() if "warning" in line]
    assert "faults[0].node: no workflow has a node 'slack_colector'" in warning
    assert "did you mean 'slack_collector'?" in warning


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "active_scenario: x\n"),
        ("# nothing yet", "# nothing yet\nactive_scenario: x\n"),
        ("enabled: true\n", "enabled: true\nactive_scenario: x\n"),
        ("active_scenario: 'default' # why\r\nseed: 1\r\n", "active_scenario: x # why\r\nseed: 1\r\n"),
        ("active_scenario:\nseed: 1\n", "active_scenario: x\nseed: 1\n"),
        ("# active_scenario: a\nactive_scenario: b", "# active_scenario: a\nactive_scenario: x"),
        ("active_scenario: x # same\n", "active_scenario: x # same\n"),
    ],
)
def test_the_rest_of_the_file_stays_as_it_is(before: str, after: str) -> None:
    """Line ends, comments and order are the user's."""
    assert with_active_scenario(before, "x") == after


@pytest.mark.parametrize(
    "text", ["{active_scenario: a}\n", "active_scenario:\n  a\n", "- a\n", '"active_scenario": a\n']
)
def test_a_file_that_cannot_be_changed_by_a_line_is_left_alone(text: str) -> None:
    """Better to ask the user than to break the file."""
    with pytest.raises(SettingsError, match=r"active_scenario: x|cannot be changed here"):
        with_active_scenario(text, "x")


def test_a_broken_file_is_left_alone(project) -> None:
    """Its own error is what the user needs to see."""
    (project / "config/mock_config.yaml").write_text("enabled: [\n", encoding="utf-8")
    with pytest.raises(DefinitionInvalid, match=r"config/mock_config.yaml:1:"):
        activate_scenario(project, "default")
    assert (project / "config/mock_config.yaml").read_text(encoding="utf-8") == "enabled: [\n"


def test_a_link_stays_a_link_and_the_mode_stays(project) -> None:
    """Config files are often mounted, linked or private."""
    real = project / "elsewhere.yaml"
    (project / "config/mock_config.yaml").rename(real)
    real.chmod(0o640)
    (project / "config/mock_config.yaml").symlink_to(real)
    activate_scenario(project, "slow_calendar")
    assert (project / "config/mock_config.yaml").is_symlink()
    assert "active_scenario: slow_calendar  # for now" in real.read_text(encoding="utf-8")
    assert real.stat().st_mode & 0o777 == 0o640
