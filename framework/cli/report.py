"""What is said of a run once it stands still: how it ended, what it returns, how to go on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from framework.cli.progress import STATUS_MARKS, error_line, first_line, short
from framework.durability.run import Run, RunStatus

OUTPUT_WIDTH = 100
FAILED, WAITS, STOPPED = 1, 3, 130

_CODES = {RunStatus.SUCCEEDED: 0, RunStatus.FAILED: FAILED, RunStatus.CANCELLED: FAILED}
_BADNESS = (0, WAITS, FAILED, 2, STOPPED)


def exit_code(status: RunStatus) -> int:
    """Return what the process ends with when a run stands there: 0 done, 1 failed, 3 it waits."""
    return _CODES.get(status, WAITS)


def worst(codes: Iterable[int]) -> int:
    """Return the worst of several exit codes; 0 for none."""
    return max(codes, key=_BADNESS.index, default=0)


def run_document(run: Run) -> dict[str, Any]:
    """Return what `--json` tells of every run."""
    return {
        "run_id": run.run_id,
        "thread_id": run.thread_id,
        "workflow": run.workflow,
        "run_key": run.run_key,
        "status": str(run.status),
        "output": run.output,
        "error": run.error,
    }


def listed_document(run: Run) -> dict[str, Any]:
    """Return what `list --json` tells of every run."""
    return {
        **run_document(run),
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "attempts": run.attempts,
    }


def ending_lines(
    run: Run,
    *,
    program: str,
    took: str,
    saved: tuple[int, int] | None,
    questions: Sequence[Mapping[str, Any]] = (),
) -> list[tuple[str, str]]:
    """Say how a run stands now, as (text, style) lines.

    Args:
        run: As the registry has it.
        program: How the user called us.
        took: How long this process was at it; empty when it was not.
        saved: How many of its nodes are saved, of how many.
        questions: Open ones, of a waiting run.
    """
    mark = STATUS_MARKS[run.status]
    after = f" in {took}" if took and run.status is RunStatus.SUCCEEDED else f" after {took}" if took else ""
    lines = [(f"{mark.symbol} {run.workflow} {short(run.run_id)} {_standing(run)}{after}", mark.style)]
    match run.status:
        case RunStatus.SUCCEEDED:
            lines += [(line, "") for line in output_lines(run.output)]
        case RunStatus.FAILED:
            lines += failure_lines(run, program=program, saved=saved)
        case RunStatus.QUARANTINED:
            error = run.error or {}
            lines.append((f"  {error.get('message', 'a person must look')}", ""))
            lines.append((f"  hint: {_hint(error, program) or f'{program} release {short(run.run_id)}'}", ""))
        case RunStatus.WAITING:
            lines += [(line, "") for line in question_lines(run, questions, program=program)]
    lines.append((f"look closer: {program} show {short(run.run_id)}", "dim"))
    return lines


def _standing(run: Run) -> str:
    if run.status is RunStatus.WAITING:
        return "waits for an answer"
    return {RunStatus.PENDING: "is in line", RunStatus.RUNNING: "is driven by another process"}.get(
        run.status, str(run.status)
    )


def failure_lines(run: Run, *, program: str, saved: tuple[int, int] | None) -> list[tuple[str, str]]:
    """Say which node failed, on which try, why, and how to go on."""
    error = run.error or {}
    node, number = error.get("node"), error.get("try")
    where = (
        f"node {node} failed on try {number}: "
        if node and number
        else f"node {node} failed: "
        if node
        else ""
    )
    lines = [(f"  {where}{error_line(error)}", "red")]
    if hint := _hint(error, program):
        lines.append((f"  hint: {hint}", ""))
    kept = f"{saved[0]} of {saved[1]} nodes are saved; " if saved is not None and saved[1] else ""
    if run.passed:
        lines.append((f"  {kept}a newer run of its thread has passed it, so it stays as it is", ""))
    else:
        lines.append((f"  {kept}mend it and start again: {program}", ""))
    return lines


def _hint(error: Mapping[str, Any], program: str) -> str:
    hint = error.get("hint")
    return str(hint).replace(" main.py ", f" {program} ") if hint else ""


def question_lines(run: Run, questions: Sequence[Mapping[str, Any]], *, program: str) -> list[str]:
    """Say what a waiting run asks, and how to answer."""
    open_ones = [question for question in questions if question.get("answered_at") is None]
    lines = [
        f"  {question.get('node') or 'it'} asks: {brief(question.get('question'))}" for question in open_ones
    ]
    if len(open_ones) > 1:
        lines.append("  answer by id: " + ", ".join(str(question["interrupt_id"]) for question in open_ones))
    data = " --data JSON" if open_ones or not questions else ""
    words = "answer" if data else "let it go on"
    return [*lines, f"  {words}: {program} resume {short(run.run_id)}{data}"]


def output_lines(output: Any) -> list[str]:
    """Show what a run returns: a summary in full, everything else one line each."""
    if not isinstance(output, Mapping):
        return [] if output is None else [f"  {brief(output)}"]
    lines = [f"  {key}: {brief(value)}" for key, value in output.items() if key != "summary"]
    summary = output.get("summary")
    if isinstance(summary, str) and summary.strip():
        lines += ["", *(f"  {line}".rstrip() for line in summary.strip().splitlines()), ""]
    elif summary is not None:
        lines.append(f"  summary: {brief(summary)}")
    return lines


def brief(value: Any, width: int = OUTPUT_WIDTH) -> str:
    """Write a value on one line, cut to a width."""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    line = first_line(text, width)
    more = len([one for one in text.splitlines() if one.strip()]) > 1
    return f"{line} …" if more and not line.endswith("…") else line
