"""`scenario`: what can go wrong on purpose, and what goes wrong now."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Annotated

import typer

from framework.cli import render
from framework.cli.app import Invocation, JsonOption
from framework.definition.words import suggest
from framework.errors import FileInvalid, HoldfastError
from framework.faults.activation import CONFIG_FILE, activate_scenario
from framework.faults.reader import SCENARIO_FOLDER, load_scenario, scenario_names, scenario_path, shown_path
from framework.faults.scenario import ANY_NODE, Scenario
from framework.settings import load_settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="List, show and check mock scenarios.")

Name = Annotated[str, typer.Argument(help="The scenario; its file's name without .yaml.")]


@app.callback()
def group() -> None:
    """List, show and check mock scenarios: what goes wrong on purpose."""


@app.command("list")
def list_scenarios(ctx: typer.Context, *, json: JsonOption = False) -> None:
    """List the scenarios; the one that plays is marked."""
    invocation: Invocation = ctx.obj
    mock = invocation.settings.mock
    folder = invocation.root / SCENARIO_FOLDER
    entries = []
    for name in scenario_names(folder):
        scenario, problem = _try_to_load(folder, name)
        entries.append(
            {
                "name": name,
                "active": mock.enabled and name == mock.active_scenario,
                "description": scenario.description if scenario else None,
                "faults": len(scenario.rules) if scenario else None,
                "error": problem,
            }
        )
    if json:
        render.print_json(entries)
        return
    wrong = f"(wrong: {invocation.program} scenario validate)"
    render.print_table(
        ("", "scenario", "description"),
        [("*" if each["active"] else "", each["name"], each["description"] or wrong) for each in entries],
    )
    if not mock.enabled:
        render.print_note("No scenario plays: mock.enabled is false.")
    elif mock.active_scenario not in {each["name"] for each in entries}:
        render.print_note(f"The active scenario {mock.active_scenario!r} does not exist.")


@app.command()
def show(ctx: typer.Context, name: Name, *, json: JsonOption = False) -> None:
    """Say in words what a scenario does."""
    invocation: Invocation = ctx.obj
    scenario = load_scenario(invocation.root / SCENARIO_FOLDER, name)
    mock = invocation.settings.mock
    active = mock.enabled and name == mock.active_scenario
    if json:
        render.print_json(
            {
                "name": name,
                "active": active,
                "description": scenario.description,
                "faults": [rule.as_json() for rule in scenario.rules],
            }
        )
        return
    render.print_line(f"{name}{' (active)' if active else ''}: {render.clean(scenario.description)}")
    for number, rule in enumerate(scenario.rules, start=1):
        render.print_line(f"  {number}. {render.clean(rule.in_words())}")
    if any(rule.probability is not None for rule in scenario.rules):
        render.print_line(f"The seed is {mock.seed}.")


@app.command()
def use(ctx: typer.Context, name: Name) -> None:
    """Make a scenario the active one, in config/mock_config.yaml."""
    invocation: Invocation = ctx.obj
    # A scenario that is wrong would only stop the next start.
    scenario = load_scenario(invocation.root / SCENARIO_FOLDER, name)
    activate_scenario(invocation.root, name)
    render.print_line(f"{name} is the active scenario now: {render.clean(scenario.description)}")
    settings, origins = load_settings(invocation.root, environ=os.environ, overrides=invocation.overrides)
    if settings.mock.active_scenario != name:
        origin = origins["mock.active_scenario"]
        render.print_note(
            f"But {origin} says {settings.mock.active_scenario!r}, and wins over {CONFIG_FILE}."
        )
    if not settings.mock.enabled:
        render.print_note(f"But nothing plays: mock.enabled is false ({origins['mock.enabled']}).")


@app.command()
def validate(
    ctx: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(help="Only these; all without.")] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Check scenario files and list every problem."""
    invocation: Invocation = ctx.obj
    folder = invocation.root / SCENARIO_FOLDER
    chosen = names or scenario_names(folder)
    for name in chosen:
        scenario_path(folder, name)
    nodes = _nodes_of_workflows(invocation)
    entries = []
    for name in chosen:
        scenario, problem = _try_to_load(folder, name)
        warnings = list(_unreachable(scenario, nodes)) if scenario else []
        entries.append({"name": name, "valid": scenario is not None, "error": problem, "warnings": warnings})
        if json:
            continue
        if problem:
            render.print_line(render.clean(problem) + "\n")
        for warning in warnings:
            render.print_line(f"{shown_path(scenario_path(folder, name))}: warning: {render.clean(warning)}")
    wrong = sum(not entry["valid"] for entry in entries)
    if json:
        render.print_json(entries)
    else:
        render.print_line(f"{len(entries)} scenarios, {wrong or 'none'} wrong")
    if wrong:
        raise typer.Exit(2)


def _try_to_load(folder: Path, name: str) -> tuple[Scenario | None, str | None]:
    try:
        return load_scenario(folder, name), None
    except FileInvalid as problem:
        return None, problem.message


def _nodes_of_workflows(invocation: Invocation) -> dict[str, frozenset[str]]:
    """Map each workflow to its nodes; one that wraps a graph or is wrong is left out."""
    from framework.loader import find_workflows, load_workflow

    settings = invocation.settings.framework.workflows
    nodes: dict[str, frozenset[str]] = {}
    for name, path in find_workflows(invocation.root, settings.folders).items():
        try:
            loaded = load_workflow(path, allowed_packages=settings.allowed_packages, check_code=False)
        except HoldfastError:
            # `validate` is where that is told; it is not this file's problem.
            continue
        if loaded.workflow.graph is None:
            nodes[name] = frozenset(loaded.workflow.nodes)
    return nodes


def _unreachable(scenario: Scenario, nodes: Mapping[str, Collection[str]]) -> Iterable[str]:
    """Say of each fault whose node no workflow has that it will not fire."""
    for rule in scenario.rules:
        if rule.node == ANY_NODE:
            continue
        concerned = [known for workflow, known in nodes.items() if rule.workflow in (None, workflow)]
        if concerned and not any(rule.node in known for known in concerned):
            hint = suggest(rule.node, {name for known in concerned for name in known}, kind="nodes")
            yield f"faults[{rule.index}].node: no workflow has a node {rule.node!r}, it never fires; {hint}"
