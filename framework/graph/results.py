"""What a node returned → an update of the state that can be stored, or a refusal that names the key."""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from framework.definition.expressions import Expression, compile_expression
from framework.definition.functions import Moments
from framework.definition.words import suggest
from framework.errors import OutputRefused
from framework.graph.reducers import article
from framework.graph.state import Key
from framework.graph.storable import check_storable

Names = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Results:
    """How one node's results become updates.

    `expressions` is None for the list form of `writes`, otherwise it maps a
    state key to the expression over `result` that gives its value.
    """

    node: str
    writes: tuple[str, ...]
    expressions: Mapping[str, Expression] | None
    keys: Mapping[str, Key]
    allowed: AbstractSet[tuple[str, ...]]

    def update(self, run_id: str, result: object, names: Names, moments: Moments) -> dict[str, Any]:
        """Return the update that a result stands for; None stands for none.

        Raises:
            OutputRefused: A key that the node may not write, a wrong type, or
                something that cannot be stored unchanged.
            ExpressionError: An expression of `writes` cannot be evaluated.
        """
        if result is None:
            return {}
        if self.expressions is None:
            return self.accept(run_id, self._named(run_id, result), names["state"])
        seen = {**names, "result": result}
        values = {key: code.evaluate(seen, moments=moments) for key, code in self.expressions.items()}
        return self.accept(run_id, values, names["state"])

    def _named(self, run_id: str, result: object) -> Mapping[str, Any]:
        only = self.writes[0] if len(self.writes) == 1 else None
        if isinstance(result, Mapping) and (only is None or not result or only in result):
            # A mapping from a node with one key could be the value itself: its keys decide.
            self._expect_known(run_id, result)
            return result
        if only is not None:
            return {only: result}
        allowed = f"a mapping with the keys {', '.join(self.writes)}" if self.writes else "nothing"
        raise OutputRefused(
            run_id,
            self.node,
            "",
            f"Node {self.node!r} returned {article(result)}, where it may return {allowed}.",
            hint=None if self.writes else f"Name the state keys that it writes: nodes.{self.node}.writes",
        )

    def _expect_known(self, run_id: str, result: Mapping[Any, Any]) -> None:
        for key in result:
            if key not in self.writes:
                near = suggest(str(key), self.writes, kind="keys")
                raise OutputRefused(
                    run_id,
                    self.node,
                    str(key),
                    f"Node {self.node!r} returned the key {str(key)[:80]!r}, which it may not write.",
                    hint=near or f"Name it in nodes.{self.node}.writes",
                )

    def accept(self, run_id: str, values: Mapping[str, Any], state: Mapping[str, Any]) -> dict[str, Any]:
        """Check each value against its key: type, reducer, and whether it can be stored.

        Raises:
            OutputRefused: Naming node and key.
        """
        return {name: self._accept(run_id, name, value, state) for name, value in values.items()}

    def _accept(self, run_id: str, name: str, value: Any, state: Mapping[str, Any]) -> Any:
        key = self.keys[name]
        try:
            value = key.accept(value)
        except ValueError as error:
            raise self._refused(run_id, name, str(error)) from error
        self._expect_storable(run_id, name, value)
        if key.reducer is not None and not key.reducer.total:
            # Reducing once to see: between two steps it would be too late to blame a node.
            try:
                reduced = key.reduced(state, value)
            except Exception as error:
                reason = f"its reducer {key.reducer.name!r} raised {type(error).__name__}: {error}"
                raise self._refused(run_id, name, reason) from error
            self._expect_storable(run_id, name, reduced)
        return value

    def _expect_storable(self, run_id: str, name: str, value: object) -> None:
        refusal = check_storable(value, allowed=self.allowed)
        if refusal is not None:
            raise self._refused(run_id, name, str(refusal), refusal.hint)

    def _refused(self, run_id: str, name: str, reason: str, hint: str | None = None) -> OutputRefused:
        message = f"Node {self.node!r} returned something for state key {name!r} that is refused: {reason}."
        return OutputRefused(run_id, self.node, name, message, hint=hint)

    def after(self, state: Mapping[str, Any], update: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the state as it is once this update is in: what routes look at."""
        return {**state, **{name: self.keys[name].reduced(state, value) for name, value in update.items()}}


def make_results(
    node: str,
    writes: tuple[str, ...] | Mapping[str, str],
    keys: Mapping[str, Key],
    allowed: AbstractSet[tuple[str, ...]],
) -> Results:
    """Compile a node's `writes`."""
    expressions = (
        {key: compile_expression(text) for key, text in writes.items()}
        if isinstance(writes, Mapping)
        else None
    )
    return Results(node, tuple(writes), expressions, keys, allowed)
