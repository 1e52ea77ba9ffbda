"""config/*.yaml, .env and the environment → frozen `Settings`, each value with its origin."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from framework.database_url import normalise
from framework.durations import format_duration, parse_duration
from framework.errors import DatabaseUrlInvalid, SettingsError
from framework.settings_sources import Given, Key, collect, report

Origins = Mapping[str, str]
"""Dotted key, such as `durability.postgres.pool_size` → where its value comes from, in words."""


def _more_than_nothing(duration: timedelta) -> timedelta:
    if duration <= timedelta():
        raise ValueError("a duration longer than nothing is expected")
    return duration


Duration = Annotated[
    timedelta,
    BeforeValidator(parse_duration),
    AfterValidator(_more_than_nothing),
    PlainSerializer(format_duration),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*(ms|s|m|h|d)$"}),
]


class Section(BaseModel):
    """Frozen, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _truth_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        # Python counts with True and False, so `port: true` would be port 1.
        wanted = cls.model_fields[info.field_name].annotation if info.field_name else None
        if isinstance(value, bool) and wanted in {int, float}:
            raise ValueError("a number is expected, not true or false")
        return value


class PostgresSettings(Section):
    """Which database. A `url` or a `host` means that server; otherwise the embedded one."""

    embedded: bool = Field(
        default=True,
        description="true: without a url or a host below, Holdfast starts a private PostgreSQL of its own.",
    )
    data_dir: Path = Field(
        default=Path(".holdfast/postgres"),
        description="Where the private PostgreSQL keeps its data; relative to the project.",
    )
    url: str | None = Field(
        default=None,
        repr=False,
        description="A server's address: postgresql://user:password@host:port/database. DATABASE_URL wins.",
    )
    host: str | None = Field(default=None, description="Or its parts: its name, or the folder of its socket.")
    port: int = Field(default=5432, ge=1, le=65535, description="The server's port.")
    database: str = Field(default="langgraph", min_length=1, description="The database's name.")
    user: str = Field(default="postgres", min_length=1, description="Who connects.")
    password: str | None = Field(
        default=None, repr=False, description="Better in .env or the environment than in this file."
    )
    pool_size: int = Field(
        default=5, ge=1, le=500, description="Connections of one process. CHECKPOINTER_POOL_SIZE wins."
    )
    pool_timeout: Duration = Field(
        default=timedelta(seconds=30), description="How long to wait for a free connection."
    )
    connect_timeout: Duration = Field(
        default=timedelta(seconds=60),
        description="How long a server that does not answer is tried again, with growing pauses.",
    )
    setup_timeout: Duration = Field(
        default=timedelta(seconds=30),
        description="How long to wait for another process that is migrating the database.",
    )

    @field_validator("url", mode="after")
    @classmethod
    def _normal_url(cls, url: str | None) -> str | None:
        return normalise(url) if url is not None else None


class ResumeSettings(Section):
    """What the next start does with interrupted runs."""

    auto_resume: bool = Field(
        default=True, description="false: interrupted runs are listed and nothing is started by itself."
    )
    max_age_hours: float = Field(
        default=24.0,
        gt=0,
        le=1_000_000,
        description="Hours since the last progress; what was interrupted longer ago is listed, not resumed.",
    )
    max_crashes: int = Field(
        default=5, ge=1, description="Crashes in a row without progress before a run is quarantined."
    )
    failed: Literal["at_start", "never"] = Field(
        default="at_start", description="When a failed run is taken up again by itself: at_start or never."
    )
    scan_interval: Duration = Field(
        default=timedelta(seconds=5), description="How often a process looks for interrupted runs."
    )
    concurrency: int = Field(default=50, ge=1, le=10_000, description="Runs that one process drives at once.")


class LeaseSettings(Section):
    """How long a process may be silent before another takes its runs over."""

    duration: Duration = Field(
        default=timedelta(seconds=15), description="Silent for longer: another process takes the runs over."
    )
    heartbeat: Duration = Field(
        default=timedelta(seconds=5),
        description="How often a process says that it lives; at most half of duration.",
    )

    @model_validator(mode="after")
    def _a_missed_beat_is_forgiven(self) -> Self:
        if self.heartbeat * 2 > self.duration:
            raise ValueError(
                f"heartbeat ({format_duration(self.heartbeat)}) must be at most half of "
                f"duration ({format_duration(self.duration)}), so that one missed beat loses no run"
            )
        return self


class RetentionSettings(Section):
    """What `prune` removes."""

    ended_after: Duration = Field(
        default=timedelta(days=7),
        description="Runs that ended longer ago than this go, with their checkpoints.",
    )


class DurabilitySettings(Section):
    """How runs are kept safe, and where."""

    enabled: bool = Field(
        default=True, description="false: everything stays in memory and nothing survives the process."
    )
    postgres: PostgresSettings = PostgresSettings()
    resume: ResumeSettings = ResumeSettings()
    lease: LeaseSettings = LeaseSettings()
    retention: RetentionSettings = RetentionSettings()


class MockSettings(Section):
    """Failure on purpose, and stand-ins for outside services."""

    enabled: bool = Field(default=True, description="false: no scenario plays, whatever is active.")
    active_scenario: str = Field(
        default="default", min_length=1, description="The file mocks/scenarios/<name>.yaml that plays."
    )
    seed: int = Field(default=0, description="Makes everything random in a scenario come out the same again.")


class WorkflowsSettings(Section):
    """Where workflows are, and what their files may import."""

    default: str = Field(
        default="daily-task-planner", min_length=1, description="What main.py runs when it is given no verb."
    )
    folders: tuple[Path, ...] = Field(
        default=(Path("workflows"),),
        description="Folders with workflow folders in them; relative to the project.",
    )
    allowed_packages: tuple[str, ...] = Field(
        default=("workflows", "mocks"),
        description="Packages that workflow files may name functions of, beside those in their own folder.",
    )


class LoggingSettings(Section):
    """Log lines go to stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="warning",
        description="The least important line that is written: debug, info, warning or error.",
    )
    format: Literal["text", "json"] = Field(
        default="text", description="text for people, json for machines (one document on each line)."
    )


class FrameworkSettings(Section):
    """Workflows, the engine that drives them, and logging."""

    workflows: WorkflowsSettings = WorkflowsSettings()
    engine: Literal["local"] = Field(default="local", description="What drives runs; local: this process.")
    logging: LoggingSettings = LoggingSettings()
    worker_name: str | None = Field(
        default=None, description="Shown as who drives a run; null: host and process. WORKER_NAME wins."
    )


class Settings(Section):
    """All settings; `root` is the folder that relative paths start from."""

    root: Path
    durability: DurabilitySettings = DurabilitySettings()
    mock: MockSettings = MockSettings()
    framework: FrameworkSettings = FrameworkSettings()


FILES: Mapping[str, type[Section]] = {
    "durability": DurabilitySettings,
    "mock": MockSettings,
    "framework": FrameworkSettings,
}
"""Section → what `config/<section>_config.yaml` may hold."""

SECRET_KEYS = frozenset({"durability.postgres.url", "durability.postgres.password"})
"""Never shown as they are."""


def setting_keys() -> Mapping[Key, type[object] | None]:
    """Map the path of every setting to the type of its value (None where it is not one class)."""
    keys: dict[Key, type[object] | None] = {}

    def walk(model: type[Section], prefix: Key) -> None:
        for name, field in model.model_fields.items():
            kind = field.annotation
            if isinstance(kind, type) and issubclass(kind, Section):
                walk(kind, (*prefix, name))
            else:
                origin = getattr(kind, "__origin__", kind)
                keys[*prefix, name] = origin if isinstance(origin, type) else None

    for section, model in FILES.items():
        walk(model, (section,))
    return keys


def load_settings(
    root: Path, *, environ: Mapping[str, str], overrides: Mapping[str, str] | None = None
) -> tuple[Settings, Origins]:
    """Read every source of settings once; a later one wins: default, file, .env, environment, command line.

    Args:
        root: The folder that holds `config/` and `.env`; either may be missing.
        environ: Usually `os.environ`; only the names that are ours are read.
        overrides: Dotted key → text, from the command line.

    Raises:
        SettingsError: Every problem of every source at once, each with its place.
        DatabaseUrlInvalid: The address of the database is wrong; says where it stands.
    """
    keys = setting_keys()
    given = collect(root, environ=environ, overrides=overrides or {}, keys=keys)
    nested: dict[str, Any] = {}
    for key, value in given.items():
        _put(nested, key, value.value)
    _check_url(given)
    try:
        settings = Settings(root=root.resolve(), **nested)
    except ValidationError as error:
        raise report(given, [(item["loc"], _words(item)) for item in error.errors()]) from None
    origins = {".".join(key): given[key].origin if key in given else "default" for key in keys}
    _check_server(settings, origins)
    return settings, origins


def _put(nested: dict[str, Any], key: Key, value: Any) -> None:
    *sections, name = key
    for section in sections:
        nested = nested.setdefault(section, {})
    nested[name] = value


def _check_url(given: Mapping[Key, Given]) -> None:
    url = given.get(("durability", "postgres", "url"))
    if url is None or not isinstance(url.value, str):
        return
    try:
        normalise(url.value)
    except DatabaseUrlInvalid as error:
        raise DatabaseUrlInvalid(f"{url.origin}: {error.message}", hint=error.hint) from None


def _check_server(settings: Settings, origins: Origins) -> None:
    postgres = settings.durability.postgres
    if settings.durability.enabled and not (postgres.embedded or postgres.url or postgres.host):
        raise SettingsError(
            f"{origins['durability.postgres.embedded']}: durability.postgres.embedded is false, "
            "and neither a url nor a host names another server.",
            hint="set DATABASE_URL, or postgres.url in config/durability_config.yaml",
        )


def _words(error: Any) -> str:
    """Say what pydantic found in the words of someone who edits a file."""
    context, value = error.get("ctx", {}), error["input"]
    kind: str = error["type"]
    if kind == "value_error":
        return str(context["error"])
    if kind == "string_type":
        return "text is expected; put it in quotes" if isinstance(value, int | float) else "text is expected"
    if kind == "literal_error":
        return f"{context['expected']} is expected".replace("'", "")
    if kind.startswith("bool"):
        return "true or false is expected"
    if kind.startswith(("int", "float")):
        return "a number is expected" if kind.startswith("float") else "a whole number is expected"
    if kind in {"tuple_type", "list_type"}:
        return """a list is expected; in a variable it is written as JSON: ["a", "b"]"""
    message: str = error["msg"]
    return message[:1].lower() + message[1:]
