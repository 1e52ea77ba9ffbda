"""Which scenario plays: `active_scenario` in config/mock_config.yaml, changed in place."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path

from framework.definition.source import read_document, read_text
from framework.errors import FileInvalid, SettingsError

CONFIG_FILE = Path("config/mock_config.yaml")
KEY = "active_scenario"
_LINE = re.compile(rf"^({KEY}[ \t]*:)[^\r\n#]*?([ \t]+#[^\r\n]*)?$", re.MULTILINE)


def activate_scenario(root: Path, name: str) -> Path:
    """Write the name into the file and return its path; every other line stays as it is.

    The file is replaced in one move: whoever reads it, or dies here, sees the
    old or the new one.

    Raises:
        DefinitionInvalid: The file is not YAML.
        SettingsError: The file is written in a way that a line cannot be changed in.
    """
    # A link is followed, not replaced by a file.
    path = (root / CONFIG_FILE).resolve()
    text = read_text(path, str(CONFIG_FILE)) if path.exists() else ""
    changed = with_active_scenario(text, name)
    if changed != text:
        _replace(path, changed)
    return path


def with_active_scenario(text: str, name: str) -> str:
    """Return the text of a mock_config.yaml with another scenario in it.

    Raises:
        DefinitionInvalid: The text is not YAML.
        SettingsError: The text is written in a way that a line cannot be changed in.
    """
    before = read_document(text, str(CONFIG_FILE)).data
    line_end = "\r\n" if "\r\n" in text else "\n"
    # The line's own end is set aside, since `$` does not stand before a carriage return.
    lines = text.replace("\r\n", "\n")
    changed, found = _LINE.subn(lambda line: f"{line[1]} {name}{line[2] or ''}", lines, count=1)
    if not found:
        changed = lines + ("\n" if lines and not lines.endswith("\n") else "") + f"{KEY}: {name}\n"
    changed = changed.replace("\n", line_end)
    # Whatever the way it is written: nothing but this one value may have changed.
    if not _holds(changed, {**(before if isinstance(before, dict) else {}), KEY: name}):
        raise SettingsError(
            f"{CONFIG_FILE}: {KEY} cannot be changed here.", hint=f"write it by hand: {KEY}: {name}"
        )
    return changed


def _holds(text: str, expected: object) -> bool:
    try:
        return bool(read_document(text, str(CONFIG_FILE)).data == expected)
    except FileInvalid:
        return False


def _replace(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o644
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(mode)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
