"""A rebuild of some read models loads those, and copies the rows of the others from the live generation."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from uuid import uuid4

import pytest

from app.errors import Malformed
from app.lists.events import ListCreated
from projections.generations.lifecycle import begin_rebuild, set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.generations.swap import swap
from projections.postgres.database import Database
from projections.read_models.registry import BY_NAME, MADE_OF, with_dependents
from projections.rebuild import loading
from projections.rebuild.copying import copy_live
from projections.rebuild.following import Follower
from projections.rebuild.indexes import make_indexes
from projections.rebuild.load_progress import end_load
from projections.rebuild.load_progress import read as read_progress
from projections.rebuild.loading import PartitionLoad
from projections.rebuild.part import Part
from tests.memory_log import MemoryEventLog
from tests.projections.histories import write_history
from tests.projections.test_foreign_records import tables
from tests.spec import START, record_of
from tests.truth import emptied

PARTITIONS = 2
INTERRUPTIONS = 12
PARTS = (
    {"search_index"},
    {"tasks", "users", "members"},
    {"statistics", "task_texts", "comments"},
    {"task_versions", "notifications", "reminders", "lists"},
    {"audit", "audit_search", "dead_letters", "tree"},
)


class Place:
    """A live generation of a log, beside which others are built."""

    def __init__(self, url: str, schema: str, live: Database, log: MemoryEventLog) -> None:
        self.url, self.schema, self.live, self.log = url, schema, live, log

    async def project(self) -> Mapping[str, list[str]]:
        """Project the log into the live generation, and return its rows."""
        await Follower(self.live, self.log).up_to(await self.log.ends())
        return await tables(self.live)

    async def begin(self, part: Part) -> tuple[int, Database]:
        """Begin a generation, or return to it."""
        number = await begin_rebuild(self.url, self.schema, PARTITIONS, part.loaded(PARTITIONS))
        assert number is not None
        return number, await open_database(self.url, self.schema, generation=number, pool_size=4)

    async def load(self, part: Part) -> bool:
        """Copy and load as far as the live generation is; return whether all was loaded."""
        number, building = await self.begin(part)
        try:
            await copy_live(self.url, self.schema, number)
            async with asyncio.TaskGroup() as group:
                for partition in range(PARTITIONS):
                    load = PartitionLoad(building, self.log, partition, 0, lambda _: None)
                    group.create_task(load.run())
            progress = await read_progress(building.pool)
            if progress is None:
                return True
            if not all(each.finished for each in progress.values()):
                return False
            await make_indexes(self.url, self.schema, number)
            await end_load(building, range(PARTITIONS))
        finally:
            await building.close()
        return True

    async def rows(self, part: Part) -> Mapping[str, list[str]]:
        """Return the rows of a generation that was loaded, after it has followed the log."""
        _, building = await self.begin(part)
        await Follower(building, self.log).up_to(await self.log.ends())
        found = await tables(building)
        await building.close()
        return found

    async def drop(self) -> None:
        """Drop what was built, so that the same part can be built again."""
        await self.live.pool.execute(f"DELETE FROM {self.schema}.generations WHERE status = 'building'")


@pytest.fixture(scope="module")
async def shared_place(database_url: str) -> AsyncIterator[Place]:
    schema = f"p_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    live = await open_database(database_url, schema, pool_size=2)
    yield Place(database_url, schema, live, MemoryEventLog(PARTITIONS, lambda: START))
    await live.close()


@pytest.fixture
async def place(shared_place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(loading, "BATCH", 25)
    await emptied(shared_place.live)
    await shared_place.drop()
    shared_place.log = MemoryEventLog(PARTITIONS, lambda: START)
    return shared_place


def test_every_read_model_is_in_a_tested_part() -> None:
    assert {name for part in PARTS for name in part} == set(BY_NAME)


@pytest.mark.parametrize("names", PARTS)
async def test_a_part_is_equal_to_the_live_rows_also_after_later_records(
    place: Place, names: set[str]
) -> None:
    draw = random.Random(min(names))
    await write_history(place.log, draw, tasks=15)
    await place.project()
    part = Part(with_dependents(names))
    assert await place.load(part)
    await write_history(place.log, draw, tasks=15)
    assert await place.rows(part) == await place.project()


async def test_only_named_read_models_are_made_from_the_log(place: Place) -> None:
    await write_history(place.log, random.Random(1), tasks=15)
    right = await place.project()
    await place.live.pool.execute(
        "DELETE FROM list_settings; DELETE FROM comments; UPDATE tasks SET rank = 'x'"
    )
    wrong = await tables(place.live)
    assert await place.load(Part(["statistics"]))
    assert await place.rows(Part(["statistics"])) == {**wrong, "list_settings": right["list_settings"]}
    assert right["list_settings"]


async def test_dependents_of_a_named_read_model_are_rebuilt_with_it(place: Place) -> None:
    await write_history(place.log, random.Random(2), tasks=15)
    right = await place.project()
    await place.live.pool.execute("DELETE FROM task_search; DELETE FROM tasks")
    part = Part(with_dependents({"tasks"}))
    assert part.names == {"tasks", "search_index"}
    assert MADE_OF["search_index"] == ("tasks", "comments")
    assert await place.load(part)
    assert await place.rows(part) == right


async def test_from_a_position_on_the_earlier_rows_are_kept(place: Place) -> None:
    """And all rows of partitions that are not named."""
    await write_history(place.log, random.Random(3), tasks=15)
    right = await place.project()
    ends = await place.log.ends()
    middle = ends[0] // 2
    assert 0 < middle < ends[0]
    await place.live.pool.execute("UPDATE audit SET actor = 'wrong'")
    await place.live.pool.execute('DELETE FROM audit_users WHERE partition = 0 AND "offset" >= $1', middle)
    part = Part(["audit"], {0: middle})
    assert await place.load(part)
    _, building = await place.begin(part)
    actors = await building.pool.fetch(
        "SELECT partition, \"offset\", coalesce(actor, '') = 'wrong' AS kept FROM audit"
    )
    await building.close()
    assert {(row["partition"], row["offset"]): row["kept"] for row in actors} == {
        (partition, offset): partition == 1 or offset < middle
        for partition, end in ends.items()
        for offset in range(end)
    }
    assert (await place.rows(part))["audit_users"] == right["audit_users"]


@pytest.mark.parametrize(
    ("part", "more"),
    [
        (["audit", "statistics", "members"], None),
        (["search_index"], None),
        (["audit"], {0: 30}),
    ],
)
async def test_a_part_that_is_interrupted_at_random_points_ends_equal(
    place: Place, part: list[str], more: Mapping[int, int] | None
) -> None:
    """Also while the live generation goes on."""
    draw = random.Random(5)
    rebuilt, interrupted = Part(part, more), 0
    await write_history(place.log, draw, tasks=20)
    await place.project()
    while interrupted < INTERRUPTIONS:
        run = asyncio.create_task(place.load(rebuilt))
        await asyncio.wait([run], timeout=draw.uniform(0, 0.4))
        if run.done():
            assert await place.rows(rebuilt) == await place.project()
            await place.drop()
        interrupted += run.cancel()
        with suppress(asyncio.CancelledError):
            await run
        await write_history(place.log, draw, tasks=1)
        await place.project()
    assert await place.load(rebuilt)
    assert await place.rows(rebuilt) == await place.project()


async def test_a_load_that_would_park_other_records_is_left_unfinished(place: Place) -> None:
    """Because the copied rows are those of the live generation's outcomes."""
    await write_history(place.log, random.Random(6), tasks=5)
    await place.project()
    await place.live.pool.execute(
        "UPDATE audit SET outcome = 'parked' WHERE partition = 0 AND \"offset\" = 2 AND outcome <> 'parked'"
    )
    assert not await place.load(Part(["statistics"]))


async def test_a_rebuild_of_another_part_starts_from_the_beginning(place: Place) -> None:
    await write_history(place.log, random.Random(7), tasks=5)
    right = await place.project()
    assert await place.load(Part(["statistics"]))
    for part in (Part(["audit"], {0: 3}), Part(["audit"])):
        _, building = await place.begin(part)
        assert await building.pool.fetchval("SELECT count(*) FROM users") == 0
        await building.close()
        assert await place.load(part)
        assert await place.rows(part) == right


def test_a_position_goes_only_with_rows_that_each_belong_to_one_record() -> None:
    with pytest.raises(Malformed, match=r"^statistics cannot be rebuilt from a position: its rows depend on"):
        Part(["audit", "statistics"], {0: 5})
    with pytest.raises(Malformed, match="possible is audit"):
        Part([], {0: 5})
    with pytest.raises(Malformed, match="there is no partition 2; the log has 2"):
        Part(["audit"], {2: 5}).loaded(PARTITIONS)
    Part(["audit"], {0: 4, 1: 0}).check_within({0: 5, 1: 1})
    with pytest.raises(Malformed, match="there is no record at 1:1: partition 1 ends before offset 1"):
        Part(["audit"], {0: 4, 1: 1}).check_within({0: 5, 1: 1})


async def test_a_read_model_of_another_release_is_rebuilt_alone(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of its version is enough, and that of its tables. Each release has its own, complete rows."""
    schema, identity = f"p_{uuid4().hex[:12]}", LogIdentity("memory", "memory", PARTITIONS)
    await set_up(database_url, schema, identity)
    live = await open_database(database_url, schema, pool_size=2)
    place = Place(database_url, schema, live, MemoryEventLog(PARTITIONS, lambda: START))
    await write_history(place.log, random.Random(8), tasks=10)
    await place.project()
    assert await set_up(database_url, schema, identity) is None

    monkeypatch.setattr(BY_NAME["statistics"], "VERSION", 2)
    number = await set_up(database_url, schema, identity, has_records=True)
    assert number == 2
    await copy_live(database_url, schema, number)
    newer = await open_database(database_url, schema, generation=number, pool_size=4)
    named = await newer.pool.fetch("SELECT read_model FROM read_model_versions WHERE loaded_from IS NOT NULL")
    assert [row["read_model"] for row in named] == ["statistics"]
    for partition in range(PARTITIONS):
        await PartitionLoad(newer, place.log, partition, 0, lambda _: None).run()
    await make_indexes(database_url, schema, number)
    await end_load(newer, range(PARTITIONS))
    await swap(database_url, schema, number)

    await place.log.append([record_of(ListCreated("Later"), 1, stream=f"list:{uuid4()}")])
    both = [Follower(each, place.log) for each in (live, newer)]
    ends = await place.log.ends()
    await asyncio.gather(*(each.up_to(ends) for each in both))
    assert await tables(newer) == await tables(live)
    assert (await open_numbers(live), await open_numbers(newer)) == ([1], [2])
    await live.close()
    await newer.close()


async def open_numbers(database: Database) -> list[int]:
    await database.follow()
    return [database.live.number]
