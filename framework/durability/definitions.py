"""The definition that a run was started with: freeze it, find it again, compile it."""

from __future__ import annotations

import hashlib
import json
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from framework.definition.loader import LoadedWorkflow, load_workflow, parse_workflow
from framework.errors import UsageError
from framework.graph.compiled import CompiledWorkflow
from framework.graph.compiler import compile_workflow


@dataclass(frozen=True, slots=True)
class FrozenDefinition:
    """A row of `definition`, and what compiling it with today's code gave."""

    row: Mapping[str, Any]
    compiled: CompiledWorkflow

    @property
    def changed_nodes(self) -> list[str]:
        """Nodes whose code is no longer the one that the definition was stored with."""
        then, now = self.row["fingerprints"], self.compiled.fingerprints
        return sorted(node for node in then.keys() | now.keys() if then.get(node) != now.get(node))


class DefinitionStore:
    """Loads workflow files and compiles definitions, each once per process."""

    def __init__(self, root: Path, *, allowed_packages: tuple[str, ...]) -> None:
        """Take the project's folder, from which stored paths are relative."""
        self._root = root.resolve()
        self._allowed = allowed_packages
        self._frozen: dict[str, FrozenDefinition] = {}

    def load(self, path: Path) -> LoadedWorkflow:
        """Read and check a workflow file."""
        return load_workflow(path, allowed_packages=self._allowed)

    def freeze(self, loaded: LoadedWorkflow) -> FrozenDefinition:
        """Make the row that a run refers to: text, topology and fingerprints under one hash.

        `${env:…}` and `${secret:…}` stand in the text unresolved.
        """
        compiled = compile_workflow(loaded)
        place, host = self._place(loaded.path)
        facts = {"topology": compiled.topology, "fingerprints": dict(compiled.fingerprints)}
        digest = hashlib.sha256(loaded.source.encode())
        digest.update(json.dumps(facts, sort_keys=True).encode())
        content_hash = digest.hexdigest()
        row = {
            "content_hash": content_hash,
            "text_hash": loaded.content_hash,
            "workflow": loaded.workflow.name,
            "source": loaded.source,
            "source_path": place,
            "host": host,
            **facts,
        }
        frozen = FrozenDefinition(row=row, compiled=compiled)
        self._frozen[content_hash] = frozen
        return frozen

    def thaw(self, row: Mapping[str, Any]) -> FrozenDefinition:
        """Compile a stored definition with the code that is here today.

        Raises:
            DefinitionInvalid: This version no longer understands the text.
            CallableRefused: A node's function is gone or cannot be imported.
        """
        known = self._frozen.get(row["content_hash"])
        if known is None:
            path = Path(row["source_path"])
            loaded = parse_workflow(
                row["source"],
                file_name=row["source_path"],
                path=path if path.is_absolute() else self._root / path,
                allowed_packages=self._allowed,
                check_code=False,
            )
            known = FrozenDefinition(row=row, compiled=compile_workflow(loaded))
            self._frozen[row["content_hash"]] = known
        return known

    def today(self, row: Mapping[str, Any]) -> FrozenDefinition | None:
        """Return the file that a stored definition came from, as it is now; None when it is unchanged.

        Raises:
            DefinitionInvalid: It is gone or wrong.
            CallableRefused: It names code that cannot be imported.
            UsageError: It lies on another host, or describes another workflow by now.
        """
        path = Path(row["source_path"])
        if row["host"] is not None and row["host"] != socket.gethostname():
            raise UsageError(f"{path} lies on host {row['host']}.")
        loaded = self.load(path if path.is_absolute() else self._root / path)
        if loaded.content_hash == row["text_hash"]:
            return None
        if loaded.workflow.name != row["workflow"]:
            raise UsageError(f"{path} describes {loaded.workflow.name!r} by now.")
        return self.freeze(loaded)

    def _place(self, path: Path) -> tuple[str, str | None]:
        resolved = path.resolve()
        if resolved.is_relative_to(self._root):
            return str(resolved.relative_to(self._root)), None
        return str(resolved), socket.gethostname()
