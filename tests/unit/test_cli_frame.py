"""The frame of the command line: help, errors, exit codes, what is printed where."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from framework.cli import app as frame
from framework.cli import render
from framework.cli.verbs import VERBS, Verb
from framework.errors import DatabaseUnavailable, Drained, RunNotFound

ROOT = Path(__file__).resolve().parents[2]


def clean_environ(**more: str) -> dict[str, str]:
    ours = ("HOLDFAST", "DATABASE_URL", "NO_COLOR", "COLUMNS")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | more


def call(*words: str, cwd: Path = ROOT, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "main.py", *words],
        cwd=cwd,
        env=clean_environ(**environ),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    """Call the command line in this process, with one verb of the test's own."""

    def run(*words: str, verb=None) -> tuple[int, str, str]:
        if verb is not None:
            monkeypatch.setattr(Verb, "load", lambda self: load(verb))
            monkeypatch.setattr(Verb, "exists", property(lambda self: self.name == "show"))
        with pytest.raises(SystemExit) as ended:
            frame.entry_point(tmp_path, list(words))
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    def load(function):
        import typer
        from typer.main import get_command

        app = typer.Typer(add_completion=False)
        app.command(name="show")(function)
        return get_command(app)

    return run


def raising(error: BaseException):
    def show() -> None:
        raise error

    return show


def test_help_imports_neither_langgraph_nor_a_database_driver():
    script = (
        "import sys; from framework.cli.app import entry_point\n"
        "try: entry_point(None, ['--help'])\n"
        "except SystemExit:\n"
        "    print(*(m for m in ('langgraph', 'psycopg', 'pydantic') if m in sys.modules), 'end')"
    )

    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert "Usage: holdfast" in done.stdout
    assert done.stdout.splitlines()[-1].strip() == "end"


def test_help_is_there_at_once():
    """350 ms where Python itself takes 18; as a ratio, so that a busy machine does not fail it."""

    def seconds(*command: str | Path) -> float:
        began = time.perf_counter()
        subprocess.run([sys.executable, *command], env=clean_environ(), stdout=subprocess.DEVNULL, check=True)
        return time.perf_counter() - began

    pairs = [(seconds("-c", "pass"), seconds(ROOT / "main.py", "--help")) for _ in range(5)]

    assert min(with_help / bare for bare, with_help in pairs) < 20, pairs


def test_help_works_beside_a_broken_configuration(tmp_path: Path):
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "mock_config.yaml").write_text("nonsense: 1\n")

    assert call("--root", str(tmp_path), "config", "show", "--help").returncode == 0
    broken = call("--root", str(tmp_path), "config", "show")
    assert broken.returncode == 2
    assert broken.stderr.startswith("config/mock_config.yaml:1:1: nonsense: unknown key\n")
    assert "Traceback" not in broken.stderr


@pytest.mark.parametrize("verb", [verb for verb in VERBS if verb.exists], ids=lambda verb: verb.name)
def test_every_listed_verb_can_be_called(verb: Verb):
    done = call(verb.name, "--help")

    assert done.returncode == 0, done.stderr
    assert "Usage: " in done.stdout


def test_verbs_stand_under_their_headings():
    out = call("--help").stdout

    assert "─ Tools ─" in out
    assert "config" in out
    assert all(verb.heading in out for verb in VERBS if verb.exists)


def test_an_unknown_verb_is_answered_with_a_guess():
    done = call("confg")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "error: No such command 'confg'. Did you mean 'config'?\nhint: python3 main.py --help\n"
    )


@pytest.mark.parametrize(
    "words", [["config", "show", "--nonsense"], ["--nonsense"], ["--set", "x", "config", "show"], ["config"]]
)
def test_a_wrong_word_is_exit_code_2_without_a_traceback(words: list[str]):
    done = call(*words)

    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_a_misplaced_set_is_explained():
    assert "--set stands before the verb" in call("config", "show", "--set", "mock.seed=1").stderr


def test_config_show_names_the_origin_of_each_value_and_hides_passwords(tmp_path: Path):
    (tmp_path / ".env").write_text("DATABASE_URL=postgresql://u:secret@h/d\n")
    done = call(
        "--root",
        str(tmp_path),
        "--set",
        "mock.seed=7",
        "config",
        "show",
        "--json",
        HOLDFAST__POSTGRES__PASSWORD="secret",
    )

    shown = json.loads(done.stdout)
    assert shown["durability.postgres.url"] == {"value": "postgresql://u:***@h/d", "origin": ".env:1"}
    assert shown["durability.postgres.password"] == {
        "value": "***",
        "origin": "environment HOLDFAST__POSTGRES__PASSWORD",
    }
    assert shown["mock.seed"] == {"value": 7, "origin": "command line"}
    assert shown["durability.lease.duration"] == {"value": "15s", "origin": "default"}
    assert "secret" not in done.stdout


def test_config_show_can_be_narrowed():
    lines = call("config", "show", "lease").stdout.splitlines()

    assert [line.split()[:2] for line in lines[1:]] == [
        ["durability.lease.duration", "15s"],
        ["durability.lease.heartbeat", "5s"],
    ]
    assert call("config", "show", "leas").returncode == 2


def test_the_version_is_the_projects():
    assert call("--version").stdout == "holdfast 0.1.0\n"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RunNotFound("r1", "no run r1", hint="main.py list"), 2),
        (DatabaseUnavailable("no answer from postgresql://u:secret@h/d", hint="main.py doctor"), 2),
        (Drained("stopped; the state is safe", hint="main.py resume"), 130),
        (KeyboardInterrupt(), 130),
    ],
)
def test_an_error_becomes_its_exit_code_and_a_hint(run, error: BaseException, code: int):
    ended, out, err = run("show", verb=raising(error))

    assert (ended, out) == (code, "")
    assert "Traceback" not in err
    assert "secret" not in err
    if hint := getattr(error, "hint", None):
        assert err.endswith(f"\nhint: {hint}\n")


def test_waiting_and_stopping_are_not_called_errors(run):
    _, _, err = run("show", verb=raising(Drained("stopped; the state is safe")))

    assert err == "stopped; the state is safe\n"


def test_an_exit_code_of_a_verb_is_the_process_s(run):
    import typer

    assert run("show", verb=raising(typer.Exit(3)))[0] == 3


def test_an_unexpected_error_is_one_line_and_a_file(run, tmp_path: Path):
    code, out, err = run("show", verb=raising(ZeroDivisionError("at postgresql://u:secret@h/d\nmore")))

    [crash] = (tmp_path / ".holdfast").glob("crash-*.txt")
    assert (code, out) == (1, "")
    assert err == (
        "error: internal error: ZeroDivisionError: at postgresql://u:***@h/d\n"
        f"hint: the details are in {crash}\n"
    )
    assert "Traceback" in crash.read_text()
    assert "secret" not in crash.read_text()
    assert crash.stat().st_mode & 0o077 == 0


def test_a_reader_that_goes_away_is_no_error():
    shell = f"{sys.executable} {ROOT / 'main.py'} config show --json | true"

    done = subprocess.run(
        ["bash", "-c", shell], env=clean_environ(), capture_output=True, text=True, check=True
    )

    assert done.stderr == ""


def test_ctrl_c_ends_with_130(tmp_path: Path):
    script = (
        "import sys, time; from framework.cli import app, verbs\n"
        "def load(self):\n    print('ready', flush=True); time.sleep(60)\n"
        "verbs.Verb.load = load\n"
        "app.entry_point(None, ['config'])"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=20)

    assert child.returncode == 130
    assert "Traceback" not in err


def test_langgraph_is_told_to_be_strict_and_tracing_is_off(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("LANGSMITH_TRACING", raising=False)
    monkeypatch.setenv("LANGGRAPH_STRICT_MSGPACK", "false")

    run("--version")

    assert os.environ["LANGGRAPH_STRICT_MSGPACK"] == "true"
    assert os.environ["LANGSMITH_TRACING"] == "false"


def test_stored_text_cannot_steer_the_terminal():
    assert render.clean("a\x1b[2Jb\x07\u202ec\td\ne") == "a\\x1b[2Jb\\x07\\x202ec\td\ne"


def test_a_table_without_a_terminal_is_plain_and_whole(capsys: pytest.CaptureFixture[str]):
    render.stdout.cache_clear()
    try:
        render.print_table(("run", "error"), [("r1", "[red]x[/red] " + "y" * 120), ("r2", None)])
    finally:
        render.stdout.cache_clear()

    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["run  error", "r1   [red]x[/red] " + "y" * 120, "r2"]


def test_json_is_one_document_with_moments_and_durations(capsys: pytest.CaptureFixture[str]):
    moment = datetime(2026, 11, 21, tzinfo=UTC)

    render.print_json({"at": moment, "for": timedelta(seconds=1.5), "path": Path("a"), "keys": {"b", "a"}})

    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-11-21T00:00:00+00:00",
        "for": 1.5,
        "path": "a",
        "keys": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "0 ms"),
        (0.34, "340 ms"),
        (0.9999, "1.0 s"),
        (2.44, "2.4 s"),
        (59.99, "1 m 00 s"),
        (185, "3 m 05 s"),
        (7800, "2 h 10 m"),
        (4 * 86400 + 3 * 3600, "4 d 3 h"),
        (timedelta(seconds=2), "2.0 s"),
        (None, ""),
    ],
)
def test_elapsed_time_is_written_for_people(seconds, expected: str):
    assert render.elapsed(seconds) == expected
