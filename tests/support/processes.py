"""Real processes of `main.py`, on a project of their own: started, killed, stopped, and asked for JSON."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Protocol

import psycopg
from psycopg.rows import DictRow, dict_row

from tests.support.effects import Effects
from tests.support.zygote import REPOSITORY, Zygote

PATIENCE_SECONDS = 60.0
"""Nothing here takes that long; whoever waits longer has found a hang."""

RECORD_TRIAGE = """
# Added by the tests: this graph knows nothing of Holdfast, so its effects are recorded around it.
def _recorded(function):
    from functools import wraps
    from types import SimpleNamespace

    from langgraph.config import get_config

    from mocks.effects import record

    @wraps(function)
    def call(state):
        result = function(state)
        known = get_config()["configurable"]
        run, task = known["__holdfast_run"], known["checkpoint_ns"]
        key = f"{run.thread_id}:{task}"
        record(
            SimpleNamespace(
                run_id=run.run_id, node=function.__name__, attempt=run.attempt, idempotency_key=key
            )
        )
        return result

    return call


classify, look_up_customer, escalate, answer, hand_over = map(
    _recorded, (classify, look_up_customer, escalate, answer, hand_over)
)

builder = StateGraph("""


class Hook(Protocol):
    """Anything with `as_order()`; see `tests.crash.hooks`."""

    def as_order(self) -> dict[str, Any]: ...


@dataclass
class Process:
    """A `main.py` that was started, in either way."""

    pid: int
    stdout_path: Path
    stderr_path: Path
    exit: Future[int]
    command: str
    started_at: float = field(default_factory=time.monotonic)

    def wait(self, timeout: float = PATIENCE_SECONDS) -> int:
        """Wait for its end; negative when a signal ended it."""
        try:
            return self.exit.result(timeout=timeout)
        except TimeoutError:
            self.kill()
            raise AssertionError(f"{self.command} did not end within {timeout:g} s\n{self.said}") from None

    def ok(self, *codes: int) -> Process:
        """Wait, and expect exit code 0, or one of these."""
        code = self.wait()
        assert code in (codes or (0,)), f"{self.command} ended with {code}\n{self.said}"
        return self

    def killed(self) -> Process:
        """Wait, and expect that SIGKILL ended it: a fault that never fired proves nothing."""
        return self.ok(-signal.SIGKILL)

    def send(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if not self.exit.done():
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        self.send(signal.SIGKILL)

    def stop(self) -> None:
        """Freeze it: it does not know that time goes on."""
        self.send(signal.SIGSTOP)

    def wake(self) -> None:
        self.send(signal.SIGCONT)

    @property
    def stdout(self) -> str:
        return self.stdout_path.read_text("utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        return self.stderr_path.read_text("utf-8", errors="replace")

    @property
    def said(self) -> str:
        """Both streams, for messages."""
        return f"stdout: {self.stdout[-8000:]}\nstderr: {self.stderr[-8000:]}"

    def json(self) -> Any:
        """Parse what it printed on stdout."""
        return json.loads(self.stdout)


class Project:
    """A project folder on a database: the shipped workflows, scenarios of a test, and its processes."""

    def __init__(self, root: Path, database_url: str, *, zygote: Zygote | None = None) -> None:
        self.root = root
        self.url = database_url
        self._zygote = zygote
        self._numbers = count(1)
        self._started: list[Process] = []
        self.settings: dict[str, str] = {}
        """Environment that every process of this project gets."""
        root.mkdir(parents=True, exist_ok=True)
        ignore = shutil.ignore_patterns("__pycache__", "out", ".holdfast")
        for name in ("workflows", "mocks", "config"):
            shutil.copytree(REPOSITORY / name, root / name, ignore=ignore, dirs_exist_ok=True)
        agent = root / "workflows/support_triage/agent.py"
        text = agent.read_text("utf-8")
        assert text.count("builder = StateGraph(") == 1
        agent.write_text(text.replace("builder = StateGraph(", RECORD_TRIAGE.lstrip().rstrip(), 1), "utf-8")
        self.effects = Effects(root / "effects.txt")
        (root / "said").mkdir(exist_ok=True)

    def scenario(self, name: str, faults: Sequence[Mapping[str, Any]]) -> str:
        """Write a scenario of this project; returns its name."""
        # JSON is YAML.
        text = json.dumps({"description": "Made by a test.", "faults": list(faults)})
        (self.root / f"mocks/scenarios/{name}.yaml").write_text(text + "\n", "utf-8")
        return name

    def workflow(self, name: str, definition: str, nodes: str) -> Path:
        """Write a workflow folder; `nodes` may call `record(ctx)`."""
        folder = self.root / "workflows" / name.replace("-", "_")
        folder.mkdir(exist_ok=True)
        (folder / "workflow.yaml").write_text(textwrap.dedent(definition), "utf-8")
        header = "from mocks.effects import record\n"
        (folder / "nodes.py").write_text(header + textwrap.dedent(nodes), "utf-8")
        return folder

    def environment(
        self, *, scenario: str | None, more: Mapping[str, str], url: str | None
    ) -> dict[str, str]:
        kept = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TMPDIR") if key in os.environ}
        return {
            **kept,
            "DATABASE_URL": url or self.url,
            "HOLDFAST_EFFECTS_FILE": str(self.effects.path),
            # Without one, what config/mock_config.yaml of the project says.
            **({"HOLDFAST__MOCK__ACTIVE_SCENARIO": scenario} if scenario else {}),
            "NO_COLOR": "1",
            **self.settings,
            **more,
        }

    def main(
        self,
        *arguments: str,
        scenario: str | None = "default",
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        url: str | None = None,
        hooks: Sequence[Hook] = (),
        real: bool = False,
    ) -> Process:
        """Start `python3 main.py …`: forked from the zygote if there is one, unless it has to be `real`."""
        number = next(self._numbers)
        words = ["--root", str(self.root), *arguments]
        folder = cwd or self.root
        folder.mkdir(exist_ok=True)
        out, err = self.root / f"said/{number}.out", self.root / f"said/{number}.err"
        out.touch()
        environment = self.environment(scenario=scenario, more=env or {}, url=url)
        shown = f"main.py {' '.join(arguments)}".strip()
        if real or self._zygote is None:
            assert not hooks, "a real process has no hooks"
            with out.open("wb") as stdout, err.open("wb") as stderr:
                child = subprocess.Popen(
                    [sys.executable, str(REPOSITORY / "main.py"), *words],
                    cwd=folder,
                    env={**environment, "HOLDFAST_NO_BOOTSTRAP": "1"},
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    start_new_session=True,
                )
            process = Process(child.pid, out, err, _future_of(child), shown)
        else:
            pid, ended = self._zygote.start(
                {
                    "arguments": words,
                    "env": environment,
                    "cwd": str(folder),
                    "stdout": str(out),
                    "stderr": str(err),
                    "hooks": [hook.as_order() for hook in hooks],
                }
            )
            process = Process(pid, out, err, ended, shown)
        self._started.append(process)
        return process

    def connect(self, url: str | None = None) -> psycopg.Connection[DictRow]:
        """A connection of the test, in autocommit mode."""
        return psycopg.connect(url or self.url, autocommit=True, row_factory=dict_row)

    def query(self, statement: str, *values: Any) -> list[DictRow]:
        """Ask the database."""
        with self.connect() as conn:
            return conn.execute(statement, values).fetchall()  # type: ignore[arg-type]  # the test's own text

    def runs(self) -> list[DictRow]:
        """Every run, the oldest first."""
        return self.query(
            "select run_id::text, thread_id, workflow, status, fence, crashes, output, error"
            " from holdfast.run order by created_at, run_id"
        )

    def close(self) -> None:
        """End what a failed test left behind."""
        for process in self._started:
            process.wake()
            process.kill()
        for process in self._started:
            process.wait()


def _future_of(child: subprocess.Popen[bytes]) -> Future[int]:
    import threading

    ended: Future[int] = Future()
    threading.Thread(target=lambda: ended.set_result(child.wait()), daemon=True).start()
    return ended


def until(true: Callable[[], Any], what: str, *, timeout: float = PATIENCE_SECONDS) -> Any:
    """Wait for a fact of the world that nothing announces; return it."""
    deadline = time.monotonic() + timeout
    while not (found := true()):
        assert time.monotonic() < deadline, f"waited {timeout:g} s for: {what}"
        time.sleep(0.01)
    return found


def open_project(root: Path, url: str, zygote: Zygote | None) -> Iterator[Project]:
    """A project for the length of a fixture."""
    made = Project(root, url, zygote=zygote)
    yield made
    made.close()
