"""The files beside the code: they agree with each other and name no machine and no host."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = ("requirements.txt", "requirements.lock", "requirements-dev.txt", "requirements-dev.lock")


def requirements(name: str) -> set[str]:
    lines = (ROOT / name).read_text().splitlines()
    return {line.strip() for line in lines if line and not line.startswith(("#", "-", " "))}


@pytest.mark.parametrize("name", REQUIREMENTS)
def test_a_requirements_file_names_no_host(name: str):
    assert "://" not in (ROOT / name).read_text()


def test_what_the_tests_install_contains_what_a_plain_start_installs():
    """The bootstrap counts on it: after the one, the other has nothing left to do."""
    plain, tests = ((ROOT / name).read_text() for name in ("requirements.lock", "requirements-dev.lock"))
    pins = re.compile(r"^[A-Za-z0-9].*?(?= \\)", re.MULTILINE)

    assert set(pins.findall(plain)) <= set(pins.findall(tests))


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_locked_package_has_hashes(name: str):
    packages = re.split(r"^(?=[A-Za-z0-9])", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]

    assert len(packages) > 50
    assert all("--hash=sha256:" in package for package in packages)


def test_the_package_asks_for_what_requirements_txt_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

    assert {*project["dependencies"], *project["optional-dependencies"]["test"]} == requirements(
        "requirements.txt"
    )


def test_the_compose_file_offers_the_database_that_the_example_names():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    postgres, pgadmin = compose["services"]["postgres"], compose["services"]["pgadmin"]

    assert postgres["image"] == "postgres:18"
    assert postgres["environment"] == {
        "POSTGRES_DB": "langgraph",
        "POSTGRES_USER": "postgres",
        "POSTGRES_PASSWORD": "postgres",
    }
    assert [port.rpartition(":")[0].split(":")[-1] for port in postgres["ports"]] == ["5432"]
    assert "pg_isready" in postgres["healthcheck"]["test"][1]
    assert postgres["volumes"][0].split(":")[0] in compose["volumes"]
    assert pgadmin["image"] == "dpage/pgadmin4"
    assert [port.endswith("5050:80") for port in pgadmin["ports"]] == [True]
    assert pgadmin["environment"] == {
        "PGADMIN_DEFAULT_EMAIL": "admin@admin.com",
        "PGADMIN_DEFAULT_PASSWORD": "admin",
    }
    assert pgadmin["healthcheck"]["test"]
    assert pgadmin["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert "postgresql://postgres:postgres@localhost:5432/langgraph" in (ROOT / ".env.example").read_text()
    if _has_compose():
        command = ["docker", "compose", "-f", ROOT / "docker-compose.yml", "config", "--quiet"]
        subprocess.run(command, check=True, capture_output=True)


def _has_compose() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0


def test_the_env_example_names_only_settings_that_exist(tmp_path: Path):
    from framework.settings import load_settings

    text = (ROOT / ".env.example").read_text()
    offered = re.findall(r"^#([A-Z_]+=.*)$", text, re.MULTILINE)
    (tmp_path / ".env").write_text("\n".join(offered))

    _, origins = load_settings(tmp_path, environ={})

    assert len(offered) >= 10
    assert sum(origin.startswith(".env:") for origin in origins.values()) == len(offered)


def test_ci_runs_with_what_a_user_has():
    script = ROOT / ".ci" / "run"

    assert script.stat().st_mode & 0o111
    assert "set -euo pipefail" in script.read_text()
    subprocess.run(["bash", "-n", script], check=True)
