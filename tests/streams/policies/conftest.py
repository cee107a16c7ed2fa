"""A world with one worker."""

from __future__ import annotations

import pytest

from tests.spec import TASK_ID
from tests.streams.policy_world import Worker, World
from tests.streams.recurring_task import DAILY


@pytest.fixture
async def world() -> World:
    world = World()
    await world.begin(DAILY, keys=[TASK_ID])
    return world


@pytest.fixture
def worker(world: World) -> Worker:
    return Worker(world)
