"""Backups of a real log while commands run, and what is restored from them."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.records_to_delete import RecordsToDelete

from app.errors import WrongLog
from app.lists.events import ListCreated
from app.log.records import RawRecord
from app.settings import Settings
from projections.generations.opening import open_database
from projections.queries.policies import PolicyQueries
from projections.read_models.registry import READ_MODELS
from streams.backup.backup import Written, back_up
from streams.backup.blocks import BadBackup
from streams.backup.cut import consistent_cut
from streams.backup.new_file import new_file
from streams.backup.reading import read_ends
from streams.backup.restore import check, check_restorable, restore
from streams.event_log import KafkaEventLog
from streams.migrate import migrate
from streams.policies.progress import POLL_S
from streams.policies.recurrence import PolicyLoop
from streams.producing import Message, TopicProducer
from streams.topics import ensure_topics, shapes_of
from tests.fork_server import WORKER, fork_server
from tests.integration.stack import Stack
from tests.places import environment_of, new_environment, new_place
from tests.spec import record_of
from tests.truth import read_whole_log, wait_until_projected
from tests.waiting import eventually

LIMIT_S = 60.0
PARTITIONS = 4


async def save(settings: Settings, path: Path, since: Path | None = None) -> Written:
    """Write a backup."""
    base = None if since is None else read_ends(since)
    with new_file(path) as file:
        return await back_up(settings, file, version="1", base=base, progress=lambda _done, _total: None)


async def bring_back(settings: Settings, *paths: Path) -> None:
    """Restore backups."""
    await restore(settings, check_restorable(paths, quietly), quietly)


def quietly(_label: str, _done: int, _total: int) -> None:
    """Show no progress."""


def new_settings(brokers: str, database_url: str, **more: str) -> Settings:
    """Return settings whose topics and schema do not exist."""
    return Settings.from_environment(new_environment(brokers, database_url, **more))


def as_rows(records: Sequence[RawRecord]) -> list[tuple[Any, ...]]:
    return [
        (raw.position, raw.recorded_at, raw.key, raw.value, list(raw.headers))
        for raw in sorted(records, key=lambda raw: raw.position)
    ]


# --- the cut ----------------------------------------------------------------------------------------------


async def test_cut_contains_the_cause_of_each_of_its_records(kafka_brokers: str, database_url: str) -> None:
    """Each record is written because of the one before, in another partition; it says which one that is."""
    settings = new_settings(kafka_brokers, database_url)
    await ensure_topics(settings.kafka_brokers, shapes_of(settings)[:1])
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, PARTITIONS)
    await log.start()
    assert await consistent_cut(settings.kafka_brokers, settings.events_topic, PARTITIONS)
    chance = random.Random(7)
    stop = asyncio.Event()

    async def write() -> list[Any]:
        written: list[Any] = []
        while not stop.is_set():
            place = chance.randrange(PARTITIONS)
            written += await log.write([Message(place, b"", str(len(written)).encode(), [])])
        return written

    writing = asyncio.create_task(write())
    cuts = []
    for _ in range(12):
        before = await log.ends()
        cut = await consistent_cut(settings.kafka_brokers, settings.events_topic, PARTITIONS)
        assert all(cut.ends[partition] >= end for partition, end in before.items())
        cuts.append(cut)
    stop.set()
    written = await writing
    await log.close()
    assert len(written) > 100
    for cut in cuts:
        included = [offset < cut.ends[partition] for partition, offset in written]
        assert included == sorted(included, reverse=True), (
            "a later record is in the cut, and an earlier is not"
        )


# --- bytes ------------------------------------------------------------------------------------------------


@pytest.fixture
async def odd(kafka_brokers: str, database_url: str) -> Settings:
    """Return a place whose log has records of all forms, most of them foreign."""
    settings = new_settings(kafka_brokers, database_url)
    await ensure_topics(settings.kafka_brokers, shapes_of(settings)[:1])
    chance = random.Random(11)
    for _ in range(40):
        await write(settings, [odd_message(chance) for _ in range(chance.randint(1, 40))])
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, PARTITIONS)
    await log.append([record_of(ListCreated("Last"), 1, id=str(uuid4()), stream=f"list:{uuid4()}")])
    await log.close()
    return settings


async def write(settings: Settings, messages: Sequence[Message]) -> None:
    """Write messages that may lack both key and value."""
    producer = TopicProducer(settings.kafka_brokers, settings.events_topic, idempotent=True)
    await producer.write_in_batches(messages)
    await producer.close()


def odd_message(chance: random.Random) -> Message:
    """Return a message with or without key and value, with repeated and empty headers."""

    def some_bytes() -> bytes | None:
        return chance.choice([None, b"", chance.randbytes(chance.randint(1, 300)), b"\xff\x00{}"])

    headers = [(chance.choice(["ce_id", "ce_id", "", "é"]), some_bytes()) for _ in range(chance.randrange(5))]
    value = chance.choice([some_bytes(), chance.randbytes(9_000)])  # so that there are several blocks
    return Message(chance.randrange(PARTITIONS - 1), some_bytes(), value, headers)


async def test_restored_log_is_equal_byte_for_byte(
    odd: Settings, kafka_brokers: str, database_url: str, tmp_path: Path
) -> None:
    """Also if the restore is interrupted, and continued; until then nothing starts on it."""
    full, later, last = (tmp_path / name for name in ("full", "later", "last"))
    await save(odd, full)
    await write(odd, [odd_message(random.Random(seed)) for seed in range(200)])
    increment = await save(odd, later, full)
    assert increment.footer.records == 200
    assert (await save(odd, last, later)).footer.records == 0
    assert full.stat().st_mode & 0o077 == 0
    target = new_settings(kafka_brokers, database_url)
    count = increment.header.records + sum(start.offset for start in increment.header.starts)
    for stop_at in (1, count // 2, count):
        with pytest.raises(ZeroDivisionError):
            await restore(target, check_restorable([full, later, last], quietly), interrupted_at(stop_at))
        with pytest.raises(
            WrongLog, match="if a restore of it was interrupted, run `tasktape restore` again"
        ):
            await migrate(target)
    with pytest.raises(WrongLog, match=r"the log has a record \d:\d+, which .*full lacks"):
        await bring_back(target, full)
    await bring_back(target, full, later, last)
    before = as_rows(await read_whole_log(odd))
    assert as_rows(await read_whole_log(target)) == before
    with pytest.raises(WrongLog, match=r"has [\d,]+ records already: a restore needs an empty instance"):
        await bring_back(target, full)
    again = await save(target, tmp_path / "again")
    assert again.footer.ends == (await save(odd, tmp_path / "whole")).footer.ends
    assert (await save(target, tmp_path / "next", last)).footer.records == 0, (
        "increments go on after a restore"
    )
    await migrate(target)
    await log_takes_the_brokers_time(target)


def interrupted_at(number: int) -> Any:
    """Return a progress that fails when so many records are restored."""

    def fail(label: str, done: int, _total: int) -> None:
        if label == "Restoring" and done >= number:
            raise ZeroDivisionError

    return fail


async def log_takes_the_brokers_time(settings: Settings) -> None:
    """Check that the topic is in its usual shape."""
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, PARTITIONS)
    began = datetime.now(UTC)
    [(partition, offset)] = await log.write([Message(0, b"", b"", [], timestamp_ms=1)])
    async for raw, *_ in log.read(partition, offset, offset + 1):
        assert (raw.recorded_at - began).total_seconds() > -1
    await log.close()


async def test_damaged_backup_writes_nothing(
    odd: Settings, kafka_brokers: str, database_url: str, tmp_path: Path
) -> None:
    path = tmp_path / "full"
    await save(odd, path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    target = new_settings(kafka_brokers, database_url)
    with pytest.raises(BadBackup, match=r"full is damaged at byte \d+: the bytes of block \d+"):
        await bring_back(target, path)
    with pytest.raises(BadBackup, match="is damaged at byte"):
        check([path], quietly)
    await migrate(target)  # nothing is there


async def test_log_without_its_first_records_is_refused(odd: Settings, tmp_path: Path) -> None:
    """Their offsets cannot be made again."""
    admin = AIOKafkaAdminClient(bootstrap_servers=list(odd.kafka_brokers))
    await admin.start()
    await admin.delete_records({TopicPartition(odd.events_topic, 1): RecordsToDelete(before_offset=3)})
    await admin.close()
    with pytest.raises(WrongLog, match="begins at 1:3; the records before it are gone"):
        await save(odd, tmp_path / "full")
    assert not await asyncio.to_thread(lambda: list(tmp_path.iterdir()))


async def test_bases_of_other_logs_are_refused(
    odd: Settings, kafka_brokers: str, database_url: str, tmp_path: Path
) -> None:
    """A log that is shorter, or has other records in their places."""
    base = tmp_path / "base"
    await save(odd, base)
    other = await new_place(kafka_brokers, database_url)
    with pytest.raises(BadBackup, match=r"before .*base: make a full backup"):
        await save(other, tmp_path / "increment", base)
    log = KafkaEventLog(other.kafka_brokers, other.events_topic, PARTITIONS)
    for partition, end in (await read_ends_of(odd)).items():
        await log.write([Message(partition, b"", b"", [])] * end)
    await log.close()
    with pytest.raises(BadBackup, match="the log has another record at 0:"):
        await save(other, tmp_path / "increment", base)
    with pytest.raises(BadBackup, match=r"base exists; give another name, or --force"):
        await save(odd, base)
    assert await asyncio.to_thread(lambda: [path.name for path in tmp_path.iterdir()]) == ["base"]
    eight = new_settings(kafka_brokers, database_url, TASKTAPE_PARTITIONS="8")
    with pytest.raises(BadBackup, match="has 4 partitions, but 8 are configured: set TASKTAPE_PARTITIONS=4"):
        await bring_back(eight, base)


async def read_ends_of(settings: Settings) -> dict[int, int]:
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    try:
        return dict(await log.ends())
    finally:
        await log.close()


# --- an instance ------------------------------------------------------------------------------------------


async def commands(stack: Stack, stop: asyncio.Event) -> None:
    """Give commands of several kinds, one after another, until `stop` is set."""
    async with stack.client(f"saver-{uuid4().hex[:8]}") as client:
        for number in count():
            given = {"title": f"Task {number}", "due": "2026-12-01", "recurrence": "FREQ=DAILY"}
            task = (await client.post("/api/tasks", json=given)).json()
            path = f"/api/tasks/{task['id']}"
            await client.patch(path, json={"notes": "ünï", "reminders": [{"at": "2031-01-01T10:00:00Z"}]})
            await client.post(f"{path}/comments", json={"text": "said"})
            await client.post(f"{path}/complete")
            if number % 3 == 0:
                await client.delete(path)
            if stop.is_set():
                return


async def tables(settings: Settings) -> dict[str, list[str]]:
    """Return all rows of all read models."""
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    try:
        return {
            table.name: sorted(str(tuple(row)) for row in await database.pool.fetch(f"SELECT * FROM {table}"))
            for read_model in READ_MODELS
            for table in read_model.TABLES
        }
    finally:
        await database.close()


async def test_instance_is_saved_while_commands_run_and_restored(
    running_stack: Stack, tmp_path: Path
) -> None:
    """States, history and audit are equal row by row, and policies do nothing again."""
    source = Settings.from_environment(running_stack.environment)
    stop = asyncio.Event()
    writing = asyncio.create_task(commands(running_stack, stop))
    paths = [tmp_path / f"{number}.ttb" for number in range(3)]
    for path, since in zip(paths, [None, *paths], strict=False):
        arguments = ["backup", str(path), "--json", *(["--since", str(since)] if since else [])]
        status, out, err = await fork_server(WORKER).run(tuple(arguments), running_stack.environment)
        assert (status, err) == (0, "")
        assert json.loads(out)["file_bytes"] == path.stat().st_size
    stop.set()
    await writing
    for number in count():  # until nothing was written between the backup and the look at the rows
        await wait_until_projected(source)
        paths.append(tmp_path / f"last-{number}.ttb")
        written = await save(source, paths[-1], paths[-2])
        rows = await tables(source)
        if await read_ends_of(source) == written.header.ends:
            break
    target = new_settings(",".join(source.kafka_brokers), source.database_url)
    status, out, err = await fork_server(WORKER).run(("restore", *map(str, paths)), environment_of(target))
    assert (status, err) == (0, "")
    assert f"Restored {sum(written.header.ends.values()):,} records" in out
    await check_refusals(source, target, paths)
    assert await tables(target) == rows
    assert as_rows(await read_whole_log(target)) == as_rows(await read_whole_log(source))
    assert written.header.policies is not None
    for policies in (written.header.policies, {}):
        await check_policies_do_nothing(target, policies)


async def check_refusals(source: Settings, target: Settings, paths: Sequence[Path]) -> None:
    """Check that only an empty instance that does not run takes a backup."""
    empty = new_settings(",".join(source.kafka_brokers), source.database_url)
    for changed, reason in (
        ({"events_topic": source.events_topic}, "has .* records already: a restore needs an empty instance"),
        ({"updates_topic": source.updates_topic}, "task-updates-.* has .* records already"),
        ({"schema_name": source.schema_name}, "the worker 0 runs: stop all workers and API nodes first"),
    ):
        with pytest.raises(WrongLog, match=reason):
            await bring_back(empty.model_copy(update=changed), *paths)
    await migrate(empty)  # nothing of it was written
    filled = {"schema_name": target.schema_name}
    await migrate(target)
    with pytest.raises(WrongLog, match=r"the database has read models of .* records"):
        await bring_back(empty.model_copy(update=filled), *paths)


async def check_policies_do_nothing(settings: Settings, checkpoints: Mapping[int, int]) -> None:
    """Check that policies append nothing, whether or not the backup says how far they were."""
    database = await open_database(settings.database_url, settings.schema_name, pool_size=2)
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    table = f'"{database.control_schema}".policy_checkpoints'
    if not checkpoints:
        await database.pool.execute(f"TRUNCATE {table}")
    found = {
        row["partition"]: row["next_offset"] for row in await database.pool.fetch(f"SELECT * FROM {table}")
    }
    assert found == checkpoints
    ends = dict(await log.ends())
    loop = PolicyLoop(
        PolicyQueries(database), log, lambda: frozenset(range(PARTITIONS)), clock=lambda: datetime.now(UTC)
    )

    async def done() -> bool:
        return await loop.round() == POLL_S

    await eventually(done, LIMIT_S)
    assert await log.ends() == ends
    await log.close()
    await database.close()
