"""One zygote for all crash tests, and a project for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from framework.storage.embedded import EmbeddedServer
from tests.crash.invariants import Whole, whole
from tests.crash.lanes import Lanes, open_lanes
from tests.support.processes import Project, open_project
from tests.support.zygote import Zygote

WORKFLOWS = ("daily-task-planner", "report-review", "support-triage")


@pytest.fixture(scope="session")
def zygote() -> Iterator[Zygote]:
    """The process that the `main.py` of these tests are forked from."""
    made = Zygote()
    yield made
    made.close()


@pytest.fixture
def project(tmp_path: Path, database_url: str, zygote: Zygote) -> Iterator[Project]:
    """The shipped workflows on an empty database."""
    yield from open_project(tmp_path / "project", database_url, zygote)


@pytest.fixture
def lanes(
    tmp_path: Path, postgres_server: EmbeddedServer, database_template: str, zygote: Zygote
) -> Iterator[Lanes]:
    """Several projects, for work that may go on side by side."""
    with open_lanes(tmp_path, postgres_server, database_template, zygote) as opened:
        yield opened


@pytest.fixture(scope="session")
def clean_runs(
    tmp_path_factory: pytest.TempPathFactory,
    postgres_server: EmbeddedServer,
    database_template: str,
    zygote: Zygote,
) -> Mapping[str, Whole]:
    """Each shipped workflow as it comes out when nothing happens."""
    folder = tmp_path_factory.mktemp("clean")
    with open_lanes(folder, postgres_server, database_template, zygote, number=1) as opened:
        project = opened.projects[0]
        found = {}
        for workflow in WORKFLOWS:
            project.main("run", workflow).ok()
            with project.connect() as conn:
                found[workflow] = whole(conn, project.effects, project.runs()[-1])
        return found


@pytest.fixture
def long_form(request: pytest.FixtureRequest) -> bool:
    """Whether the tests that take minutes were asked for: then others try more points, too."""
    return bool(request.config.option.markexpr != "not long")
