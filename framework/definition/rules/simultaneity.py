"""Which nodes can run in the same step, found by following the graph from `start`.

First exactly: every set of nodes that a step can hold. Where these are too
many, by pairs: which two can be in one step, whatever else is. That never
misses a pair, but may name one that a third node always keeps apart.

Both know what the engine does: all nodes of a step move on at once, a route
takes one branch, and a join's target waits while another node that is there
can still lead to it.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, product

from framework.definition.models import END, START
from framework.definition.normal import Draft
from framework.definition.rules.reach import backwards, ways_on

_SETS_BUDGET = 40_000
_PAIRS_BUDGET = 150_000
_ROUNDS = 4

Outcome = frozenset[str]
Pair = tuple[str, str]


def simultaneous(draft: Draft) -> set[Pair] | None:
    """Return the pairs of nodes that can run in one step, each sorted; None when there are too many ways."""
    outcomes = _outcomes(draft)
    ways = ways_on(draft)
    joined = {target for edge in draft.workflow.edges if edge.is_join for target in edge.targets} - {END}
    reach = _reach(joined, ways)
    # Who, being there, keeps a join's target waiting.
    blockers = {target: reach[target] - {target} for target in joined}
    found = _by_sets(list(draft.workflow.nodes), outcomes, blockers)
    return found if found is not None else _ByPairs(outcomes, blockers).find()


def _by_sets(
    order: list[str], outcomes: dict[str, list[Outcome]], blockers: dict[str, set[str]]
) -> set[Pair] | None:
    """Follow sets of nodes; None when the budget is spent."""
    found: set[Pair] = set()
    seen: set[Outcome] = set()
    todo = list(outcomes[START])
    spent = 0
    while todo:
        present = todo.pop()
        if present in seen:
            continue
        seen.add(present)
        waiting = {name for name in present if present & blockers.get(name, set())}
        if waiting == present and present:
            # Joins that wait for each other, and nothing else that moves: the first one goes.
            waiting = set(present) - {next(name for name in order if name in present)}
        running = sorted(present - waiting)
        spent += len(running) ** 2
        if spent > _SETS_BUDGET:
            return None
        found.update(combinations(running, 2))
        for chosen in product(*(outcomes[name] or [frozenset()] for name in running)):
            spent += 1 + len(chosen)
            if spent > _SETS_BUDGET:
                return None
            todo.append(frozenset(waiting).union(*chosen))
    return found


class _ByPairs:
    """Follows pairs of nodes through the graph, within a budget."""

    def __init__(self, outcomes: dict[str, list[Outcome]], blockers: dict[str, set[str]]) -> None:
        self.outcomes = outcomes
        self.blockers = blockers
        self.partners: dict[str, set[str]] = {}
        self.todo: list[Pair] = []
        self.singles: set[str] = set()
        self.spent = 0

    def find(self) -> set[Pair] | None:
        """Return the pairs that can run in one step; None when the budget is spent."""
        self._singles()
        for _ in range(_ROUNDS):
            known = sum(map(len, self.partners.values()))
            while self.todo:
                one, other = self.todo.pop()
                self._move(one, other)
                if self.spent > _PAIRS_BUDGET:
                    return None
            if sum(map(len, self.partners.values())) == known:
                break
            # A pair found late may keep a join waiting that was thought to go on.
            self.todo = [
                (one, other) for one, others in self.partners.items() for other in others if one < other
            ]
        return {
            (one, other)
            for one, others in self.partners.items()
            for other in others
            if one < other and not self._blocks(one, other) and not self._blocks(other, one)
        }

    def _singles(self) -> None:
        todo = [START]
        while todo:
            name = todo.pop()
            for outcome in self.outcomes.get(name, ()):
                self._pair_all(outcome, outcome)
                for target in outcome - self.singles:
                    self.singles.add(target)
                    todo.append(target)

    def _pair_all(self, some: Iterable[str], others: Iterable[str]) -> None:
        for one in some:
            for other in others:
                self.spent += 1
                if one != other and other not in self.partners.setdefault(one, set()):
                    self.partners[one].add(other)
                    self.partners.setdefault(other, set()).add(one)
                    self.todo.append((one, other))
            if self.spent > _PAIRS_BUDGET:
                return

    def _move(self, one: str, other: str) -> None:
        held_one, held_other = self._blocks(other, one), self._blocks(one, other)
        if held_one and held_other:
            # Two joins that wait for each other: one of them goes.
            self._combine([frozenset((one,))], self.outcomes[other])
            self._combine(self.outcomes[one], [frozenset((other,))])
            return
        moves_one = self._moves(one, other, held=held_one)
        moves_other = self._moves(other, one, held=held_other)
        self._combine(moves_one, moves_other)

    def _moves(self, name: str, beside: str, *, held: bool) -> list[Outcome]:
        stays = [frozenset((name,))]
        if held:
            return stays
        waits = self.blockers.get(name)
        third = waits and any(
            blocker in self.partners.get(beside, ()) for blocker in waits & self.partners.get(name, set())
        )
        return self.outcomes[name] + (stays if third else [])

    def _combine(self, some: list[Outcome], others: list[Outcome]) -> None:
        for outcome in some:
            for other in others:
                self._pair_all(outcome, other)

    def _blocks(self, blocker: str, name: str) -> bool:
        return blocker in self.blockers.get(name, ())


def _outcomes(draft: Draft) -> dict[str, list[Outcome]]:
    """Which sets of nodes can follow a node: one set for its edges, one per branch of its route."""
    workflow = draft.workflow
    known = set(workflow.nodes)
    always: dict[str, set[str]] = {name: set() for name in (START, *known)}
    for edge in workflow.edges:
        for source in edge.sources:
            always.get(source, set()).update(known.intersection(edge.targets))
    outcomes = {name: [frozenset(targets)] if targets else [] for name, targets in always.items()}
    for route in workflow.routes:
        for branch in route.branches:
            outcome = frozenset(known.intersection(branch.targets))
            if route.source in outcomes and outcome not in outcomes[route.source]:
                outcomes[route.source].append(outcome)
    for name, node in workflow.nodes.items():
        if node.on_error is not None and node.on_error.goto in known:
            outcomes[name].append(frozenset((str(node.on_error.goto),)))
    return outcomes


def _reach(targets: set[str], ways: dict[str, tuple[str, ...]]) -> dict[str, set[str]]:
    """For each target, every node that can lead to it."""
    before = backwards(ways)
    found: dict[str, set[str]] = {}
    for target in targets:
        seen: set[str] = set()
        todo = list(before.get(target, ()))
        while todo:
            name = todo.pop()
            if name not in seen:
                seen.add(name)
                todo.extend(before.get(name, ()))
        found[target] = seen
    return found
