"""`run`: start a workflow and drive it to its end."""

from __future__ import annotations

import json as json_module
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from framework.cli import render
from framework.cli.app import Invocation, JsonOption
from framework.errors import InputInvalid, UsageError

if TYPE_CHECKING:
    from framework.cli.driving import Session
    from framework.definition.loader import LoadedWorkflow
    from framework.durability.run import Run


def run(
    ctx: typer.Context,
    workflow: Annotated[
        str | None,
        typer.Argument(help="Its name, or the path of its file; the default workflow if left out."),
    ] = None,
    input_: Annotated[
        list[str] | None,
        typer.Option("--input", "-i", metavar="KEY=VALUE", help="An input; may be repeated."),
    ] = None,
    input_file: Annotated[
        Path | None, typer.Option("--input-file", metavar="FILE", help="Inputs from a JSON or YAML file.")
    ] = None,
    run_key: Annotated[
        str | None, typer.Option("--run-key", metavar="KEY", help="The same key starts the run only once.")
    ] = None,
    thread: Annotated[
        str | None, typer.Option("--thread", metavar="ID", help="Add to this thread instead of a new one.")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="TAG", help="May be repeated.")] = None,
    detach: Annotated[
        bool, typer.Option("--detach", help="Accept the run and leave it for the next start.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Start a workflow and drive it to its end.

    It is accepted, with its inputs, before anything starts: whatever happens then, `main.py` goes on with it.
    """
    invocation: Invocation = ctx.obj
    loaded = load(invocation, workflow)
    given = inputs_of(input_ or [], input_file)
    if not invocation.settings.durability.enabled:
        from framework.cli.in_memory import run_in_memory

        _refuse_in_memory(run_key=run_key, thread=thread, detach=detach)
        return run_in_memory(invocation, loaded, given, json=json)
    from framework.cli.composition import open_runtime
    from framework.cli.driving import Session

    with open_runtime(invocation) as runtime:
        session = Session(runtime, json=json)
        accepted, is_new = runtime.manager.submit(
            loaded, given, run_key=run_key, thread=thread, tags=tag or ()
        )
        if detach:
            return _detached(session, accepted, is_new=is_new)
        start(session, accepted, is_new=is_new)
        runs, code = session.result([accepted.run_id])
        return session.conclude(runs, code, many=False)


def start(session: Session, accepted: Run, *, is_new: bool) -> None:
    """Drive a run that was just accepted; of one that its key found, do what is left to do."""
    from framework.cli.progress import short

    async def work() -> None:
        if is_new:
            await session.drive_in_turn(accepted, reason="a person started it", action="start")
            return
        now = await session.wait_for(accepted)
        if now.status in {now.status.PENDING, now.status.RUNNING}:
            await session.recover(only=now)

    if is_new:
        session.announce_scenario()
    else:
        standing = "has ended already" if accepted.status.ended else f"is {accepted.status}"
        session.view.say(f"run key {accepted.run_key}: run {short(accepted.run_id)} {standing}")
    session.perform(work)


def load(invocation: Invocation, workflow: str | None) -> LoadedWorkflow:
    """Find a workflow by its name or path, and read it; `validate` shows the warnings."""
    from framework.definition.find import find_workflow
    from framework.definition.loader import load_workflow

    workflows = invocation.settings.framework.workflows
    path = find_workflow(workflow or workflows.default, root=invocation.root, folders=workflows.folders)
    return load_workflow(path, allowed_packages=workflows.allowed_packages)


def inputs_of(words: Sequence[str], file: Path | None) -> dict[str, Any]:
    """Collect inputs from a file and from `KEY=VALUE` words; a word wins over the file."""
    values: dict[str, Any] = dict(_read_inputs(file)) if file is not None else {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or not key.strip():
            raise UsageError(f"--input {word}: KEY=VALUE is expected.", hint="--input day=2026-11-20")
        values[key.strip()] = value
    return values


def _read_inputs(path: Path) -> Mapping[str, Any]:
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--input-file {path} cannot be read: {error}") from None
    values: Any
    if path.suffix == ".json":
        try:
            values = json_module.loads(text)
        except ValueError as error:
            raise InputInvalid(f"{path} is not JSON: {error}") from None
    else:
        from framework.definition.source import read_document

        values = read_document(text, str(path)).data
    if not isinstance(values, dict):
        raise InputInvalid(f"{path} does not hold a mapping of inputs.", hint='{"day": "2026-11-20"}')
    return values


def _detached(session: Session, accepted: Run, *, is_new: bool) -> int:
    from framework.cli.progress import short
    from framework.cli.report import run_document

    words = "accepted" if is_new else f"known already, {accepted.status}"
    session.view.say(
        f"{accepted.workflow} {short(accepted.run_id)}: {words}; the next start drives it: {session.program}"
    )
    if session.json:
        render.print_json(run_document(accepted))
    return 0


def _refuse_in_memory(*, run_key: str | None, thread: str | None, detach: bool) -> None:
    wishes = (("--run-key", run_key), ("--thread", thread), ("--detach", detach or None))
    refused = [name for name, value in wishes if value is not None]
    if refused:
        raise UsageError(
            f"{', '.join(refused)}: durability.enabled is false, so there is nothing to find a run again by.",
            hint="set `enabled: true` in config/durability_config.yaml",
        )
