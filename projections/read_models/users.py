"""The read model of users: one row for each user who has a stream."""

from __future__ import annotations

import asyncpg
from sqlalchemy import BigInteger, Column, Table, Text

from app.users import User
from projections.postgres.connections import Connection, Source
from projections.postgres.primary_keys import fetch_by_id
from projections.postgres.tables import read_models, time_column
from projections.read_models.projected import ProjectedBatch

users = Table(
    "users",
    read_models,
    Column("id", Text, primary_key=True),
    Column("version", BigInteger, nullable=False),
    time_column("created_at"),
    time_column("updated_at"),
    time_column("deleted_at", nullable=True),
)
"""The state of every user who has a stream."""

TABLES = (users,)
VERSION = 1

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


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the newest state of every user whose stream is in the batch."""
    if newest := batch.newest(User):
        await connection.execute(
            _UPSERT, (b"[%s]" % b",".join(state for _, state in newest.values())).decode()
        )
