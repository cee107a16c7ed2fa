"""Queries of decisions, consistent with the decided state."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from app.errors import Unavailable
from app.lists.events import ListCreated
from app.tasks.events import TaskCreated, TaskEdited, TaskEvent
from app.tasks.state import Task
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.projector import Projector
from projections.queries.decisions import CommandQueries
from projections.queries.stream_states import load_newest, load_newest_of
from tests.memory_log import MemoryEventLog
from tests.spec import START, record_of

_PARK = """
    INSERT INTO dead_letters (partition, "offset", stream, holds, reason, attempts, parked_at, attempted_at)
    VALUES (0, $1, $2, true, 'a test', 1, now(), now())
"""
LIST_ID, TASK_ID = (str(UUID(int=number << 120 | 1)) for number in (1, 2))


@pytest.fixture
async def queries(database_url: str) -> AsyncIterator[CommandQueries]:
    """Yield queries of a task of three versions."""
    log = MemoryEventLog(1, lambda: START)
    events: list[TaskEvent] = [
        TaskCreated(LIST_ID, "A"),
        TaskEdited({"title": "B"}),
        TaskEdited({"title": "C"}),
    ]
    await log.append([record_of(ListCreated("L"), 1, id=str(uuid4()), stream=f"list:{LIST_ID}")])
    for version, event in enumerate(events, start=1):
        await log.append([record_of(event, version, id=str(uuid4()), stream=f"task:{TASK_ID}")])
    schema = f"m_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", 1))
    database = await open_database(database_url, schema, pool_size=1)
    await Projector(database, log.read, None).catch_up(0, (await log.ends())[0])
    yield CommandQueries(database.pool)
    await database.close()


async def test_change_precedes_the_decided_state(queries: CommandQueries) -> None:
    """Later ones do not count; and none is returned while the last ones are not visible."""
    task = await queries.state(f"task:{TASK_ID}")
    then = await queries.state_at(f"task:{TASK_ID}", 2)
    assert isinstance(task, Task)
    assert isinstance(then, Task)
    for state, title in ((task, "C"), (then, "B")):
        change = await queries.change(state, None, "alice")
        assert change is not None
        assert change.after.title == title
    assert await queries.change(then, 3, "alice") is None
    ahead = replace(task, version=5)
    for version in (None, 4, 5):
        with pytest.raises(Unavailable):
            await queries.change(ahead, version, "alice")
    known = await queries.change(ahead, 2, "alice")
    assert known is not None
    assert known.after == then


async def test_states_loaded_together_are_those_loaded_alone(queries: CommandQueries) -> None:
    """Of every kind; also of streams without a state, and with the records that hold them."""
    waiting, absent = f"task:{uuid4()}", f"task:{uuid4()}"
    for offset, stream in enumerate((f"task:{TASK_ID}", waiting), start=1000):
        await queries._pool.execute(_PARK, offset, stream)
    streams = [f"task:{TASK_ID}", waiting, absent, f"list:{LIST_ID}", f"list:{uuid4()}", "user:alice"]
    together = await load_newest_of(queries._pool, streams)
    assert together == {stream: await load_newest(queries._pool, stream) for stream in streams}
    assert dict(zip(streams, await asyncio.gather(*map(queries.newest, streams)), strict=True)) == together
    assert [together[stream][1] for stream in streams] == ["0:1000", "0:1001", None, None, None, None]
