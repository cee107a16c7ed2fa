"""Rebuild of read models of another version next to the live ones, and the swap."""

from pathlib import Path
from uuid import uuid4

from app.settings import Settings
from app.tasks.events import TaskCommented, TaskCreated, TaskEdited
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.read_models.registry import GENERATION_TABLES
from streams.event_log import KafkaEventLog
from streams.migrate import migrate
from streams.topics import cluster_id
from tests.places import WorkerProcess, make_outdated, new_place
from tests.spec import LIST_ID, record_of
from tests.truth import check_place, read_updates, wait_until_projected
from tests.waiting import eventually


async def write_history(place: Settings) -> None:
    log = KafkaEventLog(place.kafka_brokers, place.events_topic, place.partitions)
    for _ in range(50):
        stream = f"task:{uuid4()}"
        created = record_of(TaskCreated(LIST_ID, "t"), 1, id=str(uuid4()), stream=stream)
        edited = record_of(TaskEdited({"title": "u"}), 2, id=str(uuid4()), stream=stream)
        said = record_of(TaskCommented("c", "Who?"), 3, id=str(uuid4()), stream=stream)
        await log.append([created, edited, created, said])
    await log.close()


async def table(place: Settings, name: str) -> list[tuple[object, ...]]:
    database = await open_database(place.database_url, place.schema_name, pool_size=1)
    columns = "partition, next_offset, emitted_offset" if name == "checkpoints" else "*"
    rows = await database.pool.fetch(f"SELECT {columns} FROM {name} ORDER BY {name}::text")
    await database.close()
    return [tuple(row.values()) for row in rows]


async def test_live_and_rebuilt_read_models_are_equal_row_for_row(
    kafka_brokers: str, database_url: str, tmp_path: Path
) -> None:
    place = await new_place(kafka_brokers, database_url)
    worker = WorkerProcess(place, tmp_path)
    try:
        worker.start()
        await eventually(lambda: worker.is_ready)
        await write_history(place)
        await wait_until_projected(place)
    finally:
        worker.stop()
    names = [table.name for table in GENERATION_TABLES]
    live = {name: await table(place, name) for name in names}
    received = sorted([update.position async for update in read_updates(place)])
    await make_outdated(place)
    records = len(live["audit"])  # those of policies included
    assert (await migrate(place))[-1] == f"read models: rebuilt as generation 2 from {records} records"
    assert {name: await table(place, name) for name in names} == live
    assert sorted([update.position async for update in read_updates(place)]) == received
    await check_place(place)
    assert (await migrate(place))[-1] == "read models: ready"


async def test_interrupted_rebuild_continues(kafka_brokers: str, database_url: str) -> None:
    """From the end of the first attempt."""
    place = await new_place(kafka_brokers, database_url)
    await write_history(place)
    await make_outdated(place)
    identity = LogIdentity(place.events_topic, await cluster_id(place.kafka_brokers), place.partitions)
    assert await set_up(place.database_url, place.schema_name, identity) == 2
    assert (await migrate(place))[-1] == "read models: rebuilt as generation 2 from 200 records"
