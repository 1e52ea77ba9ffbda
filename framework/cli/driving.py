"""Drives runs for a verb: recovers, starts, waits for others, shows it all, and says how it ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from psycopg.rows import DictRow

from framework.cli import render, signals
from framework.cli.composition import Runtime, fault_of
from framework.cli.faults import fault_words
from framework.cli.live import open_view
from framework.cli.progress import Card, graph_order, new_card, short
from framework.cli.report import STOPPED, ending_lines, exit_code, run_document, worst
from framework.durability import registry
from framework.durability.owner import Owner, is_dead
from framework.durability.recovery import Action, Decision
from framework.durability.run import Ending, Run, RunStatus
from framework.errors import CallableRefused, DefinitionInvalid
from framework.faults.scenario import Rule
from framework.storage.named_queries import load

SERVER = load("server.sql")

POLL_SECONDS = 0.3
"""How often a run that another process drives is looked at."""
REPORTED_IN_FULL = 3
"""With more runs than this, the end is a count: the view has told how each one ended."""
LEFT_SHOWN = 12
"""Runs that are left alone, shown by a line each; more are counted."""

_HOLDING = frozenset(
    {RunStatus.RUNNING, RunStatus.SLEEPING, RunStatus.WAITING, RunStatus.PAUSED, RunStatus.QUARANTINED}
)
_TAKEN_ON_DEMAND = frozenset({RunStatus.FAILED, RunStatus.WAITING, RunStatus.PAUSED})


@dataclass
class Session:
    """One verb's turn: what it drove, in the order in which it ended."""

    runtime: Runtime
    json: bool
    driven: list[str] = field(default_factory=list)
    left: list[Decision] = field(default_factory=list)
    unstarted: list[str] = field(default_factory=list)
    """Runs that would have been driven, had nobody asked us to stop."""
    lost: dict[str, str] = field(default_factory=dict)
    """Runs whose attempt could not be ended properly: run id → why."""

    def __post_init__(self) -> None:
        self.view = open_view(json=self.json)
        self.cards: dict[str, Card] = {}
        self._shapes: dict[str, tuple[list[str], Mapping[str, int]]] = {}

    @property
    def program(self) -> str:
        """How the user called us."""
        return self.runtime.invocation.program

    # Driving

    def perform(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Run `work` with signals handled, and leave the screen in order whatever happens."""
        with self._stoppable(), render.stdout_kept_clean() if self.json else nullcontext():
            try:
                asyncio.run(work())
            finally:
                self.view.finish()

    @contextmanager
    def _stoppable(self) -> Iterator[None]:
        children = self.runtime.children

        def drain() -> None:
            self.runtime.manager.request_drain()
            children.stop()
            self.view.stopping()

        with signals.stopping(drain, children.kill, program=self.program):
            yield

    async def recover(self, *, only: Run | None = None, latest: bool = False, isolate: bool = True) -> None:
        """Take up what was interrupted, or one run that somebody named, and drive it to its end."""
        taken: list[Run] = []

        def on_decision(decision: Decision) -> None:
            if decision.action in {Action.RESUME, Action.ISOLATE, Action.CANCEL}:
                taken.append(decision.run)
                self._say_taken_up(decision)
            else:
                self.left.append(decision)

        report = await self.runtime.manager.recover(
            only=only,
            observe=self.view.observe,
            on_decision=on_decision,
            on_ending=self._ended,
            latest=latest,
            isolate=isolate,
        )
        ended = {ending.run_id for ending in report.endings}
        waiting_in_line = [run for run in taken if run.run_id not in ended and only is None]
        for run in sorted(waiting_in_line, key=lambda run: run.created_at):
            # It stood behind another run of its thread, which may be over by now.
            if self.runtime.manager.draining:
                self.unstarted.append(run.run_id)
            else:
                await self.drive(run, reason="the run before it in its thread is over")

    def _say_taken_up(self, decision: Decision) -> None:
        run = decision.run
        if decision.action is Action.CANCEL:
            self.view.say(f"cancelling {run.workflow} {short(run.run_id)}: {decision.reason}")
            return
        card = self.open_card(run, apart=decision.action is Action.ISOLATE)
        saved = f"; {len(card.saved)} of {len(card.nodes)} nodes were saved" if run.started_at else ""
        apart = "; in a process of its own" if card.apart else ""
        self.view.say(f"taking up {card.name}: {decision.reason}{saved}{apart}")
        self.view.opened(card)

    async def drive(self, run: Run, *, reason: str, action: str = "resume", latest: bool = False) -> bool:
        """Drive one run that nobody drives; False when it could not be claimed."""
        # Whoever calls this means the run as it stood when they looked.
        allowed = [run.status] if run.status in _TAKEN_ON_DEMAND else []
        if run.run_id not in self.cards:
            self.view.opened(self.open_card(run))
        ending = await self.runtime.manager.drive(
            run, reason=reason, action=action, observe=self.view.observe, latest=latest, allowed=allowed
        )
        if ending is not None:
            self._ended(ending)
        return ending is not None

    def _ended(self, ending: Ending) -> None:
        if ending.run_id in self.cards:
            card = self.cards[ending.run_id]
            card.ended_at = card.began_at + card.elapsed_seconds
        if ending.run_id not in self.driven:
            self.driven.append(ending.run_id)
        if ending.status is None:
            self.lost[ending.run_id] = ending.detail
        self.view.closed(ending)

    async def drive_in_turn(self, run: Run, *, reason: str, action: str) -> Run:
        """Drive a run as soon as its thread is free; return it as it stands then.

        A run of the thread that was interrupted is finished first. One that
        waits for a person holds the thread until it is answered: then this
        run stays in line.
        """
        manager, told = self.runtime.manager, ""
        while not manager.draining:
            if await self.drive(run, reason=reason, action=action):
                break
            now = await manager.database.in_thread(manager.get, run.run_id)
            if now.status is not RunStatus.PENDING:
                return await self.wait_for(now)
            holder = await manager.database.in_thread(self._holder, now)
            if holder is None:
                await asyncio.sleep(POLL_SECONDS)
            elif _is_driven(holder):
                if told != holder.run_id:
                    told = holder.run_id
                    self.view.say(
                        f"waiting: thread {run.thread_id} is held by run {short(holder.run_id)}, "
                        f"which {_driver(holder)} drives"
                    )
                await asyncio.sleep(POLL_SECONDS)
            elif holder.status in {RunStatus.RUNNING, RunStatus.PENDING}:
                before = len(self.driven)
                await self.recover(only=holder)
                if len(self.driven) == before:
                    await asyncio.sleep(POLL_SECONDS)
            else:
                self.view.say(
                    f"in line: thread {run.thread_id} is held by run {short(holder.run_id)}, "
                    f"which is {holder.status}. Why: {self.program} why {short(holder.run_id)}"
                )
                break
        return await manager.database.in_thread(manager.get, run.run_id)

    def _holder(self, run: Run) -> Run | None:
        """Return the run that has to be over before this one may begin."""
        runs = self.runtime.manager.database.run(
            lambda conn: registry.list_runs(conn, thread_id=run.thread_id)
        )
        others = [other for other in runs if other.run_id != run.run_id]
        active = [other for other in others if other.status in _HOLDING]
        older = [
            other
            for other in others
            if other.status is RunStatus.PENDING
            and (other.created_at, other.run_id) < (run.created_at, run.run_id)
        ]
        return next(iter(active or sorted(older, key=lambda other: (other.created_at, other.run_id))), None)

    async def wait_for(self, run: Run) -> Run:
        """Wait until no other process drives a run; return it as it stands then."""
        manager = self.runtime.manager
        if _is_driven(run):
            self.view.say(f"waiting: run {short(run.run_id)} is driven by {_driver(run)}")
        while _is_driven(run) and not manager.draining:
            await asyncio.sleep(POLL_SECONDS)
            run = await manager.database.in_thread(manager.get, run.run_id)
        return run

    # Showing

    def open_card(self, run: Run, *, apart: bool = False) -> Card:
        """Make the card that the view shows of a run, with what was saved of it."""
        order, tries = self._shape(run)
        saved: list[str] = []
        if run.started_at is not None:
            saved = saved_nodes(self.runtime.manager.database.run, run)
        card = new_card(run, order, tries, saved)
        card.apart = apart
        self.cards[run.run_id] = card
        return card

    def _shape(self, run: Run) -> tuple[list[str], Mapping[str, int]]:
        """Return the order of the nodes, and how many tries each has."""
        if run.definition not in self._shapes:
            manager = self.runtime.manager
            row = manager.database.run(lambda conn: registry.load_definition(conn, run.definition))
            tries: dict[str, int] = {}
            try:
                nodes = manager.definitions.thaw(row).compiled.workflow.nodes
                tries = {name: node.retry.max_attempts for name, node in nodes.items()}
            except (DefinitionInvalid, CallableRefused):
                pass  # the executor meets the same, and says it
            self._shapes[run.definition] = graph_order(row["topology"], list(tries)), tries
        return self._shapes[run.definition]

    def announce_scenario(self) -> None:
        """Say that a scenario plays, before anything goes wrong."""
        scenario = self.runtime.scenario
        if scenario is not None and scenario.rules:
            self.view.say(f"mock scenario {scenario.name}: {scenario.description}", style="yellow")

    def report(self, runs: list[Run]) -> None:
        """Say how runs stand, each in full if they are few."""
        self.view.finish()
        if len(runs) > REPORTED_IN_FULL:
            self._count(runs)
        for run in runs if len(runs) <= REPORTED_IN_FULL else ():
            card = self.cards.get(run.run_id)
            took = (
                render.elapsed(card.elapsed_seconds) if card is not None and run.run_id in self.driven else ""
            )
            questions = self.questions(run) if run.status is RunStatus.WAITING else []
            lines = ending_lines(
                run, program=self.program, took=took, saved=self._progress(run), questions=questions
            )
            if why := self.lost.get(run.run_id):
                lines.insert(1, (f"  {why}", ""))
            for text, style in lines:
                self.view.say(text, style=style)
        self._report_faults(runs)

    def _count(self, runs: list[Run]) -> None:
        """Say how many runs stand where; the view has told of each one."""
        counts = Counter(str(run.status) for run in runs)
        self.view.say(
            f"{len(runs)} runs: " + ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
        )
        for status, words in (("failed", "mend it and start again"), ("quarantined", "once you have looked")):
            if status in counts:
                then = self.program if status == "failed" else f"{self.program} release RUN"
                self.view.say(f"{status}: {self.program} list --status {status}; {words}: {then}")

    def _progress(self, run: Run) -> tuple[int, int] | None:
        if run.started_at is None:
            return None
        order, _ = self._shape(run)
        saved = saved_nodes(self.runtime.manager.database.run, run)
        return len(saved), len([name for name in order if name != "start"])

    def questions(self, run: Run) -> list[DictRow]:
        """Return what a run asked."""
        names = {"run_id": run.run_id}
        return self.runtime.manager.database.run(
            lambda conn: conn.execute(registry.SQL["interrupts"], names).fetchall()
        )

    def _report_faults(self, runs: list[Run]) -> None:
        scenario = self.runtime.scenario
        if scenario is None or not scenario.rules:
            return
        unfired: list[Rule] = []
        for run in runs:
            names = {"run_id": run.run_id}
            rows = self.runtime.manager.database.run(
                lambda conn, names=names: conn.execute(registry.SQL["faults"], names).fetchall()  # type: ignore[misc]  # a default binds the loop's value
            )
            for row in rows:
                self.view.say(f"fault that fired: {fault_words(row)}", style="yellow")
            fired = [fault_of(run.run_id, row) for row in rows]
            unfired += scenario.unfired_rules(fired, workflow=run.workflow)
        for rule in dict.fromkeys(unfired):
            self.view.say(f"fault that never fired: {rule.in_words()}", style="yellow")

    def report_left(self) -> int:
        """Say which runs were left alone and what would unblock each; return the exit code they ask for."""
        shown = [decision for decision in self.left if not _is_history(decision)]
        for decision in shown[:LEFT_SHOWN]:
            run = decision.run
            unblock = (
                (decision.unblock or "")
                .replace("main.py", self.program, 1)
                .replace(run.run_id, short(run.run_id))
            )
            verb = "elsewhere" if decision.action is Action.RUNNING else "left"
            reason = f"{_driver(run)} drives it" if decision.action is Action.RUNNING else decision.reason
            self.view.say(
                f"{verb}: {run.workflow} {short(run.run_id)}: {reason}"
                + (f". Go on: {unblock}" if unblock else "")
            )
        if len(shown) > LEFT_SHOWN:
            self.view.say(f"… and {len(shown) - LEFT_SHOWN} more: {self.program} list")
        left = [decision for decision in shown if decision.action is Action.LEAVE]
        return worst(exit_code(d.run.status) for d in left if not d.run.status.ended)

    # Ending

    def result(self, run_ids: list[str]) -> tuple[list[Run], int]:
        """Return runs as they stand now, and the worst exit code among them."""
        manager = self.runtime.manager
        runs = [manager.get(run_id) for run_id in run_ids]
        codes = [exit_code(run.status) for run in runs]
        handed_back = any(run.status is RunStatus.PENDING for run in runs)
        stopped = manager.draining and (handed_back or bool(self.unstarted) or not runs)
        return runs, STOPPED if stopped else worst(codes)

    def conclude(self, runs: list[Run], code: int, *, many: bool) -> int:
        """Report on runs, print the document if it is wanted, and return the exit code."""
        self.report(runs)
        if code == STOPPED:
            render.print_note(signals.stopped_line(self.program))
        if self.json:
            documents = [run_document(run) for run in runs]
            render.print_json({"runs": documents} if many else documents[0])
        return code


def saved_nodes(run_query: Callable[..., Any], run: Run) -> list[str]:
    """Return the nodes of a run whose result is committed."""
    names = {"run_id": run.run_id, "thread_id": run.thread_id}
    rows = run_query(lambda conn: conn.execute(SERVER["saved_nodes"], names).fetchall())
    return [row["node"] for row in rows if row["node"] != "start"]


def _is_driven(run: Run) -> bool:
    return run.status is RunStatus.RUNNING and not run.lease_expired and not is_dead(run.owner or "")


def _driver(run: Run) -> str:
    owner = Owner.parse(run.owner or "")
    return f"process {owner.pid} on {owner.host}" if owner is not None else run.owner or "another process"


def _is_history(decision: Decision) -> bool:
    """Whether a run was left because its thread has moved on; nobody needs to hear that at every start."""
    return decision.run.status is RunStatus.FAILED and decision.run.passed
