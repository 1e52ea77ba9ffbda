"""Fixtures of the planner's tests."""

from __future__ import annotations

from typing import Any

import pytest

from tests.unit.planner.support import Ctx, plan_of


@pytest.fixture
def ctx() -> Ctx:
    return Ctx()


@pytest.fixture(scope="session")
def sample_state() -> dict[str, Any]:
    """The state after the sample was planned; nobody may change it."""
    return plan_of(Ctx())
