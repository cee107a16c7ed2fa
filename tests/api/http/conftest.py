"""An application on a log in memory, whose database fails."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest

from api.http.dependencies import Dependencies
from app.settings import Settings
from tests.api.http_client import LIMIT_BYTES, SECRET, Broken, client_of
from tests.api.memory_stack import World, dependencies_on


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World().running() as running:
        yield running


@pytest.fixture
def pool() -> Broken:
    return Broken()


@pytest.fixture
def deps(world: World, pool: Broken) -> Dependencies:
    settings = Settings(
        jwt_secret=SECRET,
        body_limit_bytes=LIMIT_BYTES,
        cors_origin=("https://app.example",),
        command_wait_ms=2000,
    )
    return dependencies_on(world, world.node(), settings, pool)


@pytest.fixture
async def client(deps: Dependencies) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(deps) as found:
        yield found
