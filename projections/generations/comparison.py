"""The comparison of two generations, row by row, on one snapshot of the database."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import asyncpg
from pydantic_core import from_json
from sqlalchemy import Table

from projections.postgres.database import CONNECT_TIMEOUT_S, asyncpg_dsn
from projections.read_models.registry import READ_MODELS

NAMED = 20
"""So many rows of a table are named."""
_LIVE, _REBUILT = "in the live one only", "in the rebuilt one only"
_DIFFERENT = """
    FROM {live}.{table} AS a FULL JOIN {rebuilt}.{table} AS b ON {same_key}
    WHERE a::text IS DISTINCT FROM b::text
"""


@dataclass(frozen=True, slots=True)
class Difference:
    """The rows of a table that differ: how many, and lines about the first ones."""

    table: str
    rows: int
    lines: Sequence[str]


class Comparison:
    """A snapshot of the database, on which generations are compared for as long as it takes."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self._connection = connection

    @classmethod
    async def begin(cls, url: str) -> Comparison:
        """Take the snapshot; `end` it. Raise the errors of asyncpg."""
        connection = await asyncpg.connect(asyncpg_dsn(url), timeout=CONNECT_TIMEOUT_S)
        await connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        await connection.fetchval("SELECT txid_current_if_assigned()")
        return cls(connection)

    def end(self) -> None:
        """Release the snapshot."""
        self._connection.terminate()

    async def differences(self, live: str, rebuilt: str) -> list[Difference]:
        """Compare every table of the read models in two schemas; omit those without a difference."""
        tables = [table for read_model in READ_MODELS for table in read_model.TABLES]
        found = [await self._compare(table, live, rebuilt) for table in tables]
        return [difference for difference in found if difference.rows]

    async def _compare(self, table: Table, live: str, rebuilt: str) -> Difference:
        key = [column.name for column in table.primary_key]
        different = _DIFFERENT.format(
            live=f'"{live}"',
            rebuilt=f'"{rebuilt}"',
            table=table.name,
            same_key=" AND ".join(f'a."{name}" = b."{name}"' for name in key),
        )
        order = ", ".join(f'coalesce(a."{name}", b."{name}")' for name in key)
        rows = await self._connection.fetch(
            f"SELECT to_jsonb(a) AS live, to_jsonb(b) AS rebuilt, count(*) OVER () AS rows {different} "
            f"ORDER BY {order} LIMIT {NAMED}"
        )
        return Difference(
            table.name, rows[0]["rows"] if rows else 0, [_line(table, key, row) for row in rows]
        )


def _line(table: Table, key: Sequence[str], row: asyncpg.Record) -> str:
    live, rebuilt = (_decoded(row[name]) for name in ("live", "rebuilt"))
    either = live or rebuilt or {}
    place = " ".join(str(either[name]) for name in key)
    if live is None or rebuilt is None:
        return f"{table.name} {place}: {_REBUILT if live is None else _LIVE}"
    columns = [name for name in live if live[name] != rebuilt[name]]
    return f"{table.name} {place}: different {', '.join(columns)}"


def _decoded(row: str | None) -> dict[str, Any] | None:
    return None if row is None else from_json(row)
