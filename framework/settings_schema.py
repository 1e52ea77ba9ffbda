"""JSON Schemas of the three configuration files, for editors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from framework.settings import FILES, Section


def config_schemas() -> dict[str, dict[str, Any]]:
    """Return each schema under its file's name, such as `durability_config.schema.json`."""
    return {f"{section}_config.schema.json": _schema(section, model) for section, model in FILES.items()}


def write_config_schemas(folder: Path) -> None:
    """Bring the committed schemas up to date with the models."""
    for name, schema in config_schemas().items():
        (folder / name).write_text(schema_text(schema), "utf-8")


def schema_text(schema: dict[str, Any]) -> str:
    """Return a schema as it stands in its file."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def _schema(section: str, model: type[Section]) -> dict[str, Any]:
    # yaml-language-server reads draft-07, where what pydantic calls $defs is called definitions.
    schema = model.model_json_schema(ref_template="#/definitions/{model}")
    definitions = schema.pop("$defs", {})
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        **schema,
        "title": f"config/{section}_config.yaml",
    }
    if definitions:
        schema["definitions"] = definitions
    return schema
