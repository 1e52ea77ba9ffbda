"""What a workflow file may import, and under which name it then lives."""

from __future__ import annotations

import importlib
import sys

import pytest

from framework.definition.callables import Purpose, Resolver, exception_class
from framework.errors import CallableRefused


@pytest.fixture
def make(tmp_path):
    """Make a resolver for a folder with these modules; forget them afterwards."""
    before = set(sys.modules)

    def make_resolver(files, name="my-flow", allowed=(), folder="w"):
        place = tmp_path / folder
        for path, text in files.items():
            (place / path).parent.mkdir(parents=True, exist_ok=True)
            (place / path).write_text(text)
        return Resolver(allowed_packages=allowed, folder=place, workflow_name=name)

    yield make_resolver
    for name in set(sys.modules) - before:
        if name.startswith("holdfast_workflows"):
            del sys.modules[name]


def test_a_module_of_the_folder_lives_under_a_private_name(make):
    resolver = make({"nodes.py": "def work(): return 1\nclass Thing: pass"})
    assert resolver.resolve("nodes:work")() == 1
    assert resolver.resolve("nodes:work").__module__ == "holdfast_workflows.my_flow.nodes"
    # Stored state names classes so.
    module = importlib.import_module("holdfast_workflows.my_flow.nodes")
    assert module.Thing is resolver.resolve("nodes:Thing")
    assert resolver.allowed_modules == ("holdfast_workflows.my_flow",)


def test_the_folder_never_stands_on_the_path(make):
    """A types.py there would shadow the standard library's."""
    resolver = make({"types.py": "def work(): return 'mine'", "calendar.py": "def work(): return 'mine'"})
    before = list(sys.path)
    assert resolver.resolve("types:work")() == "mine"
    assert resolver.resolve("calendar:work")() == "mine"
    assert sys.path == before
    assert not hasattr(importlib.import_module("types"), "work")


def test_modules_of_the_folder_import_each_other_relatively(make):
    resolver = make(
        {
            "nodes.py": "from .models import Task\nfrom . import sub\n"
            "from .sub.deep import value\ndef work(): return Task, value",
            "models.py": "class Task: pass",
            "sub/__init__.py": "",
            "sub/deep.py": "value = 5\ndef inner(): return 7",
        }
    )
    assert resolver.resolve("nodes:work")()[1] == 5
    assert resolver.resolve("sub.deep:inner")() == 7


def test_an_init_of_the_folder_is_run_once(make):
    resolver = make(
        {
            "__init__.py": "count = 0\ncount += 1\n",
            "nodes.py": "from . import count\ndef work(): return count",
        }
    )
    assert resolver.resolve("nodes:work")() == 1
    assert resolver.resolve("nodes:work")() == 1


def test_stored_state_can_be_read_before_anything_is_resolved(make):
    resolver = make({"models.py": "class Task: pass"})
    resolver.activate()
    assert importlib.import_module("holdfast_workflows.my_flow.models").Task


def test_two_folders_with_one_name_do_not_mix(make):
    one = make({"nodes.py": "def work(): return 1"}, folder="one")
    two = make({"nodes.py": "def work(): return 2"}, folder="two")
    first, second = one.resolve("nodes:work"), two.resolve("nodes:work")
    assert (first(), second()) == (1, 2)
    assert one.resolve("nodes:work") is first


def test_allowed_packages_are_imported_as_they_are(make):
    resolver = make({}, allowed=("tests.unit.definition",))
    found = resolver.resolve("tests.unit.definition.test_callables:sample")
    assert found.__name__ == "sample"
    assert found.__module__ == "tests.unit.definition.test_callables"


def sample():
    """Named by a test above."""


@pytest.mark.parametrize(
    "reference",
    [
        "os:system",
        "builtins:eval",
        "subprocess:run",
        "tests.unit:x",
        "testsx:y",
        "framework.errors:UsageError",
        "nodes:system",
        "nodes:os",
        "nodes:run",
        "nodes:__import__",
        "nodes:_private",
        "nodes:Box.method",
        "nodes:number",
        "nodes:",
        ":work",
        "nodes",
        "nodes:work:x",
        "nodes.__init__:work",
        "__init__:work",
        ".nodes:work",
        "..nodes:work",
        "nodes/../nodes:work",
        "no des:work",
        "nodes:missing",
        "nodes:wo-rk",
        "nodes:join",
        "nodes:lambda_of_functools",
        "a" * 5000 + ":b",
        "nodes:" + "b" * 5000,
    ],
)
def test_everything_else_is_refused(make, reference):
    resolver = make(
        {
            "nodes.py": "import os\nfrom os import system\n"
            "from subprocess import run\nfrom os.path import join\nimport functools\n"
            "def work(): pass\ndef _private(): pass\nnumber = 5\nclass Box:\n    def method(self): pass\n"
            "lambda_of_functools = functools.partial(work)\n"
        },
        allowed=("tests.unit.definition",),
    )
    with pytest.raises(CallableRefused) as caught:
        resolver.resolve(reference)
    assert len(caught.value.message) < 400


def test_a_link_out_of_the_folder_is_not_followed(make, tmp_path):
    (tmp_path / "outside.py").write_text("def work(): pass")
    resolver = make({"nodes.py": ""})
    (tmp_path / "w" / "linked.py").symlink_to(tmp_path / "outside.py")
    with pytest.raises(CallableRefused, match="in no allowed package"):
        resolver.resolve("linked:work")


@pytest.mark.parametrize(
    ("text", "fragment"),
    [
        ("import nothing_like_this", "ModuleNotFoundError: No module named 'nothing_like_this'"),
        ("x = 1\ny = 1 / 0\n", "ZeroDivisionError: division by zero"),
        ("def f(:\n", "SyntaxError"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("from .other import x", "ModuleNotFoundError"),
    ],
)
def test_a_module_that_cannot_be_imported_says_where(make, text, fragment):
    resolver = make({"nodes.py": text})
    with pytest.raises(CallableRefused) as caught:
        resolver.resolve("nodes:work")
    assert fragment in caught.value.message
    assert "nodes.py, line" in caught.value.message
    assert "Traceback" not in caught.value.message


def test_the_line_is_that_of_the_users_file(make):
    resolver = make({"nodes.py": "import json\n\nLIMITS = json.loads('{')\n"})
    with pytest.raises(CallableRefused, match=r"nodes\.py, line 3"):
        resolver.resolve("nodes:work")


def test_a_mended_module_can_be_imported(make, tmp_path):
    resolver = make({"nodes.py": "1 / 0"})
    with pytest.raises(CallableRefused):
        resolver.resolve("nodes:work")
    (tmp_path / "w" / "nodes.py").write_text("def work(): return 'mended'")
    assert resolver.resolve("nodes:work")() == "mended"


def test_a_misspelt_name_has_a_suggestion(make):
    resolver = make({"nodes.py": "def collect(): pass\n"})
    with pytest.raises(CallableRefused) as caught:
        resolver.resolve("nodes:colect")
    assert caught.value.hint == "did you mean 'collect'?"


def test_a_graph_may_be_an_object_of_langgraph(make):
    resolver = make(
        {
            "agent.py": "from langgraph.graph import StateGraph\nbuilder = StateGraph(dict)\n"
            "def make(): return builder\nn = 5\nimport os\nsystem = os.system"
        }
    )
    assert type(resolver.resolve("agent:builder", Purpose.GRAPH)).__name__ == "StateGraph"
    assert callable(resolver.resolve("agent:make", Purpose.GRAPH))
    for name in ("n", "os", "system"):
        with pytest.raises(CallableRefused):
            resolver.resolve(f"agent:{name}", Purpose.GRAPH)
    with pytest.raises(CallableRefused):
        resolver.resolve("agent:builder")


def test_exceptions_are_found_among_the_builtins_and_in_allowed_modules(make):
    resolver = make(
        {
            "nodes.py": "from json import JSONDecodeError\nclass Mine(Exception): pass\n"
            "class Worse(BaseException): pass\nx = 5"
        }
    )
    assert exception_class("TimeoutError", resolver) is TimeoutError
    assert issubclass(exception_class("nodes:Mine", resolver), Exception)
    # A library's exception, imported there: it is only compared with.
    assert exception_class("nodes:JSONDecodeError", resolver).__name__ == "JSONDecodeError"
    for name in (
        "KeyboardInterrupt",
        "SystemExit",
        "TimeoutEror",
        "print",
        "nodes:Worse",
        "nodes:x",
        "json:JSONDecodeError",
        "Warning",
    ):
        with pytest.raises(CallableRefused):
            exception_class(name, resolver)
