"""A folder as a user would have it: modules beside a workflow file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.definition.sample_code import FILES


@pytest.fixture(scope="session")
def code_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample modules; nobody changes them."""
    folder = tmp_path_factory.mktemp("demo")
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    return folder
