"""Read → shapes → rules: a workflow file becomes a `LoadedWorkflow`, or all its problems at once."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from framework.definition.callables import Resolver
from framework.definition.models import Workflow
from framework.definition.normal import Draft, read_draft
from framework.definition.problems import Problems
from framework.definition.rules.code import check_code as check_code_rules
from framework.definition.rules.code import check_reducer_words
from framework.definition.rules.flow import check_flow
from framework.definition.rules.names import check_names
from framework.definition.rules.retries import check_retries
from framework.definition.rules.writers import check_writers
from framework.definition.source import Document, read_document, read_text
from framework.errors import DefinitionInvalid, Problem

FILE_NAME = "workflow.yaml"


@dataclass(frozen=True, slots=True)
class LoadedWorkflow:
    """A valid workflow with where it came from.

    `content_hash` is the SHA-256 of `source`, the text as it stood in the file.
    `resolver` finds the code that it names.
    """

    workflow: Workflow
    source: str
    path: Path
    content_hash: str
    resolver: Resolver
    warnings: tuple[Problem, ...] = ()


def load_workflow(
    path: Path | str,
    *,
    allowed_packages: Sequence[str] = (),
    file_name: str | None = None,
    check_code: bool = True,
) -> LoadedWorkflow:
    """Read and check a workflow file.

    Args:
        path: Of the file; its folder may hold the workflow's own modules.
        allowed_packages: What `use:` may import from beside them.
        file_name: How messages call the file; its path unless given.
        check_code: Whether to import the code and hold the file against it.

    Raises:
        DefinitionInvalid: With every problem of the file.
    """
    name = file_name or str(path)
    path = Path(path)
    return parse_workflow(
        read_text(path, name),
        file_name=name,
        path=path,
        allowed_packages=allowed_packages,
        check_code=check_code,
    )


def parse_workflow(
    text: str,
    file_name: str,
    *,
    path: Path | None = None,
    allowed_packages: Sequence[str] = (),
    check_code: bool = True,
) -> LoadedWorkflow:
    """Check a workflow's text, such as the one that a run was started with.

    Args:
        text: As it was stored.
        file_name: How messages call it.
        path: Where its file lies or lay; that folder may hold its modules.
        allowed_packages: What `use:` may import from beside them.
        check_code: Whether to import the code and hold the text against it.

    Raises:
        DefinitionInvalid: With every problem of the text.
    """
    document = read_document(text, file_name)
    problems = Problems(document)
    draft = _checked_draft(document, problems)
    if draft is None:
        problems.raise_errors()
        raise AssertionError("a document without a draft has a problem")
    # Written as absolute: the process may change its folder before the code is imported.
    place = (path or Path(file_name)).absolute()
    resolver = Resolver(
        allowed_packages=allowed_packages,
        folder=place.parent if path is not None else None,
        workflow_name=draft.workflow.name,
    )
    if check_code:
        check_code_rules(draft, resolver)
    problems.raise_errors()
    return LoadedWorkflow(
        workflow=draft.workflow,
        source=text,
        path=place,
        content_hash=hashlib.sha256(text.encode()).hexdigest(),
        resolver=resolver,
        warnings=problems.warnings,
    )


def _checked_draft(document: Document, problems: Problems) -> Draft | None:
    draft = read_draft(document, problems)
    if draft is None:
        return None
    check_flow(draft)
    check_names(draft)
    check_reducer_words(draft)
    check_retries(draft)
    if draft.workflow.graph is None:
        check_writers(draft)
    return draft


__all__ = ["DefinitionInvalid", "LoadedWorkflow", "load_workflow", "parse_workflow"]
