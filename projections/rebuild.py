"""Rebuilding: fills a new generation of the read models from the log, while another is live."""

from __future__ import annotations

from collections.abc import Mapping

import structlog

from app.log.ports import EventLog
from projections.postgres.database import Database
from projections.projector import Projector

log = structlog.get_logger()

ROUNDS = 10
"""The number of rounds in which the log's end is read again; each has only the records written meanwhile."""


async def rebuild(database: Database, event_log: EventLog) -> Mapping[int, int]:
    """Fold the whole log into `database`'s generation, from its checkpoints on, without emitting anything.

    It can be stopped and started again at any time. Return the offsets reached.
    """
    projector = Projector(database, event_log.read, updates=None, home=event_log.partition_of)
    reached: dict[int, int] = {}
    for _ in range(ROUNDS):
        ends = dict(await event_log.ends())
        if ends == reached:
            break
        for partition, end in ends.items():
            await projector.catch_up(partition, end)
        log.info("rebuilt", schema=database.schema, records=sum(ends.values()))
        reached = ends
    await projector.recover(sorted(reached))
    await projector.settle()
    return reached
