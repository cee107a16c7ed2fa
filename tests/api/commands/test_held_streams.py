"""Commands on streams held by a parked record: refused, or taken back if they were appended before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from api.commands.requests import Applied
from app.errors import Conflict
from app.ids import inbox_id
from app.log.records import StreamResumed
from app.stream_ids import StreamId
from app.tasks.commands import EditTask
from app.tasks.state import Task
from tests.api.memory_stack import Node, World, new_task
from tests.waiting import eventually


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with World().running() as world:
        yield world


@pytest.fixture
async def node(world: World) -> Node:
    node = world.node()
    await node.applied(new_task(), STREAM)
    return node


STREAM = StreamId("task:0f0e0d0c-0b0a-4908-8706-050403020100")
EDIT = EditTask(title="Buy bread")


async def poison(world: World) -> str:
    """Append an unreadable record to the stream and return its position."""
    return str(await world.log._put(world.log.partition_of(STREAM), STREAM.encode(), b"junk", []))


async def test_command_on_a_held_stream_is_refused(world: World, node: Node) -> None:
    """The error names the holding record, nothing is written, and other streams continue."""
    holder = await poison(world)
    await eventually(lambda: STREAM in world.fold.held)
    before = len(world.log.records)
    with pytest.raises(Conflict, match=f"waits for the record {holder}"):
        await node.execute(EDIT, STREAM)
    assert len(world.log.records) == before
    assert isinstance(await node.execute(new_task(), STREAM.replace("0100", "0101")), Applied)


async def test_command_appended_before_the_hold_is_taken_back(world: World, node: Node) -> None:
    """Of several on two nodes none takes effect when the holding record is skipped."""
    other = world.node()
    world.hold()
    holder = await poison(world)
    edits = [asyncio.create_task(each.execute(EDIT, STREAM)) for each in (node, other)]
    written = len(world.log.records)
    await eventually(lambda: len(world.log.records) == written + 2)
    appended = [raw for raw in world.log.records if raw.stream == STREAM][-2:]
    world.release()
    for edit in edits:
        with pytest.raises(Conflict, match=f"waits for the record {holder}"):
            await edit
    taken_back = {
        position
        for each in world.folded
        if each.record is not None and isinstance(each.record.data, StreamResumed)
        for position in each.record.data.skipped
    }
    assert taken_back == {str(raw.position) for raw in appended}
    state = world.fold.states[STREAM]
    assert isinstance(state, Task)
    assert (state.title, state.list_id) == ("Buy milk", inbox_id("alice"))
