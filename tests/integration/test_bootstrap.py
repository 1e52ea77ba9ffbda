"""`python3 main.py` on a machine that has a Python and nothing else.

Most tests use a pip that only notes that it was called, so that each takes a
moment. One installs everything for real, twice at once.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PYTHON = f"python{sys.version_info[0]}.{sys.version_info[1]}"

# Writes what the lock file names into the environment, as pip does: INSTALLER comes last.
FAKE_PIP = """
import os, pathlib, re, sys, time
arguments = sys.argv[1:]
if arguments == ["--version"]:
    print("pip 23.0.1 from somewhere (python 3)")
    sys.exit(0)
tree = pathlib.Path.cwd()
with open(os.environ["PIP_CALLS"], "a") as calls:
    calls.write(" ".join(arguments) + "\\n")
while os.environ.get("PIP_WAITS_FOR") and not os.path.exists(os.environ["PIP_WAITS_FOR"]):
    time.sleep(0.02)
if os.environ.get("PIP_SAYS"):
    print(os.environ["PIP_SAYS"], file=sys.stderr)
    sys.exit(1)
target = pathlib.Path(arguments[arguments.index("--python") + 1])
packages = next((target.parent.parent / "lib").glob("python*")) / "site-packages"
for name, version in re.findall(r"^(\\S+)==(\\S+)", pathlib.Path(arguments[-1]).read_text(), re.M):
    info = packages / f"{name}-{version}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "INSTALLER").write_text("pip")
"""

APP = """
import os, sys, time
def entry_point(root):
    print(sys.prefix, *sys.argv[1:], os.environ["LANGGRAPH_STRICT_MSGPACK"], os.environ["LANGSMITH_TRACING"])
    sys.stdout.flush()
    if "sleep" in sys.argv:
        time.sleep(60)
    sys.exit(3)
"""


class Tree:
    """A project folder with a Python beside it that has the pip above."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "project"
        self.calls = folder / "calls"
        self.python = folder / "system" / "bin" / "python"
        venv.EnvBuilder(with_pip=False, symlinks=True).create(folder / "system")
        self.system_packages = folder / "system" / "lib" / PYTHON / "site-packages"
        (self.system_packages / "pip.py").write_text(FAKE_PIP)
        (self.root / "framework" / "cli").mkdir(parents=True)
        shutil.copy(ROOT / "main.py", self.root)
        for name in ("__init__.py", "setup_env.py", "setup_install.py"):
            shutil.copy(ROOT / "framework" / name, self.root / "framework")
        (self.root / "framework" / "cli" / "__init__.py").touch()
        (self.root / "framework" / "cli" / "app.py").write_text(APP)
        self.require({"left": "1.0"}, {"right-hand": "2.0"})
        self.venv = self.root / ".venv"

    def require(self, plain: dict[str, str], tests: dict[str, str]) -> None:
        both = {**plain, **tests}
        for suffix, names, pins in (("", plain, plain), ("-dev", tests, both)):
            start = "-r requirements.txt\n" if suffix else "# What is needed.\n"
            requirements = start + "".join(f"{name}>={version}\n" for name, version in names.items())
            (self.root / f"requirements{suffix}.txt").write_text(requirements)
            lock = "".join(f"{name.replace('-', '_')}=={version} \\\n" for name, version in pins.items())
            (self.root / f"requirements{suffix}.lock").write_text(lock)

    def environ(self, **more: str) -> dict[str, str]:
        ours = ("HOLDFAST", "LANG", "PYTHON", "COV")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {**clean, "PIP_CALLS": str(self.calls), **more}

    def start(self, *arguments: str, python: Path | None = None, **environ: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [python or self.python, self.root / "main.py", *arguments],
            env=self.environ(**environ),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str, python: Path | None = None, **environ: str) -> tuple[int, str, str]:
        child = self.start(*arguments, python=python, **environ)
        out, err = child.communicate(timeout=60)
        return child.returncode, out, err

    def installs(self) -> int:
        return len(self.calls.read_text().splitlines()) if self.calls.exists() else 0


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def wait_for(condition) -> None:
    limit = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < limit, "it does not happen"
        time.sleep(0.01)


def test_the_first_start_installs_and_goes_on_with_the_same_words(tree: Tree):
    code, out, err = tree.run("run", "--set", "a b", "ü")

    assert code == 3, err
    assert out == f"{tree.venv} run --set a b ü true false\n"
    assert re.fullmatch(r"Setting up \.venv from requirements\.lock: 1 packages, .*once\.\nDone in .*\n", err)
    [call] = tree.calls.read_text().splitlines()
    assert call == (
        f"--python {tree.venv}/bin/python install -qq --disable-pip-version-check "
        f"--require-hashes --only-binary :all: -r {tree.root}/requirements.lock"
    )


def test_the_second_start_installs_nothing(tree: Tree):
    tree.run()

    code, out, err = tree.run("list")

    assert (code, out, err) == (3, f"{tree.venv} list true false\n", "")
    assert tree.installs() == 1


def test_the_tests_add_their_packages_to_the_same_environment(tree: Tree):
    tree.run()
    kept = tree.venv.stat().st_ino

    _, out, _ = tree.run("test", "-k", "x")
    tree.run("test")
    tree.run()

    assert out.startswith(f"{tree.venv} test -k x")
    assert tree.installs() == 2
    assert tree.venv.stat().st_ino == kept


def test_what_the_tests_installed_is_enough_for_a_plain_start(tree: Tree):
    tree.run("--set", "mock.enabled=true", "test")
    tree.run("run", "test")

    assert "requirements-dev.lock" in tree.calls.read_text()
    assert tree.installs() == 1


def test_starts_at_the_same_time_install_once(tree: Tree, tmp_path: Path):
    go = tmp_path / "go"
    children = [tree.start("run", PIP_WAITS_FOR=str(go)) for _ in range(4)]
    said = [child.stderr.readline().split(".venv")[0] for child in children if child.stderr]
    go.touch()
    for child in children:
        child.communicate(timeout=30)

    assert sorted(said) == ["Another start is setting up "] * 3 + ["Setting up "]
    assert [child.returncode for child in children] == [3] * 4
    assert tree.installs() == 1


def test_a_killed_install_is_waited_for_and_then_done_again(tree: Tree, tmp_path: Path):
    """pip goes on when main.py is killed; a second one beside it would spoil both."""
    go = tmp_path / "go"
    first = tree.start(PIP_WAITS_FOR=str(go))
    wait_for(tree.installs)
    first.kill()
    first.wait()

    second = tree.start(PIP_WAITS_FOR=str(go))
    assert second.stderr is not None
    assert second.stderr.readline().startswith("Another start is setting up")
    assert tree.installs() == 1
    go.touch()
    second.communicate(timeout=30)

    assert second.returncode == 3
    assert tree.installs() == 2
    assert first.stdout is not None
    assert first.stderr is not None
    first.stdout.close()
    first.stderr.close()


def test_a_package_that_was_cut_off_is_not_taken_for_installed(tree: Tree):
    tree.run(PIP_SAYS="ERROR: No space left on device")
    half = tree.venv / "lib" / PYTHON / "site-packages" / "left-1.0.dist-info"
    half.mkdir()
    (half / "METADATA").touch()

    code, _, _ = tree.run()

    assert code == 3
    assert (half / "INSTALLER").exists()
    assert not (half / "METADATA").exists()


def test_a_new_lock_file_is_installed_even_from_inside(tree: Tree):
    tree.run()
    tree.require({"left": "1.1"}, {"right-hand": "2.0"})
    # From inside, the pip of the Python that the environment was made from would be asked.
    shutil.copy(tree.system_packages / "pip.py", tree.venv / "lib" / PYTHON / "site-packages")

    code, out, _ = tree.run("run", python=tree.venv / "bin" / "python")

    assert (code, out) == (3, f"{tree.venv} run true false\n")
    assert (tree.venv / "lib" / PYTHON / "site-packages" / "left-1.1.dist-info").exists()


def test_an_environment_whose_python_is_gone_is_mended(tree: Tree):
    tree.run()
    (tree.venv / "bin" / "python").unlink()
    (tree.venv / "bin" / "python").symlink_to("/nowhere/python")

    code, out, _ = tree.run()

    assert (code, out) == (3, f"{tree.venv} true false\n")


def test_an_environment_whose_python_may_not_be_run_is_mended(tree: Tree):
    """Made by root from a Python in root's own folder, then started by somebody else."""
    tree.run()
    (tree.venv / "bin" / "python").unlink()
    (tree.venv / "bin" / "python").write_text("not for you")

    code, out, _ = tree.run()

    assert (code, out) == (3, f"{tree.venv} true false\n")


def test_an_environment_of_somebody_else_is_not_touched(tree: Tree):
    venv.EnvBuilder(with_pip=False, symlinks=True).create(tree.venv)

    code, out, err = tree.run()

    assert (code, out) == (2, "")
    assert "was not made by Holdfast and is not touched; it lacks left>=1.0." in err
    assert err.count("\n") == 2
    assert tree.installs() == 0


def test_an_environment_of_somebody_else_that_has_everything_is_used(tree: Tree):
    venv.EnvBuilder(with_pip=False, symlinks=True).create(tree.venv)
    (tree.venv / "lib" / PYTHON / "site-packages" / "Left-1.4.dist-info").mkdir()

    code, out, err = tree.run()

    assert (code, out, err) == (3, f"{tree.venv} true false\n", "")
    assert tree.installs() == 0


def test_a_python_that_has_everything_is_not_left(tree: Tree):
    (tree.system_packages / "left-1.0.dist-info").mkdir()

    code, out, err = tree.run()

    assert (code, out, err) == (3, f"{tree.python.parent.parent} true false\n", "")
    assert not tree.venv.exists()


def test_nothing_is_installed_where_that_is_forbidden(tree: Tree):
    (tree.system_packages / "left-0.9.dist-info").mkdir()

    code, out, err = tree.run("test", HOLDFAST_NO_BOOTSTRAP="1")

    assert (code, out) == (2, "")
    assert err.startswith("error: missing here: left>=1.0 (has 0.9), right-hand>=2.0.\nhint: ")
    assert not tree.venv.exists()


def test_pips_own_words_are_quoted_without_passwords(tree: Tree):
    words = "WARNING: x\nERROR: first\nERROR: Could not fetch from //me:secret@index/simple"

    code, out, err = tree.run(PIP_SAYS=words)

    assert (code, out) == (2, "")
    _, message, hint = err.splitlines()
    assert (
        message == "error: pip could not install requirements.lock: Could not fetch from //***@index/simple"
    )
    assert "can the package index be reached" in hint


@pytest.mark.parametrize(
    ("pip", "expected"),
    [("raise SystemExit(1)", "has no pip"), ("print('pip 20.3.4 from x')", "pip 20.3.4 is too old")],
)
def test_a_pip_that_will_not_do_is_one_line(tree: Tree, tmp_path: Path, pip: str, expected: str):
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "pip.py").write_text(pip)

    code, _, err = tree.run(PYTHONPATH=str(tmp_path / "shadow"))

    assert code == 2
    assert expected in err
    assert err.count("\n") == 2


def test_a_folder_that_cannot_be_written_is_one_line(tree: Tree):
    # Stands in for a read-only folder, which root could write all the same.
    (tree.root / ".bootstrap.lock").mkdir()

    code, _, err = tree.run()

    assert code == 2
    assert err.startswith(f"error: cannot set up {tree.venv}: Is a directory")
    assert "make the folder writable" in err


def test_signals_reach_the_command_itself(tree: Tree):
    tree.run()
    child = tree.start("sleep")
    assert child.stdout is not None
    assert child.stdout.readline()

    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=20)

    assert child.returncode == -signal.SIGTERM


def test_ctrl_c_while_installing_is_one_line(tree: Tree, tmp_path: Path):
    child = tree.start(PIP_WAITS_FOR=str(tmp_path / "go"))
    wait_for(tree.installs)

    child.send_signal(signal.SIGINT)
    (tmp_path / "go").touch()
    _, err = child.communicate(timeout=20)

    assert child.returncode == 130
    assert err.splitlines()[-1].startswith("Stopped while setting up")


def test_an_old_python_gets_one_sentence(tmp_path: Path):
    source = (ROOT / "main.py").read_text()
    ast.parse(source, feature_version=(3, 6))
    pretend = (
        "import runpy, sys; sys.version_info = (3, 8, 1); runpy.run_path(sys.argv[1], run_name='__main__')"
    )

    done = subprocess.run(
        [sys.executable, "-c", pretend, ROOT / "main.py"], capture_output=True, text=True, check=False
    )

    assert done.returncode == 2
    assert done.stderr.startswith("error: Holdfast needs Python 3.11 or newer; this is 3.8")
    assert done.stderr.count("\n") == 2


def test_what_is_installed_is_compared_with_what_is_asked_for(tmp_path: Path):
    from framework.setup_env import unmet

    for name in ("a-1.9", "B_c.d-2.0.0", "e-1.10", "f-3.0"):
        (tmp_path / f"{name}.dist-info").mkdir()
    asked = tmp_path / "requirements.txt"
    asked.write_text("a>=1.9,<2  # why\nb-c-d[x,y]==2.0\ne>=1.9\nf<3\nmissing\n")

    assert unmet(asked, [str(tmp_path), "/nowhere"]) == ["f<3 (has 3.0)", "missing"]


@pytest.mark.timeout(400)
@pytest.mark.long
def test_both_commands_at_once_set_up_a_fresh_copy(tmp_path: Path):
    """The real thing: everything is downloaded and installed, from the index that pip is set to."""
    copy = tmp_path / "project"
    ignored = shutil.ignore_patterns(".venv", ".git", ".*_cache", "__pycache__", ".holdfast", ".env")
    shutil.copytree(ROOT, copy, ignore=ignored)
    python = getattr(sys, "_base_executable", sys.executable)
    ours = ("HOLDFAST", "PYTHON", "VIRTUAL_ENV")
    environ = {name: value for name, value in os.environ.items() if not name.startswith(ours)}

    def start(*words: str) -> subprocess.Popen[str]:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen([python, "main.py", *words], cwd=copy, env=environ, **pipes)

    tests = start("test", "--version")
    assert tests.stderr is not None
    announced = tests.stderr.readline()
    plain = start("config", "show", "--json")
    plain_out, plain_err = plain.communicate(timeout=380)
    tests_out, tests_err = tests.communicate(timeout=60)

    assert (tests.returncode, plain.returncode) == (0, 0), tests_err + plain_err
    assert announced.startswith("Setting up .venv from requirements-dev.lock")
    assert "Setting up" not in plain_err
    assert '"durability.enabled"' in plain_out
    assert "pytest 9" in tests_out
