"""Log lines: where they go, and what they carry."""

from __future__ import annotations

import asyncio
import json
import logging

import pytest

from framework import logs
from framework.settings import LoggingSettings

LOGGER = logging.getLogger("framework.test")


@pytest.fixture(autouse=True)
def _restore():
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = handlers, level
    for name in ("framework", "workflows", "mocks"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_a_line_carries_the_run_it_belongs_to(capsys):
    logs.configure(LoggingSettings(level="info", format="json"))

    with logs.fields(run_id="r1", attempt=2), logs.fields(node="plan"):
        LOGGER.info("saved %d", 3, extra={"step": 4})
    LOGGER.info("outside")

    captured = capsys.readouterr()
    inside, outside = map(json.loads, captured.err.splitlines())
    assert captured.out == ""
    assert {
        name: inside[name] for name in ("level", "logger", "message", "run_id", "node", "attempt", "step")
    } == {
        "level": "info",
        "logger": "framework.test",
        "message": "saved 3",
        "run_id": "r1",
        "node": "plan",
        "attempt": 2,
        "step": 4,
    }
    assert inside["at"].endswith("Z")
    assert "run_id" not in outside


def test_runs_side_by_side_do_not_mix_their_fields(capsys):
    logs.configure(LoggingSettings(level="info", format="json"))

    async def one(run_id: str) -> None:
        with logs.fields(run_id=run_id):
            await asyncio.sleep(0)
            LOGGER.info(run_id)

    async def both() -> None:
        await asyncio.gather(one("a"), one("b"))

    asyncio.run(both())

    for line in map(json.loads, capsys.readouterr().err.splitlines()):
        assert line["run_id"] == line["message"]


def test_a_text_line_is_one_line_without_passwords(capsys):
    logs.configure(LoggingSettings(level="info"))

    with logs.fields(run_id="r1"):
        LOGGER.warning("cannot reach %s\nfake line", "postgresql://u:secret@h/d")

    line = capsys.readouterr().err
    assert line.count("\n") == 1
    assert "warning framework.test: cannot reach postgresql://u:***@h/d\\nfake line (run_id=r1)" in line


def test_an_error_brings_its_traceback(capsys):
    logs.configure(LoggingSettings(format="json"))
    try:
        int("password=secret")
    except ValueError:
        LOGGER.exception("failed")

    line = json.loads(capsys.readouterr().err)
    assert "password=***" in line["error"]
    assert "Traceback" in line["error"]


def test_other_packages_are_heard_from_warning_on(capsys):
    logs.configure(LoggingSettings(level="info"))
    logs.configure(LoggingSettings(level="info"))

    logging.getLogger("somebody").info("chatter")
    logging.getLogger("somebody").warning("trouble")
    LOGGER.debug("detail")

    assert capsys.readouterr().err.count("\n") == 1
