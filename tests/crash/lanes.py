"""Two lanes of kills side by side, each with a database and a folder of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from typing import TypeVar
from uuid import uuid4

import psycopg

from framework.storage.embedded import EmbeddedServer
from tests.support.postgres import _create, _drop, database_address
from tests.support.processes import Project
from tests.support.zygote import Zygote

LANES = 3
"""More than the two cores: a process waits for the server about a third of its time."""

Item = TypeVar("Item")
Result = TypeVar("Result")


class Lanes:
    """Projects that do not see each other's runs, and a way to spread work over them."""

    def __init__(self, projects: Sequence[Project]) -> None:
        self.projects = projects

    def each(self, work: Callable[[Project, Item], Result], items: Sequence[Item]) -> list[Result]:
        """Do the work for every item on a free lane; results stand in the order of the items."""
        free: SimpleQueue[Project] = SimpleQueue()
        for project in self.projects:
            free.put(project)

        def do(item: Item) -> Result:
            project = free.get()
            try:
                return work(project, item)
            finally:
                free.put(project)

        with ThreadPoolExecutor(len(self.projects)) as pool:
            return list(pool.map(do, items))


@contextmanager
def open_lanes(
    folder: Path, server: EmbeddedServer, template: str, zygote: Zygote | None, *, number: int = LANES
) -> Iterator[Lanes]:
    """Open lanes, each on a clone of the migrated template."""
    with psycopg.connect(server.admin_url, autocommit=True) as admin:
        names = [f"test_{uuid4().hex}" for _ in range(number)]
        for name in names:
            _create(admin, name, template=template)
        projects = [
            Project(folder / f"lane{index}", database_address(server, name), zygote=zygote)
            for index, name in enumerate(names)
        ]
        try:
            yield Lanes(projects)
        finally:
            for project in projects:
                project.close()
            for name in names:
                _drop(admin, name)
