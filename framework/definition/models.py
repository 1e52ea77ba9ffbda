"""What a workflow file may say, once it has been read.

These models are the normal form: durations are `timedelta`, edges are parsed,
a node's retry policy is already merged with `defaults`. Everything is frozen.
`loader.load_workflow()` is the way to get one.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

START = "start"
END = "end"

NAME_PATTERN = r"^[a-z][a-z0-9_-]{0,62}$"
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


class Model(BaseModel):
    """Frozen, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class InputType(StrEnum):
    """Types of a run's inputs, as they come from a command line or from JSON."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    DATE = "date"
    DATETIME = "datetime"
    PATH = "path"
    LIST = "list"
    OBJECT = "object"


class Input(Model):
    """One input of a run. Without `default`, and with `required` left true, it must be given."""

    type: InputType = InputType.STRING
    default: Any = None
    required: bool = True
    description: str = ""

    @property
    def has_default(self) -> bool:
        """Whether the file gives one; an explicit null counts."""
        return "default" in self.model_fields_set


class StateKey(Model):
    """One channel of the state.

    `type` is a Python type in words (`list[Message]`, `int`, `object`), its
    names looked up among the builtins and in the workflow's `types` module.
    `reducer` is `last`, `append`, `add`, `merge`, `merge_by:<key>` or
    `module:function`.
    """

    type: str = "object"
    reducer: str = "last"
    default: Any = None
    description: str = ""

    @property
    def has_default(self) -> bool:
        """Whether the file gives one; an explicit null counts."""
        return "default" in self.model_fields_set


class Backoff(StrEnum):
    """How the pause between tries grows."""

    CONSTANT = "constant"
    LINEAR = "linear"
    EXPONENTIAL = "exponential"


class RetryPolicy(Model):
    """How often, and how patiently, a failing node is tried again.

    `on` names exception classes: a builtin's bare name or `module:Class`;
    subclasses count. Empty means every `Exception`.
    """

    max_attempts: int = Field(default=1, ge=1, le=1000, description="Tries in all, the first included.")
    backoff: Backoff = Backoff.EXPONENTIAL
    initial: timedelta = timedelta(milliseconds=500)
    factor: float = Field(default=2.0, ge=1.0)
    max: timedelta = timedelta(seconds=20)
    jitter: bool = True
    on: tuple[str, ...] = ()


class OnError(Model):
    """What follows when the tries of a node are spent; exactly one of the two is set.

    `continue_with` is an update of the state in place of the node's own;
    `goto` names the node that runs instead of the node's successors.
    """

    continue_with: Mapping[str, Any] | None = None
    goto: str | None = None


class Effects(StrEnum):
    """What a node promises about what it does to the world (D7)."""

    NONE = "none"
    AT_LEAST_ONCE = "at_least_once"
    IDEMPOTENT = "idempotent"


class Node(Model):
    """One unit of work, of kind `use`.

    `writes` is either the list of state keys that the function's returned
    mapping may hold (a function with one key in `writes` may also return the
    bare value), or a mapping state key -> expression over `result`.
    Values of `with_` may hold `${{ … }}`, `${env:…}` and `${secret:…}` at any depth.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    use: str
    with_: Mapping[str, Any] = Field(default_factory=dict, alias="with")
    writes: tuple[str, ...] | Mapping[str, str] = ()
    retry: RetryPolicy = RetryPolicy()
    timeout: timedelta | None = None
    on_error: OnError | None = None
    effects: Effects = Effects.AT_LEAST_ONCE
    description: str = ""

    @property
    def written_keys(self) -> tuple[str, ...]:
        """State keys that this node may write."""
        return tuple(self.writes)


class Edge(Model):
    """`sources -> targets`. Several sources make a join: the targets run once, after all of them."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]

    @property
    def is_join(self) -> bool:
        """Whether the targets wait for more than one node."""
        return len(self.sources) > 1


class Branch(Model):
    """One arm of a route; `condition` is an expression's text, None for `else`."""

    condition: str | None
    targets: tuple[str, ...]


class Route(Model):
    """After `source`, the first branch whose condition holds is taken."""

    source: str
    branches: tuple[Branch, ...]


class Limits(Model):
    """Bounds of one run; going over one fails the run."""

    max_steps: int = Field(default=1000, ge=1)
    max_visits: Mapping[str, int] = Field(default_factory=dict)


class Workflow(Model):
    """A validated workflow file. Either `nodes` and the edges, or `graph`."""

    version: Literal[1]
    name: Name
    description: str = ""
    inputs: Mapping[str, Input] = Field(default_factory=dict)
    state: Mapping[str, StateKey] = Field(default_factory=dict)
    types: str | None = None
    nodes: Mapping[str, Node] = Field(default_factory=dict)
    edges: tuple[Edge, ...] = ()
    routes: tuple[Route, ...] = ()
    graph: str | None = None
    interrupt_before: tuple[str, ...] = ()
    interrupt_after: tuple[str, ...] = ()
    limits: Limits = Limits()
    outputs: Mapping[str, Any] | None = None
    on_code_change: Literal["continue", "hold"] = "continue"
