"""Connections to PostgreSQL: a pool that reconnects, and the patience to wait for a server.

Everything here is synchronous and usable from any thread; `Database.call()` is the door
for asyncio.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, TypeVar

import psycopg
from psycopg import Connection, conninfo, errors
from psycopg.rows import DictRow, dict_row
from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

from framework.database_url import mask
from framework.errors import DatabaseUnavailable, EmbeddedPostgresError

T = TypeVar("T")

FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0

# A transaction of ours never stays open across a node; a forgotten one must not hold locks for ever.
SESSION = (
    "set search_path = public",
    "set timezone = 'UTC'",
    "set idle_in_transaction_session_timeout = '60s'",
)

# Waiting does not mend these: the address, the password or the database is wrong.
HOPELESS = (
    errors.InvalidAuthorizationSpecification,
    errors.InvalidPassword,
    errors.InvalidCatalogName,
    errors.InsufficientPrivilege,
)
# The server took the statement back; the same statement may succeed at once.
TRANSIENT = (
    errors.SerializationFailure,
    errors.DeadlockDetected,
    errors.AdminShutdown,
    errors.CrashShutdown,
    errors.CannotConnectNow,
    errors.TooManyConnections,
    errors.QueryCanceled,
    errors.LockNotAvailable,
    errors.DiskFull,
    errors.ReadOnlySqlTransaction,
)


def is_connection_trouble(error: BaseException) -> bool:
    """Whether the same statement may succeed on another connection or a moment later.

    A statement that was sent may have been committed although its answer is
    lost, so only statements that may run twice are sent again.
    """
    if isinstance(error, HOPELESS):
        return False
    if isinstance(error, (*TRANSIENT, PoolTimeout)):
        return True
    # psycopg raises bare OperationalError/InterfaceError, without an SQLSTATE, when the connection is gone.
    return isinstance(error, (psycopg.OperationalError, psycopg.InterfaceError)) and (
        getattr(error, "sqlstate", None) is None or str(error.sqlstate)[:2] in {"08", "57", "53"}
    )


def pauses() -> Iterator[float]:
    """Yield the pauses between tries, in seconds: doubling, with full jitter, bounded."""
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield random.uniform(pause / 2, pause)  # noqa: S311  # jitter, not a secret
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


def describe(error: BaseException) -> str:
    """Return the first line of a driver's message, without passwords."""
    text = " ".join(str(error).split()) or type(error).__name__
    return mask(text)[:300]


class Database:
    """One PostgreSQL, as this process sees it."""

    def __init__(
        self,
        url: str,
        *,
        pool_size: int = 5,
        pool_timeout: timedelta = timedelta(seconds=30),
        patience: timedelta = timedelta(seconds=60),
        name: str = "holdfast",
        revive: Callable[[], object] | None = None,
    ) -> None:
        """Describe the connections; nothing is opened yet.

        Args:
            url: Already normalised.
            pool_size: At most so many connections, beside the writer's and the heartbeat's.
            pool_timeout: How long a caller waits for a free connection.
            patience: How long an unreachable server is tried again before `DatabaseUnavailable`.
            name: Shown in pg_stat_activity.
            revive: Called when the server does not answer; starts an embedded one that died.
        """
        self.url = url
        self.name = name
        self.patience = patience
        self._revive = revive
        self._executor = ThreadPoolExecutor(pool_size, thread_name_prefix="holdfast-db")
        self._pool: ConnectionPool[Connection[DictRow]] = ConnectionPool(
            url,
            min_size=1,
            max_size=pool_size,
            timeout=pool_timeout.total_seconds(),
            max_lifetime=3600,
            reconnect_timeout=patience.total_seconds(),
            kwargs=self._arguments(),
            configure=_configure,
            check=ConnectionPool.check_connection,
            open=False,
        )

    def _arguments(self) -> dict[str, Any]:
        return {
            "autocommit": True,
            "row_factory": dict_row,
            "application_name": self.name,
            "connect_timeout": 10,
            "keepalives_idle": 20,
            "keepalives_interval": 5,
            "keepalives_count": 3,
        }

    @property
    def display(self) -> str:
        """The address for people, its password masked."""
        return mask(self.url)

    def open(self) -> None:
        """Wait until the server answers, then keep a pool to it.

        Raises:
            DatabaseUnavailable: It did not answer within `patience`, or it
                refuses us, which waiting does not mend.
        """
        self.connect().close()
        self._pool.open(wait=False)

    def close(self) -> None:
        """Give back all connections. What was not committed is not there; nothing else is lost."""
        self._pool.close(timeout=2)
        self._executor.shutdown(wait=False, cancel_futures=True)

    def connect(self) -> Connection[DictRow]:
        """Open a connection of its own, outside the pool, waiting for the server up to `patience`."""
        deadline = time.monotonic() + self.patience.total_seconds()
        for pause in pauses():
            try:
                conn: Connection[DictRow] = psycopg.connect(self.url, **self._arguments())
                _configure(conn)
            except psycopg.OperationalError as error:
                if _is_hopeless(error):
                    raise self._unavailable(error, retried=False) from error
                if time.monotonic() + pause > deadline:
                    raise self._unavailable(error, retried=True) from error
                self._pause(pause)
            else:
                return conn
        raise AssertionError("pauses() never ends")

    def _unavailable(self, error: BaseException, *, retried: bool) -> DatabaseUnavailable:
        waited = f" for {self.patience.total_seconds():g} s" if retried else ""
        return DatabaseUnavailable(
            f"The database {self._place()} cannot be reached{waited}: {describe(error)}",
            hint="Start it, or check DATABASE_URL and `postgres:` in config/durability_config.yaml; "
            "without either, an embedded PostgreSQL is used.",
        )

    def _place(self) -> str:
        parts = conninfo.conninfo_to_dict(self.url)
        host = parts.get("host") or "localhost"
        port = f":{parts['port']}" if parts.get("port") else ""
        return f"{host}{port}/{parts.get('dbname', '')}"

    @contextmanager
    def connection(self) -> Iterator[Connection[DictRow]]:
        """Lend a connection in autocommit mode; a transaction is the caller's to open."""
        with self._pool.connection() as conn:
            yield conn

    def run(self, work: Callable[[Connection[DictRow]], T]) -> T:
        """Do `work` on a connection; when that is lost, do it again on another.

        The answer to a commit can be lost with the connection, so `work` must
        be harmless when it happens twice.

        Raises:
            DatabaseUnavailable: The server did not come back within `patience`.
        """

        def borrowed() -> T:
            with self.connection() as conn:
                return work(conn)

        return self.retry(borrowed)

    def retry(self, action: Callable[[], T]) -> T:
        """Do `action`; while the connection is what fails, do it again, up to `patience`."""
        deadline = time.monotonic() + self.patience.total_seconds()
        for pause in pauses():
            try:
                return action()
            except (psycopg.Error, PoolTimeout) as error:
                if isinstance(error, PoolClosed) or not is_connection_trouble(error):
                    raise
                if time.monotonic() + pause > deadline:
                    raise self._unavailable(error, retried=True) from error
                self._pause(pause)
        raise AssertionError("pauses() never ends")

    def _pause(self, seconds: float) -> None:
        if self._revive is not None:
            # One that cannot be started now may be startable later; our patience bounds the wait.
            with suppress(EmbeddedPostgresError):
                self._revive()
        time.sleep(seconds)

    async def call(self, work: Callable[[Connection[DictRow]], T]) -> T:
        """Do the same as `run`, without blocking the event loop."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, self.run, work)

    async def in_thread(self, function: Callable[..., T], *args: Any) -> T:  # passed on
        """Run a blocking function of storage on this database's threads."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, function, *args)


def _configure(conn: Connection[Any]) -> None:
    for statement in SESSION:
        conn.execute(statement)


def _is_hopeless(error: psycopg.OperationalError) -> bool:
    # A refused connection carries no SQLSTATE, so its words have to do.
    text = str(error)
    return isinstance(error, HOPELESS) or any(
        words in text
        for words in (
            "authentication failed",
            "does not exist",
            "no pg_hba.conf entry",
            "no password supplied",
        )
    )
