"""The schema that editors use is the one that the loader's shapes make."""

from __future__ import annotations

import json
from pathlib import Path

from framework.definition.json_schema import SCHEMA_PATH, workflow_schema, workflow_schema_text
from framework.definition.shape import EdgeShape, NodeShape, RetryShape, WorkflowShape

ROOT = Path(__file__).resolve().parents[3]


def test_the_committed_schema_is_current():
    """Otherwise: main.py schema --write"""
    assert (ROOT / SCHEMA_PATH).read_text("utf-8") == workflow_schema_text()


def test_it_is_draft_7():
    """Later drafts are not understood by the language server that most editors have."""
    schema = workflow_schema()
    assert schema["$schema"] == "http://json-schema.org/draft-07/schema#"
    text = json.dumps(schema)
    for word in ("$defs", "prefixItems", "dependentRequired", "unevaluated", "PLACEHOLDER"):
        assert word not in text


def test_every_reference_leads_somewhere():
    schema = workflow_schema()

    def references(value):
        if isinstance(value, dict):
            yield from [value["$ref"]] if "$ref" in value else []
            for item in value.values():
                yield from references(item)
        elif isinstance(value, list):
            for item in value:
                yield from references(item)

    found = set(references(schema))
    assert found == {f"#/definitions/{name}" for name in schema["definitions"]}


def test_every_key_is_there_under_the_name_that_files_use():
    schema = workflow_schema()
    shapes = {"NodeShape": NodeShape, "EdgeShape": EdgeShape, "RetryShape": RetryShape}
    for name, shape in {**shapes, None: WorkflowShape}.items():
        properties = (schema["definitions"][name] if name else schema)["properties"]
        assert set(properties) == {field.alias or key for key, field in shape.model_fields.items()}
    assert schema["definitions"]["NodeShape"]["required"] == ["use"]
    assert schema["additionalProperties"] is False


def test_no_value_is_documented_as_null():
    """A key without a value is an error; an editor should not offer null."""
    assert '"null"' not in json.dumps(workflow_schema())
