"""Decides at each point of a run whether a fault strikes, records it, and lets it strike.

Every firing is committed before it takes effect. So a process that kills
itself is known to its successor, and `times` and `attempts` count over all
processes. Chance is a pure function of the seed and the place: the same seed
gives the same faults, whatever restarts lie in between.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from weakref import WeakValueDictionary

from framework.faults.actions import CutDatabaseNow, Raise, perform
from framework.faults.record import FaultRecords, FiredFault
from framework.faults.scenario import Rule, Scenario
from framework.graph.context import FaultScope, NodeTry, Point, StandIn

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Place:
    """A point of a run, as chance and counts see it."""

    point: Point
    scope: FaultScope
    task_key: str
    try_number: int


class FaultInjector:
    """A scenario at work; implements `FaultHook`.

    One injector serves all runs of a process. Runs do not see each other's
    faults; within a run, counts are exact although nodes run side by side.
    """

    def __init__(
        self, scenario: Scenario, *, seed: int, records: FaultRecords, cut_database: CutDatabaseNow
    ) -> None:
        self.scenario = scenario
        self._seed = seed
        self._records = records
        self._cut_database = cut_database
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._behind: dict[tuple[str, int, str], int] = {}
        self._tries: dict[tuple[str, str], NodeTry] = {}

    def wants(self, point: Point, node: str | None) -> bool:
        """Whether any rule could fire here; cheap, asked at every point.

        True before every try of a node that any rule is for, wherever the rule
        strikes: the wrapper then flushes its journal, so that the number of a
        try is right even if the process dies in it.
        """
        if point is Point.BEFORE:
            return any(rule.is_for(node) for rule in self.scenario.rules)
        # A task's result and a step's checkpoint are both asked for here, and told apart in `at`.
        return any(rule.is_at(point, node) for rule in self.scenario.rules)

    async def at(self, point: Point, scope: FaultScope) -> StandIn | None:
        """Let every rule strike that fits here, in the order of the file.

        The first that raises, ends the process or gives a result is the last.

        Raises:
            Exception: What a `raise` says.
            ExpressionError: An `only_if` cannot be evaluated for this run.
        """
        if scope.node_try is not None:
            await self._note(point, scope.node_try, scope.attempt)
        else:
            scope = self._with_try(scope)
        for rule in self.scenario.rules:
            if not (rule.is_at(point, scope.node) and rule.fits(scope)):
                continue
            fault = await self._decide(rule, point, scope)
            if fault is None:
                continue
            stand_in = await self._strike(rule, fault)
            if stand_in is not None:
                return stand_in
        return None

    async def _strike(self, rule: Rule, fault: FiredFault) -> StandIn | None:
        source = f"mock scenario {self.scenario.name}, faults[{rule.index}]"
        level = logging.WARNING if fault.ends_process else logging.INFO
        _log.log(level, "%s: %s", source, rule.in_words())
        try:
            return await perform(rule.action, cut_database=self._cut_database)
        except Exception as error:
            if isinstance(rule.action, Raise):
                error.add_note(f"raised by {source}")
            raise

    async def _decide(self, rule: Rule, point: Point, scope: FaultScope) -> FiredFault | None:
        """Return the firing, committed; None if the rule does not strike here."""
        lock = self._locks.setdefault(scope.run_id, asyncio.Lock())
        # Two nodes side by side must not both be the last that `times` allows.
        async with lock:
            fired = await self._records.fired(scope.run_id)
            place = _Place(point, scope, _task_key(scope), self._number(scope, fired))
            if not self._strikes(rule, place, fired):
                return None
            fault = _firing(self.scenario.name, rule, place, fired)
            await self._records.record(fault)
            return fault

    def _strikes(self, rule: Rule, place: _Place, fired: Sequence[FiredFault]) -> bool:
        if rule.attempts is not None and place.try_number not in rule.attempts:
            return False
        if rule.times is not None and len(_firings_of(self.scenario.name, rule, fired)) >= rule.times:
            return False
        if rule.only_if is not None and not rule.only_if.holds(place.scope, try_number=place.try_number):
            return False
        return rule.probability is None or _draw(self._seed, rule, place) < rule.probability

    # Counting ---------------------------------------------------------------------------------

    async def _note(self, point: Point, node_try: NodeTry, attempt: int) -> None:
        """Remember the try, and how far a journal lags whose last row went down with its process."""
        self._tries[node_try.run_id, node_try.node] = node_try
        if point is not Point.BEFORE:
            return
        ended = _last_ended(node_try.task_key, await self._records.fired(node_try.run_id))
        behind = ended + 1 - node_try.number
        # The first look counts: later tries of this process are in the journal.
        if behind > 0:
            self._behind.setdefault((node_try.run_id, attempt, node_try.task_key), behind)

    def _with_try(self, scope: FaultScope) -> FaultScope:
        """Add the try that a task's result comes from, which a checkpointer does not know."""
        node_try = self._tries.get((scope.run_id, scope.node)) if scope.node is not None else None
        if node_try is None or node_try.step != scope.step:
            return scope
        return replace(scope, node_try=node_try)

    def _number(self, scope: FaultScope, fired: Sequence[FiredFault]) -> int:
        """Return the number of this try, over all processes.

        A checkpoint has no try: what counts is how often a fault ended the
        process at it.
        """
        if scope.node_try is None:
            return _last_ended(_task_key(scope), fired) + 1
        key = (scope.run_id, scope.attempt, scope.node_try.task_key)
        return scope.node_try.number + self._behind.get(key, 0)


def _task_key(scope: FaultScope) -> str:
    if scope.node_try is not None:
        return scope.node_try.task_key
    return f"{scope.commit or 'checkpoint'}:{scope.step}:{scope.node or ''}"


def _last_ended(task_key: str, fired: Sequence[FiredFault]) -> int:
    """Return the last try of this task that is known to have died with its process; 0 if none."""
    return max(
        (each.try_number for each in fired if each.ends_process and each.task_key == task_key), default=0
    )


def _firings_of(scenario: str, rule: Rule, fired: Sequence[FiredFault]) -> list[FiredFault]:
    return [
        each
        for each in fired
        if (each.scenario, each.rule, each.rule_key) == (scenario, rule.index, rule.key)
    ]


def _firing(scenario: str, rule: Rule, place: _Place, fired: Sequence[FiredFault]) -> FiredFault:
    # Counted over all that ever stood at this index: another scenario may have been active before.
    ordinal = max((each.ordinal for each in fired if each.rule == rule.index), default=0) + 1
    return FiredFault(
        run_id=place.scope.run_id,
        scenario=scenario,
        rule=rule.index,
        rule_key=rule.key,
        ordinal=ordinal,
        node=place.scope.node,
        point=place.point,
        task_key=place.task_key,
        try_number=place.try_number,
        attempt=place.scope.attempt,
        action=rule.action.name,
        detail=rule.action.detail(),
    )


def _draw(seed: int, rule: Rule, place: _Place) -> float:
    """Return a number in [0, 1) that is the same for the same seed and place.

    Neither the run, nor a task's id, nor the time goes in: two runs with one
    seed see the same faults. A step's number goes in only where no node says
    which one it is, since it grows with the runs of a thread.
    """
    scope = place.scope
    node_try = scope.node_try
    named = [seed, rule.index, place.point, scope.node, scope.commit, place.try_number]
    named.append(node_try.visit if node_try else scope.step)
    digest = hashlib.sha256(json.dumps(named).encode()).digest()
    return int.from_bytes(digest[:7], "big") / 2**56
