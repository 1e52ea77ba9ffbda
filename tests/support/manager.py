"""A manager on a fresh database, and workflow folders made by a test."""

from __future__ import annotations

import asyncio
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from framework.durability.manager import DurabilityManager, RecoveryReport, open_manager
from framework.durability.run import Ending, Run, RunStatus
from framework.settings import DurabilitySettings, PostgresSettings, Settings

EFFECT = """
from pathlib import Path

def effect(name):
    with (Path(__file__).parent / "effects.txt").open("a") as file:
        file.write(name + "\\n")
"""


class Folder:
    """A workflow's folder: `workflow.yaml`, `nodes.py`, and the effects that its nodes left in the world."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)

    @property
    def file(self) -> Path:
        return self.path / "workflow.yaml"

    def write(self, workflow: str, nodes: str) -> Folder:
        """Write both files; `nodes` may call `effect(name)`."""
        self.file.write_text(textwrap.dedent(workflow), "utf-8")
        (self.path / "nodes.py").write_text(EFFECT + textwrap.dedent(nodes), "utf-8")
        return self

    @property
    def effects(self) -> Counter[str]:
        """How often each node did its work."""
        path = self.path / "effects.txt"
        return Counter(path.read_text("utf-8").split() if path.exists() else [])


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    """An empty workflow folder."""
    return Folder(tmp_path / "flow")


@pytest.fixture
def settings(tmp_path: Path, database_url: str) -> Settings:
    """Settings of a project in a temporary folder, on this test's database."""
    return Settings(root=tmp_path, durability=DurabilitySettings(postgres=PostgresSettings(url=database_url)))


@pytest.fixture
def open_another(settings: Settings) -> Iterator[Callable[[], DurabilityManager]]:
    """Open managers as fresh processes would: nothing is shared but the database."""
    opened: list[DurabilityManager] = []

    def make() -> DurabilityManager:
        opened.append(open_manager(settings))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def manager(open_another: Callable[[], DurabilityManager]) -> DurabilityManager:
    """A manager on this test's database."""
    return open_another()


def start(
    manager: DurabilityManager, folder: Folder, given: dict[str, Any] | None = None, **options: Any
) -> Run:
    """Accept a run of the folder's workflow."""
    return manager.submit(manager.definitions.load(folder.file), given or {}, **options)[0]


def drive(manager: DurabilityManager, run: Run, **options: Any) -> Ending:
    """Drive a run to the end of this attempt."""
    allowed = (RunStatus.FAILED, RunStatus.WAITING, RunStatus.PAUSED)
    ending = asyncio.run(manager.drive(manager.get(run.run_id), reason="a test", allowed=allowed, **options))
    assert ending is not None, "the claim was refused"
    return ending


def recover(manager: DurabilityManager, **options: Any) -> RecoveryReport:
    """Take up what was interrupted, as a start does."""
    return asyncio.run(manager.recover(**options))
