"""Faults of a mock scenario in words, for whoever looks at a run that met them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from framework.cli import render


def fault_words(row: Mapping[str, Any]) -> str:
    """Write one firing: `killed the process inside extract, try 1 (scenario crash_in_extraction)`."""
    node = row["node"] or "a checkpoint"
    detail = row["detail"] or {}
    what = {
        "raise": f"raised {detail.get('type', 'an exception')}",
        "delay": f"waited {render.elapsed(detail.get('seconds', 0.0))}",
        "hang": "hung",
        "kill": "killed the process",
        "exit": f"ended the process with exit code {detail.get('code')}",
        "cut_database": "cut the database connections",
        "return": "replaced the result",
    }.get(row["action"], row["action"])
    where = {
        "before": f"before {node}",
        "inside": f"inside {node}",
        "after": f"after {node}",
        "before_commit": f"just before {node} was committed",
        "after_commit": f"just after {node} was committed",
    }.get(row["point"], f"at {node}")
    number = f", try {row['try']}" if row["try"] and row["node"] else ""
    return f"{what} {where}{number} (scenario {row['scenario']})"
