"""The read model of users: one row for each user who has a stream."""

from __future__ import annotations

import asyncpg

from app.users import User
from projections.postgres.connections import Connection, Source
from projections.postgres.primary_keys import fetch_by_id
from projections.read_models.projected import Projected

STATE_COLUMNS = tuple(User.__dataclass_fields__)
_COLUMNS = ", ".join(STATE_COLUMNS)
_LOAD = f"SELECT {_COLUMNS} FROM users"  # noqa: S608
_UPSERT = f"""
    INSERT INTO users ({_COLUMNS}) SELECT {_COLUMNS} FROM json_populate_recordset(NULL::users, $1::json)
    ON CONFLICT (id) DO UPDATE SET version = excluded.version, updated_at = excluded.updated_at
"""  # noqa: S608


async def load(source: Source, ids: list[str]) -> dict[str, User]:
    """Return the states of users by id; omit ids without a stream."""
    rows = await fetch_by_id(source, _LOAD, ids)
    return {row["id"]: user_from_row(row) for row in rows}


def user_from_row(row: asyncpg.Record) -> User:
    """Return a user from a row that starts with the columns in `STATE_COLUMNS`, in their order."""
    return User(*list(row.values())[: len(STATE_COLUMNS)])


async def write(connection: Connection, batch: list[Projected]) -> None:
    """Write the newest state of every user whose stream is in the batch."""
    newest = {
        projected.folded.after.id: projected.state
        for projected in batch
        if projected.folded.outcome == "accepted" and isinstance(projected.folded.after, User)
    }
    if newest:
        await connection.execute(_UPSERT, (b"[%s]" % b",".join(newest.values())).decode())
