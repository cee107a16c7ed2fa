"""Contract of the event log, for Kafka and memory alike."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from app.errors import Unavailable, WrongLog
from app.log.ports import EventLog
from app.log.records import RawRecord, Record
from app.stream_ids import task_stream
from app.tasks.events import TaskCreated, TaskEdited
from streams.event_log import KafkaEventLog
from streams.topics import ensure_topics, events_topic
from tests.folding import fold_log
from tests.memory_log import MemoryEventLog
from tests.spec import LIST_ID, record_of

PARTITIONS = 3


@pytest.fixture(params=["memory", "kafka"])
async def log(request: pytest.FixtureRequest) -> AsyncIterator[EventLog]:
    if request.param == "memory":
        yield MemoryEventLog(PARTITIONS, lambda: datetime.now(UTC))
        return
    brokers = [request.getfixturevalue("kafka_brokers")]
    topic = f"contract-{uuid4().hex[:12]}"
    await ensure_topics(brokers, [events_topic(topic, PARTITIONS, 1)])
    kafka = KafkaEventLog(brokers, topic, PARTITIONS)
    await kafka.start()
    yield kafka
    await kafka.close()


def created(stream: str | None = None, **given: Any) -> Record:
    stream = stream or f"task:{uuid4()}"
    return record_of(TaskCreated(LIST_ID, "Buy milk"), 1, id=str(uuid4()), stream=stream, **given)


async def everything(log: EventLog) -> list[RawRecord]:
    return [
        raw
        for partition, end in (await log.ends()).items()
        async for batch in log.read(partition, 0, end)
        for raw in batch
    ]


async def test_empty_log_ends_at_zero(log: EventLog) -> None:
    assert dict(await log.ends()) == dict.fromkeys(range(PARTITIONS), 0)
    assert log.partitions == PARTITIONS


async def test_record_is_read_back_at_its_position(log: EventLog) -> None:
    records = [created() for _ in range(20)]
    positions = await log.append(records)
    found = {raw.position: raw.decode() for raw in await everything(log)}
    assert found == dict(zip(positions, records, strict=True))


async def test_offsets_are_contiguous_from_zero(log: EventLog) -> None:
    for _ in range(5):
        await log.append([created() for _ in range(7)])
    for partition, end in (await log.ends()).items():
        offsets = [raw.position.offset async for batch in log.read(partition, 0, end) for raw in batch]
        assert offsets == list(range(end))


async def test_stream_stays_in_one_partition_in_order(log: EventLog) -> None:
    stream = task_stream(str(uuid4()))
    records = [created(stream)] + [
        record_of(TaskEdited({"title": f"v{version}"}), version, stream=stream) for version in range(2, 400)
    ]
    positions = await log.append(records)
    assert {position.partition for position in positions} == {log.partition_of(stream)}
    assert positions == sorted(positions)
    fold, outcome = fold_log(await everything(log))
    assert {folded.outcome for folded in outcome} == {"accepted"}
    state = fold.states[stream]
    assert state is not None
    assert state.version == 399


async def test_bulk_append_gives_each_record_its_own_position(log: EventLog) -> None:
    records = [created() for _ in range(3000)]
    positions = await log.append(records)
    found = {raw.position: raw.decode().id for raw in await everything(log)}
    assert [found[position] for position in positions] == [record.id for record in records]


async def test_range_is_read_exactly(log: EventLog) -> None:
    stream = f"task:{uuid4()}"
    positions = await log.append([created(stream) for _ in range(50)])
    partition = positions[0].partition
    offsets = [raw.position.offset async for batch in log.read(partition, 10, 31) for raw in batch]
    assert offsets == list(range(10, 31))


async def test_empty_range_reads_nothing(log: EventLog) -> None:
    assert [batch async for batch in log.read(0, 0, 0)] == []


async def test_appending_nothing_returns_no_positions(log: EventLog) -> None:
    assert await log.append([]) == []


async def test_record_appended_again_differs_only_in_its_origin(log: EventLog) -> None:
    record = created()
    (position,) = await log.append([record])
    (original,) = await everything(log)
    (again,) = await log.append_again([original])
    assert again.partition == position.partition
    copy = next(raw for raw in await everything(log) if raw.position == again)
    assert (copy.key, copy.value) == (original.key, original.value)
    assert copy.decode().retry_of == str(position)
    (third,) = await log.append_again([copy])
    last = next(raw for raw in await everything(log) if raw.position == third)
    assert last.decode().retry_of == str(again)


async def test_records_have_the_time_of_writing(log: EventLog) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    await log.append([created()])
    (raw,) = await everything(log)
    assert before <= raw.recorded_at <= datetime.now(UTC)


async def test_unreadable_bytes_are_read_back_unchanged(log: EventLog) -> None:
    raw = RawRecord(
        (await log.append([created()]))[0], datetime.now(UTC), b"task:x", [("ce_id", b"\xff")], b"\x00"
    )
    (position,) = await log.append_again([raw])
    copy = next(each for each in await everything(log) if each.position == position)
    assert copy.value == b"\x00"
    assert copy.stream == "task:x"


async def test_kafka_log_with_other_partitions_is_refused(kafka_brokers: str) -> None:
    topic = f"contract-{uuid4().hex[:12]}"
    await ensure_topics([kafka_brokers], [events_topic(topic, 2, 1)])
    log = KafkaEventLog([kafka_brokers], topic, 3)
    with pytest.raises(WrongLog, match="2 partitions, not 3"):
        await log.start()
    await log.close()


async def test_missing_broker_is_named() -> None:
    log = KafkaEventLog(["127.0.0.1:9"], "nothing", 1)
    with pytest.raises(Unavailable):
        await log.append([created()])
    await log.close()
