"""Database that is killed during a query."""

from __future__ import annotations

from typing import Any, cast

import asyncpg
import pytest

from app.errors import Unavailable
from projections.postgres.database import Database
from projections.postgres.live_generation import LiveGeneration
from projections.queries.visibility import MemberVisibility


class Killed:
    """A pool whose server is killed while it answers: asyncpg then loses track of the connection's state."""

    async def fetch(self, *_: object) -> None:
        """Fail as `asyncpg.Pool.fetch` does."""
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")


async def test_server_killed_while_it_answers_is_unavailable() -> None:
    """Callers retry, instead of getting an internal error."""
    visibility = MemberVisibility(Database(cast("Any", Killed()), LiveGeneration("s", 1, 1), "s"))
    with pytest.raises(Unavailable):
        await visibility.lists_of("ann")
