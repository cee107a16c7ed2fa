"""A world with one node."""

from __future__ import annotations

import pytest

from tests.api.hub_client import L1, L2, T1, T2
from tests.api.relay_world import Node, World


@pytest.fixture
def world() -> World:
    """Return a world in which Ann and Bob have a list each, with a task."""
    world = World(2)
    world.members = {L1: {"ann"}, L2: {"bob"}}
    world.task_lists = {T1: L1, T2: L2}
    return world


@pytest.fixture
def node(world: World) -> Node:
    """Return a node that has received everything so far."""
    return Node(world)
