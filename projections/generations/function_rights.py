"""Rights that every role of PostgreSQL has, and that auditors' statements may not have: taken from `PUBLIC`.

Functions that wait or have an effect are volatile. API processes get back those that they call. Only a
superuser can take them, and the owner of the database some of the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from projections.audit_sql.functions import ALLOWED
from projections.postgres.engines import quoted

REPORTING = "^pg_(is_|last_|current_wal|stat_get_|lock_status|.*_size$)"
"""The volatile functions that only report: other programs on the server call them."""
CALLED = "^(set_config|pg_(try_)?advisory_.*)$"
"""The volatile functions that API processes call."""
_FUNCTIONS = """
    SELECT p.oid::regprocedure::text FROM pg_proc AS p
    WHERE p.pronamespace = 'pg_catalog'::regnamespace AND p.prokind = 'f' AND p.provolatile = 'v'
"""
_PUBLIC = f"""{_FUNCTIONS}
    AND p.proname <> ALL(:allowed) AND p.proname !~ :reporting
    AND has_function_privilege('public', p.oid, 'EXECUTE') ORDER BY 1
"""
_LACKING = (
    f"{_FUNCTIONS} AND p.proname ~ :called AND NOT has_function_privilege(:role, p.oid, 'EXECUTE') ORDER BY 1"
)
_OTHERS = """
    SELECT format('TEMPORARY ON DATABASE %I', current_database())
    WHERE has_database_privilege('public', current_database(), 'TEMPORARY')
    UNION ALL SELECT 'USAGE ON SCHEMA public'
    WHERE to_regnamespace('public') IS NOT NULL AND has_schema_privilege('public', 'public', 'USAGE')
    UNION ALL SELECT format('USAGE ON LANGUAGE %I', lanname) FROM pg_language
    WHERE lanpltrusted AND has_language_privilege('public', oid, 'USAGE')
"""


async def take_from_public(connection: AsyncConnection) -> list[str]:
    """Take the rights from `PUBLIC`; return those that it kept."""
    for right in await _public_rights(connection):
        with suppress(DBAPIError):
            async with connection.begin_nested():
                await connection.exec_driver_sql(f"REVOKE {right} FROM PUBLIC")
    return await _public_rights(connection)


async def _public_rights(connection: AsyncConnection) -> list[str]:
    names = {"allowed": sorted(ALLOWED), "reporting": REPORTING}
    functions = (await connection.execute(text(_PUBLIC), names)).scalars().all()
    others = (await connection.execute(text(_OTHERS))).scalars().all()
    return [*([f"EXECUTE ON FUNCTION {', '.join(functions)}"] if functions else []), *others]


async def let_call(connection: AsyncConnection, roles: Sequence[str]) -> None:
    """Let the roles of API processes call the functions that they need."""
    for role in roles:
        found = await connection.execute(text(_LACKING), {"called": CALLED, "role": role})
        if functions := found.scalars().all():
            await connection.exec_driver_sql(
                f"GRANT EXECUTE ON FUNCTION {', '.join(functions)} TO {quoted(role)}"
            )
