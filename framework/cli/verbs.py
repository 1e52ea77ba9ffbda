"""The verbs of the command line, and where each one lives. Nothing is imported until a verb is called."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import typer
from typer.core import TyperCommand
from typer.main import get_command


@dataclass(frozen=True, slots=True)
class Verb:
    """One word after `main.py`.

    `attribute` is a typer command function, or a `typer.Typer` with
    sub-commands; the default is the verb's own name. `context_settings` go to
    the command of a function.
    """

    name: str
    heading: str
    module: str
    help: str
    attribute: str = ""
    context_settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether its module is there."""
        return find_spec(self.module) is not None

    def load(self) -> Any:
        """Import the module and return the click command."""
        target = getattr(import_module(self.module), self.attribute or self.name)
        if isinstance(target, typer.Typer):
            return get_command(target)
        app = typer.Typer(add_completion=False, rich_markup_mode="rich")
        app.command(name=self.name, context_settings=dict(self.context_settings))(target)
        return get_command(app)


RUNS, FILES, FAILURE = "Runs", "Workflow files", "Failure"
DATABASE, TOOLS = "Database", "Tools"
_RUNS = "framework.cli.runs"
_RESUME = "framework.cli.resume"
_SHOW = "framework.cli.show"
_DEFINITIONS = "framework.cli.definitions"

VERBS = (
    Verb("run", RUNS, "framework.cli.run", "Start a workflow, by its name or by the path of its file."),
    Verb("resume", RUNS, _RESUME, "Go on with one run, or with everything that was interrupted."),
    Verb("release", RUNS, _RESUME, "Let a quarantined run go on."),
    Verb("list", RUNS, _RUNS, "List runs.", "list_runs"),
    Verb("show", RUNS, _SHOW, "Show one run: nodes, attempts, times, errors."),
    Verb("why", RUNS, _SHOW, "Say why a run is where it is, and what to do."),
    Verb("cancel", RUNS, _RUNS, "Stop a run for good."),
    Verb("retry", RUNS, _RESUME, "Go on with a failed run, its tries renewed."),
    Verb("delete", RUNS, _RUNS, "Remove an ended run with its checkpoints."),
    Verb("validate", FILES, _DEFINITIONS, "Check workflow files and list every problem."),
    Verb("graph", FILES, _DEFINITIONS, "Draw a workflow."),
    Verb("schema", FILES, _DEFINITIONS, "Print the JSON Schema of workflow files."),
    Verb("scenario", FAILURE, "framework.cli.scenarios", "List, show and check mock scenarios.", "app"),
    Verb("db", DATABASE, "framework.cli.db", "Look after the database.", "app"),
    Verb("prune", DATABASE, "framework.cli.prune", "Remove what ended long ago."),
    Verb("doctor", TOOLS, "framework.cli.doctor", "Check that everything needed is there."),
    Verb("config", TOOLS, "framework.cli.config", "Show the settings, each with its origin.", "app"),
    Verb(
        "test",
        TOOLS,
        "framework.cli.test",
        "Run ruff, mypy and the tests; arguments go to pytest.",
        "run_tests",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    ),
)


class LazyCommand(TyperCommand):
    """Stands for a verb in the list; becomes the real command when it is called."""

    def __init__(self, verb: Verb) -> None:
        super().__init__(verb.name, help=verb.help, short_help=verb.help, rich_help_panel=verb.heading)
        self._verb = verb

    def make_context(self, *args: Any, **kwargs: Any) -> Any:
        """Parse with the real command, which the context then belongs to."""
        return self._verb.load().make_context(*args, **kwargs)


def lazy_commands() -> Iterator[LazyCommand]:
    """Yield a command for each verb whose module is there."""
    for verb in VERBS:
        if verb.exists:
            yield LazyCommand(verb)
