"""Which definition a run goes on with: the one it was started with, or today's (D5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from framework.durability import endings, registry
from framework.durability.attempt import Attempt, Tools, thread_config
from framework.durability.definitions import FrozenDefinition
from framework.durability.run import Ending, Run, RunStatus
from framework.errors import (
    CallableRefused,
    DefinitionChanged,
    DefinitionInvalid,
    HoldfastError,
    LeaseLost,
    UsageError,
)
from framework.graph.fit import pending_problems
from framework.storage.checkpointer import Checkpointer


async def choose_definition(tools: Tools, attempt: Attempt, *, latest: bool) -> FrozenDefinition:
    """Return the definition to go on with, and store why when it is not the frozen one."""
    run = attempt.run
    row = await tools.database.call(lambda conn: registry.load_definition(conn, run.definition))
    after_failure = attempt.claim.previous is RunStatus.FAILED
    if latest or after_failure:
        try:
            today = await tools.database.in_thread(tools.definitions.today, row)
        except (DefinitionInvalid, CallableRefused, UsageError) as error:
            await _stay(tools, run, error, forced=latest)
        else:
            if today is not None:
                return await _move(tools, attempt, today, forced=latest, row=row)
    return await tools.database.in_thread(tools.definitions.thaw, row)


async def _stay(tools: Tools, run: Run, error: HoldfastError, *, forced: bool) -> None:
    """Say that today's file cannot be used at all: to whoever asked for it, otherwise in a decision."""
    if forced:
        raise DefinitionChanged(
            run.run_id,
            f"Today's {run.workflow!r} cannot be used, so run {run.run_id} was not moved:\n{error.message}",
            hint=f"It can go on with the version it was started with: main.py resume {run.run_id}",
        ) from error
    reason = f"today's file cannot be used: {error.message.splitlines()[0]}"
    by = run.owner or ""
    await tools.database.call(
        lambda conn: registry.decide(conn, run.run_id, by=by, action="keep-definition", reason=reason)
    )


async def _move(
    tools: Tools, attempt: Attempt, today: FrozenDefinition, *, forced: bool, row: Mapping[str, Any]
) -> FrozenDefinition:
    run = attempt.run
    checkpointer = cast(
        "Checkpointer", tools.checkpointer.with_allowlist(today.compiled.allowed_msgpack_modules)
    )
    head = await checkpointer.aget_tuple(thread_config(run))
    own = head if head is not None and head.metadata.get("holdfast_run") == run.run_id else None
    problems = pending_problems(row["topology"], own, today.compiled)
    by = run.owner or ""
    if problems and forced:
        raise DefinitionChanged(
            run.run_id,
            f"Today's {run.workflow!r} does not fit run {run.run_id}: {'; '.join(problems)}.",
            hint=f"It can go on with the version it was started with: main.py resume {run.run_id}",
        )
    if problems:
        reason = "the file has changed since, but does not fit: " + "; ".join(problems)
        await tools.database.call(
            lambda conn: registry.decide(conn, run.run_id, by=by, action="keep-definition", reason=reason)
        )
        return await tools.database.in_thread(tools.definitions.thaw, row)
    reason = "asked for with --latest" if forced else "it had failed, and the file has been changed since"

    def store(conn: registry.Conn) -> None:
        with conn.transaction():
            registry.store_definition(conn, today.row)
            names = {"run_id": run.run_id, "fence": run.fence, "definition": today.row["content_hash"]}
            if conn.execute(registry.SQL["move_to_definition"], names).fetchone() is None:
                raise LeaseLost(run.run_id, f"Run {run.run_id} was taken over.")
            registry.decide(conn, run.run_id, by=by, action="move-definition", reason=reason)

    await tools.database.call(store)
    return today


async def held_for_code(tools: Tools, run: Run, frozen: FrozenDefinition) -> Ending | None:
    """Set a run aside whose code has changed, where its workflow says so; otherwise store that it goes on."""
    changed = frozen.changed_nodes
    if not changed or run.started_at is None or run.fence == 1:
        return None
    fingerprints = dict(frozen.compiled.fingerprints)
    if run.accepted_code == fingerprints:
        return None
    nodes = ", ".join(changed)
    if frozen.compiled.workflow.on_code_change == "hold":
        ending = endings.set_aside(
            run,
            "code-changed",
            f"The code of {nodes} is not the one this run was started with, and the workflow says "
            "`on_code_change: hold`.",
            f"Go on with today's code: main.py release {run.run_id}",
        )
        return Ending(
            run.run_id,
            ending.status,
            detail=ending.detail,
            error={**(ending.error or {}), "fingerprints": fingerprints},
        )
    await tools.database.call(
        lambda conn: registry.decide_once(
            conn,
            run.run_id,
            by=run.owner or "",
            action="continue-with-changed-code",
            reason=f"the code of {nodes} has changed; the workflow says `on_code_change: continue`",
        )
    )
    return None
