"""A file's bytes → text: UTF-8, of bounded size, every failure with its place."""

from __future__ import annotations

from pathlib import Path

from framework.errors import DefinitionInvalid, FileInvalid, Problem

MAX_BYTES = 1_000_000
TOO_LARGE = Problem(1, 1, 1, "", "the file is larger than 1 MB", "split it into several files")


def read_text(
    path: Path, file_name: str | None = None, *, error: type[FileInvalid] = DefinitionInvalid
) -> str:
    """Return a file's text: UTF-8, with or without a byte order mark, line ends as they are."""
    name = file_name or str(path)

    def refuse(message: str, hint: str | None = None, line: int = 1, column: int = 1) -> FileInvalid:
        return error(name, "", [Problem(line, column, 1, "", message, hint)])

    try:
        if not path.is_file() and path.exists():
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise refuse(f"this is {kind}, a YAML file is expected")
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 4)
    except FileNotFoundError:
        raise refuse("there is no such file") from None
    except OSError as problem:
        raise refuse(f"the file cannot be read: {problem.strerror or problem}") from None
    except ValueError:
        raise refuse("this is not a path") from None
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse("the file is UTF-16, UTF-8 is expected", "save it as UTF-8")
    raw = raw.removeprefix(b"\xef\xbb\xbf")
    if len(raw) > MAX_BYTES:
        raise error(name, "", [TOO_LARGE])
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as problem:
        before = raw[: problem.start].decode("utf-8", "replace")
        line = len((before + "|").splitlines())
        column = len((before + "|").splitlines()[-1])
        byte = raw[problem.start]
        message = f"byte 0x{byte:02x} is not valid UTF-8"
        raise refuse(message, "save the file as UTF-8", line, column) from None
