"""The watch for another generation of the read models that a rebuild made live."""

from __future__ import annotations

import asyncio

from app.errors import Unavailable
from projections.postgres.database import DATABASE_UNAVAILABLE, Database
from streams.backoff import Backoff
from streams.supervised_loop import SupervisedLoop

CHECK_S = 1.0
WAIT_FOR: tuple[type[BaseException], ...] = (Unavailable, *DATABASE_UNAVAILABLE)


async def watch_generations(database: Database) -> None:
    """Make a database follow the live generation, for ever, also while no update names it."""

    async def step() -> None:
        await asyncio.sleep(CHECK_S)
        await database.follow()

    supervised = SupervisedLoop(
        Backoff(CHECK_S, CHECK_S), WAIT_FOR, waiting="the live generation is unknown", level="info"
    )
    await supervised.run(step)
