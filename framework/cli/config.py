"""`config show`: every setting, its value, and where the value comes from."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from framework.cli import render
from framework.cli.app import Invocation, JsonOption
from framework.database_url import mask
from framework.errors import UsageError
from framework.settings import SECRET_KEYS, Settings

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Show the settings, each with its origin.")


@app.callback()
def group() -> None:
    """Show the settings, each with its origin."""


@app.command()
def show(
    ctx: typer.Context,
    key: Annotated[str | None, typer.Argument(help="Only this key, or this section.")] = None,
    *,
    json: JsonOption = False,
) -> None:
    """Print each setting with its value and its origin; passwords are masked."""
    invocation: Invocation = ctx.obj
    values = values_of(invocation.settings)
    origins = invocation.origins
    if key is not None:
        wanted = key.lower()
        values = {name: value for name, value in values.items() if f".{name}.".find(f".{wanted}.") >= 0}
        if not values:
            raise UsageError(f"{key!r} is not a setting.", hint=f"{invocation.program} config show")
    if json:
        render.print_json({name: {"value": value, "origin": origins[name]} for name, value in values.items()})
        return
    render.print_table(
        ("setting", "value", "origin"),
        [(name, _shown(value), origins[name]) for name, value in values.items()],
    )


def values_of(settings: Settings) -> dict[str, Any]:
    """Map each dotted key to its value as it would stand in a file, secrets masked."""
    values: dict[str, Any] = {}

    def walk(part: dict[str, Any], prefix: str) -> None:
        for name, value in part.items():
            key = f"{prefix}{name}"
            if isinstance(value, dict):
                walk(value, f"{key}.")
            elif value is not None and key in SECRET_KEYS:
                # An address shows everything but its password.
                masked = mask(str(value))
                values[key] = masked if key.endswith(".url") else "***"
            else:
                values[key] = value

    walk(settings.model_dump(mode="json", exclude={"root"}), "")
    return values


def _shown(value: Any) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return f"[{', '.join(map(str, value))}]"
    return str(value)
