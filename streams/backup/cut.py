"""A consistent cut through the log: where each partition ends at one moment, while others write.

Kafka returns the ends of the partitions one after another. An event that was decided because of another may
lie before the end of its partition, and its cause behind the end that was read a moment earlier. The cut
therefore follows the brokers' clock, by which the log's records are stamped: it has all the records up to a
moment, and none after it. A cause is written before its effect, so no effect is in the cut without its cause.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from app.errors import Unavailable

CLOCK_TICK_S = 0.005
"""More than a tick of the brokers' clock, which counts milliseconds."""
READ_LIMIT_S = 30.0


@dataclass(frozen=True, slots=True)
class Cut:
    """The end of each partition. All records until `recorded_until` are before it; None in an empty log."""

    starts: Mapping[int, int]
    ends: Mapping[int, int]
    recorded_until: datetime | None


async def consistent_cut(brokers: Sequence[str], topic: str, partitions: int) -> Cut:
    """Return a cut that has every record that was acknowledged before the call. Raise `Unavailable`."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(brokers),
        client_id="tasktape-backup",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        request_timeout_ms=10_000,
    )
    try:
        await consumer.start()
        return await _cut(consumer, [TopicPartition(topic, each) for each in range(partitions)])
    except (OSError, KafkaError) as error:
        raise Unavailable(f"Kafka cannot be read: {error!r}") from error
    finally:
        await consumer.stop()


async def _cut(consumer: AIOKafkaConsumer, where: Sequence[TopicPartition]) -> Cut:
    starts = await consumer.beginning_offsets(where)
    ends = await consumer.end_offsets(where)
    until_ms = await _newest_ms(consumer, {tp: end for tp, end in ends.items() if end > starts[tp]})
    if until_ms is not None:
        # The clock has to pass that moment: then no more records of it are written.
        await asyncio.sleep(CLOCK_TICK_S)
        latest = await consumer.end_offsets(where)
        later = await consumer.offsets_for_times(dict.fromkeys(where, until_ms + 1))
        ends = {
            tp: max(end, latest[tp] if (at := later[tp]) is None else at.offset) for tp, end in ends.items()
        }
    return Cut(
        {tp.partition: starts[tp] for tp in where},
        {tp.partition: ends[tp] for tp in where},
        None if until_ms is None else datetime.fromtimestamp(until_ms / 1000, UTC),
    )


async def _newest_ms(consumer: AIOKafkaConsumer, ends: Mapping[TopicPartition, int]) -> int | None:
    """Return the latest of the timestamps of the last records."""
    newest: dict[TopicPartition, int] = {}
    if not ends:
        return None
    consumer.assign(list(ends))
    for tp, end in ends.items():
        consumer.seek(tp, end - 1)
    try:
        async with asyncio.timeout(READ_LIMIT_S):
            while len(newest) < len(ends):
                for tp, messages in (await consumer.getmany(timeout_ms=500)).items():
                    newest.setdefault(tp, messages[0].timestamp)
    except TimeoutError as error:
        raise Unavailable(f"the log returned nothing for {READ_LIMIT_S:.0f} s") from error
    return max(newest.values())
