"""`show` and `why`: all that is known of one run, and one paragraph of it."""

from __future__ import annotations

import json as json_module
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from psycopg.rows import DictRow

from framework.cli import render
from framework.cli.app import Invocation, JsonOption
from framework.cli.composition import open_registry, require_durability
from framework.cli.explain import paragraph
from framework.cli.progress import STATUS_MARKS, error_line, first_line, short
from framework.cli.report import brief, listed_document
from framework.cli.resume import RunArgument
from framework.durability import registry
from framework.durability.owner import Owner
from framework.durability.run import Run, RunStatus
from framework.storage.pool import Database

SECRET = re.compile(r"\$\{secret:([^}]+)\}")
VALUE_WIDTH = 80
SHORTEST_SECRET = 4
TRACEBACK_LINES = 6


def show(
    ctx: typer.Context,
    run: RunArgument,
    full: Annotated[
        bool, typer.Option("--full", help="Cut nothing: whole values, whole tracebacks.")
    ] = False,
    no_state: Annotated[
        bool, typer.Option("--no-state", help="Leave out the state, which takes a second to read.")
    ] = False,
    json: JsonOption = False,
) -> int:
    """Show one run: its nodes and attempts, what was decided, errors, questions, state."""
    invocation: Invocation = ctx.obj
    require_durability(invocation.settings, "shown")
    with open_registry(invocation) as database:
        found = database.run(lambda conn: registry.find(conn, run))
        history = database.run(lambda conn: registry.history(conn, found.run_id))
        definition = database.run(lambda conn: registry.load_definition(conn, found.definition))
        state: dict[str, Any] = {}
        # LangGraph is imported here, and a run that never began has no state.
        if not no_state and found.started_at is not None:
            from framework.cli.state import read_state

            state = read_state(database, found, definition, invocation.settings)
        queue = _before_it(database, found)
    masked = _Mask(definition["source"])
    if json:
        render.print_json(masked.document(_document(found, history, None if no_state else state)))
        return 0
    _Page(found, masked, full, invocation.program).print(history, state)
    if queue:
        render.print_line(f"\nIn line behind: {queue}")
    return 0


def why(ctx: typer.Context, run: RunArgument, json: JsonOption = False) -> int:
    """Say why a run stands where it is, since when, who decided that, and what would unblock it."""
    invocation: Invocation = ctx.obj
    require_durability(invocation.settings, "explained")
    with open_registry(invocation) as database:
        found = database.run(lambda conn: registry.find(conn, run))
        history = database.run(lambda conn: registry.history(conn, found.run_id))
        ahead = _before_it(database, found)
    told = paragraph(found, history, settings=invocation.settings, program=invocation.program, behind=ahead)
    if json:
        render.print_json({**listed_document(found), "why": told.text, "unblock": told.unblock})
    else:
        console = render.stdout()
        console.print(render.clean(told.text), markup=False, soft_wrap=not console.is_terminal)
    return 0


def _before_it(database: Database, run: Run) -> str:
    """Return the run of its thread that a pending run waits for."""
    if run.status is not RunStatus.PENDING:
        return ""
    others = database.run(lambda conn: registry.list_runs(conn, thread_id=run.thread_id))
    ahead = [
        other
        for other in others
        if other.run_id != run.run_id
        and not other.status.ended
        and (other.status is not RunStatus.PENDING or other.created_at < run.created_at)
    ]
    return ", ".join(f"{short(other.run_id)} ({other.status})" for other in ahead)


class _Mask:
    """Hides the secrets that a workflow names, wherever they turn up in what is shown."""

    def __init__(self, source: str) -> None:
        values = {os.environ.get(name.strip(), "") for name in SECRET.findall(source)}
        self._values = sorted(
            (value for value in values if len(value) >= SHORTEST_SECRET), key=len, reverse=True
        )

    def text(self, text: str) -> str:
        for value in self._values:
            text = text.replace(value, "***")
        return text

    def document(self, document: Any) -> Any:
        if isinstance(document, str):
            return self.text(document)
        if isinstance(document, Mapping):
            return {key: self.document(value) for key, value in document.items()}
        if isinstance(document, list | tuple):
            return [self.document(value) for value in document]
        return document


def _document(
    run: Run, history: Mapping[str, Sequence[DictRow]], state: Mapping[str, Any] | None
) -> dict[str, Any]:
    return {
        **listed_document(run),
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "input": run.input,
        "tags": list(run.tags),
        "crashes": run.crashes,
        "owner": run.owner,
        "state": state,
        "nodes": history["node_runs"],
        "attempts_made": history["attempts"],
        "decisions": history["decisions"],
        "faults": history["faults"],
        "questions": history["interrupts"],
    }


@dataclass(frozen=True, slots=True)
class _Page:
    """One run on a terminal, section by section; an empty section is left out."""

    run: Run
    mask: _Mask
    full: bool
    program: str

    def print(self, history: Mapping[str, Sequence[DictRow]], state: Mapping[str, Any]) -> None:
        self._head()
        self._table(
            "Attempts",
            ("no", "who", "started", "took", "how it ended"),
            [_attempt(row) for row in history["attempts"]],
        )
        self._table(
            "Nodes",
            ("node", "try", "visit", "started", "took", "outcome", "attempt", "error"),
            [_node(row, self.run) for row in history["node_runs"]],
        )
        self._table("Faults that fired", ("at", "what"), [_fault(row) for row in history["faults"]])
        self._table(
            "Decisions", ("at", "by", "what", "why"), [_decision(row) for row in history["decisions"]]
        )
        self._error()
        self._table(
            "Questions",
            ("node", "asked", "question", "answer"),
            [self._question(row) for row in history["interrupts"]],
        )
        self._values("State", state)
        output = self.run.output
        if output is not None:
            self._values("Output", output if isinstance(output, Mapping) else {"result": output})

    def _line(self, text: str = "") -> None:
        render.print_line(self.mask.text(render.clean(text)))

    def _table(self, title: str, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        if rows:
            self._line(f"\n{title}")
            render.print_table(headings, [[self.mask.text(str(cell)) for cell in row] for row in rows])

    def _value(self, found: Any) -> str:
        text = found if isinstance(found, str) else json_module.dumps(found, ensure_ascii=False, default=str)
        return text if self.full else brief(text, VALUE_WIDTH)

    def _values(self, title: str, values: Mapping[str, Any]) -> None:
        if not values:
            return
        self._line(f"\n{title}")
        width = max(len(key) for key in values)
        for key, found in values.items():
            self._line(f"  {key:<{width}}  {self._value(found)}")

    def _head(self) -> None:
        self._line(f"Run {self.run.run_id}")
        for name, text in _facts(self.run):
            self._line(f"  {name:<10}{text}")
        for name, given in self.run.input.items():
            self._line(f"  input     {name} = {self._value(given)}")

    def _error(self) -> None:
        error = self.run.error
        if not error:
            return
        self._line("\nError")
        self._line(f"  {error_line(error)}")
        if error.get("hint"):
            self._line(f"  hint: {error['hint']}")
        trace = str(error.get("traceback") or "").rstrip().splitlines()
        shown = trace if self.full else trace[-TRACEBACK_LINES:]
        for one in shown:
            self._line(f"  │ {one}")
        if len(shown) < len(trace):
            self._line(f"  (all {len(trace)} lines: {self.program} show {short(self.run.run_id)} --full)")

    def _question(self, row: DictRow) -> tuple[object, ...]:
        answer = self._value(row["answer"]) if row["answered_at"] else "open"
        return row["node"], render.moment(row["asked_at"]), self._value(row["question"]), answer


def _facts(run: Run) -> list[tuple[str, str]]:
    ended = f"{render.moment(run.ended_at)}" if run.ended_at else ""
    took = ""
    if run.started_at is not None:
        took = f"{render.elapsed((run.ended_at or datetime.now(UTC)) - run.started_at)}"
    facts = [
        ("workflow", run.workflow),
        ("status", f"{STATUS_MARKS[run.status].symbol} {run.status}"),
        ("thread", run.thread_id),
        ("key", run.run_key or ""),
        ("tags", ", ".join(run.tags)),
        ("accepted", render.moment(run.created_at)),
        ("started", render.moment(run.started_at)),
        ("ended", ended),
        ("took", took),
        ("driven by", _who(run.owner) if run.owner else ""),
        ("crashes", f"{run.crashes} in a row" if run.crashes else ""),
    ]
    return [(name, text) for name, text in facts if text]


def _attempt(row: DictRow) -> tuple[object, ...]:
    took = render.elapsed(row["ended_at"] - row["started_at"]) if row["ended_at"] else ""
    outcome = row["outcome"] or "still at it"
    if row["detail"]:
        outcome += f": {first_line(row['detail'], VALUE_WIDTH)}"
    return row["number"], row["worker"] or _who(row["owner"]), render.moment(row["started_at"]), took, outcome


def _node(row: DictRow, run: Run) -> tuple[object, ...]:
    took = render.elapsed(row["ended_at"] - row["started_at"]) if row["ended_at"] else ""
    gone = run.status is not RunStatus.RUNNING or row["attempt"] < run.fence
    outcome = row["outcome"] or ("cut off by a crash" if gone else "running")
    error = first_line(error_line(row["error"]), VALUE_WIDTH) if row["error"] else ""
    moment = render.moment(row["started_at"])
    return row["node"], row["try"], row["visit"], moment, took, outcome, row["attempt"], error


def _decision(row: DictRow) -> tuple[str, ...]:
    return render.moment(row["made_at"]), _who(row["made_by"]), row["action"], first_line(row["reason"])


def _fault(row: DictRow) -> tuple[str, str]:
    from framework.cli.faults import fault_words

    return render.moment(row["fired_at"]), fault_words(row)


def _who(owner: str | None) -> str:
    parsed = Owner.parse(owner or "")
    return parsed.short if parsed is not None else owner or ""
