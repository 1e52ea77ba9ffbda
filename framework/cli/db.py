"""`db`: the database in use, whichever that is."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import psycopg
import typer
from psycopg.rows import dict_row

from framework.cli import render
from framework.cli.app import Invocation, JsonOption
from framework.errors import DatabaseError, UsageError
from framework.settings import Settings
from framework.storage.backup import back_up, restore, run_psql
from framework.storage.embedded import keep_alive, release, server_state, wait_until_stopped
from framework.storage.named_queries import load
from framework.storage.pool import describe
from framework.storage.server import Server, embedded_data_dir, named_server, resolve_server

SQL = load("database.sql")
LOOK_SECONDS = 5

app = typer.Typer(
    add_completion=False,
    help="The database in use: look at it, save it, open a shell on it.",
    no_args_is_help=True,
)


@app.command()
def status(ctx: typer.Context, *, json: JsonOption = False) -> None:
    """Show which server is in use, whether it answers, and what is in it."""
    document = _look(_settings(ctx))
    if json:
        render.print_json(document)
    else:
        for name, value in document.items():
            if value is not None:
                words = _size(value) if name == "size_bytes" else _words(value)
                render.print_line(f"{name.replace('_bytes', '').replace('_', ' '):<21} {words}")
    if document["error"]:
        raise typer.Exit(DatabaseError.exit_code)


@app.command(name="migrate")
def migrate_command(ctx: typer.Context) -> None:
    """Bring the tables up to this version of the program."""
    from framework.storage.migrations import migrate

    settings = _settings(ctx)
    state = migrate(resolve_server(settings).url, timeout=settings.durability.postgres.setup_timeout)
    render.print_line(f"The schema is at version {state.version}.")


@app.command()
def url(ctx: typer.Context) -> None:
    """Print the address, and nothing else: psql "$(python3 main.py db url)"."""
    render.print_line(resolve_server(_settings(ctx)).url)


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def psql(ctx: typer.Context) -> None:
    """Open psql on the database; further words go to it: db psql -c "select 1"."""
    raise typer.Exit(run_psql(resolve_server(_settings(ctx)), ctx.args))


@app.command()
def backup(ctx: typer.Context, file: Annotated[Path, typer.Argument(help="Replaced if it exists.")]) -> None:
    """Write the whole database to a file, in pg_dump's custom format."""
    size_bytes = back_up(resolve_server(_settings(ctx)), file)
    render.print_line(f"{file}: {_size(size_bytes)}")


@app.command(name="restore")
def restore_command(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="What `db backup` wrote.")],
    *,
    force: Annotated[bool, typer.Option("--force", help="Also where there are runs; they are lost.")] = False,
) -> None:
    """Replace what is in the database by a backup, all of it or nothing."""
    from framework.storage.migrations import migrate

    settings = _settings(ctx)
    server = resolve_server(settings)
    restore(server, file, overwrite=force)
    # The backup may be older than this program.
    migrate(server.url, timeout=settings.durability.postgres.setup_timeout)
    render.print_line(f"Restored from {file}.")


@app.command()
def up(ctx: typer.Context) -> None:
    """Start the embedded server and leave it running, for tools that are not ours; print its address."""
    settings = _settings(ctx)
    _refuse_named_server(settings)
    render.print_line(keep_alive(embedded_data_dir(settings)).url)


@app.command()
def down(ctx: typer.Context) -> None:
    """Take `db up` back; the server stops once nobody uses it."""
    settings = _settings(ctx)
    _refuse_named_server(settings)
    data_dir = embedded_data_dir(settings)
    if not server_state(data_dir).is_running:
        release(data_dir)
        render.print_line("The embedded server is not running.")
    elif release(data_dir):
        render.print_line("Other processes still use the embedded server; it stops after the last of them.")
    elif wait_until_stopped(data_dir, timedelta(seconds=90)):
        render.print_line("The embedded server has stopped.")
    else:
        raise DatabaseError("The embedded server does not stop.", hint=f"Its log lies in {data_dir}.")


def _settings(ctx: typer.Context) -> Settings:
    invocation: Invocation = ctx.obj
    return invocation.settings


def _refuse_named_server(settings: Settings) -> None:
    named = named_server(settings.durability.postgres)
    if named is not None:
        raise UsageError(
            f"The database in use is {named.display}, which is not ours to start or stop.",
            hint="Without DATABASE_URL and postgres.url, postgres.host, an embedded server is used.",
        )


def _look(settings: Settings) -> dict[str, Any]:
    """Collect what `status` shows. An embedded server is started to be asked, but never made."""
    document: dict[str, Any] = dict.fromkeys(
        ("kind", "address", "reachable", "server_version", "role", "size_bytes", "schema_version",
         "known_schema_version", "langgraph_tables", "data_dir", "kept_alive", "error")
    )  # fmt: skip
    named = named_server(settings.durability.postgres)
    document |= {"kind": "external" if named else "embedded", "reachable": False}
    if named is None:
        state = server_state(embedded_data_dir(settings))
        document |= {"data_dir": str(state.data_dir), "kept_alive": state.is_kept_alive}
        if state.version is None:
            return document | {"address": "embedded PostgreSQL, made when it is first needed"}
    server = named or resolve_server(settings)
    document["address"] = server.display
    return document | _ask(server)


def _ask(server: Server) -> dict[str, Any]:
    # It brings LangGraph along, half a second that `db url` should not cost.
    from framework.storage.migrations import schema_state

    try:
        with psycopg.connect(server.url, row_factory=dict_row, connect_timeout=LOOK_SECONDS) as conn:
            facts = conn.execute(SQL["facts"]).fetchone() or {}
            tables = [row["name"] for row in conn.execute(SQL["langgraph_tables"]).fetchall()]
            found: dict[str, Any] = {
                "reachable": True,
                "server_version": facts["server_version"],
                "role": facts["role"],
                "size_bytes": facts["size_bytes"],
                "langgraph_tables": tables,
            }
            try:
                schema = schema_state(conn)
            except DatabaseError as error:
                return found | {"error": error.message}
            version = schema.version if schema.version >= 0 else None
            return found | {"schema_version": version, "known_schema_version": schema.known_version}
    except psycopg.Error as error:
        return {"error": describe(error)}


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(str(part) for part in value) or "none"
    return str(value)


def _size(size_bytes: int) -> str:
    return f"{size_bytes / 1_000_000:.1f} MB" if size_bytes >= 1_000_000 else f"{size_bytes / 1000:.1f} kB"
