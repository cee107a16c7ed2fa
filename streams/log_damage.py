"""Damage: differences between the log and the read models made from it, and their repair.

Kafka does not flush acknowledged records unless it is configured to, and PostgreSQL does. After a power cut
the log may therefore end before the last record folded from it. The audit has every folded record, so the
lost ones are written to the log again, at the same offsets. If other records have been written at these
offsets since, both cannot stay: the lost ones are appended at the end, where the fold judges them again, and
the read models are rebuilt from the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.errors import Undecodable, WrongLog
from app.log.fold import decoded
from app.log.records import encode
from projections.postgres.database import Database
from projections.queries.lost_records import KeptRecord, event_ids, kept_records, known_ends
from streams.event_log import KafkaEventLog
from streams.producing import Message

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Damage:
    """The damage of one partition, in offsets: equal below `shared`; log to `end`, rows to `known`."""

    partition: int
    shared: int
    end: int
    known: int

    @property
    def lost(self) -> int:
        """The number of records that the read models have and the log lacks."""
        return self.known - self.shared

    @property
    def overwritten(self) -> bool:
        """Return whether the log has other records at these offsets."""
        return self.end > self.shared

    def __str__(self) -> str:
        if self.overwritten:
            return f"partition {self.partition} has other records from {self.shared} on"
        return f"partition {self.partition} ends at {self.end} of {self.known}"


async def find_damage(event_log: KafkaEventLog, database: Database) -> list[Damage]:
    """Compare the log with the rows. Raise their errors while they are unavailable."""
    # In this order: what is written and projected in between is not lost.
    known = await known_ends(database)
    ends = await event_log.ends()
    found = [
        Damage(
            partition,
            await _shared(event_log, database, partition, ends[partition], end),
            ends[partition],
            end,
        )
        for partition, end in known.items()
    ]
    return [damage for damage in found if damage.lost]


async def _shared(event_log: KafkaEventLog, database: Database, partition: int, end: int, known: int) -> int:
    """Return the offset below which both are equal: from the first different record on, all differ."""
    low, high = 0, min(end, known)
    if await _alike(event_log, database, partition, high - 1):
        return high
    while low < high:
        middle = (low + high) // 2
        if await _alike(event_log, database, partition, middle):
            low = middle + 1
        else:
            high = middle
    return low


async def _alike(event_log: KafkaEventLog, database: Database, partition: int, offset: int) -> bool:
    """Return whether the same event is at an offset of both; before the first one nothing differs."""
    if offset < 0:
        return True
    kept, recorded_at = (await event_ids(database, partition, offset, offset + 1)).get(offset, (None, None))
    async for raw, *_ in event_log.read(partition, offset, offset + 1):
        if kept is not None:
            return dict(raw.headers).get("ce_id") == kept.encode()
        # A record that an older release could not decode may be readable by now.
        return raw.recorded_at == recorded_at or isinstance(decoded(raw), Undecodable)
    return False


async def write_back(event_log: KafkaEventLog, database: Database, damage: Damage) -> int:
    """Write the lost records of a partition again, and return how many of them are mere placeholders.

    Each gets its former offset, unless other records are there. Raise `WrongLog` if somebody else writes at
    the same time, and `Unavailable`: then it can be started again.
    """
    placeholders, first = 0, damage.shared
    while first < damage.known:
        kept = await kept_records(database, damage.partition, first, damage.known, AT_ONCE)
        if not kept:
            raise WrongLog(
                f"the audit lacks {damage.partition}:{first}; nothing can be written back from there"
            )
        positions = await event_log.write([_message(damage.partition, each) for each in kept])
        if not damage.overwritten and [offset for _, offset in positions] != [each.offset for each in kept]:
            raise WrongLog("somebody writes to the log while it is repaired: stop all workers and API nodes")
        placeholders += sum(each.record is None for each in kept)
        first = kept[-1].offset + 1
    return placeholders


def _message(partition: int, kept: KeptRecord) -> Message:
    """Return a record as it was; an undecodable one becomes another undecodable one, to keep the offsets."""
    if kept.record is None:
        key = None if kept.stream is None else kept.stream.encode()
        return Message(partition, key, b"", [("tasktape_lost", b"could not be read before it was lost")])
    return Message(partition, *encode(kept.record))


def describe(damages: Sequence[Damage], topic: str) -> str:
    """Describe the damage in one line."""
    return f"{topic} lost {sum(each.lost for each in damages)} records: {'; '.join(map(str, damages))}"


def shared_ends(damages: Sequence[Damage]) -> Mapping[int, int]:
    """Return, for each partition, the offset below which the log is unchanged."""
    return {damage.partition: damage.shared for damage in damages}
