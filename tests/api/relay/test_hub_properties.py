"""Delivery under any schedule: each client gets exactly the updates of its channels, once, in order."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api import read_consistency
from app.log.updates import Update
from app.positions import Position
from tests.api.relay_world import Client, Node, World, list_update, nothing_update, task_update
from tests.thoroughness import examples

PARTITIONS = 2
OWN, OTHER, NEW, SHARED = "own", "other", "new", "shared"
TASKS = {"t1": OWN, "t2": OWN, "t3": OTHER}

partitions = st.integers(0, PARTITIONS - 1)
nodes = st.integers(0, 1)
clients = st.integers(0, 1)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("task"), partitions, st.sampled_from(sorted(TASKS))),
        st.tuples(st.just("nothing"), partitions),
        st.tuples(st.just("rename"), partitions),
        st.tuples(st.just("new list"), partitions),
        st.tuples(st.just("new task"), partitions),
        st.tuples(st.just("move"), partitions),
        st.tuples(st.just("move to new"), partitions),
        st.tuples(st.just("publish"), nodes, partitions, st.integers(1, 4), st.integers(0, 3)),
        st.tuples(st.just("catch up"), clients, nodes),
        st.tuples(st.just("run"), st.integers(1, 6)),
        st.tuples(st.just("receive"), clients, st.integers(1, 6)),
        st.tuples(st.just("reconnect"), clients, nodes),
        st.tuples(st.just("ticks"), st.integers(0, 3)),
    ),
    max_size=40,
)


joining_steps = st.lists(
    st.one_of(
        st.tuples(st.just("new list"), st.just(1)),
        st.tuples(st.just("new task"), st.just(0)),
        st.tuples(st.just("move to new"), st.just(0)),
        st.tuples(st.just("publish"), nodes, partitions, st.integers(1, 2), st.just(0)),
        st.tuples(st.just("catch up"), st.just(0), nodes),
        st.tuples(st.just("run"), st.integers(1, 6)),
        st.tuples(st.just("receive"), st.just(0), st.integers(1, 3)),
        st.tuples(st.just("reconnect"), st.just(0), nodes),
        st.tuples(st.just("ticks"), st.integers(0, 3)),
    ),
    max_size=25,
)


people = st.sampled_from(["ann", "ann", "bob"])
sharing_steps = st.lists(
    st.one_of(
        st.tuples(st.just("join"), people),
        st.tuples(st.just("leave"), people),
        st.tuples(st.just("delete or restore")),
        st.tuples(st.just("notify"), partitions, st.sampled_from([OWN, SHARED, SHARED]), st.sets(people)),
        st.tuples(st.just("move"), partitions),
        st.tuples(st.just("move to shared"), partitions),
        st.tuples(st.just("publish"), nodes, partitions, st.integers(1, 3), st.integers(0, 2)),
        st.tuples(st.just("catch up"), clients, nodes),
        st.tuples(st.just("run"), st.integers(1, 6)),
        st.tuples(st.just("receive"), clients, st.integers(1, 6)),
        st.tuples(st.just("reconnect"), clients, nodes),
        st.tuples(st.just("ask again"), clients),
        st.tuples(st.just("ticks"), st.integers(0, 3)),
    ),
    max_size=40,
)


class Story:
    """Executes the steps of an example."""

    def __init__(self, ring: int) -> None:
        self.world = World(PARTITIONS)
        self.world.members = {OWN: {"ann"}, OTHER: {"bob"}, SHARED: {"carol"}}
        self.world.task_lists = dict(TASKS)
        self.nodes = [Node(self.world, ring=ring), Node(self.world, ring=ring)]
        self.clients: Sequence[Client] = [Client("ann"), Client("ann")]
        self.moves = 0

    async def take(self, step: Any) -> None:
        """Execute one step."""
        match step:
            case ("publish", node, partition, count, again):
                self.nodes[node].publish_next(partition, count, again=again)
            case ("run", rounds):
                for _ in range(rounds):
                    await self.round()
            case ("receive", client, count):
                await self.clients[client].receive(count)
            case ("reconnect", client, node):
                await self.clients[client].disconnect()
                self.clients[client].connect(self.nodes[node])
            case ("catch up", client, node):
                self.nodes[node].publish_all()
                await self.clients[client].settled()
                await self.clients[client].receive()
            case ("ask again", client):
                since = {str(p): offset for p, offset in (self.clients[client].positions or {}).items()}
                if self.clients[client].session is not None:
                    self.clients[client].send({"type": "subscribe", "channel": "user:ann", "since": since})
            case ("ticks", ticks):
                self.world.query_ticks = ticks
            case _:
                self.commit(step)

    def commit(self, step: Any) -> None:
        """Commit a change to the world."""
        world = self.world
        match step:
            case ("task", partition, task):
                world.commit(task_update(world.next_position(partition), task, TASKS[task]))
            case ("nothing", partition):
                world.commit(nothing_update(world.next_position(partition)))
            case ("rename", partition):
                world.commit(list_update(world.next_position(partition), OWN, {"ann"}, {"ann"}))
            case ("new list", partition) if NEW not in world.members:
                world.members[NEW] = {"ann"}
                world.commit(list_update(world.next_position(partition), NEW, None, {"ann"}))
            case ("new task", partition) if NEW in world.members:
                world.commit(task_update(world.next_position(partition), "t4", NEW))
            case ("move to new", partition) if NEW in world.members:
                world.commit(task_update(world.next_position(partition), "t6", NEW, OWN))
            case ("move", partition):
                self.moves += 1
                to, left = (OWN, OTHER) if self.moves % 2 else (OTHER, OWN)
                world.task_lists["t5"] = to
                world.commit(task_update(world.next_position(partition), "t5", to, left))
            case _:
                self._share(step)

    def _share(self, step: Any) -> None:
        """Commit a change to the shared list, or in it."""
        world = self.world
        match step:
            case ("join" | "leave" as change, user) if SHARED not in world.deleted:
                # The events of one list are in one partition.
                before = self.world.members[SHARED]
                after = before | {user} if change == "join" else before - {user}
                world.members[SHARED] = after
                world.commit(list_update(world.next_position(1), SHARED, before, after))
            case ("delete or restore",) if SHARED not in world.deleted:
                world.deleted[SHARED], world.members[SHARED] = world.members[SHARED], set()
                world.commit(list_update(world.next_position(1), SHARED, world.deleted[SHARED], None))
            case ("delete or restore",):
                back = world.members[SHARED] = world.deleted.pop(SHARED)
                world.commit(list_update(world.next_position(1), SHARED, back, back, restored=True))
            case ("notify", partition, list_id, notified):
                position, places = world.next_position(partition), world.changed(list_id, but=partition)
                world.commit(task_update(position, f"of {list_id}", list_id, notified=notified, after=places))
            case ("move to shared", partition):
                position, places = world.next_position(partition), world.changed(SHARED, OWN, but=partition)
                world.commit(task_update(position, "t7", SHARED, OWN, after=places))

    async def round(self) -> None:
        """Let pending work proceed for a moment."""
        for client in self.clients:
            client.poke()
        await asyncio.sleep(0)

    async def finish(self) -> None:
        """Deliver everything to nodes and clients."""
        for node in self.nodes:
            node.publish_all()
        for client in self.clients:
            if client.session is None:
                client.connect(self.nodes[0])
            await client.settled()
            await client.receive(10_000)
            await client.disconnect()


async def _run_story(story: Story, history: list[Any]) -> None:
    for client in story.clients:
        client.positions = {}  # They have nothing, and know it.
        client.connect(story.nodes[0])
    for step in history:
        await story.take(step)
    await story.finish()


def _check(story: Story) -> None:
    mine = {"user:ann", f"list:{OWN}", f"list:{NEW}"}
    expected = {update.position for update in story.world.updates if mine & set(update.channels)}
    for client in story.clients:
        positions = [position for _, position in client.got]
        assert len(positions) == len(set(positions)), "an update came twice"
        assert set(positions) == expected, "an update was lost, or was another's"
        assert not client.resynced
        for channel in mine:
            for partition in range(PARTITIONS):
                order = [p for under, p in client.got if under == channel and p.partition == partition]
                assert order == sorted(order)


AHEAD = [
    ("new list", 1),
    ("reconnect", 1, 1),
    ("catch up", 0, 0),
    ("move to new", 0),
    ("catch up", 0, 1),
    ("receive", 1, 2),
    ("reconnect", 1, 0),
    ("catch up", 1, 1),
]


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps, st.sampled_from([1, 3, 1_000]))
# A list is joined on a node that is behind the one before: what lies between comes with the list.
@example(AHEAD, 1_000)
def test_clients_get_their_channels_once_and_in_order(history: list[Any], ring: int) -> None:
    """Despite late and repeated updates, slow queries, lost connections and new lists."""
    story = Story(ring)
    asyncio.run(_run_story(story, history))
    _check(story)


OVERTAKEN = [
    ("new list", 1),
    ("new task", 0),
    ("task", 0, "t1"),
    ("publish", 0, 0, 2, 0),
    ("run", 4),
    ("receive", 0, 9),
]


JOINED = [
    ("run", 9),
    ("new list", 1),
    ("new task", 0),
    ("publish", 0, 0, 1, 0),
    ("publish", 0, 1, 1, 0),
    ("run", 9),
]


@settings(max_examples=examples(300), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(joining_steps, st.sampled_from([1, 1_000]))
# The list's creation was missed, and its task lies before what the client has.
@example([*OVERTAKEN, ("publish", 1, 0, 2, 0), ("publish", 1, 1, 1, 0), ("reconnect", 0, 1)], 1_000)
# The read models have the list before the node has received its creation.
@example([*OVERTAKEN, ("reconnect", 0, 0), ("run", 9)], 1_000)
# The connection breaks between the list and the update that one joined it with.
@example([*JOINED, ("receive", 0, 3), ("reconnect", 0, 0)], 1_000)
def test_new_list_is_complete(history: list[Any], ring: int) -> None:
    """Subscribers get tasks of a list that overtake its creation on another partition."""
    story = Story(ring)
    asyncio.run(_run_story(story, history))
    _check(story)


# --- lists that are shared, taken away and shared again ---------------------------------------------------


class Member(Client):
    """A client that keeps the tasks of the lists that it has according to its messages, and of no others.

    A list that it joins comes complete, so earlier tasks of it are dropped.
    """

    def __init__(self, user: str) -> None:
        super().__init__(user)
        self.lists: set[str] = set()
        self._found_in: dict[Position, set[str]] = {}
        self._joined: set[str] = set()

    def _take(self, message: dict[str, Any]) -> None:
        if message["type"] == "update":
            # Of what happens to a list itself, that is the list's which came before one was a member.
            channel = message["channel"]
            task_in = set(message["task"]["lists"]) if message["task"] else {channel}
            if message["task"] or channel.startswith("list:"):
                assert task_in & self.lists, "an update of a list that it does not have"
                self._found_in[Position.parse(message["position"])] = task_in
        match message["type"]:
            case "authenticated":
                self._joined = set()
                self.lists = {channel for channel in message["channels"] if channel.startswith("list:")}
                self._keep(self.lists)
            case "subscribed" if message["channel"].startswith("list:"):
                self.lists.add(message["channel"])
                self._keep(self.lists - {message["channel"]})
            case "unsubscribed":
                self.lists.discard(message["channel"])
                self._keep(self.lists)
            case "update" if message["list"] is not None:
                before, after = message["changes"].get("members", ({}, {}))
                if "deleted_at" in message["changes"]:
                    before, after = {}, message["list"]["members"]
                if self.user in after and self.user not in (before or {}):
                    self._joined.add(f"list:{message['list']['id']}")
        super()._take(message)

    def _end_recovery(self) -> None:
        if self._recovering == 0:
            self._keep(self.lists - self._joined)
            self._joined.clear()
        super()._end_recovery()

    def _keep(self, lists: set[str]) -> None:
        """Apply an update to the kept lists and tasks."""
        self.got = [
            (channel, position)
            for channel, position in self.got
            if position not in self._found_in or self._found_in[position] & lists
        ]


def _check_shared(story: Story) -> None:
    """Check that each client has its lists as they are, and the events of its former lists."""
    world = story.world
    mine = {f"list:{list_id}" for list_id, members in world.members.items() if "ann" in members}
    expected = {
        update.position
        for update in world.updates
        if mine & set(update.channels)
        or (update.stream.startswith("list:") and "user:ann" in update.channels)
    }
    for client in story.clients:
        assert isinstance(client, Member)
        positions = [position for _, position in client.got]
        assert len(positions) == len(set(positions)), "an update came twice"
        assert set(positions) == expected, "an update was lost, or was another's"
        assert client.lists == mine
        assert not client.resynced


ELSEWHERE = [("reconnect", 0, 1), ("catch up", 0, 1), ("reconnect", 0, 0), ("run", 9)]
FURTHER_ON: list[Any] = [
    ("reconnect", 0, 1),
    ("run", 9),
    ("join", "ann"),
    ("notify", 0, SHARED, set()),
    ("notify", 0, OWN, set()),
    ("publish", 1, 0, 2, 0),
    ("run", 9),
    ("receive", 0, 9),
]
SHARING = [("join", "ann"), ("notify", 0, SHARED, {"ann"}), ("notify", 1, SHARED, set()), ("catch up", 0, 0)]

DELETED = [
    ("delete or restore",),
    ("notify", 0, SHARED, {"ann"}),
    ("delete or restore",),
    ("notify", 0, SHARED, {"ann"}),
]


@settings(max_examples=examples(600), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sharing_steps, st.sampled_from([1, 3, 1_000]))
# That somebody else joins a list is no reason to tell all of it again.
@example([*SHARING, ("join", "bob"), ("reconnect", 0, 0), ("catch up", 0, 0)], 1_000)
@example([*SHARING, ("join", "bob"), ("catch up", 1, 0), ("reconnect", 0, 0)], 1_000)
# Joins and leaves that were received on another node are not repeated here.
@example([("join", "ann"), ("leave", "ann"), *ELSEWHERE], 1_000)
@example([("join", "ann"), *ELSEWHERE[:2], ("leave", "ann"), ("join", "ann"), *ELSEWHERE], 1_000)
# A list is deleted and restored while one is away, here or on another node, and while one is here.
@example([*SHARING, *DELETED, ("reconnect", 0, 0), ("catch up", 0, 0)], 1_000)
@example([*SHARING, *DELETED[:2], ("catch up", 0, 0), *DELETED[2:], ("catch up", 0, 0)], 1_000)
@example([*SHARING, *DELETED[:2], *ELSEWHERE[:2], *DELETED[2:], *ELSEWHERE], 1_000)
# One is ahead of a node when one joins there: before it hears of that, and when it has.
@example([*FURTHER_ON, ("publish", 0, 1, 1, 0), ("reconnect", 0, 0), ("run", 9)], 1_000)
@example([*FURTHER_ON, ("reconnect", 0, 0), ("run", 9), ("publish", 0, 1, 1, 0), ("run", 9)], 1_000)
def test_members_get_a_shared_list_while_they_are_members(history: list[Any], ring: int) -> None:
    """Added, removed, deleted, added again: everything once, and nothing in between."""
    story = Story(ring)
    story.clients = [Member("ann"), Member("ann")]
    asyncio.run(_run_story(story, history))
    _check_shared(story)


# --- through the feed: batches, gaps, order between partitions, and a database that loses its latest rows ---


parts = st.lists(st.tuples(partitions, st.integers(0, 3)), min_size=1, max_size=3)
fed_steps = st.lists(
    st.one_of(
        st.tuples(st.just("join"), people),
        st.tuples(st.just("leave"), people),
        st.tuples(st.just("delete or restore")),
        st.tuples(st.just("notify"), partitions, st.sampled_from([OWN, SHARED, SHARED]), st.sets(people)),
        st.tuples(st.just("move to shared"), partitions),
        st.tuples(st.just("read"), nodes, parts, st.integers(0, 2), st.integers(0, 1)),
        st.tuples(st.just("catch up"), clients, nodes),
        st.tuples(st.just("run"), st.integers(1, 6)),
        st.tuples(st.just("receive"), clients, st.integers(1, 6)),
        st.tuples(st.just("reconnect"), clients, nodes),
        st.tuples(st.just("restart"), nodes),
        st.tuples(st.just("lose"), partitions, st.integers(1, 2)),
        st.tuples(st.just("mend")),
        st.tuples(st.just("ticks"), st.integers(0, 3)),
    ),
    max_size=40,
)


class FedStory(Story):
    """A story whose nodes read the topic through their feeds, as in production."""

    def __init__(self, ring: int) -> None:
        super().__init__(ring)
        self._ring = ring
        self.clients = [Guest("ann", self.world), Guest("ann", self.world)]

    async def take(self, step: Any) -> None:
        match step:
            case ("read", node, batch, again, skipped):
                if not self.world.lost:
                    await self.nodes[node].read(batch, again=again, skipped=skipped)
            case ("catch up", client, node):
                await self._read_all(self.nodes[node])
                await self.clients[client].settled()
                await self.clients[client].receive()
            case ("restart", node):
                await self._restart(node)
            case ("lose", partition, count):
                rows = self.world.next_position(partition).offset
                self.world.lost = {partition: min(rows, count)}
            case ("mend",):
                self.world.lost = {}
            case _:
                await super().take(step)

    async def finish(self) -> None:
        self.world.lost = {}
        for node in self.nodes:
            await self._read_all(node)
        for client in self.clients:
            await client.disconnect()
            client.connect(self.nodes[0])
        await super().finish()

    def commit(self, step: Any) -> None:
        # A worker projects lost rows again before it continues.
        self.world.lost = {}
        super().commit(step)

    async def _read_all(self, node: Node) -> None:
        if not self.world.lost:
            await node.read([(partition, len(self.world.updates)) for partition in range(PARTITIONS)])

    async def _restart(self, number: int) -> None:
        """Replace a node by a new one at the read models' checkpoint; its clients have to reconnect."""
        old = self.nodes[number]
        for client in self.clients:
            if client.session is not None and client.session._subscribers is old.hub.subscribers:
                await client.disconnect()
        new = Node(self.world, ring=self._ring)
        reached = await self.world.reached()
        new.hub.published.start({partition: offset - 1 for partition, offset in reached.items()}, PARTITIONS)
        self.nodes[number] = new


class Guest(Member):
    """A member that records updates of a list after its removal."""

    def __init__(self, user: str, world: World) -> None:
        super().__init__(user)
        self._world = world

    def _update(self, channel: str, position: Position) -> None:
        known = self._adopt if self._recovering else self.positions
        assert known is not None
        written = self._world.updates
        notified = next(each for each in written if each.position == position)
        if notified.stream.startswith("task:") and f"list:{SHARED}" in self._found_in[position]:
            later = written[: written.index(notified)]
            gone = [each for each in later if self._leaves(each) and each.position.offset > known.get(1, -1)]
            assert not gone or f"list:{OWN}" in self._found_in[position], "what happened after it had left"
        super()._update(channel, position)

    def _leaves(self, update: Update) -> bool:
        if update.stream != f"list:{SHARED}":
            return False
        message = json.loads(update.value)
        if message["list"] is None:
            return f"user:{self.user}" in update.channels
        before, after = message["changes"].get("members", ({}, {}))
        return self.user in before and self.user not in after


SHARED_AND_LOST = [*SHARING, ("lose", 1, 2), ("reconnect", 0, 0), ("run", 9), ("receive", 0, 9), ("mend",)]
COMES_AND_GOES: list[Any] = [
    ("join", "ann"),
    ("delete or restore",),
    ("delete or restore",),
    ("delete or restore",),
    ("reconnect", 0, 1),
    ("catch up", 0, 0),
    ("notify", 0, SHARED, set()),
    ("catch up", 0, 1),
]
LEFT_ELSEWHERE = [("join", "ann"), ("catch up", 0, 0), ("leave", "ann"), ("notify", 0, SHARED, {"ann"})]


@settings(max_examples=examples(600), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(fed_steps, st.sampled_from([1, 3, 1_000]))
# The read models have lost that one had joined a list, and somebody comes back meanwhile.
@example(SHARED_AND_LOST, 1_000)
# The audit has that one left a list behind what happened in it afterwards; one had come back in between.
@example(COMES_AND_GOES, 1)
# What happened after one had left is read before that.
@example([*LEFT_ELSEWHERE, ("read", 0, [(0, 1)], 0, 0), ("receive", 0, 9)], 1_000)
def test_delivery_holds_through_feeds_and_crashes(history: list[Any], ring: int) -> None:
    """Batches, gaps, restarts, lost rows; and nothing is delivered after a removal."""
    story = FedStory(ring)
    with patch.object(read_consistency, "RETRY_DELAYS_S", ()):
        asyncio.run(_run_story(story, history))
    _check_shared(story)


async def test_updates_of_a_left_list_are_not_repeated() -> None:
    """Not even if a client replays its own channel from the beginning."""
    story = Story(1_000)
    for step in (
        ("join", "ann"),
        ("notify", 0, SHARED, {"ann"}),
        ("notify", 0, OWN, {"ann"}),
        ("leave", "ann"),
    ):
        story.commit(step)
    story.nodes[0].publish_all()
    client = Member("ann")
    client.connect(story.nodes[0])
    client.send({"type": "subscribe", "channel": "user:ann", "since": {}})
    await client.settled()
    await client.receive()
    assert client.got == [
        ("user:ann", Position(0, 1)),
        ("user:ann", Position(1, 0)),
        ("user:ann", Position(1, 1)),
    ]


async def test_former_member_gets_no_later_updates_while_it_recovers() -> None:
    """Not even if the replay buffer no longer has the order of two partitions."""
    story = Story(1)
    story.commit(("notify", 0, OWN, set()))
    story.commit(("join", "ann"))
    story.nodes[0].publish_all()
    client = Member("ann")
    client.connect(story.nodes[0])
    await client.settled()
    story.world.query_ticks = 9
    client.send({"type": "subscribe", "channel": "user:ann", "since": {}})
    for _ in range(4):
        await asyncio.sleep(0)
    for step in (("leave", "ann"), ("notify", 0, SHARED, {"ann"}), ("notify", 0, OWN, set())):
        story.commit(step)
    story.nodes[0].publish_next(1, 1)
    story.nodes[0].publish_next(0, 2)
    await client.settled()
    await client.receive()
    assert [each["position"] for each in client.seen if each["type"] == "update"] == ["1:0", "0:2", "1:1"]


def test_lost_update_fails_the_check() -> None:
    """A client that misses an update fails the property above."""
    story = Story(1_000)
    asyncio.run(_run_story(story, [("task", 0, "t1"), ("publish", 0, 0, 4, 0), ("run", 3)]))
    assert [position for _, position in story.clients[0].got] == [Position(0, 0)]
    story.clients[0].got.clear()
    try:
        _check(story)
    except AssertionError:
        return
    raise AssertionError("a lost update went unnoticed")
