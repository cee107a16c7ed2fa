"""Missed updates: the messages of channels between two positions, read from the audit, at any age."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from app.channels import Channel
from app.errors import Unavailable
from app.log.updates import Update
from app.positions import Positions
from app.stream_ids import task_stream
from projections.postgres.connections import Connection
from projections.postgres.database import DATABASE_UNAVAILABLE, Database
from projections.postgres.id_columns import uuids_of
from projections.postgres.stream_ids import is_one_of
from projections.read_models.audit import block_of
from projections.read_models.audit_rows import update_columns, update_from_row, updates_between

_CHECKPOINTS = "SELECT partition, next_offset FROM checkpoints ORDER BY partition"

_BLOCK = "(" + block_of('a."offset"') + ")"
# Each branch is answered by one index, and reads at most the requested number of rows. The limit also keeps
# a planner that expects very many rows from scanning the whole audit.
_MISSED = f"""
WITH span AS (
    SELECT * FROM unnest($1::int[], $2::bigint[], $3::bigint[]) AS s(partition, first, last)
), place AS (
    SELECT found.* FROM unnest($4::uuid[]) AS wanted(list_id), span, LATERAL (
        SELECT a.partition, a."offset" FROM audit a
        WHERE a.list_id = wanted.list_id AND a.partition = span.partition
          AND {_BLOCK} BETWEEN {block_of("span.first")} AND {block_of("span.last")}
          AND a."offset" BETWEEN span.first AND span.last
        ORDER BY {_BLOCK}, a."offset" LIMIT $7
    ) found
    UNION
    SELECT found.* FROM unnest($4::uuid[]) AS wanted(list_id), span, LATERAL (
        SELECT a.partition, a."offset" FROM audit a
        WHERE a.left_list_id = wanted.list_id AND a.partition = span.partition
          AND a."offset" BETWEEN span.first AND span.last
        ORDER BY a."offset" LIMIT $7
    ) found
    UNION
    SELECT found.* FROM unnest($5::text[]) AS wanted(user_id), span, LATERAL (
        SELECT u.partition, u."offset" FROM audit_users u
        WHERE u.user_id = wanted.user_id AND u.partition = span.partition
          AND u."offset" BETWEEN span.first AND span.last
        ORDER BY u."offset" LIMIT $7
    ) found
    UNION
    SELECT a.partition, a."offset" FROM audit a JOIN span USING (partition)
    WHERE {is_one_of("$6", "a.stream")} AND a."offset" BETWEEN span.first AND span.last
      AND a.outcome = 'accepted' AND a.list_id IS NOT NULL
), chosen AS (
    SELECT * FROM place ORDER BY partition, "offset" LIMIT $7
), missed AS (
    SELECT found.* FROM chosen, LATERAL (
        SELECT * FROM audit a WHERE a.partition = chosen.partition AND a."offset" = chosen."offset" LIMIT 1
    ) found
)
SELECT {update_columns("missed")} FROM missed ORDER BY partition, "offset"
"""  # noqa: S608


class AuditHistory:
    """The audit of the live generation, as the relay's history. Its methods raise `Unavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def reached(self) -> dict[int, int]:
        """Return the next offset to fold of each partition: everything below it is in the audit."""
        try:
            async with self._database.pool.acquire() as connection:
                return await _checkpoints(connection)
        except DATABASE_UNAVAILABLE as error:
            raise Unavailable("the database is unavailable") from error

    async def missed(
        self, channels: Collection[Channel], since: Positions, upto: Positions, limit: int
    ) -> list[Update] | None:
        """Return the channels' updates in `(since, upto]`, in order per partition; None if more than `limit`.

        Raise `Unavailable` also if the audit has not reached `upto`.
        """
        spans = [(p, since.get(p, -1) + 1, last) for p, last in upto.items() if last > since.get(p, -1)]
        if not spans or not channels:
            return []
        try:
            async with self._database.pool.acquire() as connection:
                # A crashed database may lack its latest rows until the worker has projected them again.
                reached = await _checkpoints(connection)
                if any(reached.get(partition, 0) <= last for partition, _, last in spans):
                    raise Unavailable("the read models are behind what was relayed")
                rows = await connection.fetch(
                    _MISSED,
                    [partition for partition, _, _ in spans],
                    [first for _, first, _ in spans],
                    [last for _, _, last in spans],
                    uuids_of(_keys(channels, "list")),
                    _keys(channels, "user"),
                    [task_stream(task_id) for task_id in _keys(channels, "task")],
                    limit + 1,
                )
        except DATABASE_UNAVAILABLE as error:
            raise Unavailable("the database is unavailable") from error
        return None if len(rows) > limit else [update_from_row(row) for row in rows]

    async def between(self, partition: int, first: int, end: int, limit: int) -> list[Update]:
        """Return every update of the offsets `[first, end)` of a partition, at most `limit`, in order."""
        try:
            async with self._database.pool.acquire() as connection:
                return await updates_between(connection, partition, first, end, limit=limit)
        except DATABASE_UNAVAILABLE as error:
            raise Unavailable("the database is unavailable") from error


async def _checkpoints(connection: Connection) -> dict[int, int]:
    return {row["partition"]: row["next_offset"] for row in await connection.fetch(_CHECKPOINTS)}


def _keys(channels: Iterable[Channel], kind: str) -> list[str]:
    return [channel.key for channel in channels if channel.kind == kind]
