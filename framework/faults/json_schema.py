"""The JSON Schema of scenario files, which editors use.

Written to `config/schema/scenario.schema.json`; a test holds the file to the
models. To write it anew: `python -m framework.faults.json_schema`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from framework.faults.file_model import ScenarioShape

SCHEMA_FILE = Path("config/schema/scenario.schema.json")


def scenario_schema() -> dict[str, Any]:
    """Return the schema as JSON Schema 2020-12."""
    schema = ScenarioShape.model_json_schema(by_alias=True)
    _drop_nulls(schema)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Holdfast scenario"}


def scenario_schema_text() -> str:
    """Return the schema as it stands in the file."""
    return json.dumps(scenario_schema(), indent=2, ensure_ascii=False) + "\n"


def _drop_nulls(part: Any) -> None:
    """Optional keys may be left out, which is not the same as `key: null`."""
    if isinstance(part, dict):
        options = part.get("anyOf")
        optional = "default" in part and part["default"] is None
        if optional:
            del part["default"]
        if optional and options:
            rest = [option for option in options if option != {"type": "null"}]
            if len(rest) == 1:
                del part["anyOf"]
                part.update(rest[0])
            else:
                part["anyOf"] = rest
        part.pop("title", None)
        for value in part.values():
            _drop_nulls(value)
    elif isinstance(part, list):
        for value in part:
            _drop_nulls(value)


if __name__ == "__main__":
    SCHEMA_FILE.write_text(scenario_schema_text(), encoding="utf-8")
