"""Projection of arbitrary records: the projector continues, and the rows equal the fold."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings

from app.bounds import MAX_EVENT_BYTES
from app.lists.events import ListCreated
from app.log.records import Record, encode
from app.tasks.events import Series, TaskCreated, TaskSkipped
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.read_models.registry import READ_MODELS
from projections.rebuild.following import Follower
from tests.folding import fold_log
from tests.memory_log import MemoryEventLog
from tests.projections.foreign_records import Foreign, foreign_logs
from tests.projections.test_projector import Updates
from tests.spec import LIST_ID, START, record_of
from tests.thoroughness import examples
from tests.truth import check_read_models, emptied

PARTITIONS = 2
LETTERS = 'SELECT partition, "offset", stream, holds, reason FROM dead_letters ORDER BY partition, "offset"'


@pytest.fixture(scope="module")
async def shared_database(database_url: str) -> AsyncIterator[Database]:
    schema = f"f_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    database = await open_database(database_url, schema, pool_size=4)
    yield database
    await database.close()


async def project_all(database: Database, log: MemoryEventLog) -> Updates:
    updates = Updates()
    projector = Projector(database, log.read, updates, home=log.partition_of)
    for partition, end in (await log.ends()).items():
        await projector.catch_up(partition, end)
    return updates


async def check(database: Database, log: MemoryEventLog) -> None:
    """Check that the rows equal the fold, including reasons."""
    fold, outcome = fold_log(log.records, log.partition_of)
    await check_read_models(database, fold.states.values(), outcome)
    rows = await database.pool.fetch('SELECT reason FROM audit ORDER BY partition, "offset"')
    expected = sorted(outcome, key=lambda folded: folded.raw.position)
    assert [row["reason"] for row in rows] == [folded.reason for folded in expected]
    held = {
        row["stream"]: f"{row['partition']}:{row['offset']}"
        for row in await database.pool.fetch(LETTERS)
        if row["holds"]
    }
    assert held == fold.held


async def put(log: MemoryEventLog, foreign: Foreign) -> None:
    partition = foreign.partition
    if partition < 0:
        partition = log.partition_of((foreign.key or b"").decode())
    await log._put(partition, foreign.key, foreign.value, foreign.headers)


@given(records=foreign_logs(PARTITIONS))
@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
async def test_foreign_records_are_projected_as_folded(
    shared_database: Database, records: list[Foreign]
) -> None:
    database = await emptied(shared_database)
    log = MemoryEventLog(PARTITIONS, lambda: START)
    for foreign in records:
        await put(log, foreign)
    updates = await project_all(database, log)
    await check(database, log)
    assert len(updates.emitted) == len(log.records)
    live = await tables(database)
    await emptied(database)
    await Follower(database, log).up_to(await log.ends())
    assert await tables(database) == live


async def tables(database: Database) -> dict[str, list[str]]:
    names = [table.name for read_model in READ_MODELS for table in read_model.TABLES]
    return {
        name: [
            row[0] for row in await database.pool.fetch(f"SELECT t::text AS row FROM {name} t ORDER BY row")
        ]
        for name in names
    }


async def test_unfoldable_record_is_parked_with_its_reason_and_others_continue(
    shared_database: Database,
) -> None:
    """A series whose reminders are a number."""
    database = await emptied(shared_database)
    log = MemoryEventLog(PARTITIONS, lambda: START)
    home = f"list:{LIST_ID}"
    await log.append([record_of(ListCreated("A"), 1, stream=home)])
    good, bad = (
        record_of(TaskCreated(LIST_ID, "t", recurrence="FREQ=DAILY"), 1, stream=f"task:{x}") for x in "ab"
    )
    await log.append([good])
    series = {"id": "s", "occurrence": 1, "scheduled": None, "values": {"reminders": 5}}
    data = {"list_id": LIST_ID, "title": "t", "series": series}
    await put(log, foreign_copy(bad, json.dumps(data).encode()))
    await log.append(
        [record_of(TaskSkipped("2026-03-02", "FREQ=DAILY"), 2, stream=each.stream) for each in (bad, good)]
    )
    updates = await project_all(database, log)
    await check(database, log)
    outcomes = {(each.stream, each.outcome) for each in updates.emitted}
    assert outcomes == {(home, "accepted"), (good.stream, "accepted"), (bad.stream, "parked")}
    letters = await database.pool.fetch(LETTERS)
    assert [(row["stream"], row["holds"], row["reason"]) for row in letters] == [
        (bad.stream, True, "series.values.reminders: Input should be a valid array"),
        (bad.stream, False, f"behind {letters[0]['partition']}:{letters[0]['offset']}"),
    ]


async def test_event_of_20_mib_is_parked_for_its_size(shared_database: Database) -> None:
    """Kafka accepts it compressed, but its update could never be sent."""
    database = await emptied(shared_database)
    log = MemoryEventLog(PARTITIONS, lambda: START)
    record = record_of(TaskCreated(LIST_ID, "t"), 1)
    value = json.dumps({"list_id": LIST_ID, "title": "t", "notes": "x" * 20 * 2**20}).encode()
    assert len(gzip.compress(value)) < 2**20
    await put(log, foreign_copy(record, value))
    updates = await project_all(database, log)
    await check(database, log)
    assert [each.outcome for each in updates.emitted] == ["parked"]
    reason = await database.pool.fetchval("SELECT reason FROM dead_letters")
    assert reason == f"the value has {len(value)} bytes, and an event at most {MAX_EVENT_BYTES}"


async def test_record_in_the_wrong_partition_is_parked_and_holds_nothing(
    shared_database: Database,
) -> None:
    """Its order relative to the stream's records is undefined."""
    database = await emptied(shared_database)
    log = MemoryEventLog(PARTITIONS, lambda: START)
    record = record_of(TaskCreated(LIST_ID, "t"), 1)
    home = log.partition_of(record.stream)
    await log.append([record], partition=1 - home)
    await put(log, Foreign(1 - home, record.stream.encode(), b"junk", []))
    await log.append([record])
    await project_all(database, log)
    await check(database, log)
    letters = await database.pool.fetch(LETTERS)
    assert [(row["partition"], row["stream"], row["holds"], row["reason"]) for row in letters] == [
        (1 - home, record.stream, False, "it lies in another partition than its stream")
    ] * 2
    assert await database.pool.fetchval("SELECT count(*) FROM tasks") == 1


@pytest.mark.parametrize("series", [None, Series("s", 2, "2026-03-01", {"tags": ["a"], "parent_id": None})])
async def test_own_events_are_within_the_bounds(series: Series | None) -> None:
    record = record_of(TaskCreated(LIST_ID, "t", series=series), 1)
    log = MemoryEventLog(PARTITIONS, lambda: START)
    await log.append([record])
    assert log.records[0].decode() == record


def foreign_copy(record: Record, value: bytes) -> Foreign:
    key, _, headers = encode(record)
    return Foreign(-1, key, value, headers)
