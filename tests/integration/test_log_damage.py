"""Loss of unflushed or deleted parts of the log: found, refused, and repaired."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import partial
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from aiokafka.admin import AIOKafkaAdminClient

from app.errors import WrongLog
from app.lists.events import ListCreated
from app.log.event_types import event_types
from app.log.records import EVENT_CLASSES, RawRecord, Record, decode, encode
from app.positions import Position
from app.settings import Settings
from app.tasks.events import TaskCreated, TaskEdited
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from streams.event_log import KafkaEventLog
from streams.producing import Message
from streams.repair import diagnose, fix
from streams.same_log import check_same_log
from tasktape.local.kafka import EmbeddedKafka
from tasktape.local.postgres import EmbeddedPostgres
from tests.folding import fold_log
from tests.integration.live_client import live
from tests.integration.stack import Stack, running
from tests.places import new_place
from tests.spec import record_of
from tests.truth import check_read_models, read_whole_log
from tests.waiting import eventually

LIMIT_S = 60.0
RECEIVE_LIMIT_S = 5.0


@pytest.fixture
async def place(own_kafka: EmbeddedKafka, database_url: str) -> Settings:
    """Yield a place whose log has records of all kinds, all of them folded."""
    settings = await new_place(own_kafka.brokers, database_url)
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    records = history(60)
    for first in range(0, len(records), 10):  # Kafka loses whole batches.
        await log.append(records[first : first + 10])
    for partition in range(settings.partitions):
        await log.write([Message(partition, b"task:poison", b"junk", [])])
        streams = (f"list:{uuid4()}" for _ in range(1000))
        stream = next(each for each in streams if log.partition_of(each) == partition)
        await log.append([record_of(ListCreated("Last"), 1, id=str(uuid4()), stream=stream)])
    await log.close()
    await fold_all(settings)
    return settings


def history(tasks: int) -> list[Record]:
    """Return a list, and tasks in it with an edit each; one of them stale."""
    list_id = str(uuid4())
    records = [record_of(ListCreated("Errands"), 1, id=str(uuid4()), stream=f"list:{list_id}")]
    for number in range(tasks):
        stream = f"task:{uuid4()}"
        created = TaskCreated(list_id, f"Task {number}", notes='Ünïcode \\u0041 "quoted"', tags=("a", "b"))
        records.append(record_of(created, 1, id=str(uuid4()), stream=stream, actor="zoë"))
        edited = TaskEdited({"due": "2026-12-01", "time_zone": "Europe/Madrid", "priority": "high"})
        records += [record_of(edited, 2, id=str(uuid4()), stream=stream) for _ in range(2)]
    return records


async def fold_all(settings: Settings) -> None:
    """Project to the end of the log."""
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    database = await open_database(settings.database_url, settings.schema_name, pool_size=2)
    try:
        projector = Projector(database, log.read, updates=None, home=log.partition_of)
        for partition, end in (await log.ends()).items():
            await projector.catch_up(partition, end)
    finally:
        await database.close()
        await log.close()


def cut_power(kafka: EmbeddedKafka, topic: str, share: float = 0.6) -> None:
    """Kill the broker, and remove unflushed data from its files, as a power failure does."""
    os.kill(kafka.pid, signal.SIGKILL)
    kafka.stop()
    segments = list(kafka.folder.glob(f"log/{topic}-*/*.log"))
    assert segments
    for segment in segments:
        os.truncate(segment, int(segment.stat().st_size * share))
    kafka.start()


async def refusal(settings: Settings) -> str:
    """Return why processes refuse this log; empty if they accept it."""
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    try:
        await check_same_log(settings.kafka_brokers, settings.events_topic, log, database)
    except WrongLog as error:
        return error.detail
    finally:
        await log.close()
        await database.close()
    return ""


def shown(records: Sequence[RawRecord]) -> dict[Position, tuple[str | None, bytes | None]]:
    """Return records by position: id and value, or that they cannot be read."""
    return {
        raw.position: (id_.decode(), raw.value) if (id_ := dict(raw.headers).get("ce_id")) else (None, None)
        for raw in records
    }


@pytest.fixture
async def database(place: Settings) -> AsyncIterator[Database]:
    database = await open_database(place.database_url, place.schema_name, pool_size=1)
    yield database
    await database.close()


@pytest.mark.parametrize("folded_by", ["older", "newer"])
async def test_record_of_a_newer_release_is_no_damage(
    kafka_brokers: str, database_url: str, monkeypatch: pytest.MonkeyPatch, folded_by: str
) -> None:
    """After an upgrade it is decoded, and was folded without its id; after going back the other way round."""
    settings = await new_place(kafka_brokers, database_url)
    newer = event_types(EVENT_CLASSES, {ListCreated.type: (lambda data: data,)})
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    for partition in range(settings.partitions):
        record = record_of(ListCreated("Newer"), 1, id=str(uuid4()))
        key, value, headers = encode(record, newer)
        await log.write([Message(partition, key, value, headers)])
    await log.close()
    readers = {"older": decode, "newer": partial(decode, types=newer)}
    monkeypatch.setattr("app.log.records.decode", readers.pop(folded_by))
    await fold_all(settings)
    assert await refusal(settings) == ""
    [other] = readers.values()
    monkeypatch.setattr("app.log.records.decode", other)
    assert await refusal(settings) == ""


async def test_lost_records_are_written_back_at_their_positions(
    place: Settings, own_kafka: EmbeddedKafka, database: Database
) -> None:
    """Processes refuse the log before; afterwards the log and its fold are unchanged."""
    before = await read_whole_log(place)
    cut_power(own_kafka, place.events_topic)
    left = await read_whole_log(place)
    assert 0 < len(left) < len(before)
    reason = await refusal(place)
    assert f"lost {len(before) - len(left)} records" in reason
    assert "tasktape doctor --repair" in reason
    diagnosis = await diagnose(place)
    assert sum(damage.lost for damage in diagnosis.damages) == len(before) - len(left)
    assert all("nothing was written since" in line for line in diagnosis.lines)
    done = await fix(place, diagnosis)
    assert all("in their former places" in line or "stay parked" in line for line in done)
    after = await read_whole_log(place)
    ids = {at: event_id for at, (event_id, _) in shown(after).items()}
    assert ids == {at: event_id for at, (event_id, _) in shown(before).items()}
    assert await refusal(place) == ""
    assert (await diagnose(place)).sound
    fold, _ = fold_log(after)
    was, _ = fold_log(before)
    assert fold.states.keys() == was.states.keys()
    _, outcome = fold_log(before)
    await check_read_models(database, was.states.values(), outcome)


async def test_interrupted_repair_continues(place: Settings, own_kafka: EmbeddedKafka) -> None:
    """Some records may be there already."""
    before = shown(await read_whole_log(place))
    cut_power(own_kafka, place.events_topic)
    diagnosis = await diagnose(place)
    first = diagnosis.damages[0]
    await fix_only(place, first.partition)
    rest = await diagnose(place)
    assert [damage.partition for damage in rest.damages] == [
        damage.partition for damage in diagnosis.damages if damage != first
    ]
    await fix(place, rest)
    assert {at: one for at, (one, _) in shown(await read_whole_log(place)).items()} == {
        at: one for at, (one, _) in before.items()
    }


async def test_files_are_checked_before_a_repair(place: Settings, own_kafka: EmbeddedKafka) -> None:
    """Zeros at the end and garbage in an index, which a broker would accept, or fail on."""
    before = shown(await read_whole_log(place))
    own_kafka.stop()
    for segment in own_kafka.folder.glob(f"log/{place.events_topic}-*/*.log"):
        with segment.open("r+b") as file:
            file.seek(segment.stat().st_size - 300)
            file.write(bytes(300))
        segment.with_suffix(".index").write_bytes(os.urandom(64))
    own_kafka.distrust()
    await asyncio.to_thread(own_kafka.start)
    await fix(place, await diagnose(place))
    assert {at: one for at, (one, _) in shown(await read_whole_log(place)).items()} == {
        at: one for at, (one, _) in before.items()
    }


async def fix_only(settings: Settings, partition: int) -> None:
    """Repair one partition, and exit."""
    diagnosis = await diagnose(settings)
    (damage,) = [each for each in diagnosis.damages if each.partition == partition]
    with pytest.raises(WrongLog, match="not repaired yet"):
        await fix(settings, type(diagnosis)(diagnosis.lines, (damage,)))


async def test_running_process_detects_a_shortened_log(place: Settings, own_kafka: EmbeddedKafka) -> None:
    """Its records would take the positions of others, and count as folded: from then on it refuses."""
    log = KafkaEventLog(place.kafka_brokers, place.events_topic, place.partitions)
    await log.ends()
    await asyncio.to_thread(cut_power, own_kafka, place.events_topic)
    with pytest.raises(WrongLog, match="lost records"):
        await log.append(history(5))
    with pytest.raises(WrongLog, match="doctor --repair"):
        await log.ends()
    await log.close()


async def test_records_at_positions_of_lost_ones_are_found_and_both_are_kept(
    place: Settings, own_kafka: EmbeddedKafka
) -> None:
    """Written by an unaware process: the lost ones go to the end, and the rows are rebuilt."""
    before = await read_whole_log(place)
    cut_power(own_kafka, place.events_topic)
    foreign = history(60)
    log = KafkaEventLog(place.kafka_brokers, place.events_topic, place.partitions)
    await log.append(foreign)
    await log.close()
    assert "has other records from" in await refusal(place)
    diagnosis = await diagnose(place)
    assert any(damage.overwritten for damage in diagnosis.damages)
    await fix(place, diagnosis)
    after = await read_whole_log(place)
    ids = [event_id for event_id, _ in shown(after).values() if event_id]
    assert set(ids) == {one for one, _ in shown(before).values() if one} | {each.id for each in foreign}
    assert len(ids) == len(set(ids))
    assert await refusal(place) == ""
    fold, outcome = fold_log(after, log.partition_of)
    database = await open_database(place.database_url, place.schema_name, pool_size=1)
    await check_read_models(database, fold.states.values(), outcome)
    await database.close()


async def test_deleted_log_is_written_back(place: Settings, own_kafka: EmbeddedKafka) -> None:
    """From the audit, which has all of it."""
    before = shown(await read_whole_log(place))
    await delete_topics(place.kafka_brokers[0], place.events_topic)
    diagnosis = await diagnose(place)
    assert sum(damage.lost for damage in diagnosis.damages) == len(before)
    await fix(place, diagnosis)
    assert {at: one for at, (one, _) in shown(await read_whole_log(place)).items()} == {
        at: one for at, (one, _) in before.items()
    }
    assert await refusal(place) == ""


# --- what is deleted while everything runs ----------------------------------------------------------------


async def delete_topics(brokers: str, *topics: str) -> None:
    """Delete topics, and wait until they are gone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.delete_topics(list(topics))

        async def gone() -> bool:
            return not set(topics) & set(await admin.list_topics())

        await eventually(gone, LIMIT_S)
    finally:
        await admin.close()


@pytest.fixture
def stack(kafka_brokers: str, own_postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Stack]:
    with running(kafka_brokers, own_postgres.url, tmp_path, nodes=1) as stack:
        yield stack


async def test_topics_without_lasting_contents_are_created_again(stack: Stack) -> None:
    """Updates flow again, also to open sockets, without intervention."""
    settings = Settings.from_environment(stack.environment)
    async with stack.client("alice") as client, live(stack.ws_url(), stack.token("alice")) as socket:
        await client.post("/api/tasks", json={"title": "Before"})
        await socket.update("task.created")
        await delete_topics(stack.brokers, settings.updates_topic, settings.signals_topic)

        async def flows() -> bool:
            answer = await client.post("/api/tasks", json={"title": "After"})
            assert answer.status_code in {201, 202, 503}, answer.text
            if answer.status_code != 201:
                return False
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RECEIVE_LIMIT_S):
                    await socket.update("task.created", answer.json()["id"])
                    return True
            return False  # what was written just before is received with the next one

        await eventually(flows, LIMIT_S)
        found = (await client.get("/api/tasks", params={"limit": 200})).json()["items"]
        assert {task["title"] for task in found} == {"Before", "After"}

        async def ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await eventually(ready, LIMIT_S)


async def test_dropped_database_is_created_and_filled_again(
    stack: Stack, own_postgres: EmbeddedPostgres
) -> None:
    """The worker ends, to be restarted by its supervisor; it fills the rows before it is ready."""
    worker = stack.parts[0]
    async with stack.client("alice") as client:
        made = [
            (await client.post("/api/tasks", json={"title": f"Task {number}"})).headers["location"]
            for number in range(20)
        ]
        server = await asyncpg.connect(own_postgres.url.rpartition("/")[0] + "/postgres")
        await server.execute("DROP DATABASE tasktape WITH (FORCE)")
        await server.close()
        await eventually(lambda: worker.process.poll() is not None, LIMIT_S, "the worker stayed")
        assert worker.process.returncode == 70
        for path in made:
            assert (await client.get(path)).status_code == 503
        await asyncio.to_thread(stack.start_worker)

        async def filled() -> bool:
            answers = [await client.get(path) for path in made]
            assert {answer.status_code for answer in answers} <= {200, 503}
            return all(answer.status_code == 200 for answer in answers)

        await eventually(filled, LIMIT_S)
        answer = await client.post("/api/tasks", json={"title": "After"})
        assert answer.status_code == 201, answer.text
