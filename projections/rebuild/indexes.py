"""The indexes of a loaded generation, which are made after the load, and its statistics."""

from __future__ import annotations

import asyncio

from sqlalchemy import Index, text
from sqlalchemy.ext.asyncio import AsyncEngine

from projections.generations import contents
from projections.postgres.engines import open_engine
from projections.postgres.live_generation import generation_schema
from projections.read_models.audit import EFFECTIVE_TIMES_OF_ALL
from projections.read_models.registry import GENERATION_TABLES, LATE_INDEXES

AT_ONCE = 2
_MEMORY = "SET LOCAL maintenance_work_mem = '256MB'"


async def make_indexes(url: str, control_schema: str, number: int) -> None:
    """Make the indexes that are missing, and what is written with their help, and analyse all tables."""
    schema = generation_schema(control_schema, number)
    engine = open_engine(url, schema)
    turn = asyncio.Semaphore(AT_ONCE)

    async def make(index: Index) -> None:
        async with turn:
            await _make(engine, index)

    try:
        async with asyncio.TaskGroup() as group:
            for index in LATE_INDEXES:
                group.create_task(make(index))
        async with engine.begin() as connection:
            await connection.execute(text(f'SET LOCAL search_path = "{schema}"'))
            if "audit" in await contents.read(connection, schema):
                await connection.execute(text(EFFECTIVE_TIMES_OF_ALL))
            for table in GENERATION_TABLES:
                await connection.execute(text(f'ANALYZE "{schema}"."{table.name}"'))
    finally:
        await engine.dispose()


async def _make(engine: AsyncEngine, index: Index) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(_MEMORY))
        await connection.run_sync(index.create, checkfirst=True)
