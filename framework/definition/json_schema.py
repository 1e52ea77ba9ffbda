"""The JSON Schema (draft-07) of workflow files, for editors."""

from __future__ import annotations

import json
from typing import Any

from pydantic.json_schema import GenerateJsonSchema

from framework.definition.shape import EdgeShape, WorkflowShape

SCHEMA_PATH = "config/schema/workflow.schema.json"


class _Draft7(GenerateJsonSchema):
    schema_dialect = "http://json-schema.org/draft-07/schema#"


def workflow_schema() -> dict[str, Any]:
    """Return the schema; what it allows may still break a rule that no schema can say."""
    schema = _tidy(
        WorkflowShape.model_json_schema(
            by_alias=True, ref_template="#/definitions/{model}", schema_generator=_Draft7
        )
    )
    edge = _tidy(
        EdgeShape.model_json_schema(
            by_alias=True, ref_template="#/definitions/{model}", schema_generator=_Draft7
        )
    )
    definitions = {**schema.pop("$defs", {}), **edge.pop("$defs", {}), "EdgeShape": edge}
    # The list is read by hand, edge by edge, so pydantic does not know what is in it.
    arrow = {"type": "string", "pattern": "->", "examples": ["start -> a -> [b, c] -> end"]}
    schema["properties"]["edges"]["items"] = {"anyOf": [arrow, {"$ref": "#/definitions/EdgeShape"}]}
    return {
        "$schema": _Draft7.schema_dialect,
        **schema,
        "title": "Holdfast workflow",
        "oneOf": [{"required": ["nodes", "edges"]}, {"required": ["graph"]}],
        "definitions": dict(sorted(definitions.items())),
    }


def workflow_schema_text() -> str:
    """Return the schema as it is committed."""
    return json.dumps(workflow_schema(), indent=2, ensure_ascii=False) + "\n"


def _tidy(schema: Any) -> Any:
    """Remove titles and null, which only repeat what an author sees."""
    if isinstance(schema, list):
        return [_tidy(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    tidied = {
        key: {name: _tidy(item) for name, item in value.items()} if key == "properties" else _tidy(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }
    if tidied.get("default", ...) is None:
        del tidied["default"]
    choices = tidied.get("anyOf")
    if isinstance(choices, list) and {"type": "null"} in choices:
        rest = [choice for choice in choices if choice != {"type": "null"}]
        del tidied["anyOf"]
        # In draft-07 whatever stands beside a $ref is ignored.
        tidied |= rest[0] if len(rest) == 1 and "$ref" not in rest[0] else {"anyOf": rest}
    elif "$ref" in tidied and len(tidied) > 1:
        tidied["allOf"] = [{"$ref": tidied.pop("$ref")}]
    return tidied
