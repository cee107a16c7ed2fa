"""The past of lists: the queries on PostgreSQL, and the fake that other tests use, over random histories."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import uuid4

import pytest

from api.replay.source import Past
from app.log.fold import Folded
from app.log.records import RawRecord
from app.tasks.events import TaskCreated, TaskEdited, TaskEvent, TaskReminded
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.queries import replay as replay_module
from projections.queries.replay import START as BEGINNING
from projections.queries.replay import ListPast, Place, end_of
from projections.read_models.audit import EFFECTIVE_TIMES_OF_ALL
from projections.task_search.task_states import states
from tests.folding import fold_log
from tests.memory_log import MemoryEventLog
from tests.memory_past import MemoryPast
from tests.past_histories import LISTS, MINUTES, PARTITIONS, TASKS, history
from tests.spec import START, raw_of, record_of
from tests.thoroughness import examples
from tests.truth import emptied

FOREVER = datetime.max.replace(tzinfo=UTC)


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield tables that each test fills by itself."""
    schema = f"p_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    found = await open_database(database_url, schema, pool_size=2)
    yield found
    await found.close()


async def projected(database: Database, chance: Random, count: int) -> list[Folded]:
    """Project a random history, in batches of one size, in place of what was there; return its fold."""
    await emptied(database)
    records, size = history(chance, count), chance.choice((1, 7, 1_000))
    projector = Projector(database, MemoryEventLog(PARTITIONS, lambda: START).read, None)
    for first in range(0, len(records), size):
        batch = defaultdict[int, list[RawRecord]](list)
        for raw in records[first : first + size]:
            batch[raw.position.partition].append(raw)
        await projector.project(batch)
    return fold_log(records)[1]


async def all_events(
    past: Past, list_id: str, after: Place = BEGINNING, until: datetime = FOREVER, types: Any = None
) -> list[Any]:
    """Return the messages of all pages."""
    messages: list[Any] = []
    place: Place | None = after
    while place is not None:
        page = await past.events(list_id, place, until, types)
        found = [json.loads(each) for each in page.updates(b'{"at":', 0, len(page.times))]
        assert [each["at"] for each in found] == [
            time.isoformat(timespec="microseconds").replace("+00:00", "Z") for time in page.times
        ]
        assert all(size > 0 for size in page.sizes)
        messages += found
        place = page.end
    return messages


async def all_tasks(past: Past, list_id: str, time: datetime) -> list[Any]:
    """Return the tasks of all pages."""
    tasks: list[Any] = []
    place: Place | None = BEGINNING
    while place is not None:
        page = await past.tasks(list_id, time, place)
        tasks += map(json.loads, page.tasks)
        place = page.end
    return tasks


def minute(number: int) -> datetime:
    """Return a time of the histories."""
    return START + timedelta(minutes=number)


@pytest.mark.parametrize("seed", range(examples(4)))
async def test_past_equals_the_fold_of_the_log(
    database: Database, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """By pages of any size, of lists whose clocks go back, from any place, and of any types."""
    chance = Random(seed)
    monkeypatch.setattr(replay_module, "PAGE_EVENTS", chance.choice((1, 3, 256)))
    monkeypatch.setattr(replay_module, "PAGE_BYTES", chance.choice((1, 3_000, 500_000)))
    monkeypatch.setattr(replay_module, "SNAPSHOT_EVENTS", chance.choice((1, 5, 1_000)))
    monkeypatch.setattr(replay_module, "SNAPSHOT_BYTES", chance.choice((1, 2_000, 100_000)))
    truth = MemoryPast(await projected(database, chance, 120))
    past = ListPast(database)
    for list_id in (*LISTS, str(uuid4())):
        assert await past.span(list_id) == await truth.span(list_id)
        assert await all_events(past, list_id) == await all_events(truth, list_id)
        for _ in range(5):
            first, last = sorted(minute(chance.randrange(-1, MINUTES + 1)) for _ in range(2))
            part = end_of(first), last, chance.choice((None, ["task.moved", "list.created"], ["user.none"]))
            assert await all_events(past, list_id, *part) == await all_events(truth, list_id, *part)
            assert _sorted(await all_tasks(past, list_id, first)) == _sorted(
                await all_tasks(truth, list_id, first)
            )
            assert json.loads(await past.list_at(list_id, first)) == json.loads(
                await truth.list_at(list_id, first)
            )


async def test_snapshot_equals_the_tasks_as_of_the_time(database: Database) -> None:
    """As `GET /api/tasks?as_of=` has them, whose states are looked up in another way."""
    await projected(database, Random(11), 150)
    for time in map(minute, range(-1, MINUTES + 1, 4)):
        found = (await states(database.pool, TASKS, time)).values()
        for list_id in LISTS:
            expected = [
                json.loads(state.json)
                for state in found
                if (task := state.decode()).list_id == list_id and task.deleted_at is None
            ]
            assert _sorted(await all_tasks(ListPast(database), list_id, time)) == _sorted(expected)


async def test_versions_ascend_in_each_stream(database: Database) -> None:
    await projected(database, Random(5), 150)
    for list_id in LISTS:
        versions: dict[str, int] = {}
        for message in await all_events(ListPast(database), list_id):
            event = message["event"]
            assert event["version"] > versions.get(event["stream"], 0)
            versions[event["stream"]] = event["version"]


async def test_reminder_does_not_hide_a_clock_that_goes_back(database: Database) -> None:
    """A reminder leaves the time of the task's last change, by which clocks are compared."""
    await emptied(database)
    events: list[tuple[TaskEvent, int]] = [
        (TaskCreated(LISTS[0], "Call", due="2026-03-01"), 0),
        (TaskReminded("2026-03-01T09:20:00Z"), 20),
        (TaskEdited({"title": "Called"}), 10),
    ]
    records = [
        raw_of(record_of(event, version, time=minute(minutes)), version - 1)
        for version, (event, minutes) in enumerate(events, start=1)
    ]
    projector = Projector(database, MemoryEventLog(PARTITIONS, lambda: START).read, None)
    for raw in records:
        await projector.project({0: [raw]})
    found = await all_events(ListPast(database), LISTS[0])
    assert [message["event"]["type"] for message in found] == ["task.created", "task.reminded", "task.edited"]
    assert [message["at"][14:16] for message in found] == ["00", "10", "10"]


async def test_load_finds_the_same_times_for_all_events_at_once(database: Database) -> None:
    await projected(database, Random(13), 150)
    times = 'SELECT partition, "offset", effective_time FROM audit ORDER BY 1, 2'
    before = await database.pool.fetch(times)
    assert any(row["effective_time"] for row in before)
    await database.pool.execute("UPDATE audit SET effective_time = NULL")
    await database.pool.execute(EFFECTIVE_TIMES_OF_ALL)
    assert await database.pool.fetch(times) == before


async def test_pages_are_read_by_an_index(database: Database) -> None:
    """Whatever the place: no page looks at more rows than it returns."""
    await projected(database, Random(3), 60)
    for statement, parameters in (
        (replay_module.EVENTS, [LISTS[0], *end_of(START), FOREVER, 256, None, 500_000]),
        (replay_module.TASKS, [LISTS[0], *BEGINNING, FOREVER, 1_000, 100_000]),
    ):
        async with database.pool.acquire() as connection, connection.transaction():
            # In a table as small as this one, it is as cheap to sort all rows of a list.
            await connection.execute("SET LOCAL enable_seqscan = off")
            await connection.execute("SET LOCAL enable_bitmapscan = off")
            await connection.execute("SET LOCAL enable_sort = off")
            rows = await connection.fetch(f"EXPLAIN (COSTS OFF) {statement}", *parameters)
        plan = "\n".join(row[0] for row in rows)
        assert "audit_by_list_time" in plan
        assert "Seq Scan" not in plan


def _sorted(tasks: list[Any]) -> list[Any]:
    return sorted(tasks, key=lambda task: str(task["id"]))
