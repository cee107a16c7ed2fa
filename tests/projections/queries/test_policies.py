"""Queries of policies on PostgreSQL, equal to those of the fold that tests of the loop use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from app.log.records import StreamResumed
from app.policies import POLICY_PREFIX
from app.stream_ids import list_stream, task_stream
from app.tasks.events import (
    TaskCommented,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskReminded,
    TaskReopened,
)
from app.tasks.series import next_id
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.queries.policies import REACTING, SUCCESSORS, PolicyQueries
from streams.policies.progress import PolicyProgressReads
from tests.spec import LIST_ID, record_of
from tests.streams.policy_world import PARTITIONS, Worker, World
from tests.truth import emptied

DAILY = TaskCreated(LIST_ID, "Water", due="2026-03-02", recurrence="FREQ=DAILY;COUNT=4", tags=("a",))
KEYS = ["one", "two"]


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    schema = f"q_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    database = await open_database(database_url, schema, pool_size=2)
    yield database
    await database.close()


happenings = st.lists(
    st.sampled_from(
        [
            TaskCompleted(),
            TaskCompleted(),
            TaskReopened(),
            TaskReopened(),
            TaskEdited({"title": "Feed"}),
            TaskEdited({"status": "done", "recurrence": None}),
            TaskCommented(LIST_ID, "Hello"),
            TaskReminded("2026-03-01T00:00:00.000000Z"),
            TaskDeleted(),
            "child",
            "resumed",
        ]
    ),
    max_size=12,
)


@given(happenings=happenings)
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
async def test_results_equal_those_of_the_fold(database: Database, happenings: list[TaskEvent | str]) -> None:
    """Reacting records, next occurrences with their later events, and related states."""
    world = World()
    await world.begin(DAILY, DAILY, keys=KEYS)
    worker = Worker(world)
    for number, happening in enumerate(happenings):
        await happen(world, number, happening)
        for _ in range(4):
            world.project_all()
            await worker.finish()
    world.project_all()
    projector = Projector(await emptied(database), world.log.read, None)
    for partition, end in (await world.log.ends()).items():
        await projector.catch_up(partition, end)
    await same(world, PolicyQueries(database))


async def happen(world: World, number: int, happening: TaskEvent | str) -> None:
    """Append an event of one of the tasks in turn; a few versions are stale."""
    tasks = sorted(world.tasks().values(), key=lambda task: task.id)
    task = tasks[number % len(tasks)]
    if happening == "child":
        await world.append(f"task:child-{number}", TaskCreated(LIST_ID, "Rinse", parent_id=task.id), 1)
    elif happening == "resumed":
        record = record_of(TaskCompleted(), 0, stream=f"task:{task.id}", id=f"resumed-{number}")
        await world.log.append([replace(record, data=StreamResumed(("0:0",)))])
    else:
        assert not isinstance(happening, str)
        source = f"{POLICY_PREFIX}/reminders" if isinstance(happening, TaskReminded) else "/tasktape/api"
        await world.append(f"task:{task.id}", happening, task.version + (number % 5 != 4), source=source)


async def same(world: World, queries: PolicyQueries) -> None:
    """Compare the results of all queries."""
    ends = await world.log.ends()
    assert await queries.projected() == await world.reads.projected() == ends
    for partition, end in ends.items():
        for first, last, limit in ((0, end, 100), (end // 2, end, 100), (0, end // 2, 100), (0, end, 1)):
            found = await queries.reacting(partition, first, last, limit)
            expected = await world.reads.reacting(partition, first, last, limit)
            assert [row.cause() for row in found] == [row.cause() for row in expected]
            assert [row.stream for row in found] == [row.stream for row in expected]
    wanted = {
        (task_id, task_stream(task.id))
        for task in world.tasks().values()
        for task_id in (*world.tasks(), next_id(task.series) if task.series else "")
    }
    assert await queries.successors(wanted) == await world.reads.successors(wanted)
    streams = {list_stream(LIST_ID), list_stream("none"), *map(task_stream, world.tasks())}
    assert await queries.states(streams) == await world.reads.states(streams)


@pytest.fixture(params=["memory", "postgres"])
def reads(request: pytest.FixtureRequest, database: Database) -> PolicyProgressReads:
    """Return the fake, then the queries on PostgreSQL."""
    return World().reads if request.param == "memory" else PolicyQueries(database)


async def test_checkpoints_begin_at_zero_and_never_go_back(reads: PolicyProgressReads) -> None:
    """Even if a worker that was disconnected writes an older one."""
    assert await reads.checkpoints([0, 1]) == {0: 0, 1: 0}
    await reads.advance({0: 7})
    await reads.advance({0: 5, 1: 3})
    assert await reads.checkpoints([0, 1]) == {0: 7, 1: 3}
    assert await reads.checkpoints([1]) == {1: 3}


@pytest.mark.parametrize(
    ("sql", "arguments", "indexes"),
    [
        (REACTING, (0, 5, 900, 10), ["audit_by_reaction"]),
        (
            SUCCESSORS,
            (["x"], ["task:y"], POLICY_PREFIX),
            ["tasks_pkey", "tasks_by_parent", "audit_by_stream"],
        ),
    ],
)
async def test_results_are_found_by_index(
    database: Database, sql: str, arguments: tuple[object, ...], indexes: list[str]
) -> None:
    """However long the log is."""
    async with database.pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL enable_bitmapscan = off")
        rows = await connection.fetch(f"EXPLAIN {sql}", *arguments)
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan, plan
    assert all(index in plan for index in indexes), plan
