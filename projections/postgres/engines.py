"""Engines of SQLAlchemy for set-up work."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from projections.postgres.database import sqlalchemy_url


def open_engine(url: str, control_schema: str) -> AsyncEngine:
    """Return an engine for set-up work, whose control tables are in `control_schema`."""
    return create_async_engine(
        sqlalchemy_url(url),
        poolclass=NullPool,
        execution_options={"schema_translate_map": {None: control_schema}},
    )


def quoted(name: str) -> str:
    """Return a name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def first_line(error: BaseException) -> str:
    """Return the first line of an error of such an engine, without the statement that failed."""
    origin = getattr(error, "orig", None) or error
    return str(origin).strip().partition("\n")[0]
