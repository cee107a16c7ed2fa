"""Faults on the real parts. After each: the read models are the fold of the log, the audit has every record
once, every record has its update, and nothing hangs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Self
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.structs import OffsetAndMetadata

from app.errors import Unavailable
from app.ids import inbox_id
from app.lists.events import ListCreated
from app.log.records import Record, StreamResumed
from app.settings import Settings
from app.stream_ids import StreamId
from app.tasks.events import (
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskMoved,
    TaskReopened,
    TaskRestored,
)
from projections.generations.opening import open_database
from streams.agents import group_of
from streams.event_log import KafkaEventLog
from streams.producing import partition_of
from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres
from tests.folding import fold_log
from tests.integration.live_client import live
from tests.integration.stack import Stack, running
from tests.places import WorkerProcess, new_place
from tests.spec import record_of
from tests.thoroughness import examples
from tests.truth import check_place, read_whole_log, wait_until_projected
from tests.waiting import eventually

READY_LIMIT_S = 30.0
SEED = 20261123


class Load:
    """A continuous writer: mostly valid events, some stale ones, some twice."""

    def __init__(self, settings: Settings, seed: int = SEED) -> None:
        self._log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
        self._random = random.Random(seed)
        self._versions: dict[str, int] = {}
        self._lists = [str(uuid4()) for _ in range(3)]
        self.written = self._allowed = 0
        self._more = asyncio.Event()

    async def __aenter__(self) -> Self:
        owners = [
            record_of(ListCreated(f"List {n}"), 1, id=str(uuid4()), stream=f"list:{key}", actor=f"user{n}")
            for n, key in enumerate(self._lists)
        ]
        await self._log.append(owners)
        self.task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task
        await self._log.close()

    def allow(self, count: int) -> None:
        """Allow a number of further records."""
        self._allowed += count
        self._more.set()

    async def write(self, count: int) -> None:
        """Write this number of records and return when they are written."""
        self.allow(count)
        await eventually(lambda: self.written >= self._allowed, 60, "the load came to a stop")

    async def _run(self) -> None:
        while True:
            while self.written >= self._allowed:
                self._more.clear()
                await self._more.wait()
            records = [self._next() for _ in range(self._random.randint(1, 20))]
            # Whoever does not know whether it was written writes it again: the fold knows.
            while True:
                try:
                    await self._log.append(records)
                    break
                except Unavailable:
                    continue
            self.written += len(records)
            if self._random.random() < 0.1:
                await self._log.append(records)

    def _next(self) -> Record:
        dice = self._random
        if dice.random() < 0.2 or not self._versions:
            stream = f"task:{uuid4()}"
            self._versions[stream] = 1
            created = TaskCreated(dice.choice(self._lists), f"Task {len(self._versions)}", tags=("a", "b"))
            return record_of(created, 1, id=str(uuid4()), stream=stream)
        stream = dice.choice(list(self._versions)[-40:])
        events: list[TaskEvent] = [
            TaskEdited({"title": f"Title {dice.random()}"}),
            TaskEdited({"due": "2026-12-01", "time_zone": "Europe/Madrid", "priority": "high"}),
            TaskCompleted(),
            TaskReopened(),
            TaskMoved(dice.choice(self._lists)),
            TaskDeleted(),
            TaskRestored(),
        ]
        event = dice.choice(events)
        if dice.random() < 0.1:
            return record_of(event, self._versions[stream], id=str(uuid4()), stream=stream)
        self._versions[stream] += 1
        return record_of(event, self._versions[stream], id=str(uuid4()), stream=stream)


@pytest.fixture
async def place(kafka_brokers: str, database_url: str) -> Settings:
    return await new_place(kafka_brokers, database_url)


@pytest.fixture
def worker(place: Settings, tmp_path: Path) -> Iterator[WorkerProcess]:
    process = WorkerProcess(place, tmp_path)
    yield process
    process.kill()


async def started(*workers: WorkerProcess) -> None:
    for worker in workers:
        worker.start()
    for worker in workers:
        await eventually(lambda worker=worker: worker.is_ready, READY_LIMIT_S, "the worker did not get ready")  # type: ignore[misc]


async def projected(settings: Settings) -> int:
    """Return the number of records in the audit."""
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    try:
        return int(await database.pool.fetchval("SELECT count(*) FROM audit"))
    finally:
        await database.close()


async def test_worker_killed_repeatedly_under_load(place: Settings, worker: WorkerProcess) -> None:
    dice = random.Random(SEED)
    async with Load(place) as load:
        for _ in range(examples(5)):
            worker.start()
            before = await projected(place)

            async def makes_progress(before: int = before) -> bool:
                return worker.is_ready and await projected(place) > before

            await eventually(makes_progress, READY_LIMIT_S, "the worker made no progress")
            await load.write(dice.randint(1, 300))
            load.allow(100)
            worker.kill()
    await started(worker)
    await wait_until_projected(place)
    outcome = await check_place(place)
    assert {folded.outcome for folded in outcome} == {"accepted", "superseded"}


async def test_two_workers_then_three_then_one(place: Settings, tmp_path: Path) -> None:
    workers = [WorkerProcess(place, tmp_path, slot=str(slot)) for slot in range(3)]
    try:
        async with Load(place) as load:
            await started(*workers[:2])
            await load.write(500)
            await started(workers[2])
            await load.write(500)
            workers[0].kill()
            workers[1].stop()
            await load.write(500)
        await wait_until_projected(place)
        await check_place(place)
    finally:
        for worker in workers:
            worker.kill()


async def test_unreadable_bytes_park_their_stream_only(place: Settings, worker: WorkerProcess) -> None:
    await started(worker)
    stream = f"task:{uuid4()}"
    log = KafkaEventLog(place.kafka_brokers, place.events_topic, place.partitions)
    producer = AIOKafkaProducer(bootstrap_servers=list(place.kafka_brokers))
    await producer.start()
    partition = partition_of(stream.encode(), place.partitions)
    async with Load(place) as load:
        for garbage in (b"\xff\xfe", b"", None, b'{"title": 1}', b"\x00" * 100_000):
            await producer.send_and_wait(place.events_topic, key=b"\xff", value=garbage, partition=partition)
        poison = await producer.send_and_wait(
            place.events_topic, key=stream.encode(), value=b"junk", partition=partition
        )
        await load.write(300)
        await log.append(
            [record_of(TaskCreated(inbox_id("alice"), "Behind"), 1, id=str(uuid4()), stream=stream)]
        )
    await producer.stop()
    await wait_until_projected(place)
    outcome = await check_place(place)
    assert [each.reason for each in outcome if each.raw.stream == stream] == [
        "no attribute ce_id",
        f"behind {partition}:{poison.offset}",
    ]
    await release(place, log, stream, f"{partition}:{poison.offset}")
    await wait_until_projected(place)
    outcome = await check_place(place)
    assert [each.outcome for each in outcome if each.raw.stream == stream][-2:] == ["accepted", "accepted"]
    await log.close()


async def release(place: Settings, log: KafkaEventLog, stream: str, hold: str) -> None:
    """Skip the unreadable record and retry those parked behind it, as the operator's route does."""
    time = record_of(TaskCompleted(), 1).time
    resumed = StreamResumed((hold,))
    await log.append([Record(str(uuid4()), StreamId(stream), 0, time, "admin", "/tasktape/api", resumed)])
    _, outcome = fold_log(await read_whole_log(place))
    await log.append_again([each.raw for each in outcome if each.reason == f"behind {hold}"])


async def test_committed_offset_pushed_ahead_by_hand(place: Settings, worker: WorkerProcess) -> None:
    await started(worker)
    async with Load(place) as load:
        await load.write(200)
        worker.kill()
        await load.write(300)
    await push_committed_offsets_to_the_end(place)
    await started(worker)
    await wait_until_projected(place)
    await check_place(place)


async def push_committed_offsets_to_the_end(place: Settings) -> None:
    """Commit the end of the log for the workers' group, once the killed worker is out of it."""
    brokers, group = list(place.kafka_brokers), group_of(place)
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()

    async def is_empty() -> bool:
        (description,) = await admin.describe_consumer_groups([group])
        return bool(description.groups[0][2] == "Empty")

    await eventually(is_empty, READY_LIMIT_S, "the killed worker stayed in its group")
    await admin.close()
    where = [TopicPartition(place.events_topic, partition) for partition in range(place.partitions)]
    consumer = AIOKafkaConsumer(bootstrap_servers=brokers, group_id=group, enable_auto_commit=False)
    await consumer.start()
    try:
        consumer.assign(where)
        ends = await consumer.end_offsets(where)
        await consumer.commit({tp: OffsetAndMetadata(end, "") for tp, end in ends.items()})
    finally:
        await consumer.stop()


async def test_same_record_twice(place: Settings, worker: WorkerProcess) -> None:
    await started(worker)
    log = KafkaEventLog(place.kafka_brokers, place.events_topic, place.partitions)
    stream = f"task:{uuid4()}"
    created = record_of(TaskCreated(inbox_id("alice"), "Once"), 1, id=str(uuid4()), stream=stream)
    await log.append([created, created])
    # A retry that decided again on a newer state: the version is right, but the event was accepted before.
    edited = record_of(TaskEdited({"title": "Twice"}), 2, id=created.id, stream=stream)
    await log.append([edited])
    await wait_until_projected(place)
    outcome = await check_place(place)
    assert [(each.outcome, each.reason) for each in outcome] == [
        ("accepted", None),
        ("superseded", "duplicate"),
        ("superseded", "duplicate"),
    ]
    await log.close()


# --- faults of the broker and the database, on some of their own ------------------------------------------


async def test_broker_killed_and_restarted(
    own_kafka: EmbeddedKafka, database_url: str, tmp_path: Path
) -> None:
    place = await new_place(own_kafka.brokers, database_url)
    worker = WorkerProcess(place, tmp_path)
    try:
        await started(worker)
        async with Load(place) as load:
            await load.write(300)
            os.kill(own_kafka.pid, signal.SIGKILL)
            own_kafka.stop()
            assert own_kafka.start() == place.kafka_brokers[0]
            await load.write(300)
        await wait_until_projected(place)
        assert worker.is_ready
        await check_place(place)
    finally:
        worker.kill()


async def test_worker_stops_on_request_while_the_broker_is_unavailable(
    own_kafka: EmbeddedKafka, database_url: str, tmp_path: Path
) -> None:
    worker = WorkerProcess(await new_place(own_kafka.brokers, database_url), tmp_path)
    try:
        await started(worker)
        own_kafka.stop()
        assert worker.stop() == 0
    finally:
        worker.kill()


@pytest.mark.parametrize(("how", "seconds"), [("stopped", 15), ("killed", 3)])
async def test_postgres_unavailable_for_seconds(
    how: str, seconds: int, kafka_brokers: str, own_postgres: EmbeddedPostgres, tmp_path: Path
) -> None:
    place = await new_place(kafka_brokers, own_postgres.url)
    worker = WorkerProcess(place, tmp_path)
    try:
        await started(worker)
        async with Load(place) as load:
            await load.write(300)
            if how == "killed":
                os.kill(own_postgres.pid, signal.SIGKILL)
            own_postgres.stop()
            load.allow(2000)
            await asyncio.wait({load.task}, timeout=seconds)
            assert not load.task.done()
            assert own_postgres.start() == place.database_url
        await wait_until_projected(place)
        assert worker.is_ready
        await check_place(place)
    finally:
        worker.kill()


@pytest.fixture
def stack(kafka_brokers: str, own_postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Stack]:
    with running(kafka_brokers, own_postgres.url, tmp_path, nodes=1) as stack:
        yield stack


def crash(postgres: EmbeddedPostgres) -> None:
    """Kill Postgres without a flush, and start it again."""
    os.kill(postgres.pid, signal.SIGKILL)
    postgres.stop()
    postgres.start()


async def rows_of(stack: Stack) -> int:
    """Return the number of records in the rows."""
    settings = Settings.from_environment(stack.environment)
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    try:
        return int(await database.pool.fetchval("SELECT sum(next_offset) FROM checkpoints"))
    finally:
        await database.close()


async def end_of(stack: Stack) -> int:
    """Return the number of records in the log."""
    settings = Settings.from_environment(stack.environment)
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    try:
        return sum((await log.ends()).values())
    finally:
        await log.close()


async def created(client: httpx.AsyncClient) -> str:
    answer = await client.post("/api/tasks", json={"title": "Buy milk"})
    assert answer.status_code == 201, answer.text
    return answer.headers["location"]


async def test_commands_are_not_refused_by_rows_lost_in_a_crash(
    stack: Stack, own_postgres: EmbeddedPostgres
) -> None:
    """Until the worker has restored them a command may be 503, and is not decided on older rows."""
    worker = stack.parts[0].process
    async with stack.client("alice") as client, live(stack.ws_url(), stack.token("alice")) as socket:
        path = await created(client)
        worker.send_signal(signal.SIGSTOP)
        try:
            crash(own_postgres)
            assert await rows_of(stack) < await end_of(stack), "nothing was lost, so this test shows nothing"
            for method, where in (
                ("GET", path),
                ("PATCH", path),
                ("POST", f"{path}/complete"),
                ("DELETE", path),
            ):
                answer = await client.request(
                    method, where, json={"title": "X"} if method == "PATCH" else None
                )
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
                assert answer.headers["retry-after"]
            channel = f"task:{path.rpartition('/')[2]}"
            reply = await socket.request(type="subscribe", channel=channel)
            assert (reply["type"], reply["code"]) == ("error", "unavailable")
        finally:
            worker.send_signal(signal.SIGCONT)

        async def edited() -> bool:
            answer = await client.patch(path, json={"title": "Buy bread"})
            assert answer.status_code in {200, 202, 503}, answer.text
            return answer.status_code == 200

        await eventually(edited, READY_LIMIT_S)
        assert (await socket.request(type="subscribe", channel=channel))["type"] == "subscribed"


async def test_commands_during_a_crash_of_postgres_succeed_or_are_503(
    stack: Stack, own_postgres: EmbeddedPostgres
) -> None:
    """At any moment, none gets "not found" for an acknowledged task."""
    async with stack.client("alice") as client:
        for _ in range(3):
            path = await created(client)
            crashed = asyncio.create_task(asyncio.to_thread(crash, own_postgres))
            statuses: set[int] = set()

            async def edited(path: str = path, statuses: set[int] = statuses) -> bool:
                answer = await client.patch(path, json={"title": uuid4().hex})
                statuses.add(answer.status_code)
                return answer.status_code == 200

            while not crashed.done():
                await edited()
            await crashed
            await eventually(edited, READY_LIMIT_S)
            assert statuses <= {200, 202, 503}
