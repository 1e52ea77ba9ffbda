"""`doctor` against a real database, and what it says when something is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def doctor(url: str, **more: str) -> tuple[int, dict[str, str]]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOLDFAST_")}
    done = subprocess.run(
        [sys.executable, str(ROOT / "main.py"), "doctor", "--json"],
        env={**kept, "DATABASE_URL": url, **more},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    checks = {check["name"]: check["verdict"] for check in json.loads(done.stdout)["checks"]}
    return done.returncode, checks


def test_a_healthy_project_passes(database_url):
    """fsync is off in the test's server, which is a warning and no failure."""
    code, checks = doctor(database_url)

    assert code == 0, checks
    assert checks["writes"] == "warn"
    assert {name for name, verdict in checks.items() if verdict != "ok"} <= {"writes", "dependencies", "disk"}


def test_one_broken_thing_does_not_hide_the_others(database_url):
    """The database is away and the scenario does not exist: both are told, the rest is checked."""
    nowhere = "postgresql://nobody@127.0.0.1:1/none"
    code, checks = doctor(
        nowhere,
        HOLDFAST__POSTGRES__CONNECT_TIMEOUT="1s",
        HOLDFAST__MOCK__ACTIVE_SCENARIO="no-such",
    )

    assert code == 2
    assert (checks["database"], checks["scenario"]) == ("fail", "fail")
    assert checks["workflows"] == checks["serializer"] == "ok"
