"""How often and how patiently: a retry policy at work."""

from __future__ import annotations

import random
from dataclasses import dataclass

from langchain_core.runnables import RunnableConfig
from langchain_core.runnables.config import var_child_runnable_config
from langgraph.pregel._retry import (
    _reset_interrupt_counter,
)  # what LangGraph's own retries do; no public door

from framework.definition.callables import Resolver, exception_class
from framework.definition.models import Backoff, RetryPolicy
from framework.errors import HoldfastError, OutputRefused


@dataclass(frozen=True, slots=True)
class Retries:
    """A policy whose `on` has been looked up."""

    policy: RetryPolicy
    on: tuple[type[BaseException], ...]

    def left(self, failed: int) -> int:
        """Tries that remain after `failed` ones; a new attempt always gets one."""
        return max(1, self.policy.max_attempts - failed)

    def covers(self, error: BaseException) -> bool:
        """Whether another try could help: a mistake in the file or the settings stays one."""
        if isinstance(error, HoldfastError) and not isinstance(error, OutputRefused):
            return False
        return isinstance(error, self.on)

    def pause_seconds(self, failed: int) -> float:
        """The pause after the `failed`th failed try; with jitter anything from nothing to that."""
        policy = self.policy
        first, longest = policy.initial.total_seconds(), policy.max.total_seconds()
        if policy.backoff is Backoff.CONSTANT:
            pause = first
        elif policy.backoff is Backoff.LINEAR:
            pause = first * failed
        else:
            # The exponent is bounded: a float overflows long after `max` was reached.
            pause = first * policy.factor ** min(failed - 1, 200) if first else 0.0
        pause = min(pause, longest)
        return random.uniform(0, pause) if policy.jitter else pause  # noqa: S311  # spreads load, keeps no secret


def make_retries(policy: RetryPolicy, resolver: Resolver) -> Retries:
    """Look up the classes that `retry.on` names.

    Raises:
        CallableRefused: No such class, or not an exception.
    """
    return Retries(policy, tuple(exception_class(name, resolver) for name in policy.on) or (Exception,))


def ask_again_from_the_first(config: RunnableConfig) -> RunnableConfig:
    """Let a retried node's `interrupt()` calls find the answers that its first try was given.

    They are counted from the first call of a task; without this the second
    try would ask its first question under the number of a third one.
    """
    fresh = _reset_interrupt_counter(config)
    var_child_runnable_config.set(fresh)
    return fresh
