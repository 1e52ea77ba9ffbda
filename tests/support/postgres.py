"""A real PostgreSQL for tests: one cluster per session, one database per test."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from framework.storage.embedded import RUNTIME_ROLE, EmbeddedServer, leave, start_embedded
from framework.storage.embedded_minder import stop_server
from framework.storage.migrations import migrate


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[EmbeddedServer]:
    """An embedded cluster for this session and the processes it starts; without fsync, gone at the end.

    A session that is killed leaves a folder in the temporary directory, but no
    server: that stops when its last user is gone.
    """
    # Not pytest's tmp_path: that one is root's alone, and as root the server runs as another account.
    folder = Path(tempfile.mkdtemp(prefix="holdfast-tests-"))
    server = start_embedded(folder, fsync=False, linger=timedelta(0))
    yield server
    leave(folder)
    # At once, and whatever a test left connected.
    if stop_server(server.data_dir):
        for place in {folder, server.data_dir, server.socket_dir}:
            shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="session")
def database_template(postgres_server: EmbeddedServer) -> str:
    """A migrated database that is only ever cloned."""
    name = f"template_{uuid4().hex}"
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        _create(admin, name)
    migrate(database_address(postgres_server, name))
    return name


@pytest.fixture
def database_url(postgres_server: EmbeddedServer, database_template: str) -> Iterator[str]:
    """The address of a migrated, empty database for one test, as the runtime role sees it."""
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        name = f"test_{uuid4().hex}"
        _create(admin, name, template=database_template)
        yield database_address(postgres_server, name)
        _drop(admin, name)


@pytest.fixture
def empty_database_url(postgres_server: EmbeddedServer) -> Iterator[str]:
    """The address of a database with nothing in it, for tests of the set-up itself."""
    with psycopg.connect(postgres_server.admin_url, autocommit=True) as admin:
        name = f"test_{uuid4().hex}"
        _create(admin, name)
        yield database_address(postgres_server, name)
        _drop(admin, name)


def database_address(server: EmbeddedServer, name: str) -> str:
    """Return the address of another database of the same server, for the same role."""
    return server.url.replace("/langgraph?", f"/{name}?", 1)


def _create(admin: psycopg.Connection[tuple[object, ...]], name: str, *, template: str = "template1") -> None:
    names = {
        "name": sql.Identifier(name),
        "template": sql.Identifier(template),
        "owner": sql.Identifier(RUNTIME_ROLE),
    }
    # Copied as files: without fsync that is three times as fast as by the log.
    statement = "create database {name} owner {owner} template {template} strategy file_copy"
    admin.execute(sql.SQL(statement).format(**names))


def _drop(admin: psycopg.Connection[tuple[object, ...]], name: str) -> None:
    # FORCE: the server may not have noticed yet that killed workers are gone.
    admin.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))
