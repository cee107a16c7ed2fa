"""Projector on a real PostgreSQL: after any failures the tables are the fold of the log."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any
from uuid import uuid4
from zlib import crc32

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.errors import Unavailable
from app.lists.events import ListCreated, ListRenamed
from app.log.event_types import event_types
from app.log.records import EVENT_CLASSES, RawRecord, Record, StreamResumed, decode, encode
from app.log.updates import Update
from app.positions import Position
from app.stream_ids import StreamId
from app.tasks.events import TaskCompleted, TaskCreated, TaskEdited
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.checkpoints import Mismatch
from projections.postgres.database import Database
from projections.projector import Projector
from projections.rebuild.following import Follower
from tests.folding import fold_log, update_of
from tests.memory_log import MemoryEventLog
from tests.spec import LIST_ID, START, record_of
from tests.thoroughness import examples
from tests.truth import check_read_models, emptied

PARTITIONS = 2


class Updates:
    """An update log in memory that can be made to fail."""

    def __init__(self) -> None:
        self.emitted: list[Update] = []
        self.failures = 0

    async def emit(self, updates: Sequence[Update]) -> None:
        if self.failures:
            self.failures -= 1
            # Half of it arrives before it breaks.
            self.emitted += updates[: len(updates) // 2]
            raise Unavailable("the broker went away")
        self.emitted += updates

    def check(self, log: MemoryEventLog) -> None:
        """Check that every record has its update, first appearances in order without a gap."""
        truth = {folded.raw.position: update_of(folded) for folded in fold_log(log.records)[1]}
        seen: dict[int, list[int]] = {partition: [] for partition in range(PARTITIONS)}
        for update in self.emitted:
            assert (update.outcome, update.channels) == (
                truth[update.position].outcome,
                truth[update.position].channels,
            )
            offsets = seen[update.position.partition]
            if update.position.offset not in offsets:
                offsets.append(update.position.offset)
        assert sum(len(offsets) for offsets in seen.values()) == len(truth)
        assert all(offsets == list(range(len(offsets))) for offsets in seen.values())


@pytest.fixture(scope="module")
async def shared_database(database_url: str) -> AsyncIterator[Database]:
    schema = f"p_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    database = await open_database(database_url, schema, pool_size=4)
    yield database
    await database.close()


@pytest.fixture
async def database(shared_database: Database) -> Database:
    return await emptied(shared_database)


@pytest.fixture
def log() -> MemoryEventLog:
    return MemoryEventLog(PARTITIONS, lambda: START)


@pytest.fixture
def updates() -> Updates:
    return Updates()


async def check(database: Database, log: MemoryEventLog) -> None:
    fold, outcome = fold_log(log.records)
    await check_read_models(database, fold.states.values(), outcome)


async def history(log: MemoryEventLog, tasks: int = 5, versions: int = 4) -> None:
    """Append the histories of some tasks."""
    for _ in range(tasks):
        stream = f"task:{uuid4()}"
        await log.append(
            [record_of(TaskCreated(LIST_ID, "Buy milk"), 1, id=str(uuid4()), stream=stream)]
            + [
                record_of(TaskEdited({"title": f"v{v}"}), v, id=str(uuid4()), stream=stream)
                for v in range(2, versions + 1)
            ]
        )


async def batch_of(log: MemoryEventLog, first: int = 0, end: int | None = None) -> dict[int, list[RawRecord]]:
    return {
        partition: [
            raw
            async for part in log.read(partition, first, last if end is None else min(end, last))
            for raw in part
        ]
        for partition, last in (await log.ends()).items()
    }


async def test_updates_of_tasks_name_the_last_change_of_their_lists(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    """If that is in another partition; also when they are emitted again from the audit."""
    home = f"list:{LIST_ID}"
    await log.append(
        [
            record_of(ListCreated("A"), 1, id=str(uuid4()), stream=home),
            record_of(ListRenamed("B"), 2, id=str(uuid4()), stream=home),
        ]
    )
    changed = log.records[-1].position
    await history(log, tasks=8, versions=1)
    projector = Projector(database, log.read, updates)
    await projector.project(await batch_of(log))

    def afters() -> dict[Position, tuple[Position, ...]]:
        received = {update.position: update.after for update in updates.emitted}
        return {raw.position: received[raw.position] for raw in log.records[2:]}

    expected = {
        raw.position: () if raw.position.partition == changed.partition else (changed,)
        for raw in log.records[2:]
    }
    assert set(expected.values()) == {(), (changed,)}
    assert afters() == expected
    updates.emitted.clear()
    await database.pool.execute("UPDATE checkpoints SET emitted_offset = 0")
    await Projector(database, log.read, updates).recover(range(PARTITIONS))
    assert afters() == expected


async def test_batch_is_projected_and_emitted(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    await history(log)
    await Projector(database, log.read, updates).project(await batch_of(log))
    await check(database, log)
    updates.check(log)


async def test_repeated_batch_changes_nothing(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    await history(log)
    for _ in range(2):
        await Projector(database, log.read, updates).project(await batch_of(log))
    await check(database, log)
    updates.check(log)


async def test_gap_before_the_batch_is_read_from_the_log(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    await history(log)
    projector = Projector(database, log.read, updates)
    await projector.project({partition: records[-1:] for partition, records in (await batch_of(log)).items()})
    await check(database, log)
    updates.check(log)
    assert projector.counts.refilled > 0


async def test_gap_inside_the_batch_is_read_from_the_log(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    await history(log)
    batch = {
        partition: [raw for raw in records if raw.position.offset % 3 != 1]
        for partition, records in (await batch_of(log)).items()
    }
    await Projector(database, log.read, updates).project(batch)
    assert {p: records[-1].position.offset for p, records in batch.items() if records} == {
        p: c.next_offset - 1
        for p, c in (await Projector(database, log.read, None).checkpoints(range(PARTITIONS))).items()
        if c.next_offset
    }


async def test_committed_records_are_emitted_by_the_next_projector(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    await history(log)
    updates.failures = 1
    with pytest.raises(Unavailable):
        await Projector(database, log.read, updates).project(await batch_of(log))
    await check(database, log)
    await Projector(database, log.read, updates).recover(range(PARTITIONS))
    updates.check(log)


async def test_committed_records_are_emitted_before_later_ones(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    """Subscribers get updates in the log's order, after any failure."""
    await history(log, tasks=1)
    projector = Projector(database, log.read, updates)
    updates.failures = 1
    with pytest.raises(Unavailable):
        await projector.project(await batch_of(log, 0, 1))
    await projector.project(await batch_of(log, 1))
    updates.check(log)


async def test_listener_gets_every_record_once_it_is_committed(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    """Also those read to fill a gap, and not those committed before."""
    got: list[Position] = []
    await history(log)
    projector = Projector(
        database,
        log.read,
        updates,
        [lambda _, projected: got.extend(each.folded.raw.position for each in projected)],
    )
    await projector.project(await batch_of(log, 3))
    await projector.project(await batch_of(log))
    assert sorted(got) == [raw.position for raw in log.records]


async def test_overtaken_projector_starts_over_from_the_tables(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    """Its cached states are stale once another one moved the checkpoint."""
    await history(log, tasks=2, versions=2)
    zombie, successor = (Projector(database, log.read, updates) for _ in range(2))
    await zombie.project(await batch_of(log))
    streams = {record.stream for raw in log.records if (record := raw.decode())}
    for version in (3, 4):
        before = max((await log.ends()).values())
        for stream in streams:
            await log.append(
                [record_of(TaskEdited({"title": f"v{version}"}), version, id=str(uuid4()), stream=stream)]
            )
        assert max((await log.ends()).values()) > before
        await (successor if version == 3 else zombie).project(await batch_of(log))
    await check(database, log)
    updates.check(log)


async def test_two_concurrent_projectors_do_everything_once(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    await history(log, tasks=20)
    both = [Projector(database, log.read, updates) for _ in range(2)]
    ends = await log.ends()

    async def bring_to_end(projector: Projector) -> None:
        for first in range(0, max(ends.values()), 7):
            await projector.project(await batch_of(log, first, first + 7))

    await asyncio.gather(*map(bring_to_end, both))
    for projector in both:
        await projector.recover(range(PARTITIONS))
    await check(database, log)
    updates.check(log)


async def test_unreadable_record_holds_only_its_stream(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    await history(log)
    held = f"task:{uuid4()}"
    created = record_of(TaskCreated(LIST_ID, "Buy milk"), 1, id=str(uuid4()), stream=held)
    (position,) = await log.append([created])
    (poison,) = await log.append_again([poisoned(position, held)])
    await log.append([record_of(TaskCompleted(), 2, id=str(uuid4()), stream=held)])
    await history(log)
    projector = Projector(database, log.read, updates)
    await projector.project(await batch_of(log))
    await check(database, log)
    updates.check(log)
    rows = await database.pool.fetch('SELECT "offset", holds, attempts FROM dead_letters ORDER BY "offset"')
    assert [(row["offset"] == poison.offset, row["holds"], row["attempts"]) for row in rows] == [
        (True, True, 1),
        (False, False, 1),
    ]


async def test_skip_releases_the_stream(database: Database, log: MemoryEventLog, updates: Updates) -> None:
    stream = f"task:{uuid4()}"
    (position,) = await log.append(
        [record_of(TaskCreated(LIST_ID, "Buy milk"), 1, id=str(uuid4()), stream=stream)]
    )
    (poison,) = await log.append_again([poisoned(position, stream)])
    (behind,) = await log.append([record_of(TaskCompleted(), 2, id=str(uuid4()), stream=stream)])
    projector = Projector(database, log.read, updates)
    await projector.project(await batch_of(log))
    resumed = StreamResumed((str(poison),))
    await log.append([Record(str(uuid4()), StreamId(stream), 0, START, "admin", "/tasktape/api", resumed)])
    await log.append_again([raw for raw in log.records if raw.position == behind])
    await projector.project(await batch_of(log))
    await check(database, log)
    updates.check(log)
    assert await database.pool.fetchval("SELECT count(*) FROM dead_letters") == 0
    assert await database.pool.fetchval("SELECT status FROM tasks WHERE id = $1", stream[5:]) == "done"


async def test_failing_retry_counts_as_an_attempt(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    stream = f"task:{uuid4()}"
    (position,) = await log.append(
        [record_of(TaskCreated(LIST_ID, "Buy milk"), 1, id=str(uuid4()), stream=stream)]
    )
    (poison,) = await log.append_again([poisoned(position, stream)])
    for _ in range(2):
        await log.append_again([raw for raw in log.records if raw.position == poison])
    await Projector(database, log.read, updates).project(await batch_of(log))
    rows = await database.pool.fetch('SELECT "offset", holds, attempts FROM dead_letters')
    assert [tuple(row) for row in rows] == [(poison.offset, True, 3)]
    await check(database, log)


async def test_record_of_a_newer_release_takes_effect_when_retried_after_an_upgrade(
    database: Database, log: MemoryEventLog, updates: Updates, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = f"task:{uuid4()}"
    newer = event_types(EVENT_CLASSES, {TaskEdited.type: (lambda data: data,)})
    created = record_of(TaskCreated(LIST_ID, "Buy milk"), 1, id=str(uuid4()), stream=stream)
    edited = record_of(TaskEdited({"title": "Buy oats"}), 2, id=str(uuid4()), stream=stream)
    (first,) = await log.append([created])
    key, value, headers = encode(edited, newer)
    (held,) = await log.append_again([RawRecord(first, START, key, headers, value)])
    (behind,) = await log.append([record_of(TaskCompleted(), 3, id=str(uuid4()), stream=stream)])
    projector = Projector(database, log.read, updates)
    await projector.project(await batch_of(log))
    rows = await database.pool.fetch('SELECT holds, reason FROM dead_letters ORDER BY "offset"')
    assert [row["holds"] for row in rows] == [True, False]
    assert "the newest known version of task.edited is 1" in rows[0]["reason"]
    assert rows[0]["reason"].endswith("upgrade this one, then retry")

    monkeypatch.setattr("app.log.records.decode", partial(decode, types=newer))
    await log.append_again([raw for raw in log.records if raw.position in {held, behind}])
    await projector.project(await batch_of(log))
    assert await database.pool.fetchval("SELECT count(*) FROM dead_letters") == 0
    row = await database.pool.fetchrow("SELECT title, status FROM tasks WHERE id = $1", stream[5:])
    assert row is not None
    assert tuple(row) == ("Buy oats", "done")


async def test_junk_behind_skipped_junk_holds_the_stream_and_is_parked_once(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    """At the position of its copy, with all its attempts, and gone once skipped."""
    stream = f"task:{uuid4()}"
    (position,) = await log.append(
        [record_of(TaskCreated(LIST_ID, "Buy milk"), 1, id=str(uuid4()), stream=stream)]
    )
    first, second = await log.append_again([poisoned(position, stream)] * 2)
    projector = Projector(database, log.read, updates)

    async def skip(hold: Position, *behind: Position) -> list[Position]:
        resumed = StreamResumed((str(hold),))
        await log.append(
            [Record(str(uuid4()), StreamId(stream), 0, START, "admin", "/tasktape/api", resumed)]
        )
        copies = await log.append_again([raw for raw in log.records if raw.position in behind])
        await projector.project(await batch_of(log))
        await check(database, log)
        return copies

    [copy] = await skip(first, second)
    rows = await database.pool.fetch('SELECT "offset", holds, attempts FROM dead_letters')
    assert [tuple(row) for row in rows] == [(copy.offset, True, 2)]
    await skip(copy)
    assert await database.pool.fetchval("SELECT count(*) FROM dead_letters") == 0


async def test_unwritable_record_is_parked_and_the_rest_of_its_batch_is_projected(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    """For any reason: here a constraint of the database."""
    stream = f"task:{uuid4()}"
    await history(log)
    await log.append([record_of(TaskCreated(LIST_ID, "odd"), 1, id=str(uuid4()), stream=stream)])
    await history(log)
    await database.pool.execute("ALTER TABLE tasks ADD CONSTRAINT no_odd CHECK (title <> 'odd')")
    try:
        await Projector(database, log.read, updates).project(await batch_of(log))
    finally:
        await database.pool.execute("ALTER TABLE tasks DROP CONSTRAINT no_odd")
    row = await database.pool.fetchrow("SELECT stream, reason FROM dead_letters")
    assert row is not None
    assert row["stream"] == stream
    assert row["reason"].startswith("it cannot be projected: CheckViolationError")
    assert await database.pool.fetchval("SELECT count(*) FROM audit") == len(log.records)
    assert await database.pool.fetchval("SELECT count(*) FROM tasks") == 10
    assert len(updates.emitted) == len(log.records)


async def test_batch_for_a_moved_checkpoint_writes_nothing(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    await history(log)
    projector = Projector(database, log.read, updates)
    batch = {partition: records for partition, records in (await batch_of(log)).items() if records}
    await projector.project(batch)
    before = await database.pool.fetchval("SELECT count(*) FROM audit")
    with pytest.raises(Mismatch):
        await projector._commit(batch)
    assert await database.pool.fetchval("SELECT count(*) FROM audit") == before


async def test_rebuild_equals_the_live_projection(
    database: Database, log: MemoryEventLog, updates: Updates
) -> None:
    await history(log)
    await Projector(database, log.read, updates).project(await batch_of(log))
    received = len(updates.emitted)
    await emptied(database)
    await Follower(database, log).up_to(await log.ends())
    await check(database, log)
    assert len(updates.emitted) == received


def poisoned(position: Position, stream: str) -> RawRecord:
    return RawRecord(position, datetime.now(UTC), stream.encode(), [("ce_id", b"\xff")], b"not json")


# --- whatever happens --------------------------------------------------------------------------------------

STREAMS = [f"task:{name}" for name in "abcd"]
steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.sampled_from(STREAMS), st.integers(1, 4), st.integers(0, 5)),
        st.tuples(st.just("poison"), st.sampled_from(STREAMS)),
        st.tuples(st.just("duplicate"), st.integers(0, 30)),
        st.tuples(st.just("skip"), st.sampled_from(STREAMS)),
        st.tuples(st.just("project"), st.sampled_from([0, 1]), st.integers(0, 20), st.integers(1, 20)),
        st.tuples(st.just("restart"), st.sampled_from([0, 1])),
        st.tuples(st.just("fail")),
    ),
    max_size=40,
)


@given(steps=steps)
@settings(max_examples=examples(30), deadline=None, suppress_health_check=list(HealthCheck))
async def test_any_interleaving_ends_in_the_fold_of_the_log(
    shared_database: Database, steps: list[Any]
) -> None:
    """Two projectors, restarts, failures, unreadable records, duplicates, partial and repeated batches."""
    database = await emptied(shared_database)
    log = MemoryEventLog(PARTITIONS, lambda: START)
    updates = Updates()
    pair = [Projector(database, log.read, updates) for _ in range(2)]
    for step in steps:
        match step:
            case ("write", stream, version, event_id):
                event = TaskCreated(LIST_ID, "t") if version == 1 else TaskEdited({"title": f"v{version}"})
                await log.append([record_of(event, version, id=f"{stream}-{event_id}", stream=stream)])
            case ("poison", stream):
                await log._put(*encoded_poison(stream))
            case ("duplicate", index) if index < len(log.records):
                await log.append_again([log.records[index]])
            case ("skip", stream):
                await skip(log, stream)
            case ("project", who, first, count):
                try:
                    await pair[who].project(await batch_of(log, first, first + count))
                except Unavailable:
                    continue
            case ("restart", who):
                pair[who] = Projector(database, log.read, updates)
            case ("fail",):
                updates.failures = 1
    updates.failures = 0
    last = Projector(database, log.read, updates)
    for partition, end in (await log.ends()).items():
        await last.catch_up(partition, end)
    await last.recover(range(PARTITIONS))
    await check(database, log)
    updates.check(log)


def encoded_poison(stream: str) -> tuple[int, bytes, bytes, list[tuple[str, bytes]]]:
    return crc32(stream.encode()) % PARTITIONS, stream.encode(), b"junk", []


async def skip(log: MemoryEventLog, stream: str) -> None:
    """Skip the record that holds the stream, and retry those behind it, as an operator does."""
    fold, outcome = fold_log(log.records)
    if stream not in fold.held:
        return
    hold = fold.held[stream]
    resumed = StreamResumed((hold,))
    await log.append([Record(str(uuid4()), StreamId(stream), 0, START, "admin", "/tasktape/api", resumed)])
    await log.append_again(
        [folded.raw for folded in outcome if folded.outcome == "parked" and folded.reason == f"behind {hold}"]
    )
