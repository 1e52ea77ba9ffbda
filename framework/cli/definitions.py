"""`validate`, `graph` and `schema`: what a workflow file says, and whether it may."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer

from framework.cli import render
from framework.cli.app import Invocation, JsonOption
from framework.errors import DefinitionInvalid, FileInvalid, Problem, WorkflowNotFound

Reference = Annotated[
    str, typer.Argument(metavar="WORKFLOW", help="Its name, or the path of its file or folder.")
]


def validate(
    ctx: typer.Context,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE]...", help="Names or paths; all workflows without.")
    ] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Check workflow files and list every problem."""
    invocation: Invocation = ctx.obj
    entries = [_checked(invocation, path) for path in _chosen(invocation, files)]
    wrong = sum(not entry["valid"] for entry in entries)
    if json:
        render.print_json(
            [{name: value for name, value in entry.items() if name != "report"} for entry in entries]
        )
    else:
        for entry in entries:
            for block in entry["report"]:
                render.print_line(render.clean(block) + "\n")
        warned = sum(len(entry["warnings"]) for entry in entries)
        render.print_line(_summary(len(entries), wrong, warned))
    if wrong:
        raise typer.Exit(2)


def graph(
    ctx: typer.Context,
    workflow: Reference,
    *,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="Print Mermaid text, for a page.")] = False,
    json: JsonOption = False,
) -> None:
    """Draw a workflow."""
    from framework.cli import drawing
    from framework.loader import load_workflow

    invocation: Invocation = ctx.obj
    path = _find(invocation, workflow)
    loaded = load_workflow(
        path,
        allowed_packages=invocation.settings.framework.workflows.allowed_packages,
        file_name=_shown(invocation, path),
        check_code=False,
    )
    ways = drawing.ways_of(loaded.workflow) if loaded.workflow.graph is None else _wrapped_ways(loaded)
    if json:
        names = dict.fromkeys(name for way in ways for name in (way.source, way.target))
        edges = [{"from": way.source, "to": way.target, "when": way.label or None} for way in ways]
        render.print_json({"name": loaded.workflow.name, "nodes": list(names), "edges": edges})
    elif mermaid:
        render.print_line(render.clean(drawing.mermaid(ways)))
    else:
        if loaded.workflow.description:
            render.print_line(f"{loaded.workflow.name}: {render.clean(loaded.workflow.description)}\n")
        render.print_line(render.clean(drawing.draw(ways, width=render.stdout().width)))


def schema(
    ctx: typer.Context,
    *,
    write: Annotated[bool, typer.Option("--write", help="Write the file that editors use.")] = False,
) -> None:
    """Print the JSON Schema of workflow files."""
    from framework.definition.json_schema import SCHEMA_PATH, workflow_schema_text

    invocation: Invocation = ctx.obj
    if not write:
        render.print_line(workflow_schema_text().rstrip("\n"))
        return
    path = invocation.root / SCHEMA_PATH
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(workflow_schema_text(), "utf-8")
    render.print_line(f"wrote {SCHEMA_PATH}")


def _chosen(invocation: Invocation, files: list[str] | None) -> list[Path]:
    from framework.loader import find_workflows

    if files:
        return [_find(invocation, reference) for reference in files]
    folders = invocation.settings.framework.workflows.folders
    found = list(find_workflows(invocation.root, folders).values())
    if not found:
        places = ", ".join(f"{folder}/<name>/workflow.yaml" for folder in folders)
        raise WorkflowNotFound(
            "There is no workflow in the configured folders.", hint=f"they are looked for at {places}"
        )
    return found


def _find(invocation: Invocation, reference: str) -> Path:
    from framework.loader import find_workflow

    folders = invocation.settings.framework.workflows.folders
    return find_workflow(reference, root=invocation.root, folders=folders)


def _checked(invocation: Invocation, path: Path) -> dict[str, Any]:
    from framework.loader import load_workflow

    name = _shown(invocation, path)
    problems: tuple[Problem, ...] = ()
    warnings: tuple[Problem, ...] = ()
    report: list[str] = []
    workflow = None
    try:
        loaded = load_workflow(
            path,
            allowed_packages=invocation.settings.framework.workflows.allowed_packages,
            file_name=name,
        )
        workflow, warnings = loaded.workflow.name, loaded.warnings
        if warnings:
            marked = [_as_warning(warning) for warning in warnings]
            report = [str(FileInvalid(name, loaded.source, marked))]
    except DefinitionInvalid as error:
        problems, report = error.problems, [str(error)]
    return {
        "file": name,
        "workflow": workflow,
        "valid": not problems,
        "problems": [asdict(problem) for problem in problems],
        "warnings": [asdict(warning) for warning in warnings],
        "report": report,
    }


def _as_warning(problem: Problem) -> Problem:
    return replace(problem, path=f"warning: {problem.path}")


def _summary(count: int, wrong: int, warned: int) -> str:
    files = f"{count} workflow{'' if count == 1 else 's'}"
    warnings = f", {warned} warning{'' if warned == 1 else 's'}" if warned else ""
    return f"{files}, {wrong or 'none'} wrong{warnings}"


def _shown(invocation: Invocation, path: Path) -> str:
    """A path as the user would type it."""
    for base in (Path.cwd(), invocation.root):
        if path.absolute().is_relative_to(base):
            return str(path.absolute().relative_to(base))
    return str(path)


def _wrapped_ways(loaded: Any) -> list[Any]:
    """The ways of a wrapped graph, as far as it declares them; needs LangGraph."""
    from framework.cli.drawing import Way
    from framework.definition.models import END, START
    from framework.graph.compiler import compile_workflow

    names: Mapping[str, str] = {"__start__": START, "__end__": END}
    drawable = compile_workflow(loaded).graph(None).get_graph()
    return [
        Way(
            names.get(edge.source, edge.source),
            names.get(edge.target, edge.target),
            "maybe" if edge.conditional else "",
        )
        for edge in drawable.edges
    ]
