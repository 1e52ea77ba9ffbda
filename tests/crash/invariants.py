"""What must be true of a run whose process was killed; each check says what is wrong, in a sentence.

The tests that this checker goes red when it should are in `test_the_tests_can_see.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg.rows import DictRow

from tests.support.effects import Effect, Effects, visits

Conn = psycopg.Connection[DictRow]

SAVED_TASKS = """
select distinct w.task_id from checkpoint_writes w
 where w.thread_id = %s
   and w.channel not in ('__error__', '__error_source_node__', '__interrupt__', '__resume__', '__scheduled__')
"""
FINAL_STATE = """
with head as (
    select * from checkpoints where thread_id = %(thread)s and checkpoint_ns = ''
     order by checkpoint_id desc limit 1
)
select key as channel,
       coalesce(encode(b.blob, 'hex'), head.checkpoint -> 'channel_values' ->> key) as value
  from head
 cross join jsonb_each_text(head.checkpoint -> 'channel_versions')
  left join checkpoint_blobs b
    on b.thread_id = head.thread_id and b.checkpoint_ns = '' and b.channel = key and b.version = value
 where key not like '\\_\\_%%' and key not like '%%:%%'
"""
FORKS = """
select count(*) as forks from (
    select 1 from checkpoints where thread_id = %s
     group by checkpoint_ns, parent_checkpoint_id having count(*) > 1
) as forked
"""


@dataclass(frozen=True)
class Moment:
    """What was durable, and what had been done, right after a process was gone."""

    saved: frozenset[str]
    """Tasks whose result is committed."""
    done: Counter[str]
    """How often each task had done its work by then."""
    status: str


@dataclass(frozen=True)
class Whole:
    """The same run without a kill: what every other one is held against."""

    output: Any
    state: Mapping[str, str]
    visits: Counter[str]
    steps: list[int]
    nodes: list[DictRow]


def look(conn: Conn, effects: Effects, run: Mapping[str, Any]) -> Moment:
    """Read what is durable now."""
    saved = conn.execute(SAVED_TASKS, (run["thread_id"],)).fetchall()  # type: ignore[arg-type]
    row = conn.execute("select status from holdfast.run where run_id = %s", (run["run_id"],)).fetchone()
    return Moment(
        frozenset(task["task_id"] for task in saved),
        effects.tasks(run["run_id"]),
        row["status"] if row else "gone",
    )


def whole(conn: Conn, effects: Effects, run: Mapping[str, Any]) -> Whole:
    """Describe a run that nothing happened to."""
    found = _run(conn, run)
    assert found["status"] == "succeeded", found
    return Whole(
        output=found["output"],
        state=_state(conn, run),
        visits=visits(effects.read(run["run_id"])),
        steps=_steps(conn, run),
        nodes=conn.execute(
            "select distinct node, step, visit from holdfast.node_run where run_id = %s order by step, node",
            (run["run_id"],),
        ).fetchall(),
    )


def violations(
    conn: Conn,
    effects: Effects,
    run: Mapping[str, Any],
    expected: Whole,
    moments: Sequence[Moment],
    *,
    unseen_kills: int = 0,
) -> list[str]:
    """Say what is wrong with a run that was killed at these moments and then finished.

    Args:
        conn: To the run's database.
        effects: What was done in the world.
        run: Its `run_id` and `thread_id`.
        expected: The same run without a kill.
        moments: What was durable right after each kill.
        unseen_kills: Of child processes, after the last moment: nobody could look in between.
    """
    return [
        *_ended(conn, run, expected, kills=len(moments) + unseen_kills),
        *_repeated(effects.read(run["run_id"]), expected, moments, unseen_kills=unseen_kills),
        *_ahead(effects.read(run["run_id"]), expected, moments),
        *_chain(conn, run, expected),
    ]


def _ended(conn: Conn, run: Mapping[str, Any], expected: Whole, *, kills: int) -> list[str]:
    found = _run(conn, run)
    problems = []
    if found["status"] != "succeeded":
        return [f"lost: it stands as {found['status']} ({found['error']})"]
    if found["output"] != expected.output:
        problems.append(f"corrupted: its output is {str(found['output'])[:300]}")
    if _state(conn, run) != expected.state:
        problems.append("corrupted: its state is not that of the run without a kill")
    if found["crashes"]:
        problems.append(f"its crashes are still counted: {found['crashes']}")
    rows = conn.execute(
        "select number, outcome from holdfast.attempt where run_id = %s order by number", (run["run_id"],)
    ).fetchall()
    outcomes = [row["outcome"] for row in rows]
    # A process that died before it had claimed the run leaves no attempt.
    crashed = outcomes.count("crashed")
    if outcomes[-1:] != ["succeeded"] or crashed > kills or len(outcomes) != crashed + 1:
        problems.append(f"its attempts ended as {outcomes} after {kills} kills")
    if conn.execute("select 1 from holdfast.lease where run_id = %s", (run["run_id"],)).fetchone():
        problems.append("its lease was never given up")
    return problems


def _repeated(
    effects: Sequence[Effect], expected: Whole, moments: Sequence[Moment], *, unseen_kills: int
) -> list[str]:
    done = Counter(effect.task_id for effect in effects)
    name = {effect.task_id: effect.node for effect in effects}
    problems = []
    for number, moment in enumerate(moments, 1):
        problems += [
            f"repeated: {name[task]} was saved at kill {number} and ran again "
            f"({moment.done[task]} → {done[task]})"
            for task in moment.saved & name.keys()
            if done[task] != moment.done[task]
        ]
    kills = len(moments) + unseen_kills
    for task, times in done.items():
        if times > 1 + kills:
            problems.append(f"repeated: {name[task]} ran {times} times for {kills} kills")
    if moments:
        # Without a kill in between nothing may run twice.
        last = moments[-1].done
        problems += [
            f"repeated: {name[task]} ran {times - last[task]} times after the last kill"
            for task, times in done.items()
            if times - last[task] > 1 + unseen_kills
        ]
    if (seen := visits(effects)) != expected.visits:
        problems.append(f"its nodes did their work in {dict(seen)}, not {dict(expected.visits)} visits")
    return problems


def _ahead(effects: Sequence[Effect], expected: Whole, moments: Sequence[Moment]) -> list[str]:
    """Find work of two steps that was not saved at one moment: the later one must not have begun."""
    step_of = {(row["node"], row["visit"]): row["step"] for row in expected.nodes}
    keys: dict[str, list[str]] = {}
    steps: dict[str, int] = {}
    for effect in effects:
        seen = keys.setdefault(effect.node, [])
        if effect.task_id not in seen:
            seen.append(effect.task_id)
            steps[effect.task_id] = step_of.get((effect.node, len(seen)), -len(steps))
    problems = []
    for number, moment in enumerate(moments, 1):
        unsaved = {steps[task] for task in moment.done if task not in moment.saved}
        if len(unsaved) > 1:
            problems.append(f"ahead: at kill {number} work of {len(unsaved)} steps was done and not saved")
    return problems


def _chain(conn: Conn, run: Mapping[str, Any], expected: Whole) -> list[str]:
    problems = []
    forks = conn.execute(FORKS, (run["thread_id"],)).fetchone()  # type: ignore[arg-type]
    if forks and forks["forks"]:
        problems.append(f"forked: {forks['forks']} checkpoints have more than one child")
    if (steps := _steps(conn, run)) != expected.steps:
        problems.append(f"its checkpoints are of the steps {steps}, not {expected.steps}")
    threads = conn.execute(
        "select count(distinct thread_id) as n from checkpoints where metadata ->> 'holdfast_run' = %s",
        (run["run_id"],),
    ).fetchone()
    if threads and threads["n"] != 1:
        problems.append(f"it wrote to {threads['n']} threads")
    return problems


def in_flight_repeats(effects: Effects, run_id: str) -> int:
    """How many executions were more than the one that every visit needs."""
    return sum(times - 1 for times in effects.tasks(run_id).values())


def _run(conn: Conn, run: Mapping[str, Any]) -> DictRow:
    row = conn.execute(
        "select status, output, error, crashes from holdfast.run where run_id = %s", (run["run_id"],)
    ).fetchone()
    assert row is not None, f"run {run['run_id']} is gone"
    return row


def _state(conn: Conn, run: Mapping[str, Any]) -> dict[str, str]:
    rows = conn.execute(FINAL_STATE, {"thread": run["thread_id"]}).fetchall()  # type: ignore[arg-type]
    return {row["channel"]: row["value"] for row in rows}


def _steps(conn: Conn, run: Mapping[str, Any]) -> list[int]:
    rows = conn.execute(
        "select (metadata ->> 'step')::int as step from checkpoints"
        " where thread_id = %s order by checkpoint_id",
        (run["thread_id"],),
    ).fetchall()
    return [row["step"] for row in rows]
