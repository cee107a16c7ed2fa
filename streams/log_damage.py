"""Damage: where the log is not the one that the read models were made from, and what mends it.

Kafka does not flush what it acknowledges, unless it is told to, and PostgreSQL does: after a power cut the
log may end before what was folded from it. The audit has every record that was folded, so the log is given
back what it lost, at the same offsets. If others were written in their places since, both cannot stay: the
lost ones go to the end, where the fold judges them anew, and the read models are made again from the log.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.errors import Undecodable, WrongLog
from app.log.records import encode
from projections.postgres.database import Database
from projections.queries.lost_records import KeptRecord, event_ids, kept_records, known_ends
from streams.event_log import KafkaEventLog
from streams.producing import Message

AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Damage:
    """One partition, in offsets: alike below `shared`; the log goes to `end`, and the rows to `known`."""

    partition: int
    shared: int
    end: int
    known: int

    @property
    def lost(self) -> int:
        """How many records the read models know that the log lacks."""
        return self.known - self.shared

    @property
    def overwritten(self) -> bool:
        """Tell whether the log has other records where those were."""
        return self.end > self.shared

    def __str__(self) -> str:
        if self.overwritten:
            return f"partition {self.partition} has other records from {self.shared} on"
        return f"partition {self.partition} ends at {self.end} of {self.known}"


async def find_damage(event_log: KafkaEventLog, database: Database) -> list[Damage]:
    """Compare the log with the rows. Raises what they raise while they are away."""
    ends, known = await event_log.ends(), await known_ends(database)
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
    """Return up to where both are alike: from the first record that differs on, all do."""
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
    """Tell whether the same event is at an offset of both; before the first one nothing differs."""
    if offset < 0:
        return True
    kept = (await event_ids(database, partition, offset, offset + 1)).get(offset)
    async for raw, *_ in event_log.read(partition, offset, offset + 1):
        try:
            return raw.decode().id == kept
        except Undecodable:
            return kept is None
    return False


async def write_back(event_log: KafkaEventLog, database: Database, damage: Damage) -> int:
    """Write what a partition lost to it again, and return how many of its records are mere placeholders.

    Unless others are in their places, each gets its former offset. Raises `WrongLog` if somebody else writes
    at the same time, and `Unavailable`: then it may be begun again.
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
    """A record as it was; one that could not be read is one that can't be, so that offsets stay."""
    if kept.record is None:
        key = None if kept.stream is None else kept.stream.encode()
        return Message(partition, key, b"", [("tasktape_lost", b"could not be read before it was lost")])
    return Message(partition, *encode(kept.record))


def in_words(damages: Sequence[Damage], topic: str) -> str:
    """Say what is wrong, in one line."""
    return f"{topic} lost {sum(each.lost for each in damages)} records: {'; '.join(map(str, damages))}"


def shared_ends(damages: Sequence[Damage]) -> Mapping[int, int]:
    """Partition → up to where the log is still what it was."""
    return {damage.partition: damage.shared for damage in damages}
