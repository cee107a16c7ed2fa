"""The queries that deciding makes: one suite for those on PostgreSQL, and for the fake of other tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from api.commands.in_flight import StateReader
from app.errors import Unavailable
from app.lists.events import ListCreated, ListDeleted
from app.lists.state import TaskList
from app.log.records import RawRecord
from app.positions import Position
from app.stream_ids import StreamId, list_stream, task_stream, user_stream
from app.tasks.decision_context import Along, Gap, PriorComment, SubTask
from app.tasks.events import (
    TaskCommentDeleted,
    TaskCommented,
    TaskCommentEdited,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
)
from app.tasks.state import Task
from app.users import NotificationsRead, User
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.queries.decisions import CommandQueries
from projections.queries.stream_states import load_newest, load_newest_of
from tests.api.memory_stack import World
from tests.folding import fold_log
from tests.memory_log import MemoryEventLog
from tests.spec import START, DomainEvent, record_of

PARTITIONS = 2
_PARK = """
    INSERT INTO dead_letters (partition, "offset", stream, holds, reason, attempts, parked_at, attempted_at)
    VALUES (0, $1, $2, true, 'a test', 1, now(), now())
"""


def identifier(kind: int, number: int) -> str:
    """Return the id of a list (1), a task (2) or a comment (3) of this test."""
    return str(UUID(int=kind << 120 | number))


LIST_ID, DELETED_LIST, BOARD = (identifier(1, number) for number in range(3))
EDITED, PARENT, CHILD, DONE_CHILD, DELETED_CHILD, GRANDCHILD, TALKED_ABOUT, HELD, STAGED, DELETED_STAGED = (
    identifier(2, number) for number in range(10)
)
NOBODY = identifier(2, 99)
KEPT, DROPPED = (identifier(3, number) for number in range(2))
HISTORIES: dict[StreamId, tuple[DomainEvent, ...]] = {
    list_stream(LIST_ID): (ListCreated("L"),),
    list_stream(DELETED_LIST): (ListCreated("D"), ListDeleted()),
    list_stream(BOARD): (ListCreated("B", stages=({"name": "Doing", "category": "active"},)),),
    user_stream("alice"): (NotificationsRead(("n",)),),
    task_stream(EDITED): (
        TaskCreated(LIST_ID, "A", rank="a0"),
        TaskEdited({"title": "B"}),
        TaskEdited({"title": "C"}),
    ),
    task_stream(PARENT): (TaskCreated(LIST_ID, "P", rank="a1"), TaskCompleted()),
    task_stream(CHILD): (TaskCreated(LIST_ID, "C", rank="a2", parent_id=PARENT), TaskCompleted()),
    task_stream(DONE_CHILD): (TaskCreated(LIST_ID, "D", rank="a3", parent_id=PARENT), TaskCompleted()),
    task_stream(DELETED_CHILD): (TaskCreated(LIST_ID, "X", rank="a4", parent_id=PARENT), TaskDeleted()),
    task_stream(GRANDCHILD): (TaskCreated(LIST_ID, "G", rank="a5", parent_id=CHILD), TaskCompleted()),
    task_stream(TALKED_ABOUT): (
        TaskCreated(BOARD, "M", rank="a0"),
        TaskCommented(KEPT, "Hello"),
        TaskCommented(DROPPED, "Oops"),
        TaskCommentEdited(KEPT, "Hello!"),
        TaskCommentDeleted(DROPPED),
    ),
    task_stream(HELD): (TaskCreated(BOARD, "H", rank="a1", parent_id=PARENT),),
    task_stream(STAGED): (TaskCreated(BOARD, "S", rank="a2", stage="Doing"),),
    task_stream(DELETED_STAGED): (TaskCreated(BOARD, "Z", rank="a3", stage="Doing"), TaskDeleted()),
}
"""The events of each stream, by alice; comments are by bob."""
CAUSED = {task_stream(CHILD), task_stream(GRANDCHILD)}
"""The streams whose second event was caused by the completion of their ancestor."""


def event_id(stream: StreamId, version: int) -> str:
    """Return the id of an event of this test."""
    return f"{stream} {version}"


async def log_of_histories() -> MemoryEventLog:
    """Return a log with all histories, one event that lost a race, and one poison record."""
    log = MemoryEventLog(PARTITIONS, lambda: START)
    for stream, events in HISTORIES.items():
        for version, event in enumerate(events, start=1):
            given = {"actor": "bob"} if isinstance(event, TaskCommented) else {}
            if version == 2 and stream in CAUSED:
                given["causation_id"] = event_id(task_stream(PARENT), 2)
            record = record_of(event, version, id=event_id(stream, version), stream=stream, **given)
            await log.append([record])
    late = record_of(TaskEdited({"title": "late"}), 2, id="late", stream=task_stream(EDITED))
    await log.append([late])
    key = task_stream(HELD).encode()
    partition = log.partition_of(task_stream(HELD))
    await log.append_again([RawRecord(Position(partition, 0), START, key, [("ce_type", b"junk")], b"junk")])
    return log


@asynccontextmanager
async def projected(url: str, log: MemoryEventLog) -> AsyncIterator[Database]:
    """Provide read models that have reached the end of a log."""
    schema = f"m_{uuid4().hex[:12]}"
    await set_up(url, schema, LogIdentity("memory", "memory", PARTITIONS))
    database = await open_database(url, schema, pool_size=2)
    projector = Projector(database, log.read, None)
    for partition, end in (await log.ends()).items():
        await projector.catch_up(partition, end)
    yield database
    await database.close()


@pytest.fixture(scope="module", params=["memory", "postgres"])
async def reader(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[StateReader]:
    """Yield both implementations of the port, one after the other, over the same log."""
    log = await log_of_histories()
    if request.param == "memory":
        world = World(PARTITIONS)
        world.fold, world.folded = fold_log(log.records)
        yield world
        return
    async with projected(database_url, log) as database:
        yield CommandQueries(database.pool)


async def test_state_is_the_newest_also_if_deleted(reader: StateReader) -> None:
    task = await reader.state(task_stream(EDITED))
    assert isinstance(task, Task)
    assert (task.title, task.version) == ("C", 3)
    deleted = await reader.state(list_stream(DELETED_LIST))
    assert isinstance(deleted, TaskList)
    assert deleted.deleted_at is not None
    assert isinstance(await reader.state(user_stream("alice")), User)
    assert await reader.state(task_stream(NOBODY)) is None


async def test_newest_has_the_position_of_the_record_that_holds_the_stream(reader: StateReader) -> None:
    state, holder = await reader.newest(task_stream(HELD))
    assert state == await reader.state(task_stream(HELD))
    assert holder is not None
    assert Position.parse(holder).partition in range(PARTITIONS)
    assert await reader.newest(task_stream(EDITED)) == (await reader.state(task_stream(EDITED)), None)
    assert await reader.newest(list_stream(NOBODY)) == (None, None)


async def test_newest_states_read_together_are_those_read_alone(reader: StateReader) -> None:
    streams = [*HISTORIES, task_stream(NOBODY), list_stream(NOBODY), user_stream("nobody")]
    together = await asyncio.gather(*map(reader.newest, streams))
    assert list(together) == [await reader.newest(stream) for stream in streams]


async def test_states_loaded_together_are_those_loaded_alone(database_url: str) -> None:
    """Of every kind; also of streams without a state, and with the records that hold them."""
    waiting = task_stream(str(uuid4()))
    streams = [*HISTORIES, waiting, task_stream(NOBODY), list_stream(NOBODY), user_stream("nobody")]
    async with projected(database_url, await log_of_histories()) as database:
        await database.pool.execute(_PARK, 1000, waiting)
        together = await load_newest_of(database.pool, streams)
        assert together == {stream: await load_newest(database.pool, stream) for stream in streams}
    assert {stream for stream in streams if together[stream][1]} == {task_stream(HELD), waiting}


async def test_state_at_is_the_state_after_so_many_accepted_events(reader: StateReader) -> None:
    titles = [await reader.state_at(task_stream(EDITED), version) for version in (1, 2, 3)]
    assert [task.title for task in titles if isinstance(task, Task)] == ["A", "B", "C"]
    assert await reader.state_at(task_stream(EDITED), 0) is None
    assert await reader.state_at(task_stream(EDITED), 4) is None


async def test_sub_tasks_are_those_not_deleted_the_deepest_first(reader: StateReader) -> None:
    found = list(await reader.sub_tasks(PARENT))
    assert [each.depth for each in found] == [2, 1, 1, 1]
    assert found[0] == SubTask(GRANDCHILD, LIST_ID, "done", 2)
    assert set(found[1:]) == {
        SubTask(CHILD, LIST_ID, "done", 1),
        SubTask(DONE_CHILD, LIST_ID, "done", 1),
        SubTask(HELD, BOARD, "open", 1),
    }
    assert list(await reader.sub_tasks(NOBODY)) == []


async def test_tops_are_the_topmost_ancestors_of_tasks_that_exist(reader: StateReader) -> None:
    assert await reader.tops([GRANDCHILD, PARENT, NOBODY]) == {GRANDCHILD: PARENT, PARENT: PARENT}
    assert await reader.tops([]) == {}


async def test_lines_have_tasks_and_ancestors_with_their_holders(reader: StateReader) -> None:
    for wanted in ([GRANDCHILD], [GRANDCHILD, HELD], [GRANDCHILD, HELD, DELETED_CHILD, NOBODY]):
        lines = await reader.lines(wanted)
        assert set(lines.tasks) == {CHILD, PARENT, *wanted} - {NOBODY}
        for key, task in lines.tasks.items():
            assert task == await reader.state(task_stream(key))
        assert set(lines.holders) == {HELD} & set(wanted)
    assert not (await reader.lines([])).tasks


@pytest.mark.parametrize(
    ("before", "after", "gap"),
    [
        (None, None, Gap("a5", None)),
        (None, PARENT, Gap("a1", "a2")),
        (CHILD, None, Gap("a1", "a2")),
        (EDITED, None, Gap(None, "a0")),
        (EDITED, PARENT, Gap("a1", "a2")),
        (CHILD, NOBODY, Gap("a1", "a2")),
        (None, DONE_CHILD, Gap("a3", "a4")),
        (None, GRANDCHILD, Gap("a5", None)),
        (NOBODY, None, None),
        (None, HELD, None),
    ],
)
async def test_gap_is_next_to_a_task_of_the_list(
    reader: StateReader, before: str | None, after: str | None, gap: Gap | None
) -> None:
    assert await reader.gap(LIST_ID, NOBODY, before=before, after=after) == gap


async def test_gap_ignores_the_task_that_moves(reader: StateReader) -> None:
    assert await reader.gap(LIST_ID, CHILD, before=None, after=PARENT) == Gap("a1", "a3")
    assert await reader.gap(LIST_ID, GRANDCHILD, before=None, after=None) == Gap("a4", None)


async def test_gap_of_an_empty_list_is_open_on_both_sides(reader: StateReader) -> None:
    assert await reader.gap(DELETED_LIST, NOBODY, before=None, after=None) == Gap(None, None)


async def test_change_precedes_the_decided_state(reader: StateReader) -> None:
    """Later ones do not count; and none is returned while the last ones are not visible."""
    task = await reader.state(task_stream(EDITED))
    then = await reader.state_at(task_stream(EDITED), 2)
    assert isinstance(task, Task)
    assert isinstance(then, Task)
    for state, title in ((task, "C"), (then, "B")):
        change = await reader.change(state, None, "alice")
        assert change is not None
        assert change.after.title == title
    assert await reader.change(then, 3, "alice") is None
    assert await reader.change(task, None, "bob") is None
    ahead = replace(task, version=5)
    for version in (None, 4, 5):
        with pytest.raises(Unavailable):
            await reader.change(ahead, version, "alice")
    known = await reader.change(ahead, 2, "alice")
    assert known is not None
    assert known.after == then


async def test_change_has_the_tasks_that_came_along(reader: StateReader) -> None:
    """Both those below and those above, the deepest first."""
    task = await reader.state(task_stream(PARENT))
    assert isinstance(task, Task)
    change = await reader.change(task, 2, "alice")
    assert change is not None
    assert change.actor == "alice"
    assert change.along == (Along(GRANDCHILD, 2, (2,)), Along(CHILD, 1, (2,)))


async def test_occupied_stages_are_those_of_tasks_not_deleted(reader: StateReader) -> None:
    assert dict(await reader.occupied(BOARD)) == {("Doing", "open"): 1}
    assert dict(await reader.occupied(LIST_ID)) == {}


async def test_comments_are_those_not_deleted(reader: StateReader) -> None:
    assert await reader.comment(TALKED_ABOUT, KEPT) == PriorComment("bob", "Hello!")
    assert await reader.comment(TALKED_ABOUT, DROPPED) is None
    assert await reader.comment(EDITED, KEPT) is None
    assert await reader.commenters(TALKED_ABOUT) == {"bob"}
    assert await reader.commenters(EDITED) == frozenset()


async def test_accepted_event_has_its_position_and_the_state_after_it(reader: StateReader) -> None:
    stream = task_stream(EDITED)
    found = await reader.accepted(event_id(stream, 2))
    assert found is not None
    assert (found.stream, found.version, found.command_hash) == (stream, 2, None)
    assert b'"title":"B"' in found.state
    assert await reader.accepted("late") is None
    known = [event_id(stream, 1), event_id(task_stream(PARENT), 2)]
    assert await reader.accepted_among([*known, "late", "unknown"]) == set(known)
    assert await reader.accepted_among([]) == frozenset()


async def test_moment_sees_one_snapshot_at_its_positions(reader: StateReader) -> None:
    positions = await reader.positions()
    assert set(positions) == set(range(PARTITIONS))
    async with reader.moment() as (rows, reached):
        assert reached == positions
        assert await rows.state(task_stream(EDITED)) == await reader.state(task_stream(EDITED))
