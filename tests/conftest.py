"""Fixtures for all tests."""

pytest_plugins = ["tests.support.postgres", "tests.support.storage", "tests.support.figures"]
