"""`test`: which checks run, in which order, and what the exit code says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[tool.ruff.lint]
select = ["F"]
[tool.mypy]
files = ["code.py"]
[tool.pytest.ini_options]
markers = ["long: x"]
"""
TESTS = """
import pytest
def test_short(): pass
@pytest.mark.long
def test_long(): pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pyproject.toml").write_text(CONFIG)
    (tmp_path / "code.py").write_text("x: int = 1\n")
    (tmp_path / "test_it.py").write_text(TESTS)
    return tmp_path


def verb(project: Path, *words: str) -> tuple[int, list[str]]:
    ours = ("HOLDFAST", "PYTEST")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, ROOT / "main.py", "--root", project, "test", *words],
        # Without the plugins that happen to be installed, pytest starts ten times faster.
        env=clean | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_PLUGINS": "xdist.plugin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_everything_runs_and_pytest_has_the_last_word(project: Path):
    code, lines = verb(project)

    assert code == 0, lines
    assert {line.split(" (")[0] for line in lines[:2]} == {"ruff: ok", "mypy: ok"}
    assert "1 passed in" in lines[-1]


def test_a_failed_check_shows_why_and_fails_though_the_tests_pass(project: Path):
    (project / "code.py").write_text("import os\nx: int = 'one'\n")

    code, lines = verb(project)

    assert code == 1
    assert any("F401" in line for line in lines)
    assert any("Incompatible types" in line for line in lines)
    assert any("1 passed" in line for line in lines)
    assert lines[-1] in {"FAILED: ruff, mypy (see above)", "FAILED: mypy, ruff (see above)"}


@pytest.mark.parametrize(
    ("words", "code", "last"),
    [
        (["-q"], 0, "1 passed, 1 deselected"),
        (["--long", "-q"], 0, "2 passed"),
        (["test_it.py::test_long"], 0, "1 passed"),
        (["-m", "long"], 0, "1 passed, 1 deselected"),
        (["-k", "nothing"], 1, "2 deselected"),
        (["--nonsense"], 2, ""),
    ],
)
def test_arguments_go_to_pytest_and_only_pytest_runs(project: Path, words: list[str], code: int, last: str):
    (project / "code.py").write_text("import os\n")

    ended, lines = verb(project, *words)

    assert ended == code, lines
    assert last in lines[-1]
    assert not any(line.startswith(("ruff", "mypy")) for line in lines)
