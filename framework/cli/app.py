"""The frame of the command line: global options, shared state, and what becomes of an error."""

from __future__ import annotations

import os
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.main import get_command

from framework.cli import render
from framework.cli.verbs import lazy_commands
from framework.errors import Drained, HoldfastError, UsageError
from framework.setup_env import set_process_environment

if TYPE_CHECKING:
    from framework.settings import Origins, Settings

BARE_MODULE = "framework.cli.bare"


class Invocation:
    """What all verbs share; `ctx.obj` of every command.

    Settings are read when a verb first asks for them, so that `--help` works
    beside a broken configuration file.
    """

    def __init__(self, root: Path, *, program: str, overrides: Mapping[str, str], verbosity: int) -> None:
        self.root = root
        self.program = program
        """How the user called us; hints begin with it."""
        self.overrides = overrides
        self.verbosity = verbosity
        self.json = False
        """Whether the verb was asked for `--json`: then stdout holds one JSON document and nothing else."""

    @cached_property
    def _loaded(self) -> tuple[Settings, Origins]:
        from framework import logs
        from framework.settings import load_settings

        overrides = dict(self.overrides)
        if self.verbosity:
            overrides.setdefault("framework.logging.level", "info" if self.verbosity == 1 else "debug")
        settings, origins = load_settings(self.root, environ=os.environ, overrides=overrides)
        logs.configure(settings.framework.logging)
        return settings, origins

    @property
    def settings(self) -> Settings:
        """All settings; raises SettingsError where they are wrong."""
        return self._loaded[0]

    @property
    def origins(self) -> Origins:
        """Where each setting comes from."""
        return self._loaded[1]


def _remember_json(ctx: typer.Context, *, value: bool) -> bool:
    if isinstance(ctx.obj, Invocation):
        ctx.obj.json = value
    return value


JsonOption = Annotated[
    bool,
    typer.Option(
        "--json",
        help="Print one JSON document.",
        callback=lambda ctx, value: _remember_json(ctx, value=value),
    ),
]
"""The `--json` of every verb that reads: `def show(ctx: typer.Context, *, json: JsonOption = False)`."""


def build_app(root: Path | None, *, program: str) -> TyperGroup:
    """Return the command line; nothing of a verb is imported yet."""
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback(invoke_without_command=True)
    def main(
        ctx: typer.Context,
        set_: Annotated[
            list[str] | None,
            typer.Option("--set", metavar="KEY=VALUE", help="Overrule a setting; may be repeated."),
        ] = None,
        root_: Annotated[
            Path | None,
            typer.Option("--root", metavar="DIR", help="The project, instead of the usual folder."),
        ] = None,
        verbose: Annotated[
            int,
            typer.Option(
                "-v",
                "--verbose",
                count=True,
                metavar="",
                show_default=False,
                help="More log lines; -vv: all of them.",
            ),
        ] = 0,
        json: Annotated[
            bool, typer.Option("--json", metavar="", help="Without a verb: print one JSON document.")
        ] = False,
        version: Annotated[bool, typer.Option("--version", metavar="", help="Print the version.")] = False,
    ) -> None:
        """Durable workflows on LangGraph and PostgreSQL.

        Without a verb: finish what was interrupted; if nothing was, run the default workflow.
        """
        if version:
            render.print_line(f"holdfast {_version()}")
            raise typer.Exit
        folder = _project(root_ or root or Path.cwd(), first=root_ is not None)
        ctx.obj = Invocation(folder, program=program, overrides=_overrides(set_ or []), verbosity=verbose)
        ctx.obj.json = json
        if ctx.invoked_subcommand is None:
            _run_bare(ctx)
        elif json:
            raise UsageError(
                "--json stands behind the verb.", hint=f"{program} {ctx.invoked_subcommand} --json"
            )

    group = get_command(app)
    assert isinstance(group, TyperGroup)
    for command in lazy_commands():
        group.add_command(command)
    return group


def entry_point(root: Path | None = None, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process with its exit code.

    Args:
        root: The folder of main.py; None, as for the installed `holdfast`
            command, is the current folder.
        arguments: Without the program's name; None means those of the process.
    """
    set_process_environment()
    program = "holdfast" if root is None else "python3 main.py"
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(root, words, program)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone. Python would complain once more while it shuts down.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = 1
    sys.exit(code)


def _run(root: Path | None, words: Sequence[str], program: str) -> int:
    folder = root or Path.cwd()
    try:
        group = build_app(root, program=program)
        result = group.main(args=list(words), prog_name=program, standalone_mode=False)
    except HoldfastError as error:
        render.print_error(error)
        return error.exit_code
    except typer.TyperException as error:
        if not error.format_message():
            # A group without a word after it; typer has printed its help.
            return 2
        render.print_error(_usage_error(error, words, program))
        return 2
    except (KeyboardInterrupt, typer.Abort):
        render.print_note("stopped")
        return Drained.exit_code
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the process ends here; the user gets one line, the file the rest
        render.print_error(_crashed(folder, error))
        return 1
    return result if isinstance(result, int) else 0


def _usage_error(error: Any, words: Sequence[str], program: str) -> UsageError:
    message: str = error.format_message()
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else program
    hint = f"{path} --help"
    if "No such option" in message and "--set" in message:
        hint = f"--set stands before the verb: {program} --set KEY=VALUE {' '.join(words[:1])}"
    elif "No such command" in message and "Did you mean" not in message and words:
        known = list(context.command.commands) if context is not None else []
        # Typer suggests only what is very close; a beginning is a good guess too.
        close = [name for name in known if name.startswith(words[-1][:2])] or get_close_matches(
            words[-1], known, n=1, cutoff=0.5
        )
        hint = f"did you mean {close[0]!r}? All verbs: {hint}" if close else f"all verbs: {hint}"
    return UsageError(message, hint=hint)


def _crashed(folder: Path, error: Exception) -> HoldfastError:
    from framework.database_url import mask

    what = mask(f"{type(error).__name__}: {error}").splitlines()[0][:300]
    report = mask("".join(traceback.format_exception(error)))
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    path = folder / ".holdfast" / f"crash-{stamp}-{os.getpid()}.txt"
    try:
        path.parent.mkdir(exist_ok=True)
        path.touch(mode=0o600)
        path.write_text(f"{' '.join(sys.orig_argv)}\n{sys.version}\n\n{report}", "utf-8")
    except OSError:
        render.print_note(report)
        return HoldfastError(f"internal error: {what}")
    return HoldfastError(f"internal error: {what}", hint=f"the details are in {path}")


def _project(folder: Path, *, first: bool) -> Path:
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder.", hint="--root names the project's folder")
    folder = folder.resolve()
    # `workflows.…` of the project is imported from here. At the end it shadows nothing; only a
    # project that was asked for by name comes before the one that main.py stands in.
    if first:
        sys.path.insert(0, str(folder))
    elif str(folder) not in sys.path:
        sys.path.append(str(folder))
    return folder


def _overrides(words: Sequence[str]) -> dict[str, str]:
    overrides: dict[str, str] = {}
    for word in words:
        key, separator, value = word.partition("=")
        if not separator or not key.strip():
            message = f"--set {word}: KEY=VALUE is expected."
            raise UsageError(message, hint="--set mock.active_scenario=default")
        overrides[key.strip()] = value
    return overrides


def _run_bare(ctx: typer.Context) -> None:
    if find_spec(BARE_MODULE) is None:
        render.print_line(ctx.get_help())
        return
    from importlib import import_module

    code = import_module(BARE_MODULE).run_bare(ctx)
    if isinstance(code, int) and code:
        raise typer.Exit(code)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("holdfast")
    except PackageNotFoundError:
        import tomllib

        # Run from its folder, not installed.
        project = Path(__file__).resolve().parents[2] / "pyproject.toml"
        return str(tomllib.loads(project.read_text("utf-8"))["project"]["version"])
