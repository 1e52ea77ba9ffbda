"""`resume`, `retry`, `release`: go on with runs that stopped."""

from __future__ import annotations

import json as json_module
from typing import Annotated, Any

import typer

from framework.cli.app import Invocation, JsonOption
from framework.cli.composition import open_runtime, require_durability
from framework.durability import registry
from framework.durability.run import Run, RunStatus
from framework.errors import UsageError

RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="Its id or the beginning of it, its thread, its key, or `last`.")
]


def resume(
    ctx: typer.Context,
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]", help="Its id or the beginning of it, its thread, its key, or `last`."
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option("--data", metavar="JSON", help="The answer to what a waiting run asks.")
    ] = None,
    latest: Annotated[
        bool, typer.Option("--latest", help="Move the run to today's file first, if it fits.")
    ] = False,
    isolated: Annotated[bool, typer.Option("--isolated", hidden=True)] = False,
    json: JsonOption = False,
) -> int:
    """Go on with one run, or with everything that was interrupted.

    Without RUN, it takes up what crashed, was stopped or failed, and starts nothing new.
    """
    invocation: Invocation = ctx.obj
    if run is None:
        return _resume_all(invocation, data=data, latest=latest, json=json)
    require_durability(invocation.settings, "resumed")
    answer = _parsed(data) if data is not None else None
    from framework.cli.driving import Session

    with open_runtime(invocation) as runtime:
        manager = runtime.manager
        session = Session(runtime, json=json)
        found = manager.find(run)
        if data is not None:
            manager.answer(found, answer)
            found = manager.get(found.run_id)
        elif _must_be_answered(session.questions(found), found):
            return session.conclude([found], 3, many=False)
        _check_resumable(found)
        session.announce_scenario()

        async def work() -> None:
            if found.status in {RunStatus.WAITING, RunStatus.PAUSED}:
                reason = "a person answered" if data is not None else "a person asked for it"
                await session.drive(found, reason=reason, latest=latest)
                return
            await session.recover(only=found, latest=latest, isolate=not isolated)
            now = manager.get(found.run_id)
            if now.status is RunStatus.PENDING and found.run_id not in session.driven:
                await session.drive_in_turn(now, reason="a person asked for it", action="resume")

        session.perform(work)
        runs, code = session.result([found.run_id])
        return session.conclude(runs, code, many=False)


def _resume_all(invocation: Invocation, *, data: str | None, latest: bool, json: bool) -> int:
    if data is not None or latest:
        raise UsageError(
            f"{'--data' if data is not None else '--latest'} is about one run; name it.",
            hint=f"{invocation.program} list --status waiting",
        )
    from framework.cli.bare import recover_all

    return recover_all(invocation, json=json)


def retry(ctx: typer.Context, run: RunArgument, json: JsonOption = False) -> int:
    """Go on with a failed run, its tries renewed."""
    return _put_back_and_drive(ctx.obj, run, json=json, release=False)


def release(ctx: typer.Context, run: RunArgument, json: JsonOption = False) -> int:
    """Let a quarantined run go on: its crashes are forgiven, its changed code is accepted."""
    return _put_back_and_drive(ctx.obj, run, json=json, release=True)


def _put_back_and_drive(invocation: Invocation, reference: str, *, json: bool, release: bool) -> int:
    require_durability(invocation.settings, "released" if release else "retried")
    from framework.cli.driving import Session

    with open_runtime(invocation) as runtime:
        manager = runtime.manager
        session = Session(runtime, json=json)
        found = manager.find(reference)
        if release:
            manager.release(found)
        else:
            manager.retry(found)
        session.announce_scenario()

        async def work() -> None:
            reason = "a person released it" if release else "a person asked to try it again"
            await session.drive_in_turn(manager.get(found.run_id), reason=reason, action="resume")

        session.perform(work)
        runs, code = session.result([found.run_id])
        return session.conclude(runs, code, many=False)


def _parsed(data: str) -> Any:
    try:
        return json_module.loads(data)
    except ValueError as error:
        raise UsageError(
            f"--data is not JSON: {error}", hint="text needs quotes of its own: --data '\"yes\"'"
        ) from None


def _must_be_answered(questions: list[Any], run: Run) -> bool:
    """Whether a waiting run asks something; one that only stopped before or after a node does not."""
    return run.status is RunStatus.WAITING and any(question["answered_at"] is None for question in questions)


def _check_resumable(run: Run) -> None:
    if run.status is RunStatus.QUARANTINED:
        raise registry.refuse_move(run, "resumed", hint=f"Once you have looked: main.py release {run.run_id}")
    if run.status in {RunStatus.SUCCEEDED, RunStatus.CANCELLED}:
        raise registry.refuse_move(run, "resumed", hint=f"What became of it: main.py show {run.run_id}")
