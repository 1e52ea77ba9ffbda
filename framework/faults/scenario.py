"""A scenario as the injector uses it: rules that say where, when, how often, and what."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from framework.faults.actions import Action
from framework.faults.condition import Condition
from framework.faults.record import FiredFault
from framework.graph.context import FaultScope, Point

ANY_NODE = "*"
COMMITS = frozenset({Point.BEFORE_COMMIT, Point.AFTER_COMMIT})
Commit = Literal["writes", "checkpoint"]

_MOMENTS = {
    Point.BEFORE: "before {node} begins",
    Point.INSIDE: "inside {node}",
    Point.AFTER: "after {node} has returned, before anything is saved",
    Point.BEFORE_COMMIT: "just before {what} is committed",
    Point.AFTER_COMMIT: "just after {what} is committed",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One fault of a scenario. `index` counts from 0, in the order of the file."""

    index: int
    node: str
    where: Point
    action: Action
    attempts: frozenset[int] | None = None
    times: int | None = None
    probability: float | None = None
    only_if: Condition | None = None
    workflow: str | None = None
    step: int | None = None
    commit: Commit | None = None

    @property
    def key(self) -> str:
        """A readable name, the same as long as where and what stay the same."""
        parts = [self.node, self.where.value, self.commit or "", self.action.name]
        if self.step is not None:
            parts.insert(3, f"step{self.step}")
        return ":".join(part for part in parts if part)

    def is_for(self, node: str | None) -> bool:
        """Whether the rule names this node, or any."""
        return self.node in (ANY_NODE, node)

    def is_at(self, point: Point, node: str | None) -> bool:
        """Whether the rule could strike at this point of this node; no node means a step's checkpoint."""
        return point is self.where and self.is_for(node)

    def fits(self, scope: FaultScope) -> bool:
        """Whether what is known without asking the database speaks for the rule."""
        step = scope.step if scope.step is not None or scope.node_try is None else scope.node_try.step
        return (
            self.workflow in (None, scope.workflow)
            and self.step in (None, step)
            and self.commit in (None, scope.commit)
        )

    def in_words(self) -> str:
        """The whole fault as one sentence."""
        node = "any node" if self.node == ANY_NODE else self.node
        what = {
            "writes": f"the result of {node}",
            "checkpoint": "a step's checkpoint",
            None: f"the result of {node}" if self.node != ANY_NODE else "a result or a checkpoint",
        }[self.commit]
        moment = _MOMENTS[self.where].format(node=node, what=what)
        return f"{moment[0].upper()}{moment[1:]}: {self.action.in_words()}{self._limits_in_words()}."

    def _limits_in_words(self) -> str:
        limits: list[str] = []
        if self.step is not None:
            limits.append(f"only in step {self.step}")
        if self.attempts is not None:
            numbers = [str(number) for number in sorted(self.attempts)]
            listed = " and ".join(filter(None, [", ".join(numbers[:-1]), numbers[-1]]))
            limits.append(f"only on {'try' if len(numbers) == 1 else 'tries'} {listed}")
        if self.times is not None:
            often = {1: "once", 2: "twice"}.get(self.times, f"{self.times} times")
            limits.append(f"at most {often} per run")
        if self.probability is not None:
            limits.append(f"in {self.probability:.0%} of the cases, drawn from the seed")
        if self.only_if is not None:
            limits.append(f"only if {self.only_if.text}")
        if self.workflow is not None:
            limits.append(f"only in workflow {self.workflow}")
        return "".join(f", {limit}" for limit in limits)

    def as_json(self) -> dict[str, Any]:
        """What `scenario show --json` prints."""
        return {
            "key": self.key,
            "node": self.node,
            "where": self.where.value,
            "action": self.action.name,
            "detail": dict(self.action.detail()),
            "attempts": None if self.attempts is None else sorted(self.attempts),
            "times": self.times,
            "probability": self.probability,
            "only_if": None if self.only_if is None else self.only_if.text,
            "workflow": self.workflow,
            "step": self.step,
            "on": self.commit,
            "in_words": self.in_words(),
        }


@dataclass(frozen=True, slots=True)
class Scenario:
    """A mock file: what goes wrong, and where."""

    name: str
    description: str
    rules: tuple[Rule, ...] = ()

    def unfired_rules(self, fired: Iterable[FiredFault], *, workflow: str | None = None) -> list[Rule]:
        """Return the rules that never struck, among those that concern this workflow.

        A test whose fault never fired has tested nothing, so the run's end says it.
        """
        struck = {(fault.rule, fault.rule_key) for fault in fired if fault.scenario == self.name}
        return [
            rule
            for rule in self.rules
            if (rule.index, rule.key) not in struck
            and (workflow is None or rule.workflow in (None, workflow))
        ]

    def rules_for_unknown_nodes(self, nodes: Collection[str], *, workflow: str) -> list[Rule]:
        """Return the rules that can never strike in this workflow, since it has no such node."""
        return [
            rule
            for rule in self.rules
            if rule.node != ANY_NODE and rule.node not in nodes and rule.workflow in (None, workflow)
        ]
