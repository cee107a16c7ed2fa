"""Python client against a running stack: calls, restarts of a node, expiring tokens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime
from uuid import uuid4

import pytest

from tasktape_client import Client, Connected, Disconnected, TasktapeError, Unsubscribed, Update
from tests.integration.stack import Stack
from tests.integration.test_api_dead_letters import put
from tests.ports import free_port
from tests.waiting import eventually

LIMIT_S = 120
ENDS = ("kill", "stop", "kill")


@pytest.fixture
def user() -> str:
    return f"user-{uuid4().hex[:8]}"


@pytest.fixture
async def client(running_stack: Stack, user: str) -> AsyncIterator[Client]:
    async with Client(running_stack.urls[0], running_stack.token(user)) as client:
        yield client


class Node:
    """An API node of the test's own, which it may kill."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._part = stack.start_api(self._port)

    async def start(self) -> None:
        """Start it again."""
        self._part = await asyncio.to_thread(self._stack.start_api, self._port)

    def kill(self) -> None:
        """End it as `kill -9` does."""
        self._part.kill()

    def stop(self) -> None:
        """Stop it gracefully."""
        self._part.stop()


@contextmanager
def own_node(stack: Stack) -> Iterator[Node]:
    node = Node(stack)
    try:
        yield node
    finally:
        node.stop()
        stack.urls.remove(node.url)


@asynccontextmanager
async def with_a_reader(stack: Stack, writer: str, reader: str) -> AsyncIterator[tuple[Client, Client, Node]]:
    """Yield clients of two users, the second with a node of its own, for a limited time."""
    with own_node(stack) as node:
        async with (
            asyncio.timeout(LIMIT_S),
            Client(stack.urls[0], stack.token(writer)) as writing,
            Client(node.url, stack.token(reader)) as reading,
        ):
            yield writing, reading, node


class Listener:
    """Iterates in the background, and keeps the updates."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.lost: list[str] = []
        self.connections: list[Connected | Disconnected] = []

    @property
    def titles(self) -> list[str]:
        """Return the titles of the created tasks."""
        return [
            update.task.title
            for update in self.updates
            if update.task is not None and update.event.type == "task.created"
        ]

    def is_connected(self) -> bool:
        """Return whether there is a connection now."""
        return isinstance(self.connections[-1], Connected)

    @asynccontextmanager
    async def listening(self, client: Client, channels: Sequence[str] = ()) -> AsyncIterator[None]:
        """Listen during the block, which begins with all of the channels."""
        async with client.updates(channels, on_connection=self.connections.append) as updates:

            async def listen() -> None:
                async for update in updates:
                    if isinstance(update, Unsubscribed):
                        self.lost.append(update.channel)
                    else:
                        assert isinstance(update, Update)
                        self.updates.append(update)

            task = asyncio.create_task(listen())
            await eventually(lambda: updates.channels >= set(channels), LIMIT_S)
            yield
            await updates.aclose()
            await task


async def test_life_of_a_task(client: Client, user: str) -> None:
    """Created, read, edited, completed, reopened, deleted and restored; versions, history and outcomes."""
    created = await client.create_task("Buy milk", due=datetime(2026, 12, 1, 9, tzinfo=UTC), tags=["shop"])
    assert (created.created_by, created.due, created.version) == (user, "2026-12-01T09:00:00+00:00", 1)
    edited = await client.edit_task(created.id, {"title": "Buy oat milk", "due": None}, if_match=1)
    assert (edited.title, edited.due) == ("Buy oat milk", None)
    with pytest.raises(TasktapeError) as caught:
        await client.edit_task(created.id, {"title": "Buy rice milk"}, if_match=1)
    assert (caught.value.code, caught.value.theirs) == ("conflict", {"title": "Buy oat milk"})
    assert (await client.complete_task(created.id)).status == "done"
    assert (await client.reopen_task(created.id)).status == "open"
    await client.delete_task(created.id)
    with pytest.raises(TasktapeError, match="no such task"):
        await client.task(created.id)
    restored = await client.restore_task(created.id)
    assert await client.task(created.id) == restored
    assert await client.task(created.id, version=1) == created
    assert (await client.task(created.id, as_of=edited.updated_at)).title == "Buy oat milk"
    events = await client.history(created.id).all()
    assert [event.type for event in events] == [
        *("task.created", "task.edited", "task.completed"),
        *("task.reopened", "task.deleted", "task.restored"),
    ]
    assert events[1].changes["title"] == ("Buy milk", "Buy oat milk")
    assert (await client.outcome(events[1].position)).outcome == "accepted"


async def test_repeated_command_is_executed_once(client: Client) -> None:
    """By its key."""
    first = await client.create_task("Once", key="a key")
    assert await client.create_task("Once", key="a key") == first
    assert [task.id for task in await client.tasks().all()] == [first.id]


async def test_lists_and_their_tasks(client: Client, user: str) -> None:
    """Created, renamed, moved, paged, deleted."""
    made = await client.create_list("Errands")
    assert made.members == {user: "owner"}
    assert (await client.rename_list(made.id, "Shopping")).name == "Shopping"
    assert (await client.list(made.id)).version == 2
    tasks = [await client.create_task(f"Task {number}") for number in range(3)]
    moved = await client.move_task(tasks[0].id, list_id=made.id)
    assert moved.list_id == made.id
    await client.create_task("There", list_id=made.id, tags=["a", "b"])
    found = client.tasks(list_id=made.id, tag=["a", "b"])
    assert [task.title for task in await found.all()] == ["There"]
    assert found.positions
    assert [task.title async for task in client.tasks(sort="-title", at_most=2)] == ["There", "Task 2"]
    assert [event.type async for event in client.list_history(made.id)] == ["list.created", "list.renamed"]
    await client.delete_list(made.id)
    assert [each.inbox async for each in client.lists()] == [True]


async def test_caller_and_health(client: Client, running_stack: Stack, user: str) -> None:
    """Also the administrators' calls."""
    me = await client.me()
    assert (me.user, me.admin) == (user, False)
    readiness = await client.readiness()
    assert readiness.ready
    assert readiness.problems == ()
    with pytest.raises(TasktapeError) as caught:
        await client.dead_letters().all()
    assert (caught.value.status, caught.value.code) == (403, "forbidden")
    async with Client(running_stack.urls[0], running_stack.token(user, admin=True)) as admin:
        poison = await put(running_stack, f"task:{uuid4()}".encode(), b"not an event")

        async def was_tried(times: int) -> bool:  # Those of other tests may be parked too.
            letters = {each.position: each async for each in admin.dead_letters()}
            return (letters[poison].attempts if poison in letters else 0) == times

        await eventually(lambda: was_tried(1))
        await admin.retry_dead_letter(poison)
        await eventually(lambda: was_tried(2))
        await admin.skip_dead_letter(poison)
        await eventually(lambda: was_tried(0))
        with pytest.raises(TasktapeError, match="no record is parked"):
            await admin.retry_dead_letter(poison)
        with pytest.raises(TasktapeError, match="no record is parked"):
            await admin.skip_dead_letter(poison)


async def test_reads_see_own_writes_on_every_node(running_stack: Stack, user: str) -> None:
    """At once."""
    async with (
        Client(running_stack.urls[0], running_stack.token(user)) as writer,
        Client(running_stack.urls[1], running_stack.token(user)) as reader,
    ):
        for number in range(20):
            task = await writer.create_task(f"Task {number}")
            assert await reader.task(task.id) == task
        assert set(writer.positions) <= {str(partition) for partition in range(64)}


# --- updates ---------------------------------------------------------------------------------------------


async def test_updates_within_the_block_are_not_missed(client: Client) -> None:
    """The client is connected at its start; saved positions are resumed by another client."""
    async with client.updates() as updates:
        assert any(channel.startswith("user:") for channel in updates.channels)
        task = await client.create_task("First")
        async for update in updates:
            if isinstance(update, Update) and update.task is not None:
                assert update.task == task
                break
    second = await client.create_task("Second")
    async for update in client.updates(since=updates.positions):
        assert isinstance(update, Update)
        assert update.task == second
        break


async def test_snapshot_and_updates_join_without_a_gap(client: Client) -> None:
    """From the positions of a collection."""
    before = await client.create_task("Before")
    tasks = client.tasks()
    assert [task.id for task in await tasks.all()] == [before.id]
    after = await client.create_task("After")
    async for update in client.updates([f"task:{before.id}"], since=tasks.positions):
        assert isinstance(update, Update)
        assert update.task == after
        break


async def test_restarts_lose_and_repeat_nothing(running_stack: Stack, user: str) -> None:
    """A node restarts several times, during updates through another one."""
    listener, written = Listener(), list[str]()
    async with with_a_reader(running_stack, user, user) as (writer, reader, node), listener.listening(reader):
        for round_, how in enumerate(ENDS):
            for number in range(10):
                written.append(f"{round_}.{number}")
                await writer.create_task(written[-1])
                if number == 3:
                    await asyncio.to_thread(getattr(node, how))
                if number == 7:
                    await node.start()
                    await eventually(listener.is_connected, LIMIT_S)
        await eventually(lambda: len(listener.titles) >= len(written), LIMIT_S)
        last = await writer.create_task("Last")
        await eventually(lambda: last.title in listener.titles, LIMIT_S)
    assert sorted(listener.titles) == sorted([*written, "Last"])
    positions = [update.position for update in listener.updates]
    assert len(positions) == len(set(positions))
    assert sum(isinstance(each, Connected) for each in listener.connections) > len(ENDS)


async def test_expiring_tokens_are_renewed(running_stack: Stack, user: str) -> None:
    """On the socket before expiry, without a new connection, and for calls after a refusal."""
    given: list[str] = []

    async def token() -> str:
        given.append(running_stack.token(user, ttl_s=6))
        return given[-1]

    listener = Listener()
    async with Client(running_stack.urls[0], token) as client, listener.listening(client):
        await eventually(lambda: len(given) == 3, LIMIT_S)
        await client.create_task("Still here")
        await eventually(lambda: listener.titles == ["Still here"])
        assert len(listener.connections) == 1
    async with Client(running_stack.urls[0], token) as client:
        first = await client.me()
        await eventually(lambda: datetime.now(UTC) > first.expires_at, LIMIT_S)
        assert (await client.me()).expires_at > first.expires_at


async def test_expired_fixed_token_ends_the_client(running_stack: Stack, user: str) -> None:
    """With one line that says so."""
    async with Client(running_stack.urls[0], running_stack.token(user, ttl_s=1)) as client:
        with pytest.raises(TasktapeError, match="the token has expired") as caught:
            async for _ in client.updates():
                pass
    assert caught.value.code == "unauthenticated"


async def test_joined_lists_are_received_completely_and_once(running_stack: Stack, user: str) -> None:
    """From their beginning, also if joined while the node was down; nothing after leaving."""
    listener, other = Listener(), f"{user}-b"
    async with with_a_reader(running_stack, other, user) as (owner, reader, node), listener.listening(reader):

        async def share(name: str) -> str:
            made = await owner.create_list(name)
            for number in range(5):
                await owner.create_task(f"{name} {number}", list_id=made.id)
            await owner.set_member(made.id, user)
            return made.id

        first = await share("First")
        await eventually(lambda: len(listener.titles) == 5, LIMIT_S)
        node.kill()
        second = await share("Second")
        await node.start()
        await eventually(lambda: len(listener.titles) == 10, LIMIT_S)
        await owner.remove_member(first, user)
        await owner.create_task("Not for them", list_id=first)
        await owner.create_task("The last", list_id=second)
        await eventually(lambda: "The last" in listener.titles, LIMIT_S)
    names = [f"{name} {number}" for name in ("First", "Second") for number in range(5)]
    assert sorted(listener.titles) == sorted([*names, "The last"])
    positions = [update.position for update in listener.updates]
    assert len(positions) == len(set(positions))
    kinds = [update.notifications.get(user) for update in listener.updates]
    assert kinds.count("shared") == 2


async def test_lists_and_tasks_that_are_taken_away_are_reported(running_stack: Stack, user: str) -> None:
    """By removal or deletion of the list, while the node was down; tasks' channels end with their list's."""
    listener, other = Listener(), f"{user}-b"
    async with with_a_reader(running_stack, other, user) as (owner, reader, node):
        lists = [(await owner.create_list(f"List {number}")).id for number in range(4)]
        tasks = [(await owner.create_task("Task", list_id=list_id)).id for list_id in lists]
        for list_id in lists:
            await owner.set_member(list_id, user)
        channels = [f"task:{task_id}" for task_id in tasks]
        async with listener.listening(reader, channels):
            await owner.remove_member(lists[0], user)
            await owner.delete_list(lists[1])
            await eventually(lambda: len(listener.lost) >= 4, LIMIT_S)
            node.kill()
            await owner.remove_member(lists[2], user)
            await node.start()
            await eventually(lambda: len(listener.lost) >= 6, LIMIT_S)
            await owner.create_task("Still here", list_id=lists[3])
            await eventually(lambda: listener.titles[-1:] == ["Still here"], LIMIT_S)
    expected = {f"list:{list_id}" for list_id in lists[:3]} | {f"task:{task_id}" for task_id in tasks[:3]}
    assert set(listener.lost) == expected
    assert len(listener.lost) == 6


async def test_sharing_a_list_between_two_clients(running_stack: Stack, user: str) -> None:
    """Members, roles, comments, notifications and activity."""
    async with (
        Client(running_stack.urls[0], running_stack.token(user)) as alice,
        Client(running_stack.urls[1], running_stack.token(f"{user}-b")) as bob,
    ):
        me = (await bob.me()).user
        made = await alice.create_list("Errands", stages=[{"name": "Doing", "category": "active"}])
        shared = await alice.set_member(made.id, me, "viewer")
        assert shared.members == {user: "owner", me: "viewer"}
        task = await alice.create_task("Buy milk", list_id=made.id, stage="Doing")
        with pytest.raises(TasktapeError) as caught:
            await bob.complete_task(task.id)
        assert caught.value.code == "forbidden"
        await alice.set_member(made.id, me, "editor")
        said = await alice.comment(task.id, f"@{me} which one?")
        assert (said.author, said.mentions) == (user, (me,))
        answer = await bob.comment(task.id, "The oat one")
        assert (await bob.edit_comment(task.id, answer.id, "Any")).text == "Any"
        assert [each.text async for each in alice.comments(task.id)] == [said.text, "Any"]
        await bob.delete_comment(task.id, answer.id)
        assert (await bob.task(task.id)).comment_count == 1
        shown = await bob.notifications(unread=True).all()
        assert [each.kind for each in shown] == ["mentioned", "shared"]
        assert (await bob.read_notification(shown[0].id)).read
        assert (await bob.me()).unread == 1
        assert not (await bob.unread_notification(shown[0].id)).read
        assert await bob.read_all_notifications() == 0
        groups = await alice.activity(list_id=made.id, actor=me).all()
        assert {group.actor for group in groups} == {me}
        assert groups[0].events[0].type == "task.comment_deleted"
        await alice.set_stages(
            made.id, [{"name": "Doing", "category": "active"}, {"name": "Done", "category": "done"}]
        )
        assert (await bob.move_task(task.id, stage="Done")).status == "done"
        await alice.hand_over(made.id, me)
        await alice.leave_list(made.id)
        assert [each.inbox async for each in alice.lists()] == [True]
        assert (await bob.list(made.id)).members == {me: "owner"}


async def test_sub_tasks_series_and_undo(client: Client) -> None:
    """Cascades, moves, skipping, searching, undo, and bulk commands."""
    parent = await client.create_task("Move house", priority="low")
    child = await client.create_task("Rent a van", parent_id=parent.id, notes="a large one")
    with pytest.raises(TasktapeError) as caught:
        await client.complete_task(parent.id)
    assert caught.value.status == 409
    await client.complete_task(parent.id, cascade=True)
    assert (await client.task(child.id)).status == "done"
    [found] = await client.tasks(q="large is:done").all()
    assert found.match is not None
    assert "<mark>large</mark>" in found.match.snippet
    with pytest.raises(TasktapeError) as caught:
        await client.tasks(q="is:opne").all()
    assert caught.value.errors[0]["at"] == 3
    again = await client.create_task(
        "Water", due="2036-12-02", recurrence="FREQ=DAILY;COUNT=3", reminders=[{"before": "PT1H"}]
    )
    assert again.series is not None
    assert again.series.occurrence == 1
    assert (await client.skip_task(again.id)).due == "2036-12-03"
    await client.edit_task(again.id, {"title": "Water the plants"}, scope="this")
    undone = await client.undo(again.id)
    assert undone is not None
    assert undone.title == "Water"
    await client.move_task(again.id, before=parent.id)
    assert [task.id async for task in client.tasks(at_most=1)] == [again.id]
    outcomes = await client.bulk(
        [
            {"command": "create", "body": {"title": "One more"}},
            {"command": "complete", "task_id": parent.id[:-1]},
            {"command": "reopen", "task_id": parent.id},
        ]
    )
    assert [outcome.status for outcome in outcomes] == [201, 422, 200]
    assert outcomes[1].problem is not None
    assert outcomes[2].task is not None
    assert outcomes[2].task.status == "open"
