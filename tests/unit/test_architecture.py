"""The shape that ARCHITECTURE.md promises: who imports whom, and which moves there are."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from framework.durability.run import MOVES, RunStatus

ROOT = Path(__file__).parents[2]
FRAMEWORK = ROOT / "framework"

# What a package may import of ours, beside itself and the modules on top of the tree.
ALLOWED = {
    "definition": set(),
    "graph": {"definition"},
    "storage": {"graph"},
    "durability": {"definition", "graph", "storage"},
    "faults": {"definition", "graph"},
    "cli": {"definition", "graph", "storage", "durability", "faults"},
}
TOP = {path.stem for path in FRAMEWORK.glob("*.py")}


def imports(path: Path) -> set[str]:
    """Packages and modules of ours that a file imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("framework"):
            found.add(node.module)
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.startswith("framework"))
    return {name.split(".")[1] for name in found if "." in name}


@pytest.mark.parametrize("package", sorted(ALLOWED))
def test_imports_go_one_way(package: str) -> None:
    """A package that knows what stands after it can no longer be read alone."""
    for path in (FRAMEWORK / package).rglob("*.py"):
        strangers = imports(path) - TOP - {package} - ALLOWED[package]
        assert not strangers, f"{path.relative_to(ROOT)} imports {strangers}"


def test_every_package_has_its_rule() -> None:
    """A new package has to say what it may import."""
    assert {path.name for path in FRAMEWORK.iterdir() if (path / "__init__.py").exists()} == set(ALLOWED)


def test_no_sql_stands_in_python() -> None:
    """Every statement is a named query; the one exception is told in its file."""
    statement = re.compile(
        r"\b(select\s.+\sfrom|insert\s+into|update\s+\S+\s+set|delete\s+from)\b", re.IGNORECASE | re.DOTALL
    )
    guilty = []
    for path in FRAMEWORK.rglob("*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        documents = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
            and isinstance(node.body[0], ast.Expr)
        }
        guilty += [
            f"{path.relative_to(ROOT)}:{node.lineno}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documents
            and statement.search(node.value)
        ]
    assert guilty == []


@pytest.mark.parametrize("package", ["definition", "graph", "durability.registry", "durability.recovery"])
def test_what_reads_only_does_not_import_langgraph(package: str) -> None:
    """A list of runs must not cost 1.3 seconds of imports."""
    if package == "graph":
        package = "graph.context"
    code = (
        f"import sys, framework.{package}; assert not any(name == 'langgraph.graph' for name in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_the_diagram_draws_the_table_of_moves() -> None:
    """The picture in ARCHITECTURE.md and `MOVES` are the same set of arrows."""
    text = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
    drawn = set(re.findall(r"^    (\w+) --> (\w+)", text, re.MULTILINE))
    table = {(source.value, target.value) for source, targets in MOVES.items() for target in targets}
    assert drawn == table
    assert {name for arrow in drawn for name in arrow} == {status.value for status in RunStatus}
