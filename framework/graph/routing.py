"""Where a node leads, and when a join may begin."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.pregel._read import ChannelRead  # reads what this step was started by; no public door

from framework.definition.expressions import Expression, compile_expression
from framework.definition.functions import Moments
from framework.definition.models import END, START, Branch, Workflow
from framework.errors import ExpressionError

Names = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Arm:
    """One branch of a route, its condition compiled; None is `else`."""

    condition: Expression | None
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class WayOn:
    """What follows a node: targets that always do, and routes of which one arm each does."""

    source: str
    always: tuple[str, ...]
    routes: tuple[tuple[Arm, ...], ...]

    def targets(self, names: Names, moments: Moments) -> list[str]:
        """Return the nodes to go to, each once; empty where the branch ends.

        Raises:
            ExpressionError: A condition cannot be evaluated, or none holds and there is no `else`.
        """
        chosen = list(self.always)
        for arms in self.routes:
            chosen.extend(self._take(arms, names, moments))
        return [target for target in dict.fromkeys(chosen) if target != END]

    def _take(self, arms: tuple[Arm, ...], names: Names, moments: Moments) -> tuple[str, ...]:
        for arm in arms:
            if arm.condition is None or arm.condition.evaluate(names, moments=moments):
                return arm.targets
        raise ExpressionError(
            f"No condition of the route after {self.source!r} holds, and it has no else.",
            hint="Add a last branch: {else: end}",
        )

    @property
    def all_targets(self) -> tuple[str, ...]:
        """Every node that this one can lead to, `end` included."""
        arms = [target for route in self.routes for arm in route for target in arm.targets]
        return tuple(dict.fromkeys([*self.always, *arms]))


def ways_on(workflow: Workflow) -> dict[str, WayOn]:
    """Return the way on of each node, and of `start`."""
    always: dict[str, list[str]] = {name: [] for name in (START, *workflow.nodes)}
    routes: dict[str, list[tuple[Arm, ...]]] = {name: [] for name in always}
    for edge in workflow.edges:
        for source in edge.sources:
            always[source].extend(edge.targets)
    for route in workflow.routes:
        routes[route.source].append(tuple(map(_arm, route.branches)))
    return {name: WayOn(name, tuple(dict.fromkeys(always[name])), tuple(routes[name])) for name in always}


def _arm(branch: Branch) -> Arm:
    condition = None if branch.condition is None else compile_expression(branch.condition)
    return Arm(condition, branch.targets)


def joins(workflow: Workflow) -> dict[str, tuple[str, ...]]:
    """Return the targets of joins with the nodes that each waits for."""
    members: dict[str, list[str]] = {}
    for edge in workflow.edges:
        for target in edge.targets if edge.is_join else ():
            if target != END:
                members.setdefault(target, []).extend(edge.sources)
    return {target: tuple(dict.fromkeys(sources)) for target, sources in members.items()}


class JoinGate:
    """Decides whether a join's target, once a member has come, runs now or waits a step.

    It waits while another node of the step can still lead to it: that branch
    may yet bring a member. A member that went elsewhere can no longer do so and
    is not waited for. LangGraph's own means do not fit: a barrier waits for ever
    for a member that a route left out, and `defer` wakes two joins in a row
    together, and waits for branches that have nothing to do with the join.
    """

    def __init__(self, target: str, order: Sequence[str], blockers: Mapping[str, frozenset[str]]) -> None:
        self.target = target
        self._order = order
        self._blockers = blockers
        self._channels = [f"branch:to:{name}" for name in order]

    def is_open(self, config: RunnableConfig) -> bool:
        """Whether the target may run in this step. Every node of a step sees the same."""
        triggered = ChannelRead.do_read(config, select=self._channels)
        active = {
            name for name, channel in zip(self._order, self._channels, strict=True) if channel in triggered
        }
        waiting = [
            name for name in self._order if name in active and active & self._blockers.get(name, frozenset())
        ]
        if self.target not in waiting:
            return True
        # Two joins that wait for each other, and nothing else that moves: the first one goes.
        return len(waiting) == len(active) and waiting[0] == self.target


def join_gates(ways: Mapping[str, Sequence[str]], joined: Mapping[str, Sequence[str]]) -> dict[str, JoinGate]:
    """Make the gates of all joins.

    Args:
        ways: For each node everything it can lead to.
        joined: The targets of joins.
    """
    reach = {name: _reachable(name, ways) for name in ways}
    order = [name for name in ways if name != START]
    blockers = {
        target: frozenset(name for name in order if name != target and target in reach[name])
        for target in joined
    }
    return {target: JoinGate(target, order, blockers) for target in joined}


def _reachable(source: str, ways: Mapping[str, Sequence[str]]) -> set[str]:
    seen: set[str] = set()
    open_ends = list(ways.get(source, ()))
    while open_ends:
        name = open_ends.pop()
        if name not in seen:
            seen.add(name)
            open_ends.extend(ways.get(name, ()))
    return seen
