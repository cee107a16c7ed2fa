"""A database that goes away in the midst of something is away, and no error of ours."""

from __future__ import annotations

from typing import Any, cast

import asyncpg
import pytest

from app.errors import Unavailable
from projections.postgres.database import Database
from projections.queries.visibility import MemberVisibility


class Killed:
    """A pool whose server is killed while it answers: asyncpg then loses track of the connection's state."""

    async def fetch(self, *_: object) -> None:
        """Fail as `asyncpg.Pool.fetch` does."""
        raise asyncpg.InternalClientError("cannot switch to state 15; another operation (2) is in progress")


async def test_a_server_killed_while_it_answers_is_away() -> None:
    """One comes back later, instead of an error inside the node."""
    visibility = MemberVisibility(Database(cast("Any", Killed()), "s", "s"))
    with pytest.raises(Unavailable):
        await visibility.lists_of("ann")
