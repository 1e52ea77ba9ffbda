"""Log lines on stderr, as text or as JSON, each with the run, node and attempt it belongs to."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from framework.database_url import mask
from framework.settings import LoggingSettings

_FIELDS: ContextVar[dict[str, Any]] = ContextVar("holdfast_log_fields")
_ORDINARY = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_SHOWN_FIRST = ("run_id", "node", "attempt")


@contextmanager
def fields(**values: Any) -> Iterator[None]:
    """Give every line that is logged inside these fields: `with logs.fields(run_id=…, attempt=2):`.

    They follow into the asyncio tasks that are started inside, and into nothing else.
    """
    token = _FIELDS.set({**_FIELDS.get({}), **values})
    try:
        yield
    finally:
        _FIELDS.reset(token)


def configure(settings: LoggingSettings) -> None:
    """Send log lines to stderr; other packages' lines only from `warning` on, unless it is `debug`.

    May be called again: the last call holds.
    """
    level = logging.getLevelNamesMapping()[settings.level.upper()]
    handler = logging.StreamHandler(sys.stderr)
    handler.set_name("holdfast")
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in [old for old in root.handlers if old.get_name() == "holdfast"]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level if level == logging.DEBUG else max(level, logging.WARNING))
    for ours in ("framework", "workflows", "mocks"):
        logging.getLogger(ours).setLevel(level)


def _fields_of(record: logging.LogRecord) -> dict[str, Any]:
    given = {name: value for name, value in vars(record).items() if name not in _ORDINARY}
    both = {**_FIELDS.get({}), **given}
    ordered = [name for name in _SHOWN_FIRST if name in both]
    return {name: both[name] for name in dict.fromkeys([*ordered, *both])}


class TextFormatter(logging.Formatter):
    """`2026-11-21T08:51:07.123Z warning framework.storage.pool: message (run_id=… node=…)`."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one line, and below it the traceback where there is one."""
        extra = " ".join(f"{name}={value}" for name, value in _fields_of(record).items())
        line = f"{_at(record)} {record.levelname.lower()} {record.name}: {record.getMessage()}"
        # One event is one line: a message cannot fake another one.
        line = line.replace("\r", "\\r").replace("\n", "\\n")
        if extra:
            line += " (" + extra.replace("\r", "\\r").replace("\n", "\\n") + ")"
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return mask(line)


class JsonFormatter(logging.Formatter):
    """One JSON document on each line."""

    def format(self, record: logging.LogRecord) -> str:
        """Write one document; what JSON has no form for is written as text."""
        document: dict[str, Any] = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields_of(record),
        }
        if record.exc_info:
            document["error"] = self.formatException(record.exc_info)
        masked = {name: mask(value) if isinstance(value, str) else value for name, value in document.items()}
        return json.dumps(masked, ensure_ascii=False, default=lambda value: mask(str(value)))


def _at(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
