"""config/*.yaml, .env and the environment → frozen `Settings`."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Section(BaseModel):
    """Frozen, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PostgresSettings(Section):
    """Which database. A `url` or a `host` means that server; otherwise the embedded one."""

    embedded: bool = Field(default=True, description="Start a private PostgreSQL when no server is named.")
    data_dir: Path = Field(default=Path(".holdfast/postgres"), description="Where the embedded server keeps its data; relative to the project.")
    url: str | None = Field(default=None, description="postgresql://user:password@host:port/database; DATABASE_URL wins.")
    host: str | None = None
    port: int = Field(default=5432, ge=1, le=65535)
    database: str = "langgraph"
    user: str = "postgres"
    password: str | None = Field(default=None, repr=False)
    pool_size: int = Field(default=5, ge=1, le=500, description="Connections of this process; CHECKPOINTER_POOL_SIZE wins.")
    pool_timeout: timedelta = Field(default=timedelta(seconds=30), description="How long to wait for a free connection.")
    connect_timeout: timedelta = Field(default=timedelta(seconds=60), description="How long an unreachable server is tried again, with backoff.")
    setup_timeout: timedelta = Field(default=timedelta(seconds=30), description="How long to wait for the migration lock.")


class ResumeSettings(Section):
    """What the next start does with interrupted runs (DESIGN D6, §5a)."""

    auto_resume: bool = True
    max_age_hours: float = Field(default=24.0, gt=0, description="Interrupted longer ago than this: listed, not resumed.")
    max_crashes: int = Field(default=5, ge=1, description="Crashes in a row without progress before a run is quarantined.")
    failed: Literal["at_start", "never"] = "at_start"
    scan_interval: timedelta = timedelta(seconds=5)
    concurrency: int = Field(default=50, ge=1, description="Runs that one process drives at once.")


class LeaseSettings(Section):
    """How long a process may be silent before another takes its runs over."""

    duration: timedelta = timedelta(seconds=15)
    heartbeat: timedelta = timedelta(seconds=5)


class RetentionSettings(Section):
    """What `prune` removes."""

    ended_after: timedelta = Field(default=timedelta(days=7), description="Ended runs older than this go, with their checkpoints.")


class DurabilitySettings(Section):
    """config/durability_config.yaml."""

    enabled: bool = Field(default=True, description="false: everything in memory, nothing survives; it says so loudly.")
    postgres: PostgresSettings = PostgresSettings()
    resume: ResumeSettings = ResumeSettings()
    lease: LeaseSettings = LeaseSettings()
    retention: RetentionSettings = RetentionSettings()


class MockSettings(Section):
    """config/mock_config.yaml."""

    enabled: bool = True
    active_scenario: str = "default"
    seed: int = 0


class WorkflowsSettings(Section):
    """Where workflows are, and what their files may import."""

    default: str = "daily-task-planner"
    folders: tuple[Path, ...] = (Path("workflows"),)
    allowed_packages: tuple[str, ...] = ("workflows", "mocks")


class LoggingSettings(Section):
    """Log lines go to stderr."""

    level: Literal["debug", "info", "warning", "error"] = "warning"
    format: Literal["text", "json"] = "text"


class FrameworkSettings(Section):
    """config/framework_config.yaml."""

    workflows: WorkflowsSettings = WorkflowsSettings()
    engine: Literal["local"] = "local"
    logging: LoggingSettings = LoggingSettings()
    worker_name: str | None = Field(default=None, description="Shown as who drives a run; WORKER_NAME wins.")


class Settings(Section):
    """All settings; `root` is the folder that relative paths start from."""

    root: Path
    durability: DurabilitySettings = DurabilitySettings()
    mock: MockSettings = MockSettings()
    framework: FrameworkSettings = FrameworkSettings()
