"""The verification of a whole log: its partitions one after the other, with the tree heads of the topic."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.errors import Unavailable
from app.merkle.notes import PublicKey
from app.settings import Settings
from projections.generations.opening import open_database
from projections.postgres.database import DATABASE_UNAVAILABLE, Database
from projections.queries.tree_heads import TreeHeadQueries
from projections.queries.trees import TreeQueries
from projections.queries.verification import VerificationQueries
from streams.event_log import KafkaEventLog
from streams.rebuilding import Report
from streams.tree_heads.topic import TreeHeadTopic
from streams.verification.differences import Difference, Verified
from streams.verification.heads import Heads
from streams.verification.partition import PartitionVerification

POOL_SIZE = 2


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome: of each partition, and of the tree heads, in lines."""

    partitions: Sequence[Verified]
    heads: Heads

    @property
    def differences(self) -> list[Difference]:
        """All differences, by partition and offset."""
        return sorted(each for part in self.partitions for each in part.differences)

    @property
    def records(self) -> int:
        """The number of records that were compared."""
        return sum(part.records for part in self.partitions)

    @property
    def signed(self) -> int:
        """The number of records that a tree head contains as they are."""
        return sum(part.signed for part in self.partitions)


async def verify_log(
    settings: Settings, kept: Sequence[str], keys: Collection[PublicKey], report: Report
) -> Verification:
    """Compare the log, the audit, the trees and the tree heads; `kept` are notes of heads from elsewhere.

    Signatures must be of `keys`, or, without any, of those that the database knows. Raise `Unavailable`, and
    `WrongLog` for a log with another number of partitions.
    """
    async with _opened(settings) as (database, event_log):
        known = TreeHeadQueries(database)
        heads = Heads(settings.partitions, keys or [each.key for each in await known.keys()])
        for content in (*await _topic(settings), *kept):
            heads.add(content)
        if (last := await known.last()) is not None:
            heads.add(str(last.note))
        heads.check_growth()
        return Verification(await _compare(event_log, database, heads, report), heads)


async def _compare(
    event_log: KafkaEventLog, database: Database, heads: Heads, report: Report
) -> Sequence[Verified]:
    """Compare what was projected by now; records that follow are left."""
    queries = VerificationQueries(database)
    ends, log_ends = await TreeQueries(database.pool).sizes(), await event_log.ends()
    foreign = await queries.beyond()
    total, done = sum(ends.values()), 0

    def count(records: int) -> None:
        nonlocal done
        done += records
        report(done, total)

    parts = []
    for partition, end in ends.items():
        verification = PartitionVerification(event_log, queries, partition, heads.known)
        part = await verification.run(end, log_ends[partition], count)
        if partition in foreign and all(each.place != "audit" for each in part.differences):
            part = part.with_difference(
                Difference(partition, foreign[partition], "audit", "there is a row, and no such record")
            )
        parts.append(part)
    return parts


async def _topic(settings: Settings) -> list[str]:
    """Return the notes of the topic of tree heads."""
    topic = TreeHeadTopic(settings)
    try:
        return [content.decode(errors="replace") async for _, content in topic.read(0, await topic.end())]
    finally:
        await topic.close()


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[tuple[Database, KafkaEventLog]]:
    event_log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    database = await open_database(settings.database_url, settings.schema_name, pool_size=POOL_SIZE)
    try:
        await event_log.start()
        yield database, event_log
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    finally:
        await event_log.close()
        await database.close()
