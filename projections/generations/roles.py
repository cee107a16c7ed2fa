"""The roles that API processes and auditors' statements log in as.

The tables belong to the role that creates them, which workers log in as and write them.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import delete, insert, make_url, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from app.errors import Unavailable
from projections.audit_sql.limits import CONNECTIONS, FIXED_SETTINGS, SETTINGS
from projections.generations.fingerprints import version_of_all
from projections.generations.function_rights import let_call, take_from_public
from projections.generations.lifecycle import lacks_tables
from projections.generations.migration_lock import hold_migration_lock
from projections.generations.rights import grant_rights, let_read
from projections.postgres.database import asyncpg_dsn
from projections.postgres.engines import first_line, open_engine, quoted
from projections.postgres.live_generation import generation_schema
from projections.postgres.scram import scram_verifier
from projections.postgres.tables import database_roles, generations

Right = Literal["read", "query"]
"""The right of a role: to read all tables, as API processes do, or only the views, as auditors do."""


@dataclass(frozen=True, slots=True)
class DatabaseRole:
    """A role that logs in."""

    name: str
    password: str | None
    right: Right

    @classmethod
    def of_url(cls, url: str, right: Right) -> DatabaseRole:
        """Return the role in the URL of a database. Raise `Unavailable` if it names none."""
        parsed = make_url(asyncpg_dsn(url))
        if not parsed.username:
            raise Unavailable("a database URL for a role of its own has to name a user")
        return cls(parsed.username, parsed.password, right)


async def ensure_roles(url: str, control_schema: str, roles: Sequence[DatabaseRole]) -> list[str]:
    """Create the roles that are missing, and give them their rights, also in the generations that exist.

    A right without a role here stays with the role that has it. Return the rights that every role has, and
    that only a superuser could have taken from auditors. Raise `Unavailable`, also if a role is missing and
    cannot be created.
    """
    engine = open_engine(url, control_schema)
    try:
        async with engine.begin() as connection:
            await hold_migration_lock(connection)
            return await _ensure_all(connection, control_schema, roles)
    except (OSError, DBAPIError) as error:
        raise Unavailable(f"the roles of the database cannot be set up: {first_line(error)}") from error
    finally:
        await engine.dispose()


async def _ensure_all(
    connection: AsyncConnection, control_schema: str, roles: Sequence[DatabaseRole]
) -> list[str]:
    owner = (await connection.execute(text("SELECT current_user"))).scalar_one()
    if any(role.name == owner and role.right == "query" for role in roles):
        raise Unavailable(f"TASKTAPE_SQL_DATABASE_URL names {owner}, who owns the tables; name another role")
    roles = [role for role in roles if role.name != owner]
    for role in roles:
        await _ensure_role(connection, role)
        await connection.execute(delete(database_roles).where(database_roles.c.may == role.right))
        await connection.execute(insert(database_roles).values(name=role.name, may=role.right))
        if role.right == "read":
            await let_read(connection, control_schema, role.name)
    await _grant_in_all(connection, control_schema)
    auditors = [role.name for role in roles if role.right == "query"]
    for name in auditors:
        await _limit(connection, name)
    kept = await take_from_public(connection) if auditors else []
    await let_call(connection, [role.name for role in roles if role.right == "read"])
    return kept


async def _grant_in_all(connection: AsyncConnection, control_schema: str) -> None:
    of_ours = generations.c.version == version_of_all()
    for number in (await connection.execute(select(generations.c.number).where(of_ours))).scalars().all():
        # Views need all tables. A damaged generation is about to be replaced.
        if not await lacks_tables(connection, generation_schema(control_schema, number)):
            await grant_rights(connection, control_schema, number)


async def _ensure_role(connection: AsyncConnection, role: DatabaseRole) -> None:
    password = "" if role.password is None else f" PASSWORD '{scram_verifier(role.password)}'"
    known = await connection.execute(
        text("SELECT count(*) FROM pg_roles WHERE rolname = :name"), {"name": role.name}
    )
    if known.scalar():
        # An administrator may have created it, and then keeps its password.
        await _try(connection, f"ALTER ROLE {quoted(role.name)} LOGIN{password}")
        return
    try:
        await connection.exec_driver_sql(f"CREATE ROLE {quoted(role.name)} LOGIN{password}")
    except DBAPIError as error:
        raise Unavailable(
            f"the role {role.name} does not exist, and cannot be created: {first_line(error)}; "
            "ask an administrator of the database for it"
        ) from None


async def _limit(connection: AsyncConnection, role: str) -> None:
    """Limit what sessions of a role use, as far as it is permitted; the sessions ask for the same."""
    await _try(connection, f"ALTER ROLE {quoted(role)} CONNECTION LIMIT {CONNECTIONS}")
    for name, value in (SETTINGS | FIXED_SETTINGS).items():
        await _try(connection, f"ALTER ROLE {quoted(role)} SET {name} = '{value}'")


async def _try(connection: AsyncConnection, statement: str) -> None:
    """Execute a statement, unless it is not permitted."""
    with suppress(DBAPIError):
        async with connection.begin_nested():
            await connection.exec_driver_sql(statement)
