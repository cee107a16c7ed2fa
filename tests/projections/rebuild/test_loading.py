"""A load in bulk writes the same rows as projectors, however often it is interrupted."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings

from projections.generations.lifecycle import begin_rebuild, set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.generations.swap import swap
from projections.postgres import checkpoints
from projections.postgres.database import Database
from projections.read_models.audit import EFFECTIVE_TIMES_OF_ALL
from projections.rebuild import load_progress, loading
from projections.rebuild.following import Follower
from projections.rebuild.indexes import make_indexes
from projections.rebuild.load_progress import Overtaken, end_load
from projections.rebuild.loading import PartitionLoad
from tests.memory_log import MemoryEventLog
from tests.projections.foreign_records import Foreign, foreign_logs
from tests.projections.histories import write_history
from tests.projections.test_foreign_records import put, tables
from tests.spec import START
from tests.thoroughness import examples
from tests.truth import emptied

PARTITIONS = 2
INTERRUPTIONS = 50


class Generations:
    """A live generation, and one that is loaded beside it."""

    def __init__(self, url: str, schema: str, live: Database, number: int, loaded: Database) -> None:
        self.url, self.schema, self.number = url, schema, number
        self.live, self.loaded = live, loaded

    async def empty(self) -> None:
        """Replace both by those of an empty log."""
        await emptied(self.live)
        await emptied(self.loaded)
        await self.loaded.pool.execute("UPDATE load_progress SET next_offset = 0, finished = false")

    async def project(self, log: MemoryEventLog) -> Mapping[str, list[str]]:
        """Project the log into the live one, and return its rows."""
        await Follower(self.live, log).up_to(await log.ends())
        return await tables(self.live)

    async def load(self, log: MemoryEventLog) -> None:
        """Load the log into the other one, both partitions at the same time."""
        async with asyncio.TaskGroup() as group:
            for partition, end in (await log.ends()).items():
                load = PartitionLoad(self.loaded, log, partition, end, lambda _: None)
                group.create_task(load.run())


@pytest.fixture(scope="module")
async def shared_generations(database_url: str) -> AsyncIterator[Generations]:
    schema = f"l_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    number = await begin_rebuild(database_url, schema, PARTITIONS)
    assert number is not None
    live = await open_database(database_url, schema, pool_size=2)
    loaded = await open_database(database_url, schema, generation=number, pool_size=4)
    yield Generations(database_url, schema, live, number, loaded)
    await live.close()
    await loaded.close()


@pytest.fixture
async def generations(shared_generations: Generations, monkeypatch: pytest.MonkeyPatch) -> Generations:
    monkeypatch.setattr(loading, "BATCH", 25)
    await shared_generations.empty()
    return shared_generations


@given(records=foreign_logs(PARTITIONS))
@settings(max_examples=examples(10), deadline=None, suppress_health_check=list(HealthCheck))
async def test_a_load_writes_what_a_projector_writes(
    shared_generations: Generations, records: list[Foreign]
) -> None:
    """Of records as anybody may write them; what a load leaves to the projector included."""
    await shared_generations.empty()
    log = MemoryEventLog(PARTITIONS, lambda: START)
    for foreign in records:
        await put(log, foreign)
    await shared_generations.load(log)
    await shared_generations.loaded.pool.execute(EFFECTIVE_TIMES_OF_ALL)
    progress = await load_progress.read(shared_generations.loaded.pool)
    assert progress is not None
    await shared_generations.loaded.pool.executemany(
        "UPDATE checkpoints SET next_offset = $2 WHERE partition = $1",
        [(partition, each.next_offset) for partition, each in progress.items()],
    )
    await Follower(shared_generations.loaded, log).up_to(await log.ends())
    assert await tables(shared_generations.loaded) == await shared_generations.project(log)


async def test_a_load_that_is_interrupted_at_random_points_ends_equal(generations: Generations) -> None:
    draw = random.Random(11)
    log = MemoryEventLog(PARTITIONS, lambda: START)
    await write_history(log, draw, tasks=40)
    expected = await generations.project(log)
    interrupted = 0
    while interrupted < INTERRUPTIONS:
        run = asyncio.create_task(generations.load(log))
        for _ in range(draw.randrange(400)):
            await asyncio.sleep(0)
        if run.done():
            assert await tables(generations.loaded) == expected
            await generations.empty()
            await generations.project(log)
        interrupted += run.cancel()
        with suppress(asyncio.CancelledError):
            await run
    await generations.load(log)
    assert await tables(generations.loaded) == expected


async def test_of_two_loads_of_a_partition_one_is_refused(generations: Generations) -> None:
    log = MemoryEventLog(PARTITIONS, lambda: START)
    await write_history(log, random.Random(12), tasks=40)
    expected = await generations.project(log)
    results = await asyncio.gather(generations.load(log), generations.load(log), return_exceptions=True)
    refused = [result for result in results if result is not None]
    assert all(
        isinstance(error, ExceptionGroup) and error.subgroup(Overtaken) is not None for error in refused
    )
    await generations.load(log)
    assert await tables(generations.loaded) == expected


async def test_a_loaded_generation_gets_its_indexes_and_becomes_the_live_one(database_url: str) -> None:
    """With the same indexes as one that began empty; a pool that was open before reads it."""
    schema = f"l_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    log = MemoryEventLog(PARTITIONS, lambda: START)
    await write_history(log, random.Random(13), tasks=20)
    live = await open_database(database_url, schema, pool_size=2)
    await Follower(live, log).up_to(await log.ends())
    before = await tables(live), await indexes(live)
    await rebuild(database_url, schema, live, log)
    await live.follow()
    assert live.live.schema == f"{schema}_g2"
    assert (await tables(live), await indexes(live)) == before
    await live.close()


async def test_updates_emitted_before_a_swap_and_recorded_after_it_are_known_of_the_live_one(
    database_url: str,
) -> None:
    schema = f"l_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    log = MemoryEventLog(PARTITIONS, lambda: START)
    await write_history(log, random.Random(14), tasks=5)
    live = await open_database(database_url, schema, pool_size=2)
    projector = Follower(live, log)
    await projector.up_to(await log.ends())
    await rebuild(database_url, schema, live, log)
    assert live.live.schema == f"{schema}_g1"  # It has not noticed the swap.
    for _ in range(2):  # Its next idle moments.
        await projector.settle(range(PARTITIONS))
    assert live.live.schema == f"{schema}_g2"
    found = await checkpoints.read(live.pool, range(PARTITIONS))
    assert {each.emitted_offset for each in found.values()} == {each.next_offset for each in found.values()}
    await live.close()


async def rebuild(url: str, schema: str, live: Database, log: MemoryEventLog) -> None:
    """Load another generation from the log, and make it the live one."""
    number = await begin_rebuild(url, schema, PARTITIONS)
    assert number is not None
    loaded = await open_database(url, schema, generation=number, pool_size=2)
    await Generations(url, schema, live, number, loaded).load(log)
    await make_indexes(url, schema, number)
    await end_load(loaded, range(PARTITIONS))
    await swap(url, schema, number, Follower(loaded, log).finish)
    await loaded.close()


async def indexes(database: Database) -> list[tuple[str, str]]:
    rows = await database.pool.fetch(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = current_schema() ORDER BY 1"
    )
    schema = await database.pool.fetchval("SELECT current_schema()")
    return [(row["indexname"], row["indexdef"].replace(schema, "schema")) for row in rows]
