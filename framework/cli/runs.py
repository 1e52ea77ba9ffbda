"""`list`, `cancel`, `delete`: verbs that read runs or move them, and drive none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from framework.cli import render
from framework.cli.app import Invocation, JsonOption
from framework.cli.composition import open_registry, require_durability
from framework.cli.progress import STATUS_MARKS, error_line, short
from framework.cli.report import brief, listed_document, run_document
from framework.cli.resume import RunArgument
from framework.definition.words import suggest
from framework.durability import control, registry
from framework.durability.owner import is_dead
from framework.durability.run import Run, RunStatus
from framework.durations import parse_duration
from framework.errors import UsageError

UNFINISHED = "unfinished"
"""Stands for every status that has not ended."""


def duration(text: str | None, option: str) -> timedelta | None:
    """Read `2h` or `7d` from the command line.

    Raises:
        UsageError: Not a duration.
    """
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"{option}: {error}") from None


def list_runs(
    ctx: typer.Context,
    status: Annotated[
        list[str] | None,
        typer.Option(
            "--status", "-s", metavar="STATUS", help="Only these; `unfinished` for all that have not ended."
        ),
    ] = None,
    workflow: Annotated[
        str | None, typer.Option("--workflow", "-w", metavar="NAME", help="Only of this one.")
    ] = None,
    thread: Annotated[str | None, typer.Option("--thread", metavar="ID", help="Only of this thread.")] = None,
    tag: Annotated[str | None, typer.Option("--tag", metavar="TAG", help="Only with this tag.")] = None,
    newer: Annotated[
        str | None, typer.Option("--newer", metavar="2h", help="Accepted within this time.")
    ] = None,
    older: Annotated[
        str | None, typer.Option("--older", metavar="7d", help="Accepted before this time.")
    ] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most so many.")] = 50,
    json: JsonOption = False,
) -> int:
    """List runs, the newest first."""
    invocation: Invocation = ctx.obj
    statuses = _statuses(status or [])
    after, before = duration(newer, "--newer"), duration(older, "--older")
    if not invocation.settings.durability.enabled:
        render.print_note("durability.enabled is false: runs live in memory, so none is listed")
        found: list[Run] = []
    else:
        with open_registry(invocation) as database:
            found = database.run(
                lambda conn: registry.list_runs(
                    conn,
                    statuses=statuses,
                    workflow=workflow,
                    thread_id=thread,
                    tag=tag,
                    newer=after,
                    older=before,
                    limit=limit + 1,
                )
            )
    more, found = len(found) > limit, found[:limit]
    if json:
        render.print_json([listed_document(one) for one in found])
    elif found:
        render.print_table(
            ("run", "workflow", "status", "accepted", "took", "attempts", ""), map(_row, found)
        )
    elif invocation.settings.durability.enabled:
        nothing = "no run fits" if any((status, workflow, thread, tag, newer, older)) else "no runs yet"
        render.print_note(f"{nothing}. Start one: {invocation.program} run")
    if more:
        render.print_note(f"there are more: --limit {limit * 4}")
    return 0


def _statuses(words: list[str]) -> list[str] | None:
    """Return the statuses that are meant; a word may be several, separated by commas."""
    known = [str(one) for one in RunStatus]
    found: list[str] = []
    for word in (part.strip().lower() for one in words for part in one.split(",")):
        if word == UNFINISHED:
            found += [str(one) for one in RunStatus if not one.ended]
        elif word in known:
            found.append(word)
        elif word:
            hint = suggest(word, [*known, UNFINISHED], kind="statuses")
            raise UsageError(
                f"{word!r} is not a status.", hint=hint or f"one of: {', '.join([*known, UNFINISHED])}"
            )
    return found or None


def _row(one: Run) -> tuple[str, ...]:
    took = ""
    if one.started_at is not None:
        took = render.elapsed((one.ended_at or datetime.now(UTC)) - one.started_at)
    words = error_line(one.error) if one.error else f"key {one.run_key}" if one.run_key else ""
    if one.status is RunStatus.RUNNING and (one.lease_expired or is_dead(one.owner or "")):
        words = "its process is gone; the next start takes it up"
    status = f"{STATUS_MARKS[one.status].symbol} {one.status}"
    return (
        short(one.run_id),
        one.workflow,
        status,
        render.moment(one.created_at),
        took,
        str(one.attempts),
        brief(words, 60),
    )  # fmt: skip


def cancel(ctx: typer.Context, run: RunArgument, json: JsonOption = False) -> int:
    """Stop a run for good. One that another process drives stops at its next step boundary."""

    def move(conn: Any, found: Run) -> str:
        status = control.cancel(conn, found)
        if status is RunStatus.RUNNING:
            return "asked its process to stop; it does at its next step boundary"
        return "cancelled"

    return _move(ctx.obj, run, "cancelled", move, json=json)


def delete(ctx: typer.Context, run: RunArgument, json: JsonOption = False) -> int:
    """Remove an ended run; the last one of a thread takes the thread's checkpoints along."""

    def move(conn: Any, found: Run) -> str:
        control.delete(conn, found)
        return "deleted"

    return _move(ctx.obj, run, "deleted", move, json=json)


def _move(invocation: Invocation, reference: str, wish: str, move: Any, *, json: bool) -> int:
    require_durability(invocation.settings, wish)
    with open_registry(invocation) as database:
        found = database.run(lambda conn: registry.find(conn, reference))
        words = database.run(lambda conn: move(conn, found))
        if json:
            now = found if words == "deleted" else database.run(lambda conn: registry.get(conn, found.run_id))
            render.print_json(run_document(now) | ({"status": "deleted"} if words == "deleted" else {}))
        else:
            render.print_line(f"{found.workflow} {short(found.run_id)}: {words}")
    return 0
