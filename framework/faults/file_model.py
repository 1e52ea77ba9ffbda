"""What a scenario file may say: the shape of `mocks/scenarios/*.yaml`, and the schema for editors."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from framework.definition.models import NAME_PATTERN
from framework.durations import parse_duration

ACTION_KEYS = ("raise", "delay", "hang", "kill", "exit", "cut_database", "return")
DURATION_SCHEMA = {
    "type": "string",
    "pattern": r"^\s*\d{1,12}(\.\d{1,6})?\s*(ms|s|m|h|d)\s*$",
    "examples": ["500ms", "2s"],
}

Duration = Annotated[timedelta, BeforeValidator(parse_duration), WithJsonSchema(DURATION_SCHEMA)]


class Shape(BaseModel):
    """Frozen, strict about types, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, populate_by_name=False)


class RaiseShape(Shape):
    """An exception that the node seems to raise."""

    type: str = Field(
        pattern=r"^([A-Za-z_][A-Za-z0-9_.]*:)?[A-Za-z_][A-Za-z0-9_]*$",
        description="A builtin exception's name, such as ConnectionError, or module:Class.",
    )
    message: str = Field(default="", description="What str() of the exception is.")


class OutageShape(Shape):
    """How long the database stays away."""

    for_: Duration = Field(alias="for", description="Keep the database away this long, for instance 3s.")


def _read_cut(value: Any) -> Any:
    """`true`, or a mapping; said here because a union's own message would name both branches."""
    if value is True or isinstance(value, dict):
        return value
    raise ValueError("write true, or {for: 3s}")


class FaultShape(Shape):
    """One thing that goes wrong: where, when, and exactly one of what."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        json_schema_extra={"oneOf": [{"required": [key]} for key in ACTION_KEYS]},
    )

    node: str = Field(
        pattern=rf"^\*$|{NAME_PATTERN}",
        description="The node's name in the workflow, or '*' for every node.",
    )
    where: Literal["before", "inside", "after", "before_commit", "after_commit"] = Field(
        description="before the node begins; inside it, in place of its function; after it has returned; "
        "before_commit, after_commit: around the transaction that saves. "
        "With node '*' also around commits that belong to no node, such as the first checkpoint.",
    )

    raise_: RaiseShape | None = Field(
        default=None,
        alias="raise",
        description="Raise this exception. At a commit it comes from the checkpointer, as an error of "
        "the infrastructure: no retry of a node catches it.",
    )
    delay: Duration | None = Field(default=None, description="Wait this long, then go on.")
    hang: Literal[True] | None = Field(
        default=None, description="Wait for ever; a timeout or a cancel ends it."
    )
    kill: Literal[True] | None = Field(default=None, description="SIGKILL to this very process.")
    exit: int | None = Field(
        default=None, ge=0, le=255, description="End the process at once with this code."
    )
    cut_database: Annotated[Literal[True] | OutageShape | None, BeforeValidator(_read_cut)] = Field(
        default=None,
        description="End this process's database connections; {for: 3s} keeps the database away that long.",
    )
    return_: Any = Field(
        default=None,
        alias="return",
        description="Stand-in data in place of the node's own result. before, inside: its function is "
        "not called; after: it is, and what it returned is dropped.",
    )

    attempts: list[Annotated[int, Field(ge=1)]] | None = Field(
        default=None,
        min_length=1,
        description="Only on these tries of the node, counted from 1 over all processes. At a checkpoint: "
        "1 the first time, and one more for each process that a fault ended at it.",
    )
    times: int | None = Field(default=None, ge=1, description="Fire at most so often per run.")
    probability: float | None = Field(
        default=None, gt=0, le=1, description="How likely it fires; drawn from the seed, the same each time."
    )
    only_if: str | None = Field(
        default=None,
        min_length=1,
        description="An expression over inputs., state. and run. that must hold; at a commit without state.",
    )
    workflow: str | None = Field(default=None, pattern=NAME_PATTERN, description="Only in this workflow.")
    step: int | None = Field(
        default=None,
        ge=-1,
        description="Only in this LangGraph step: -1 the input, 0 the start, 1 the first nodes.",
    )
    on: Literal["writes", "checkpoint"] | None = Field(
        default=None,
        description="At a commit: a node's result, or a step's checkpoint. Without it, both.",
    )


class ScenarioShape(Shape):
    """A scenario: what a mock run makes go wrong. The file is named after it."""

    description: str = Field(min_length=1, description="What goes wrong, in a sentence a user understands.")
    faults: list[FaultShape] = Field(description="What goes wrong, in order; [] for a run without faults.")
