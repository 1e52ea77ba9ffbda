"""A run's state, read from its newest checkpoint for `show`."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from langgraph.checkpoint.serde.jsonplus import JsonPlusSerializer
from psycopg.rows import DictRow

from framework.durability.definitions import DefinitionStore
from framework.durability.run import Run
from framework.errors import CallableRefused, DefinitionInvalid
from framework.graph.json_view import as_json
from framework.settings import Settings
from framework.storage.checkpointer import Checkpointer
from framework.storage.pool import Database
from framework.storage.step_writer import StepWriter


def read_state(database: Database, run: Run, definition: DictRow, settings: Settings) -> dict[str, Any]:
    """Return the state's keys as JSON, as far as today's code can read them.

    A thread that a later run went on with shows what that run made of it.
    """
    checkpointer = Checkpointer(
        database, StepWriter(database), JsonPlusSerializer(allowed_msgpack_modules=None)
    )
    store = DefinitionStore(settings.root, allowed_packages=settings.framework.workflows.allowed_packages)
    reader: Any = checkpointer
    # If the workflow's classes are gone, everything else can still be shown.
    with suppress(DefinitionInvalid, CallableRefused):
        reader = checkpointer.with_allowlist(store.thaw(definition).compiled.allowed_msgpack_modules)
    head = reader.get_tuple({"configurable": {"thread_id": run.thread_id, "checkpoint_ns": ""}})
    if head is None:
        return {}
    values = head.checkpoint["channel_values"]
    known = definition["topology"].get("keys", {})
    return {key: as_json(value) for key, value in values.items() if key in known}
