"""The signer of a worker, if the worker has keys."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import structlog

from app.log.ports import Clock
from app.settings import Settings
from app.structure.locks import ClusterLocks
from projections.postgres.database import Database
from projections.queries.tree_heads import TreeHeadQueries
from projections.queries.trees import TreeQueries
from streams.topics import cluster_id
from streams.tree_heads.keys import has_keys, make_keys, read_keys
from streams.tree_heads.signer import TreeHeadSigner
from streams.tree_heads.topic import TreeHeadTopic

log = structlog.get_logger()


async def open_signer(
    settings: Settings, database: Database, topic: TreeHeadTopic, locks: ClusterLocks, *, clock: Clock
) -> TreeHeadSigner | None:
    """Return the signer, or None without keys. Raise `BadSettings` or `Unavailable`."""
    if settings.tree_head_keys is None:
        return None
    path = Path(settings.tree_head_keys)
    if not has_keys(path):
        name = f"tasktape/{await cluster_id(settings.kafka_brokers)}/{settings.events_topic}"
        made = make_keys(path, name, clock())
        log.warning("a key that signs tree heads is made", file=str(path), key=str(made.public[0]))
    read_keys(path)
    return TreeHeadSigner(
        TreeQueries(database.pool),
        TreeHeadQueries(database),
        topic,
        partial(read_keys, path),
        locks,
        clock=clock,
    )
