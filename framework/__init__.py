"""Holdfast: workflows that survive anything short of losing the database."""

import os

__version__ = "0.1.0"

# Read by LangGraph when it is first imported; a stored row must never decide which code runs.
os.environ.setdefault("LANGGRAPH_STRICT_MSGPACK", "true")
