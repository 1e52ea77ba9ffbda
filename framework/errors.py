"""Every error that a user can meet; imports nothing of ours.

    HoldfastError                     message, hint, code; exit code 2 unless said otherwise
    ├── UsageError                    a wrong word on the command line
    ├── SettingsError                 config/*.yaml, .env or the environment
    ├── DefinitionInvalid             a workflow file, with every problem it has
    ├── ScenarioInvalid               a mock scenario, with every problem it has
    ├── WorkflowNotFound
    ├── InputInvalid                  an input that is missing, unknown or of the wrong type
    ├── CallableRefused               a `use:`, reducer or type that may not be, or cannot be, imported
    ├── ExpressionError               an expression that cannot be parsed or evaluated
    ├── DatabaseError
    │   ├── DatabaseUnavailable       cannot be reached within the configured time
    │   ├── DatabaseUrlInvalid        the address itself is wrong
    │   ├── EmbeddedPostgresError     the private server does not start
    │   └── MigrationBlocked          somebody holds the migration lock too long
    ├── RunError                      about one run
    │   ├── RunNotFound
    │   ├── RunKeyConflict            the same key with another input
    │   ├── MoveRefused               the run's status does not allow it
    │   ├── ThreadBusy                a run holds this thread; a write from outside is refused
    │   ├── LeaseLost                 another process drives the run: stop, write nothing more
    │   ├── DefinitionChanged         the run's definition no longer fits
    │   ├── NodeFailed                a node raised and its tries are spent
    │   ├── OutputRefused             a node returned what cannot be stored unchanged
    │   └── LimitExceeded             max_steps, max_visits
    └── Drained                       asked to stop; the state is safe (exit code 130)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class HoldfastError(Exception):
    """An error with a hint: the next command to type.

    `code` is for machines and never changes. `exit_code` is what the command
    line ends with: 1 the workflow failed, 2 the user's mistake, 3 it waits,
    130 stopped with the state safe.
    """

    code = "error"
    exit_code = 2

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(HoldfastError):
    """A word on the command line that means nothing here."""

    code = "usage"


class SettingsError(HoldfastError):
    """A setting that is unknown or of the wrong type; the message says where it came from."""

    code = "settings"


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in a file.

    `line` and `column` count from 1; `width` is the number of characters to
    underline; `path` is the key path inside the file, such as
    `nodes.collect.retry.max_attempts`, empty for the file as a whole.
    """

    line: int
    column: int
    width: int
    path: str
    message: str
    hint: str | None = None


class FileInvalid(HoldfastError):
    """A file that people write is wrong; carries every problem at once.

    `str()` is the whole report, one `file:line:column: path: message` block
    per problem with the source line and a caret.
    """

    code = "file-invalid"

    def __init__(self, file_name: str, source: str, problems: Sequence[Problem]) -> None:
        self.file_name = file_name
        self.source = source
        self.problems = tuple(problems)
        super().__init__(self._report())

    def _report(self) -> str:
        lines = self.source.splitlines()
        blocks: list[str] = []
        for problem in self.problems:
            where = f"{self.file_name}:{problem.line}:{problem.column}: "
            path = f"{problem.path}: " if problem.path else ""
            block = [where + path + problem.message]
            if 1 <= problem.line <= len(lines) and len(lines[problem.line - 1]) <= 300:
                text = lines[problem.line - 1].replace("\t", " ")
                block.append(f"{problem.line:>5} | {text}")
                carets = "^" * max(1, min(problem.width, len(text) - problem.column + 1))
                block.append(f"      | {' ' * (problem.column - 1)}{carets}")
            if problem.hint:
                block.append(f"hint: {problem.hint}")
            blocks.append("\n".join(block))
        return "\n\n".join(blocks)


class DefinitionInvalid(FileInvalid):
    """A workflow file is wrong."""

    code = "definition-invalid"


class ScenarioInvalid(FileInvalid):
    """A mock scenario is wrong."""

    code = "scenario-invalid"


class WorkflowNotFound(HoldfastError):
    """No workflow has this name, and no file this path."""

    code = "workflow-not-found"


class InputInvalid(HoldfastError):
    """An input of a run is missing, unknown or of the wrong type."""

    code = "input-invalid"


class CallableRefused(HoldfastError):
    """A `module:attribute` of a workflow may not be, or cannot be, imported."""

    code = "callable-refused"


class ExpressionError(HoldfastError):
    """An expression cannot be parsed or evaluated; `column` counts from 1 inside its text."""

    code = "expression"

    def __init__(self, message: str, *, column: int = 1, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.column = column


class DatabaseError(HoldfastError):
    """Something about the database that a person has to see."""

    code = "database"


class DatabaseUnavailable(DatabaseError):
    """The database did not answer within the configured time."""

    code = "database-unavailable"


class DatabaseUrlInvalid(DatabaseError):
    """The address of the database is not an address; the message masks its password."""

    code = "database-url"


class EmbeddedPostgresError(DatabaseError):
    """The private PostgreSQL does not start, or has no binaries to start from."""

    code = "embedded-postgres"


class MigrationBlocked(DatabaseError):
    """Another session holds the migration lock for too long; the message names it."""

    code = "migration-blocked"


class RunError(HoldfastError):
    """About one run; `run_id` says which."""

    code = "run"

    def __init__(self, run_id: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.run_id = run_id


class RunNotFound(RunError):
    """No run has this id, or more than one begins with it."""

    code = "run-not-found"


class RunKeyConflict(RunError):
    """The same `--run-key` was used before, with another input."""

    code = "run-key-conflict"


class MoveRefused(RunError):
    """The run's status does not allow what was asked."""

    code = "move-refused"


class ThreadBusy(RunError):
    """A run holds this thread, so a write that is not that run's is refused."""

    code = "thread-busy"


class LeaseLost(RunError):
    """Another process drives the run now. Stop; nothing more of this attempt is written."""

    code = "lease-lost"


class DefinitionChanged(RunError):
    """The run's definition no longer fits its state, so going on would lose something."""

    code = "definition-changed"


class NodeError(RunError):
    """About one node of one run."""

    exit_code = 1
    code = "node"

    def __init__(self, run_id: str, node: str, message: str, *, hint: str | None = None) -> None:
        super().__init__(run_id, message, hint=hint)
        self.node = node


class NodeFailed(NodeError):
    """A node raised and its tries are spent."""

    code = "node-failed"


class OutputRefused(NodeError):
    """A node returned something that cannot be stored and read back unchanged; `key` says where."""

    code = "output-refused"

    def __init__(
        self, run_id: str, node: str, key: str, message: str, *, hint: str | None = None
    ) -> None:
        super().__init__(run_id, node, message, hint=hint)
        self.key = key


class LimitExceeded(NodeError):
    """The run went over one of the workflow's `limits`."""

    code = "limit-exceeded"


class Drained(HoldfastError):
    """Asked to stop: the runs in hand stopped at a step boundary and their state is safe."""

    code = "drained"
    exit_code = 130
