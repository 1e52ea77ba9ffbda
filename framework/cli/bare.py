"""`main.py` without a verb: finish what was interrupted; if nothing was, run the default workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from framework.cli import render
from framework.cli.app import Invocation

if TYPE_CHECKING:
    from framework.cli.driving import Session


def run_bare(ctx: typer.Context) -> int:
    """Recover, and start the default workflow when there was nothing to recover."""
    invocation: Invocation = ctx.obj
    if not invocation.settings.durability.enabled:
        from framework.cli.in_memory import run_in_memory
        from framework.cli.run import load

        return run_in_memory(invocation, load(invocation, None), {}, json=invocation.json)
    return recover_all(invocation, json=invocation.json, then_default=True)


def recover_all(invocation: Invocation, *, json: bool, then_default: bool = False) -> int:
    """Take up everything that was interrupted, each run once.

    Args:
        invocation: Of the verb.
        json: Whether stdout is to hold one document.
        then_default: Run the default workflow when nothing was taken up.
    """
    if not invocation.settings.durability.enabled:
        render.print_note("durability.enabled is false: runs live in memory, so none can be resumed")
        if json:
            render.print_json({"runs": []})
        return 0
    from framework.cli.composition import open_runtime
    from framework.cli.driving import Session
    from framework.cli.report import worst

    with open_runtime(invocation) as runtime:
        session = Session(runtime, json=json)
        listing_only = not invocation.settings.durability.resume.auto_resume
        if listing_only:
            session.left = runtime.manager.decide()
        else:
            session.announce_scenario()
            session.perform(session.recover)
        left_code = session.report_left()
        if not session.driven and not runtime.manager.draining:
            _nothing_taken_up(
                session, then_default=then_default and not listing_only, listing_only=listing_only
            )
        runs, code = session.result(session.driven)
        return session.conclude(runs, worst([code, left_code]), many=True)


def _nothing_taken_up(session: Session, *, then_default: bool, listing_only: bool) -> None:
    if listing_only:
        session.view.say("resume.auto_resume is off: nothing is started")
        return
    if not then_default:
        session.view.say("nothing was interrupted")
        return
    from framework.cli.run import load

    invocation, manager = session.runtime.invocation, session.runtime.manager
    accepted, _ = manager.submit(load(invocation, None), {})

    async def work() -> None:
        await session.drive_in_turn(accepted, reason="a person started it", action="start")

    session.perform(work)
