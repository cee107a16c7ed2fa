"""Set-up of a deployment: topics, tables, and a generation of read models of this version."""

from __future__ import annotations

from app.settings import Settings
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import check_size
from projections.generations.rebuild_lock import rebuild_lock
from projections.generations.roles import DatabaseRole, ensure_roles
from projections.postgres.database import ensure_database
from streams.event_log import topic_ends
from streams.rebuilding import fill
from streams.topics import ensure_topics, shapes_of


async def migrate(settings: Settings) -> list[str]:
    """Create or check everything; return lines that report what was found and done.

    Raise `WrongLog` if the log is not the one that the database follows, `Unavailable` if either is
    unavailable.
    """
    identity = await ensure_topics(settings.kafka_brokers, shapes_of(settings))
    await ensure_database(settings.database_url)
    lines = [f"topic {identity.topic} with {identity.partitions} partitions: ready"]
    async with rebuild_lock(settings.database_url, settings.schema_name, wait=True):
        ends = await topic_ends(settings.kafka_brokers, identity.topic, identity.partitions)
        check_size(identity.topic, ends)
        outdated = await set_up(
            settings.database_url, settings.schema_name, identity, has_records=any(ends.values())
        )
        lines += await _ensure_roles(settings)
        return [*lines, "read models: ready" if outdated is None else await fill(settings, outdated)]


async def _ensure_roles(settings: Settings) -> list[str]:
    """Set up the roles of the settings; return lines that report it."""
    roles = []
    if settings.api_database_url is not None:
        roles.append(DatabaseRole.of_url(settings.api_database_url, "read"))
    if settings.sql_database_url is not None:
        roles.append(DatabaseRole.of_url(settings.sql_database_url, "query"))
    if not roles:
        return []
    kept = await ensure_roles(settings.database_url, settings.schema_name, roles)
    lines = [f"role {role.name}: ready" for role in roles]
    if kept:
        lines.append(
            "every role keeps rights that only a superuser can take from it, and that auditors' queries do"
            " not need: see docs/how-to/audit-sql.md"
        )
    return lines
