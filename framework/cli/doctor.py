"""`doctor`: whether everything is there that runs need, each check with what to do about it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import typer

from framework.cli import render
from framework.cli.app import Invocation, JsonOption
from framework.errors import HoldfastError
from framework.settings import Settings
from framework.storage.named_queries import load

SERVER = load("server.sql")
PINNED = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]*(?:\[[^\]]*\])?==[^\\\n]+", re.MULTILINE)
MIN_PYTHON = (3, 11)
OLDEST_SERVER = 14
WARN_FREE_BYTES, FAIL_FREE_BYTES = 1 << 30, 100 << 20


class Verdict(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


_SYMBOLS = {Verdict.OK: "✓", Verdict.WARN: "!", Verdict.FAIL: "✗"}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    message: str
    hint: str | None = None


def doctor(ctx: typer.Context, json: JsonOption = False) -> int:
    """Check that everything needed is there; ends with 2 when something is not."""
    invocation: Invocation = ctx.obj
    checks = list(_checks(invocation))
    failed = any(check.verdict is Verdict.FAIL for check in checks)
    if json:
        render.print_json({"ok": not failed, "checks": [_document(check) for check in checks]})
        return 2 if failed else 0
    width = max(len(check.name) for check in checks)
    for check in checks:
        mark = f"{_SYMBOLS[check.verdict]} {check.verdict:<4}"
        render.print_line(f"{mark}  {check.name:<{width}}  {render.clean(check.message)}")
        if check.hint and check.verdict is not Verdict.OK:
            render.print_line(f"{'':<8}{'':<{width}}  hint: {check.hint}")
    return 2 if failed else 0


def _document(check: Check) -> dict[str, Any]:
    return {"name": check.name, "verdict": str(check.verdict), "message": check.message, "hint": check.hint}


def _checks(invocation: Invocation) -> Iterator[Check]:
    yield _python()
    yield _dependencies(invocation.root)
    yield _serializer()
    settings = invocation.settings
    yield from _guarded("database", lambda: _database(settings, invocation))
    yield from _guarded("scenario", lambda: iter([_scenario(settings)]))
    yield from _guarded("workflows", lambda: _workflows(settings))
    yield from _guarded("disk", lambda: iter([_disk(settings)]))


def _guarded(name: str, look: Callable[[], Iterator[Check]]) -> Iterator[Check]:
    """Turn what a check raises into its verdict: one thing that is broken must not hide the next."""
    try:
        yield from look()
    except HoldfastError as error:
        yield Check(name, Verdict.FAIL, error.message, error.hint)
    except Exception as error:  # noqa: BLE001  # whatever is broken here is what the user wants to hear of
        yield Check(name, Verdict.FAIL, f"{type(error).__name__}: {error}")


def _python() -> Check:
    found = platform.python_version()
    good = sys.version_info >= MIN_PYTHON
    verdict = Verdict.OK if good else Verdict.FAIL
    return Check(
        "python", verdict, f"{found} ({sys.executable})", None if good else "install Python 3.11 or newer"
    )


def _dependencies(root: Path) -> Check:
    lock = next(
        (path for path in (root / "requirements.lock", root / "requirements.txt") if path.is_file()), None
    )
    if lock is None:
        return Check("dependencies", Verdict.WARN, "there is no requirements.lock to compare with")
    from packaging.requirements import Requirement

    wrong: list[str] = []
    pins = [Requirement(line.strip()) for line in PINNED.findall(lock.read_text("utf-8"))]
    # The lock is for all systems; a marker says which of its lines are for this one.
    pins = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    for pin in pins:
        try:
            found = version(pin.name)
        except PackageNotFoundError:
            wrong.append(f"{pin.name} is missing")
        else:
            if not pin.specifier.contains(found, prereleases=True):
                wrong.append(f"{pin.name} is {found}, not {str(pin.specifier).removeprefix('==')}")
    if not wrong:
        return Check("dependencies", Verdict.OK, f"all {len(pins)} of {lock.name}")
    shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
    hint = f"{sys.executable} -m pip install -r {lock.name}"
    return Check("dependencies", Verdict.FAIL, shown, hint)


def _serializer() -> Check:
    if os.environ.get("LANGGRAPH_STRICT_MSGPACK", "").lower() in {"1", "true", "yes"}:
        return Check("serializer", Verdict.OK, "strict: a stored row cannot decide which code runs")
    return Check(
        "serializer",
        Verdict.FAIL,
        "LANGGRAPH_STRICT_MSGPACK is not true",
        "unset it in the environment and in .env",
    )


def _database(settings: Settings, invocation: Invocation) -> Iterator[Check]:
    if not settings.durability.enabled:
        yield Check(
            "database",
            Verdict.WARN,
            "not used: durability.enabled is false, so nothing survives the process",
            "set `enabled: true` in config/durability_config.yaml",
        )  # fmt: skip
        return
    from framework.cli.composition import open_registry
    from framework.storage.migrations import schema_state
    from framework.storage.server import resolve_server

    server = resolve_server(settings)
    with open_registry(invocation) as database:
        before = datetime.now(UTC)
        facts = database.run(lambda conn: conn.execute(SERVER["server_facts"]).fetchone())
        took = datetime.now(UTC) - before
        state = database.run(schema_state)
    if facts is None:
        raise AssertionError("a query without tables answers one row")
    yield Check("database", Verdict.OK, f"{server.kind}: {server.display}; answers in {render.elapsed(took)}")
    major = int(str(facts["version"]).split(".", maxsplit=1)[0])
    yield Check(
        "postgresql",
        Verdict.OK if major >= OLDEST_SERVER else Verdict.FAIL,
        f"version {facts['version']}, {facts['size_bytes'] / 1e6:.0f} MB in database {facts['database']}",
        f"PostgreSQL {OLDEST_SERVER} or newer is needed",
    )
    unsafe = [name for name in ("fsync", "synchronous_commit") if facts[name] == "off"]
    if facts["read_only"]:
        yield Check("writes", Verdict.FAIL, "the server is a standby and takes no writes", "name the primary")
    elif unsafe:
        yield Check(
            "writes",
            Verdict.WARN,
            f"{' and '.join(unsafe)} off: a crash of the server can lose what was committed",
            "turn it on in postgresql.conf",
        )  # fmt: skip
    else:
        yield Check("writes", Verdict.OK, "fsync and synchronous_commit are on")
    yield Check(
        "schema",
        Verdict.OK if state.current else Verdict.FAIL,
        f"version {state.version} of {state.known_version}; LangGraph's tables {state.checkpoint_version}",
        f"{invocation.program} db migrate",
    )
    yield _clock(facts["now"], before + took / 2, settings)


def _clock(server_now: datetime, own_now: datetime, settings: Settings) -> Check:
    skew = abs((server_now - own_now).total_seconds())
    lease = settings.durability.lease.duration.total_seconds()
    message = f"this host and the database differ by {render.elapsed(skew)}"
    # Leases are counted on the database's clock alone, so a wrong one here costs nothing but readable times.
    good = skew < min(lease / 3, 5.0)
    return Check("clock", Verdict.OK if good else Verdict.WARN, message, "set this host's clock (NTP)")


def _scenario(settings: Settings) -> Check:
    from framework.cli.composition import active_scenario

    scenario = active_scenario(settings)
    if scenario is None:
        return Check("scenario", Verdict.OK, "none: mock.enabled is false")
    if not scenario.rules:
        return Check("scenario", Verdict.OK, f"{scenario.name}: nothing goes wrong")
    count = len(scenario.rules)
    return Check(
        "scenario", Verdict.WARN, f"{scenario.name}: {count} fault{'s' if count != 1 else ''} on purpose",
        "mock.active_scenario: default, in config/mock_config.yaml",
    )  # fmt: skip


def _workflows(settings: Settings) -> Iterator[Check]:
    from framework.definition.find import find_workflows
    from framework.definition.loader import load_workflow

    workflows = settings.framework.workflows
    found = find_workflows(settings.root, workflows.folders)
    broken: list[str] = []
    for name, path in found.items():
        try:
            load_workflow(path, allowed_packages=workflows.allowed_packages)
        except HoldfastError as error:
            broken.append(f"{name} ({error.message.splitlines()[0][:200]})")
    if broken:
        yield Check("workflows", Verdict.FAIL, "; ".join(broken), "main.py validate")
    elif not found:
        yield Check("workflows", Verdict.WARN, f"none in {', '.join(map(str, workflows.folders))}")
    elif workflows.default not in found:
        yield Check(
            "workflows",
            Verdict.WARN,
            f"the default, {workflows.default!r}, is not among: {', '.join(found)}",
            "workflows.default, in config/framework_config.yaml",
        )  # fmt: skip
    else:
        yield Check("workflows", Verdict.OK, f"{', '.join(found)}")


def _disk(settings: Settings) -> Check:
    from framework.storage.server import embedded_data_dir, named_server

    postgres = settings.durability.postgres
    folder = settings.root if named_server(postgres) is not None else embedded_data_dir(settings)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    verdict = (
        Verdict.OK if free > WARN_FREE_BYTES else Verdict.WARN if free > FAIL_FREE_BYTES else Verdict.FAIL
    )
    return Check("disk", verdict, f"{free / 1e9:.1f} GB free at {folder}", "make room, or: main.py prune")
