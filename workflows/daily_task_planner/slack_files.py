"""The files of a Slack export: a folder, or the zip as Slack delivers it.

Nothing of a zip is unpacked to disk. What it holds is bounded, because a zip of
some kilobytes can claim to be a petabyte.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

MAX_MEMBERS = 200_000
MAX_FILE_BYTES = 64 * 1024 * 1024
MAX_TOTAL_BYTES = 1024 * 1024 * 1024


class ExportFiles(Protocol):
    """Reads an export's files by their names (`general/2026-11-20.json`)."""

    def names(self) -> list[str]:
        """Return the names of all JSON files, sorted."""
        ...

    def read(self, name: str) -> bytes:
        """Return one file's content; a ValueError says why that cannot be."""
        ...


def load_json(files: ExportFiles, name: str) -> Any:
    """Return a file's content.

    Raises:
        ValueError: It is no JSON; the message names the file.
    """
    try:
        return json.loads(files.read(name))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"Input 'slack': {name} is not valid JSON: {error}") from error


@contextmanager
def open_export(path: Path) -> Iterator[ExportFiles]:
    """Open an export folder or zip.

    Raises:
        ValueError: It is neither, or it is a zip that nobody should open.
    """
    if path.is_dir():
        yield _without_top_folder(_Folder(path), path)
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield _without_top_folder(_Zip(archive), path)
    else:
        raise ValueError(f"Input 'slack': {path} is neither an export's folder nor its zip")


class _Folder:
    def __init__(self, root: Path) -> None:
        self._root = root.resolve()

    def names(self) -> list[str]:
        found = (*self._root.glob("*.json"), *self._root.glob("*/*.json"), *self._root.glob("*/*/*.json"))
        return sorted(file.relative_to(self._root).as_posix() for file in found)

    def read(self, name: str) -> bytes:
        file = (self._root / name).resolve()
        if not file.is_relative_to(self._root):
            raise ValueError(f"Input 'slack': {name} is a link that leads out of the export")
        if file.stat().st_size > MAX_FILE_BYTES:
            raise ValueError(f"Input 'slack': {name} is larger than {MAX_FILE_BYTES} bytes")
        return file.read_bytes()


class _Zip:
    def __init__(self, archive: zipfile.ZipFile) -> None:
        self._archive = archive
        members = archive.infolist()
        if len(members) > MAX_MEMBERS:
            raise ValueError(f"Input 'slack': the zip has more than {MAX_MEMBERS} files")
        if sum(member.file_size for member in members) > MAX_TOTAL_BYTES:
            raise ValueError(f"Input 'slack': the zip unpacks to more than {MAX_TOTAL_BYTES} bytes")
        for member in members:
            path = PurePosixPath(member.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                raise ValueError(
                    f"Input 'slack': the zip has a file that leads out of it: {member.filename!r}"
                )

    def names(self) -> list[str]:
        return sorted(name for name in self._archive.namelist() if name.endswith(".json"))

    def read(self, name: str) -> bytes:
        try:
            with self._archive.open(name) as file:
                # The size in the zip's directory is a claim; only reading tells.
                content = file.read(MAX_FILE_BYTES + 1)
        except (RuntimeError, zipfile.BadZipFile, NotImplementedError, EOFError) as error:
            raise ValueError(f"Input 'slack': {name} cannot be read from the zip: {error}") from error
        if len(content) > MAX_FILE_BYTES:
            raise ValueError(f"Input 'slack': {name} is larger than {MAX_FILE_BYTES} bytes")
        return content


class _Below:
    """The same files, seen from the one folder that a zip tool put around them."""

    def __init__(self, files: ExportFiles, top: str) -> None:
        self._files, self._top = files, top

    def names(self) -> list[str]:
        return [name.removeprefix(self._top) for name in self._files.names() if name.startswith(self._top)]

    def read(self, name: str) -> bytes:
        return self._files.read(self._top + name)


def _without_top_folder(files: ExportFiles, path: Path) -> ExportFiles:
    homes = [name for name in files.names() if name == "users.json" or name.endswith("/users.json")]
    if not homes:
        raise ValueError(f"Input 'slack': {path} has no users.json, so it is no Slack export")
    top = min(homes, key=len).removesuffix("users.json")
    return _Below(files, top) if top else files
