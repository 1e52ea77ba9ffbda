"""Where workflow files are: `<folder>/*/workflow.yaml`, found by name, by path or by folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from framework.definition.loader import FILE_NAME
from framework.definition.source import read_file
from framework.definition.words import suggest
from framework.errors import DefinitionInvalid, WorkflowNotFound


def find_workflows(root: Path, folders: Sequence[Path]) -> dict[str, Path]:
    """Map the names of all workflows in the configured folders to their files.

    A file that cannot be read is listed under its folder's name, so that it is
    not silently missing. Where two have one name, the first folder wins.
    """
    found: dict[str, Path] = {}
    for folder in folders:
        base = root / folder
        direct = base / FILE_NAME
        for path in [direct, *sorted(base.glob(f"*/{FILE_NAME}"))]:
            if path.is_file():
                found.setdefault(_name_of(path), path)
    return found


def find_workflow(reference: str, *, root: Path, folders: Sequence[Path], cwd: Path | None = None) -> Path:
    """Return a workflow's file.

    Args:
        reference: Its name; or the path of its file or folder, relative to
            where the user is (`cwd`) or to the project.
        root: The project.
        folders: Where named workflows are, relative to the project.
        cwd: Where the user is.

    Raises:
        WorkflowNotFound: Nothing has this name or path.
    """
    found = find_workflows(root, folders)
    if reference in found:
        return found[reference]
    for base in (cwd or Path.cwd(), root):
        path = base / Path(reference).expanduser()
        try:
            if path.is_dir() and (path / FILE_NAME).is_file():
                return path / FILE_NAME
            if path.is_file():
                return path
        except (OSError, ValueError):
            continue
    # Folders are named as Python packages are, workflows with dashes.
    for name, path in found.items():
        if reference in (path.parent.name, name.replace("-", "_")):
            return path
    if "/" in reference or reference.endswith((".yaml", ".yml")):
        raise WorkflowNotFound(
            f"There is no workflow file {reference[:200]!r}.", hint="List what there is: main.py validate"
        )
    hint = (
        suggest(reference, found, kind="workflows")
        or f"put one into {folders[0] if folders else 'workflows'}/<name>/{FILE_NAME}"
    )
    raise WorkflowNotFound(f"There is no workflow {reference[:80]!r}.", hint=hint)


def _name_of(path: Path) -> str:
    try:
        data = read_file(path).data
    except DefinitionInvalid:
        data = None
    name = data.get("name") if isinstance(data, dict) else None
    return name if isinstance(name, str) and name else path.parent.name
