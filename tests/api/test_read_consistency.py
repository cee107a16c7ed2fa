"""Read consistency while a crashed database lacks its latest rows: nothing is refused because of that."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import pytest

from api import read_consistency
from api.commands.task_actions import TaskActions
from api.main import application
from app.errors import Conflict, Forbidden, NotFound, TaskError, Unavailable
from app.ids import inbox_id
from app.lists.commands import CreateList, DeleteList, EditList, SetMember
from app.settings import Settings
from app.stream_ids import StreamId
from app.tasks.commands import (
    Comment,
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditComment,
    EditTask,
    ReopenTask,
    TaskCommand,
    UndoChange,
)
from app.tasks.state import Task
from tasktape.local.tokens import mint
from tests.api.memory_stack import Node, World, dependencies_on, new_id, new_task
from tests.waiting import eventually

SECRET = "a secret of the tests that is long enough"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(read_consistency, "RETRY_DELAYS_S", (0.01,) * 3)
    async with World().running() as running:
        yield running


def new_stream() -> str:
    return f"task:{new_id()}"


async def refused(node: Node, command: TaskCommand, stream: str, user: str = "alice") -> type[TaskError]:
    with pytest.raises(TaskError) as caught:
        await node.execute(command, stream, user)
    return caught.type


async def test_created_task_is_not_missing(world: World) -> None:
    """While its row is missing the command is 503; then it is executed."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    world.crash(lost=1)
    assert await refused(node, EditTask(title="Buy bread"), stream) is Unavailable
    world.release()
    assert (await node.applied(EditTask(title="Buy bread"), stream)).version == 2


async def test_command_waits_for_rows_that_come_back_soon(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The caller notices nothing."""
    monkeypatch.setattr(read_consistency, "RETRY_DELAYS_S", (0.01,) * 500)
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    world.crash(lost=1)
    edit = asyncio.create_task(node.applied(EditTask(title="Buy bread"), stream))
    await eventually(lambda: world.moments >= 3)
    assert not edit.done()
    world.release()
    assert (await edit).version == 2


async def test_undo_is_not_refused_by_an_old_row(world: World) -> None:
    """According to the old row there is nothing to undo."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    await node.applied(CompleteTask(), stream)
    world.crash(lost=1)
    assert await refused(node, ReopenTask(), stream) is Unavailable
    world.release()
    assert (await node.applied(ReopenTask(), stream)).version == 3


async def test_new_editor_may_edit_despite_an_old_row(world: World) -> None:
    """According to the old row they may not, or may not even see it."""
    node, stream, list_id = world.node(), new_stream(), new_id()
    await node.applied(CreateList(name="Errands"), f"list:{list_id}")
    await node.applied(new_task(list_id=list_id), stream)
    await node.applied(SetMember(user="bob", role="viewer"), f"list:{list_id}")
    assert await refused(node, EditTask(title="X"), stream, "bob") is Forbidden
    await node.applied(SetMember(user="bob", role="editor"), f"list:{list_id}")
    for lost in (1, 2):
        world.crash(lost)
        assert await refused(node, EditTask(title="X"), stream, "bob") is Unavailable
        world.release()
    assert (await node.applied(EditTask(title="X"), stream, "bob")).version == 2


async def test_edit_of_a_merged_version_does_not_conflict_by_an_old_row(world: World) -> None:
    """Nor does an `If-Match` fail with a version that was returned."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    received = await node.applied(EditTask(title="Buy bread"), stream)
    world.crash(lost=1)
    with pytest.raises(Unavailable):
        await node.execute(EditTask(title="Buy beer"), stream, if_match=received.version)
    world.release()
    assert (await node.applied(EditTask(title="Buy beer"), stream, if_match=received.version)).version == 3


async def test_rows_related_to_the_task_count_too(world: World) -> None:
    """A created comment can be edited."""
    node, stream, comment_id = world.node(), new_stream(), new_id()
    await node.applied(new_task(), stream)
    await node.applied(Comment(comment_id=comment_id, text="Which?"), stream)
    world.crash(lost=1)
    edit = EditComment(comment_id=comment_id, text="Which one?")
    assert await refused(node, edit, stream) is Unavailable
    world.release()
    assert (await node.applied(edit, stream)).version == 3


async def test_sub_task_is_created_in_the_list_of_its_parent(world: World) -> None:
    """And not in the inbox as if the parent did not exist."""
    node, list_id, parent_id = world.node(), new_id(), new_id()
    actions = TaskActions(node.commands.decisions, new_id)
    body = {"title": "Compare prices", "parent_id": parent_id}
    await node.applied(CreateList(name="Errands"), f"list:{list_id}")
    await node.applied(new_task(list_id=list_id), f"task:{parent_id}")
    world.crash(lost=1)
    with pytest.raises(Unavailable):
        await actions.command("create", body, "alice", None)
    world.release()
    command, _ = await actions.command("create", body, "alice", None)
    assert isinstance(command, CreateTask)
    assert command.list_id == list_id


async def test_cascade_includes_sub_tasks_whose_rows_are_missing(world: World) -> None:
    node, parent_id = world.node(), new_id()
    child = new_stream()
    await node.applied(new_task(), f"task:{parent_id}")
    await node.applied(new_task(parent_id=parent_id), child)
    world.crash(lost=1)
    with pytest.raises(Unavailable):
        await node.execute(DeleteTask(cascade=True), f"task:{parent_id}")
    world.release()
    await node.applied(DeleteTask(cascade=True), f"task:{parent_id}")
    deleted = await node.commands.decisions.state(StreamId(child))
    assert isinstance(deleted, Task)
    assert deleted.deleted_at is not None


async def test_undo_takes_back_the_newest_change(world: World) -> None:
    """And not the one before, if the newest row is missing."""
    node, task_id = world.node(), new_id()
    await node.applied(new_task(), f"task:{task_id}")
    await node.applied(EditTask(title="Buy bread"), f"task:{task_id}")
    await node.applied(EditTask(notes="Rye"), f"task:{task_id}")
    world.crash(lost=1)
    with pytest.raises(Unavailable):
        await node.execute(UndoChange(), f"task:{task_id}")
    world.release()
    undone = json.loads((await node.applied(UndoChange(), f"task:{task_id}")).body)
    assert (undone["title"], undone["notes"]) == ("Buy bread", "")


async def test_accepted_command_checks_no_rows_again(world: World) -> None:
    """Also on old rows: its record comes after the lost ones, and the fold decides."""
    node, stream = world.node(), new_stream()
    await node.applied(new_task(), stream)
    await node.applied(EditTask(title="Buy bread"), stream)
    await node.applied(CompleteTask(), stream)
    assert world.moments == 0
    world.crash(lost=1)
    edit = asyncio.create_task(node.applied(EditTask(notes="Rye"), stream))
    await eventually(lambda: len(world.log.records) == 4)
    world.release()
    done = await edit
    assert done.version == 4
    assert json.loads(done.body)["status"] == "done"
    assert world.moments == 0


async def test_refusal_on_current_rows_stands(world: World) -> None:
    """After one check, and without a wait."""
    node, list_id = world.node(), new_id()
    await node.applied(new_task(), new_stream())
    assert await refused(node, EditTask(title="X"), new_stream()) is NotFound
    assert world.moments == 1
    await node.applied(CreateList(name="Errands"), f"list:{list_id}")
    await node.applied(EditList(name="A"), f"list:{list_id}")
    with pytest.raises(Conflict):
        await node.execute(EditList(name="B"), f"list:{list_id}", if_match=1)
    assert (await node.applied(EditList(name="A"), f"list:{list_id}")).position is None
    assert world.moments == 3


async def test_node_considers_only_what_it_has_seen(world: World) -> None:
    """A node that has seen nothing refuses by the rows: it has promised nothing else."""
    node, list_id = world.node(), new_id()
    await node.applied(CreateList(name="Errands"), f"list:{list_id}")
    world.crash(lost=1)
    with pytest.raises(NotFound):
        await world.node().execute(DeleteList(), f"list:{list_id}")


class NoNotifications:
    """Queries of notifications whose rows are missing."""

    async def one(self, user: str, notification_id: str) -> None:
        """See `NotificationQueries.one`."""

    async def newest(self, user: str) -> None:
        """See `NotificationQueries.newest`."""

    async def unread(self, user: str) -> int:
        """See `NotificationQueries.unread`."""
        return 0


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    settings = Settings(jwt_secret=SECRET)
    app = application(settings)
    notifications: Any = NoNotifications()
    app.state.deps = replace(
        dependencies_on(world, world.node(), settings, None), notifications=notifications
    )
    headers = {"Authorization": f"Bearer {mint(SECRET, 'alice', admin=False, ttl_s=60)}"}
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://t", headers=headers) as client:
        yield client


async def test_missing_rows_are_503_with_retry_after(world: World, client: httpx.AsyncClient) -> None:
    """As for any unavailable dependency."""
    created = await client.post("/api/tasks", json={"title": "Buy milk", "list_id": inbox_id("alice")})
    world.crash(lost=1)
    answer = await client.patch(created.headers["location"], json={"title": "Buy bread"})
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"] == "1"
    assert answer.headers["content-type"] == "application/problem+json"
    world.release()
    answer = await client.patch(created.headers["location"], json={"title": "Buy bread"})
    assert (answer.status_code, answer.json()["version"]) == (200, 2)


@pytest.mark.parametrize(
    ("path", "status"), [(f"{new_id()}/read", 404), ("read-all", 200)], ids=["one", "all"]
)
async def test_notifications_are_503_while_rows_may_be_missing(
    world: World, client: httpx.AsyncClient, path: str, status: int
) -> None:
    """Neither "not found" nor "all read" is answered."""
    await client.post("/api/tasks", json={"title": "Buy milk"})
    world.crash(lost=1)
    assert (await client.post(f"/api/notifications/{path}")).status_code == 503
    world.release()
    assert (await client.post(f"/api/notifications/{path}")).status_code == status
