"""The SQL of the product, against the schema that its migrations make."""

from importlib import resources

import psycopg
import pytest

from framework.durability.run import RunStatus
from framework.storage.embedded import EmbeddedServer
from framework.storage.named_queries import load
from framework.storage.pool import Database
from tests.support.postgres import database_address

FILES = sorted(
    entry.name
    for entry in resources.files("framework.storage").joinpath("queries").iterdir()
    if entry.name.endswith(".sql")
)
QUERIES = [(name, query) for name in FILES for query in load(name)]


@pytest.fixture(scope="module")
def schema_url(postgres_server: EmbeddedServer, database_template: str) -> str:
    """The migrated database that others are cloned from; `explain` changes nothing."""
    return database_address(postgres_server, database_template)


@pytest.mark.parametrize(("file_name", "query"), QUERIES)
def test_every_query_fits_the_schema(schema_url: str, file_name: str, query: str) -> None:
    """A misspelt column fails here, not at night."""
    text = load(file_name)[query]
    with psycopg.connect(schema_url, autocommit=True) as conn, conn.cursor() as cursor:
        client = psycopg.ClientCursor(conn)
        plain = client.mogrify(text, _Anything()) if "%(" in text else text
        lines = [line for line in plain.splitlines() if not line.startswith("--")]
        for statement in "\n".join(lines).split(";\n"):
            if statement.strip().startswith(("select", "insert", "update", "delete", "with")):
                cursor.execute(b"explain " + statement.strip().rstrip(";").encode())
                assert cursor.fetchall()


class _Anything(dict[str, object]):
    """Answers null for any parameter."""

    def __getitem__(self, name: str) -> object:
        return {"run_id": "00000000-0000-0000-0000-000000000000", "key": 1}.get(name)

    def __contains__(self, name: object) -> bool:
        return True


def test_the_database_refuses_a_status_that_python_does_not_know(database: Database) -> None:
    """The CHECK and the enum name the same statuses."""
    with database.connection() as conn:
        row = conn.execute(
            "select pg_get_constraintdef(oid) as text from pg_constraint where conname = 'run_status'"
        ).fetchone()
    assert row is not None
    named = {
        word.strip("'")
        for word in row["text"]
        .replace("::text", "")
        .replace("[", ",")
        .replace("]", ",")
        .replace(" ", "")
        .split(",")
        if word.startswith("'")
    }
    assert named == {status.value for status in RunStatus}


def test_what_recovery_reads_does_not_grow_with_what_has_ended(database: Database) -> None:
    """The sweep uses the partial index, so ended runs are not even looked at."""
    with database.connection() as conn:
        conn.execute("insert into holdfast.definition values ('d','d','w','s','p',null,'{}','{}')")
        conn.execute(
            "insert into holdfast.thread (thread_id, outside_id)"
            " select 't' || n, 't' || n from generate_series(1, 20000) n"
        )
        conn.execute(
            "insert into holdfast.run (run_id, thread_id, workflow, definition, input, admission, status,"
            " started_at, ended_at)"
            " select gen_random_uuid(), 't' || n, 'w', 'd', '{}', '{}', 'succeeded', now(), now()"
            " from generate_series(1, 20000) n"
        )
        conn.execute("vacuum analyze holdfast.run")
        plan = conn.execute("explain (format json) " + load("runs.sql")["unfinished"]).fetchone()
    assert "run_unfinished" in str(plan)
    assert (
        "Seq Scan', 'Parallel Aware': False, 'Async Capable': False, 'Relation Name': 'run', 'Alias': 'r'"
        not in str(plan)
    )
