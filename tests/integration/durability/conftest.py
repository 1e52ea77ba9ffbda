"""Fixtures for runs that are really driven."""

from tests.support.manager import folder, manager, open_another, settings

__all__ = ["folder", "manager", "open_another", "settings"]
