"""Bring a database up to this program's version; safe when many processes start at once."""

from __future__ import annotations

import hashlib
import random
import time
from dataclasses import dataclass
from datetime import timedelta
from importlib import resources

import psycopg
from langgraph.checkpoint.postgres import PostgresSaver
from psycopg import Connection, errors, sql
from psycopg.rows import DictRow

from framework.errors import DatabaseError, MigrationBlocked
from framework.storage.named_queries import load
from framework.storage.pool import Database

SQL = load("migrations.sql")

LOCK_KEY = int.from_bytes(b"holdfast", "big") >> 1
"""Advisory lock of this database's migrations; shifted so that it fits PostgreSQL's signed bigint."""


@dataclass(frozen=True, slots=True)
class Migration:
    """One numbered file."""

    version: int
    name: str
    text: str
    checksum: str


@dataclass(frozen=True, slots=True)
class SchemaState:
    """What a database has and what this program knows; `current` when they agree."""

    version: int
    known_version: int
    checkpoint_version: int
    known_checkpoint_version: int

    @property
    def current(self) -> bool:
        """Whether nothing is left to apply."""
        return self.version >= self.known_version and self.checkpoint_version >= self.known_checkpoint_version


def known_migrations() -> list[Migration]:
    """Return the migrations that ship with this program, in order."""
    found = []
    for file in sorted(resources.files(__package__).iterdir(), key=lambda entry: entry.name):
        if not file.name.endswith(".sql"):
            continue
        text = file.read_text("utf-8")
        version, _, name = file.name.removesuffix(".sql").partition("_")
        found.append(Migration(int(version), name, text, hashlib.sha256(text.encode()).hexdigest()))
    return found


def schema_state(conn: Connection[DictRow]) -> SchemaState:
    """Read which migrations a database has; changes nothing."""
    version = checkpoint_version = -1
    if conn.execute(SQL["has_schema_version"]).fetchone() == {"present": True}:
        applied = conn.execute(SQL["applied"]).fetchall()
        _check_history(applied)
        version = max((row["version"] for row in applied), default=0)
    if conn.execute(SQL["has_checkpoint_migrations"]).fetchone() == {"present": True}:
        row = conn.execute(SQL["checkpoint_version"]).fetchone()
        checkpoint_version = row["version"] if row else -1
    return SchemaState(
        version=version,
        known_version=max(m.version for m in known_migrations()),
        checkpoint_version=checkpoint_version,
        known_checkpoint_version=len(PostgresSaver.MIGRATIONS) - 1,
    )


def migrate(
    url: str, *, timeout: timedelta = timedelta(seconds=30), patience: timedelta = timedelta(seconds=60)
) -> SchemaState:
    """Apply what is missing: LangGraph's own tables first, then ours.

    Each file is one transaction with its row in `schema_version`, so a process
    that dies leaves a file either applied or not. LangGraph's set-up commits
    statement by statement and may be repeated; an index that it left half
    built is dropped first. The lock goes with the connection, so a process
    that dies does not keep it.

    Args:
        url: Of a role that may create tables.
        timeout: How long to wait for the migration lock, and for each table lock.
        patience: How long to wait for the server itself.

    Raises:
        MigrationBlocked: Somebody holds a lock for longer; the message names the session.
        DatabaseUnavailable: The server did not answer within `patience`.
        DatabaseError: The database was migrated by a newer program, or by other files.
    """
    database = Database(url, patience=patience, name="holdfast migrate")
    # A server may go away in here as well; what was applied by then is found, not applied again.
    return database.retry(lambda: _migrate(database, timeout))


def _migrate(database: Database, timeout: timedelta) -> SchemaState:
    with database.connect() as conn:
        state = schema_state(conn)
        if state.current:
            return state
        conn.execute(
            sql.SQL("set lock_timeout = {}").format(sql.Literal(int(timeout.total_seconds() * 1000)))
        )
        _lock(conn, timeout)
        try:
            _apply(conn, timeout)
            return schema_state(conn)
        finally:
            if not conn.closed:
                conn.execute(SQL["unlock"], {"key": LOCK_KEY})


def _lock(conn: Connection[DictRow], timeout: timedelta) -> None:
    deadline = time.monotonic() + timeout.total_seconds()
    while conn.execute(SQL["try_lock"], {"key": LOCK_KEY}).fetchone() != {"locked": True}:
        if time.monotonic() > deadline:
            holder = conn.execute(SQL["lock_holder"], {"key": LOCK_KEY}).fetchone()
            raise MigrationBlocked(
                f"Setting up the database waited {timeout.total_seconds():g} s for {_session(holder)}, "
                "which holds the migration lock.",
                hint="Start again when it is done; `postgres.setup_timeout` says how long to wait.",
            )
        time.sleep(random.uniform(0.02, 0.08))  # noqa: S311  # jitter, not a secret


def _apply(conn: Connection[DictRow], timeout: timedelta) -> None:
    try:
        for row in conn.execute(SQL["invalid_indexes"]).fetchall():
            conn.execute(
                sql.SQL("drop index if exists {}").format(sql.Identifier(row["schema"], row["name"]))
            )
        PostgresSaver(conn).setup()
        conn.execute(SQL["create_schema_version"])
        applied = {row["version"] for row in conn.execute(SQL["applied"]).fetchall()}
        for migration in known_migrations():
            if migration.version in applied:
                continue
            with conn.transaction():
                conn.execute(sql.SQL(migration.text))
                conn.execute(
                    SQL["record"],
                    {
                        "version": migration.version,
                        "name": migration.name,
                        "checksum": migration.checksum,
                    },
                )
    except errors.LockNotAvailable as error:
        holder = conn.execute(SQL["blockers"]).fetchone()
        raise MigrationBlocked(
            f"Setting up the database waited {timeout.total_seconds():g} s for a table lock; "
            f"the oldest open transaction is that of {_session(holder)}.",
            hint="End that session, then start again.",
        ) from error
    except psycopg.errors.InsufficientPrivilege as error:
        raise DatabaseError(
            f"The database refuses to be set up: {str(error).splitlines()[0]}",
            hint="The role needs CREATE on the database and on its public schema.",
        ) from error


def _session(row: DictRow | None) -> str:
    if row is None:
        return "a session that is gone by now"
    where = f" from {row['client_addr']}" if row["client_addr"] else ""
    return (
        f"process {row['pid']} ({row['application_name'] or 'unnamed'}, user {row['usename']}{where}, "
        f"{row['state']}, connected for {row['age_seconds']:.0f} s)"
    )


def _check_history(applied: list[DictRow]) -> None:
    known = {migration.version: migration for migration in known_migrations()}
    for row in applied:
        migration = known.get(row["version"])
        if migration is None:
            raise DatabaseError(
                f"The database has migration {row['version']} ({row['name']}), "
                "which this program does not know.",
                hint="A newer Holdfast set it up: use that version, or another database.",
            )
        if migration.checksum != row["checksum"]:
            raise DatabaseError(
                f"Migration {row['version']} ({row['name']}) was applied from another text "
                "than this program's.",
                hint="Migrations never change once released; use the version that set this database up.",
            )
