"""Records that were changed in Kafka's files, in PostgreSQL and in a backup: each is found, and named.

Each partition is tampered with in another way, so that one broker and one restart serve for all of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from app.lists.events import ListCreated, ListEvent, ListRenamed
from app.log.records import Record
from app.merkle.notes import Note
from app.merkle.tree_heads import TreeHead
from app.settings import Settings
from projections.generations.opening import open_database
from projections.projector import Projector
from projections.queries.trees import TreeQueries
from streams.event_log import KafkaEventLog
from streams.tree_heads.keys import SigningKey
from streams.verification.log import Verification, verify_log
from tasktape.local.kafka import EmbeddedKafka
from tests.fork_server import WORKER, fork_server
from tests.integration.kafka_segments import Stored, change_partition, renumbered
from tests.places import environment_of, new_place
from tests.spec import record_of

PARTITIONS = 8
RECORDS = 90
"""In each partition: more than a page of hashes has, and no multiple of it."""
AT = 41
"""The offset of the record that is tampered with."""
KEY = SigningKey.of_seed("tasktape.example/log", datetime(2026, 1, 1, tzinfo=UTC), bytes(32))


def quietly(_done: int, _all: int) -> None:
    """Show no progress."""


async def fill(settings: Settings) -> None:
    """Write a log with the same number of records in each partition, and project it."""
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    database = await open_database(settings.database_url, settings.schema_name, pool_size=2)
    try:
        for partition in range(settings.partitions):
            await log.append(history(log, partition))
        projector = Projector(database, log.read, updates=None, home=log.partition_of)
        for partition, end in (await log.ends()).items():
            assert end == RECORDS
            await projector.catch_up(partition, end)
    finally:
        await database.close()
        await log.close()


def history(log: KafkaEventLog, partition: int) -> list[Record]:
    """Return the history of a list that lies in this partition."""
    stream = next(each for each in iter(lambda: f"list:{uuid4()}", "") if log.partition_of(each) == partition)
    events: list[ListEvent] = [ListCreated("Errands")]
    events += [ListRenamed(f"Errands {number}") for number in range(2, RECORDS + 1)]
    return [
        record_of(event, version, id=str(uuid4()), stream=stream)
        for version, event in enumerate(events, start=1)
    ]


async def sign(settings: Settings) -> str:
    """Return the signed head of what is projected."""
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    try:
        queries = TreeQueries(database.pool)
        head = TreeHead(KEY.public.name, datetime.now(UTC), await queries.trees(await queries.sizes()))
    finally:
        await database.close()
    return str(Note(str(head), (KEY.sign(str(head)),)))


async def verified(settings: Settings, head: str) -> Verification:
    """Verify a place with a head that was kept elsewhere."""
    return await verify_log(settings, [head], [KEY.public], quietly)


def named(found: Verification) -> list[tuple[int, int, str]]:
    """Return partition, offset and place of each difference."""
    return [each[:3] for each in found.differences]


# --- in the log's files -----------------------------------------------------------------------------------


def flipped(record: Stored) -> Stored:
    """Return the record with another letter in its value."""
    assert record.value is not None
    return record._replace(value=record.value.replace(b"Errands", b"Errandz"))


FLIPPED, BACKDATED, DROPPED, LOST, INSERTED, REORDERED, TRUNCATED, UNTOUCHED = range(PARTITIONS)
IN_FILES: dict[int, Callable[[list[Stored]], Sequence[Stored]]] = {
    FLIPPED: lambda all_: [*all_[:AT], flipped(all_[AT]), *all_[AT + 1 :]],
    BACKDATED: lambda all_: [
        *all_[:AT],
        all_[AT]._replace(timestamp_ms=all_[AT].timestamp_ms - 60_000),
        *all_[AT + 1 :],
    ],
    DROPPED: lambda all_: renumbered([*all_[:AT], *all_[AT + 1 :]]),
    LOST: lambda all_: [*all_[:AT], *all_[AT + 1 :]],
    INSERTED: lambda all_: renumbered([*all_[:AT], flipped(all_[AT]), *all_[AT:]]),
    REORDERED: lambda all_: renumbered([*all_[:AT], all_[AT + 1], all_[AT], *all_[AT + 2 :]]),
    TRUNCATED: lambda all_: all_[:-1],
}


async def test_record_changed_in_the_files_of_kafka_is_named(
    own_kafka: EmbeddedKafka, database_url: str
) -> None:
    """With the right checksums, so that Kafka notices nothing."""
    settings = await new_place(own_kafka.brokers, database_url, TASKTAPE_PARTITIONS=str(PARTITIONS))
    await fill(settings)
    head = await sign(settings)
    assert named(await verified(settings, head)) == []
    own_kafka.stop()
    for partition, change in IN_FILES.items():
        change_partition(own_kafka.folder / "log" / f"{settings.events_topic}-{partition}", change)
    own_kafka.distrust()
    await asyncio.to_thread(own_kafka.start)
    found = await verified(settings, head)
    moved = [(each, AT, "audit") for each in (FLIPPED, BACKDATED, DROPPED, INSERTED, REORDERED)]
    assert named(found) == sorted(
        [*moved, *((each, AT, "log") for each in range(TRUNCATED)), (TRUNCATED, RECORDS - 1, "log")]
    )
    reasons = {each.partition: each.reason for each in found.differences if each.place == "log"}
    assert "has the hash of another one" in reasons[FLIPPED]
    assert f"it is missing; {LOST}:{AT + 1} follows" == reasons[LOST]
    assert f"the log ends at {DROPPED}:{RECORDS - 1}" in reasons[DROPPED]
    assert reasons[TRUNCATED] == "it is missing: the log ends here, and the audit has 1 more"


# --- in PostgreSQL ----------------------------------------------------------------------------------------

IN_ROWS = (
    """UPDATE audit SET data = '{"name": "Theirs"}' WHERE partition = 0 AND "offset" = 41""",
    """UPDATE audit SET actor = 'mallory' WHERE partition = 1 AND "offset" = 41""",
    """UPDATE audit SET outcome = 'superseded', reason = 'duplicate' WHERE partition = 2 AND "offset" = 41""",
    """DELETE FROM audit WHERE partition = 3 AND "offset" = 41""",
    """INSERT INTO audit (partition, "offset", outcome, recorded_at) VALUES (4, 90, 'parked', now())""",
    """UPDATE audit SET "offset" = "offset" + 1000 WHERE partition = 5 AND "offset" IN (41, 42)""",
    """UPDATE audit SET "offset" = 1041 + 1042 - "offset" - 1000 WHERE partition = 5 AND "offset" > 1000""",
    """DELETE FROM audit WHERE partition = 6 AND "offset" = 89""",
    """UPDATE tree_tiles SET hashes = overlay(hashes PLACING sha256('other') FROM 9 * 32 + 1)
        WHERE partition = 7 AND level = 0 AND number = 1""",
)


async def test_row_changed_in_postgres_is_named(own_kafka: EmbeddedKafka, database_url: str) -> None:
    """Changed, dropped, inserted, swapped, the last one removed; and a hash of a tree."""
    settings = await new_place(own_kafka.brokers, database_url, TASKTAPE_PARTITIONS=str(PARTITIONS))
    await fill(settings)
    head = await sign(settings)
    await execute(settings, *IN_ROWS)
    assert named(await verified(settings, head)) == [
        *((partition, AT, "audit") for partition in range(4)),
        (4, RECORDS, "audit"),
        (5, AT, "audit"),
        (6, RECORDS - 1, "audit"),
        (7, AT, "trees"),
    ]


async def test_command_line_prints_the_first_difference_and_fails(
    own_kafka: EmbeddedKafka, database_url: str, tmp_path: Path
) -> None:
    """And names heads that contradict each other, or that nobody known has signed."""
    settings = await new_place(own_kafka.brokers, database_url)
    await fill(settings)
    head = await sign(settings)
    (tmp_path / "heads").write_text(head)
    arguments = ("audit", "verify", "--heads", str(tmp_path / "heads"), "--key", str(KEY.public))
    run = fork_server(WORKER).run
    status, out, err = await run(arguments, environment_of(settings))
    assert (status, err) == (0, "")
    assert out.startswith(
        "360 records compared with their rows and hashes. 360 are as signed, by 1 tree heads"
    )
    await execute(settings, IN_ROWS[0])
    other = head.replace("\npartition 3 90 ", "\npartition 3 91 ")
    (tmp_path / "heads").write_text(f"{head}\n{other}")
    status, out, err = await run(arguments, environment_of(settings))
    assert (status, err) == (1, "")
    first, second, *_ = out.splitlines()
    assert first == "WRONG: 0:41 in the audit: its row has another data than the log"
    assert second.startswith(f"WRONG: a tree head ({KEY.public.name} 360): ")
    status, out, err = await run((*arguments[:4], "--key", "nonsense"), environment_of(settings))
    assert (status, out) == (2, "")
    assert "a key is written as name+id+key" in err


async def execute(settings: Settings, *statements: str) -> None:
    """Execute statements on the live generation."""
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    try:
        for statement in statements:
            await database.pool.execute(statement)
    finally:
        await database.close()
