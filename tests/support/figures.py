"""What the crash tests counted, at the end of the output: how much was tried, and what survived."""

from __future__ import annotations

import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print each test's `figures`; loaded at the top, so that it also hears of tests in other processes."""
    lines = [
        f"{report.nodeid.partition('::')[2]}: {text}"
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", None) == "call"
        for name, text in report.user_properties
        if name == "figures"
    ]
    if lines:
        terminalreporter.section("crash figures")
        for line in lines:
            terminalreporter.write_line(line)
