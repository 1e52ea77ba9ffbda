"""No file costs more than a second of CPU or 150 MB; measured in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.definition.hostile import FILES

ROOT = Path(__file__).resolve().parents[3]
ACCEPTED = {"dollar signs"}


@pytest.fixture(scope="module")
def outcomes():
    """Read every hostile file once; address space and CPU are limited by the kernel."""
    child = subprocess.run(
        [sys.executable, "-m", "tests.unit.definition.hostile"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )
    lines = [json.loads(line) for line in child.stdout.splitlines()]
    assert child.returncode == 0, (
        f"ended after {[line['file'] for line in lines][-1:]}: {child.stderr[-500:]}"
    )
    return {line["file"]: line for line in lines}


@pytest.mark.parametrize("name", FILES)
def test_a_hostile_file_is_refused_within_its_budget(outcomes, name):
    outcome = outcomes[name]
    assert outcome["ended"] == ("accepted" if name in ACCEPTED else "refused")
    assert outcome["seconds"] < 1.0
    assert outcome["size"] < 60_000
    if outcome["ended"] == "refused":
        assert outcome["report"].startswith("hostile.yaml:")
