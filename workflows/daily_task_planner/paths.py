"""Where an input's path leads."""

from __future__ import annotations

from pathlib import Path

WORKFLOW_FOLDER = Path(__file__).resolve().parent
PROJECT_ROOT = WORKFLOW_FOLDER.parents[1]


def find_input(name: str, path: str) -> Path:
    """Return the file or folder that input `name` points to.

    A relative path starts from the current folder, else from the project, else
    from this workflow's folder (where the sample is).

    Raises:
        ValueError: The path is empty.
        FileNotFoundError: Nothing is there; the message names the input.
    """
    if not path.strip():
        raise ValueError(f"Input {name!r} is empty; give a path: --input {name}=PATH")
    given = Path(path).expanduser()
    for base in (Path.cwd(), PROJECT_ROOT, WORKFLOW_FOLDER):
        candidate = base / given
        if candidate.exists():
            return candidate
    raise FileNotFoundError(f"Input {name!r}: there is no {path!r}; give another: --input {name}=PATH")
