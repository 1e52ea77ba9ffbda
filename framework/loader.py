"""The public door to workflow files: load one, parse a text, find one by its name."""

from framework.definition.find import find_workflow, find_workflows
from framework.definition.inputs import validate_inputs
from framework.definition.loader import LoadedWorkflow, load_workflow, parse_workflow

__all__ = [
    "LoadedWorkflow",
    "find_workflow",
    "find_workflows",
    "load_workflow",
    "parse_workflow",
    "validate_inputs",
]
