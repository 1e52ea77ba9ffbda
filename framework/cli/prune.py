"""`prune`: remove runs that ended long ago."""

from __future__ import annotations

from typing import Annotated

import typer

from framework.cli import render
from framework.cli.app import Invocation, JsonOption
from framework.cli.composition import open_registry, require_durability
from framework.durability import retention
from framework.durations import format_duration, parse_duration
from framework.errors import UsageError


def prune(
    ctx: typer.Context,
    older_than: Annotated[
        str | None,
        typer.Option(
            "--older-than", metavar="7d", help="Since their end; retention.ended_after if left out."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    json: JsonOption = False,
) -> int:
    """Remove ended runs with their checkpoints, one transaction a run; it may be stopped at any time."""
    invocation: Invocation = ctx.obj
    require_durability(invocation.settings, "pruned")
    try:
        age = (
            parse_duration(older_than) if older_than else invocation.settings.durability.retention.ended_after
        )
    except ValueError as error:
        raise UsageError(f"--older-than: {error}") from None
    with open_registry(invocation) as database:
        pruned = retention.prune(database, older_than=age, dry_run=dry_run)
    if json:
        render.print_json({"runs": pruned.runs, "definitions": pruned.definitions, "dry_run": dry_run})
        return 0
    runs = (
        f"{pruned.runs} run{'s' if pruned.runs != 1 else ''} that ended more than {format_duration(age)} ago"
    )
    if dry_run:
        render.print_line(f"would remove {runs}")
    else:
        render.print_line(f"removed {runs}, and {pruned.definitions} unused definitions")
    return 0
