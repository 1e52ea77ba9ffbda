"""What a workflow file may say, key by key: the form before normalisation.

The JSON Schema of editors is made from these models, so a description here is
what an author reads while typing. Texts that mean more (durations, edges) are
checked where they are read: `normal.py` and `edges.py`.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from framework.definition.source import shown
from framework.durations import EXPECTED, parse_duration


def _duration(value: object) -> timedelta:
    if isinstance(value, str | int | float) and len(str(value)[:41]) <= 40:
        try:
            return parse_duration(value)
        except ValueError as problem:
            raise PydanticCustomError("duration", "{reason}", {"reason": str(problem)}) from None
    reason = f"a duration is expected, not {shown(value)}; {EXPECTED}"
    raise PydanticCustomError("duration", "{reason}", {"reason": reason})


Duration = Annotated[
    timedelta,
    BeforeValidator(_duration),
    WithJsonSchema(
        {
            "type": "string",
            "pattern": r"^\s*\d+(\.\d+)?\s*(ms|s|m|h|d)\s*$",
            "examples": ["500ms", "30s", "8h"],
        }
    ),
]
Words = Annotated[str, Field(min_length=1)]
Names = Annotated[list[Words], Field(min_length=1)]
OneOrMore = Annotated[
    Any,
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}
    ),
]


class Shape(BaseModel):
    """A mapping of the file: unknown keys are errors, and text is never read as a number."""

    model_config = ConfigDict(extra="forbid", strict=True, populate_by_name=True)


class InputShape(Shape):
    """One input of a run."""

    type: Literal["string", "integer", "number", "boolean", "date", "datetime", "path", "list", "object"] = (
        Field(default="string", description="What is expected; text from a command line is converted.")
    )
    default: Any = Field(
        default=None, description="Used when none is given; may be ${{ today('Europe/Berlin') }}."
    )
    required: bool = Field(default=True, description="Whether it must be given when it has no default.")
    description: str = Field(default="", description="Shown to whoever starts a run.")


class StateShape(Shape):
    """One key of the state, which nodes write and read."""

    type: Words = Field(
        default="object", description="A type in words: int, list[Task], dict[str, int], Plan | None."
    )
    reducer: Words = Field(
        default="last",
        description="How writes meet: last, append, add, merge, merge_by:<key> or module:function.",
    )
    default: Any = Field(default=None, description="Its value before any node wrote it.")
    description: str = ""


class RetryShape(Shape):
    """How often, and how patiently, a failing node is tried again."""

    max_attempts: int = Field(default=1, ge=1, le=1000, description="Tries in all, the first included.")
    backoff: Literal["constant", "linear", "exponential"] = Field(
        default="exponential", description="How the pause between tries grows."
    )
    initial: Duration = Field(default=timedelta(milliseconds=500), description="The first pause.")
    factor: float = Field(
        default=2.0, ge=1, le=1000, description="What an exponential pause is multiplied by."
    )
    max: Duration = Field(default=timedelta(seconds=20), description="The longest pause.")
    jitter: bool = Field(default=True, description="Vary the pauses, so that runs do not retry all at once.")
    on: list[Words] = Field(
        default=[], description="Exceptions to retry: TimeoutError, or module:Class. Empty means every one."
    )


class DefaultsShape(Shape):
    """What holds for every node that says nothing else."""

    timeout: Duration | None = Field(default=None, description="How long one try may take.")
    retry: RetryShape = Field(
        default_factory=RetryShape, description="A node's own retry adds to it key by key."
    )


class OnErrorShape(Shape):
    """What follows when a node's tries are spent; one of the two."""

    continue_with: dict[str, Any] | None = Field(
        default=None, description="State to write in place of the node's own."
    )
    goto: Words | None = Field(default=None, description="The node that runs instead of those that follow.")


class NodeShape(Shape):
    """One unit of work."""

    use: Words = Field(description="The function: module:function, in this folder or an allowed package.")
    with_: dict[str, Any] = Field(
        default_factory=dict,
        alias="with",
        description="Its parameters; ${{ … }}, ${env:…}, ${secret:…} at any depth.",
    )
    writes: Annotated[
        Any,
        WithJsonSchema(
            {
                "anyOf": [
                    {"type": "array", "items": {"type": "string"}},
                    {"type": "object", "additionalProperties": {"type": "string"}},
                ]
            }
        ),
    ] = Field(
        default=(), description="State keys that it writes; or state key: ${{ an expression over result }}."
    )
    retry: RetryShape | None = Field(default=None, description="Adds to defaults.retry key by key.")
    timeout: Duration | None = Field(default=None, description="How long one try may take.")
    on_error: OnErrorShape | None = Field(default=None, description="What follows when its tries are spent.")
    effects: Literal["none", "at_least_once", "idempotent"] = Field(
        default="at_least_once", description="What it does to the world, and whether doing it twice harms."
    )
    description: str = ""


class BranchShape(Shape):
    """One arm of a route: `if` and `to`, or `else`."""

    if_: Words | None = Field(
        default=None, alias="if", description="An expression over inputs, state and run."
    )
    to: OneOrMore = Field(default=None, description="Where it leads.")
    else_: OneOrMore = Field(
        default=None, alias="else", description="Where it leads when no condition held; last."
    )


class EdgeShape(Shape):
    """An edge as a mapping: `from` and `to`, or `from` and `route`."""

    from_: OneOrMore = Field(alias="from", description="A node, or several that are all waited for.")
    to: OneOrMore = Field(default=None, description="A node, or several that run side by side.")
    route: list[BranchShape] | None = Field(
        default=None, description="The first branch whose condition holds is taken."
    )


class LimitsShape(Shape):
    """Bounds of one run; going over one fails the run."""

    max_steps: int = Field(default=1000, ge=1, le=1_000_000, description="Steps in all.")
    max_visits: dict[str, Annotated[int, Field(ge=1, le=1_000_000)]] = Field(
        default_factory=dict, description="How often a node may run, such as {plan: 3}."
    )


class WorkflowShape(Shape):
    """A workflow: either `nodes` and `edges`, or `graph`."""

    version: Literal[1] = Field(description="Of this language.")
    name: Words = Field(
        description="Lower-case letters, digits, - and _.",
        json_schema_extra={"pattern": "^[a-z][a-z0-9_-]{0,62}$"},
    )
    description: str = ""
    inputs: dict[str, InputShape] = Field(default_factory=dict, description="What a run is started with.")
    state: dict[str, StateShape] = Field(default_factory=dict, description="What nodes write and read.")
    types: Words | None = Field(
        default=None, description="Module of the models, dataclasses and enums that state names."
    )
    defaults: DefaultsShape = Field(default_factory=DefaultsShape)
    nodes: dict[str, NodeShape] = Field(default_factory=dict, description="The units of work.")
    edges: list[Any] = Field(
        default=[], description="What follows what: start -> a -> [b, c], or a mapping with from."
    )
    graph: Words | None = Field(
        default=None, description="An existing LangGraph graph instead of nodes: module:attribute."
    )
    interrupt_before: Names | None = Field(
        default=None, description="Nodes of graph before which a run waits."
    )
    interrupt_after: Names | None = Field(default=None, description="Nodes of graph after which a run waits.")
    limits: LimitsShape = Field(default_factory=LimitsShape)
    outputs: dict[str, Any] | None = Field(
        default=None, description="What a run returns; without it, the whole state."
    )
    on_code_change: Literal["continue", "hold"] = Field(
        default="continue", description="Whether a run goes on when the code of its nodes has changed."
    )


NOT_YET_SUPPORTED = {
    WorkflowShape: {"on", "concurrency"},
    NodeShape: {
        "workflow",
        "approval",
        "wait",
        "for_each",
        "compensate",
        "isolation",
        "unknown_after_crash",
        "idempotency_key",
    },
    DefaultsShape: {"on_error", "effects", "isolation"},
}
OTHER_KINDS = {"workflow", "approval", "wait"}
LATER_EFFECTS = {"transactional", "unknown_after_crash"}
