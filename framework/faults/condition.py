"""The `only_if` of a fault."""

from __future__ import annotations

from dataclasses import dataclass

from framework.definition.expressions import Expression
from framework.errors import ExpressionError
from framework.graph.context import FaultScope

ROOTS = ("inputs", "state", "run")
RUN_NAMES = ("id", "workflow", "attempt", "node", "try_number", "visit", "step")


@dataclass(frozen=True, slots=True)
class Condition:
    """A checked expression, and whose it is, for messages."""

    expression: Expression
    owner: str

    @property
    def text(self) -> str:
        """The expression as it stands in the file."""
        return self.expression.text

    def holds(self, scope: FaultScope, *, try_number: int) -> bool:
        """Whether the fault may fire here.

        Raises:
            ExpressionError: A value of this run is not what the expression
                takes. A fault that silently stays away would prove nothing.
        """
        node_try = scope.node_try
        run = {
            "id": scope.run_id,
            "workflow": scope.workflow,
            "attempt": scope.attempt,
            "node": scope.node,
            "try_number": try_number,
            "visit": node_try.visit if node_try else None,
            "step": node_try.step if node_try else scope.step,
        }
        try:
            return bool(self.expression.evaluate({"inputs": scope.inputs, "state": scope.state, "run": run}))
        except ExpressionError as problem:
            raise ExpressionError(
                f"{self.owner}: {problem.message}", column=problem.column, hint=problem.hint
            ) from problem
