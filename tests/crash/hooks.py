"""What a test does to a forked `main.py` before it begins; runs in the child, never in the product."""

from __future__ import annotations

import importlib
import inspect
import os
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Hook:
    """A function of this module, and what it is called with in the child."""

    name: str
    arguments: Sequence[Any] = ()

    def as_order(self) -> dict[str, Any]:
        return {"name": f"tests.crash.hooks:{self.name}", "arguments": list(self.arguments)}


def die_at(target: str, when: str, nth: int = 1) -> Hook:
    """SIGKILL at the nth call of `module:function` or `module:Class.method`, before it or after it."""
    return Hook("_die_at", (target, when, nth))


def stop_at(target: str, when: str, nth: int = 1) -> Hook:
    """SIGSTOP, as a laptop that is shut or a host that is migrated: the process does not notice."""
    return Hook("_die_at", (target, when, nth, "SIGSTOP"))


def clock(seconds: float) -> Hook:
    """Set this process's clock wrong by so much."""
    return Hook("_clock", (seconds,))


def no_fence() -> Hook:
    """A fence check that always holds."""
    return Hook("_no_fence")


def answer_before_commit() -> Hook:
    """A committer that says "saved" a moment before it is: what `durability="async"` amounts to."""
    return Hook("_answer_before_commit")


def durability(mode: str) -> Hook:
    """Run the graph under another durability mode of LangGraph."""
    return Hook("_durability", (mode,))


def count_no_crashes() -> Hook:
    """Forget to count crashes."""
    return Hook("_count_no_crashes")


def _split(target: str) -> tuple[Any, str]:
    module, _, path = target.partition(":")
    holder: Any = importlib.import_module(module)
    *parts, name = path.split(".")
    for part in parts:
        holder = getattr(holder, part)
    return holder, name


def _die_at(target: str, when: str, nth: int, how: str = "SIGKILL") -> None:
    holder, name = _split(target)
    inner = getattr(holder, name)
    calls = 0

    async def call_async(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        mine = calls == nth
        if mine and when == "before":
            _signal_self(how)
        result = await inner(*args, **kwargs)
        if mine and when == "after":
            _signal_self(how)
        return result

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        mine = calls == nth
        if mine and when == "before":
            _signal_self(how)
        result = inner(*args, **kwargs)
        if mine and when == "after":
            _signal_self(how)
        return result

    setattr(holder, name, call_async if inspect.iscoroutinefunction(inner) else call)


def _signal_self(how: str) -> None:
    number = signal.Signals[how]
    os.kill(os.getpid(), number)
    if number == signal.SIGKILL:
        while True:
            time.sleep(1)


def _clock(seconds: float) -> None:
    import datetime as dt

    real, real_ns = time.time, time.time_ns
    time.time = lambda: real() + seconds
    time.time_ns = lambda: real_ns() + int(seconds * 1e9)
    # A `datetime` asks the C clock; the names that the product imported are replaced by a shifted one.
    shift = dt.timedelta(seconds=seconds)

    class Shifted(dt.datetime):
        @classmethod
        def now(cls, tz: dt.tzinfo | None = None) -> Any:
            return dt.datetime.now(tz) + shift

    for module in ("framework.durability.manager", "framework.durability.registry"):
        importlib.import_module(module).datetime = Shifted  # type: ignore[attr-defined]


def _no_fence() -> None:
    """The same statements with the fence comparison taken out."""
    from framework.durability import leases, registry
    from framework.storage import step_writer

    batch = step_writer.SQL["save_batch"]
    blind = batch.replace(
        "select locked.run_id from locked join given using (run_id, fence)", "select given.run_id from given"
    )
    assert blind != batch
    step_writer.SQL = {**step_writer.SQL, "save_batch": blind}
    changed = {
        "give_up_lease": "select %(run_id)s::uuid as run_id, %(fence)s::int as fence",
        "leave": registry.SQL["leave"].replace(
            "where run_id = %(run_id)s and fence = %(fence)s and status = 'running'",
            "where run_id = %(run_id)s",
        ),
        "renew_leases": "select m.run_id, false as cancel from unnest(%(run_ids)s::text[]) as m(run_id)"
        " where %(fences)s::bigint[] is not null and %(duration)s::interval is not null",
    }
    assert changed["leave"] != registry.SQL["leave"]
    registry.SQL = leases.SQL = {**registry.SQL, **changed}  # type: ignore[dict-item]


def _answer_before_commit() -> None:
    import threading
    from concurrent.futures import Future

    from framework.storage.step_writer import Piece, StepWriter

    inner = StepWriter.submit

    def submit(self: StepWriter, piece: Piece, *, wait_seconds: float = 0.0) -> Future[None]:
        done: Future[None] = Future()
        done.set_result(None)
        late = threading.Timer(0.3, inner, (self, piece))
        late.daemon = True
        late.start()
        return done

    StepWriter.submit = submit  # type: ignore[method-assign]


def _durability(mode: str) -> None:
    from langgraph.pregel import Pregel

    inner = Pregel.astream

    def astream(self: Any, *args: Any, **kwargs: Any) -> Any:
        return inner(self, *args, **{**kwargs, "durability": mode})

    Pregel.astream = astream  # type: ignore[method-assign]


def _count_no_crashes() -> None:
    from framework.durability import leases

    leases._count_crash = lambda *_: False


def wait_at(target: str, ready: str, go: str, nth: int = 1) -> Hook:
    """Say "ready" by a file before the nth call, then wait until another file is there."""
    return Hook("_wait_at", (target, ready, go, nth))


def _wait_at(target: str, ready: str, go: str, nth: int) -> None:
    from pathlib import Path

    holder, name = _split(target)
    inner = getattr(holder, name)
    calls = 0

    def call(*args: Any, **kwargs: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == nth:
            Path(ready).touch()
            while not Path(go).exists():
                time.sleep(0.001)
        return inner(*args, **kwargs)

    setattr(holder, name, call)


def slow_commits() -> Hook:
    """A server that is far away: each batch takes 100 ms more."""
    return Hook("_slow_commits")


def _slow_commits() -> None:
    from framework.storage.step_writer import StepWriter

    inner = StepWriter._send

    def send(self: StepWriter, batch: Any) -> Any:
        time.sleep(0.1)
        return inner(self, batch)

    StepWriter._send = send  # type: ignore[method-assign]
