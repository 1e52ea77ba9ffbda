"""Holdfast's checkpointer for LangGraph code of your own (DESIGN §5a, "As a library").

from framework.durability import init_durability

durability = init_durability()
graph = builder.compile(checkpointer=durability.checkpointer)
graph.invoke(state, {"configurable": {"thread_id": durability.generate_thread_id("chat")}},
             durability="sync")
"""

from __future__ import annotations

import os
from pathlib import Path

from framework.durability.manager import DurabilityManager, open_manager
from framework.settings import load_settings


def init_durability(root: str | Path | None = None, *, database_url: str | None = None) -> DurabilityManager:
    """Find and set up the database; return a manager with a `checkpointer`.

    The checkpointer works from sync and async code, in any thread and any
    event loop. Threads that you write with it have no run and no fence, and
    are refused while a run of Holdfast holds them.

    Args:
        root: The folder with `config/`; the current one unless given.
        database_url: Wins over the environment and the files.

    Raises:
        DatabaseError: The server does not answer, or cannot be set up in time.
    """
    overrides = {"durability.postgres.url": database_url} if database_url else {}
    settings, _ = load_settings(Path(root or Path.cwd()), environ=os.environ, overrides=overrides)
    return open_manager(settings)
