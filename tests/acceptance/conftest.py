"""The figures at the end."""

from tests.crash.conftest import pytest_terminal_summary

__all__ = ["pytest_terminal_summary"]
