"""The indexes of a loaded generation, which are made after the load, and its statistics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from sqlalchemy import Index, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.schema import CreateIndex

from projections.generations import contents
from projections.postgres.engines import open_engine
from projections.postgres.live_generation import generation_schema
from projections.read_models.audit import EFFECTIVE_TIMES_OF_ALL, PASSED_ON
from projections.read_models.registry import GENERATION_TABLES, LATE_INDEXES

AT_ONCE = 2
_SETTINGS = (
    "SET maintenance_work_mem = '256MB'",
    # There are more indexes than cores, so each is made by one process.
    "SET max_parallel_maintenance_workers = 0",
)


async def make_indexes(url: str, control_schema: str, number: int) -> None:
    """Make the indexes that are missing, and what is written with their help, and analyse all tables."""
    schema = generation_schema(control_schema, number)
    engine = open_engine(url, schema)
    missing = iter(LATE_INDEXES)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(_make(engine, missing))
        async with engine.begin() as connection:
            await connection.execute(text(f'SET LOCAL search_path = "{schema}"'))
            if "audit" in await contents.read(connection, schema):
                await connection.execute(text(EFFECTIVE_TIMES_OF_ALL))
            for column in PASSED_ON:
                await connection.execute(text(f"ALTER TABLE audit ALTER {column} SET STATISTICS 0"))
            for table in GENERATION_TABLES:
                name = f'"{schema}"."{table.name}"'
                await connection.execute(text(f"ANALYZE {name}"))
                await connection.execute(text(f"ALTER TABLE {name} RESET (autovacuum_enabled)"))
    finally:
        await engine.dispose()


async def _make(engine: AsyncEngine, indexes: Iterator[Index]) -> None:
    """Make the next index until none is left, each in a transaction, on one connection."""
    async with engine.connect() as connection:
        for setting in _SETTINGS:
            await connection.execute(text(setting))
        await connection.commit()
        for index in indexes:
            await connection.execute(CreateIndex(index, if_not_exists=True))
            await connection.commit()
