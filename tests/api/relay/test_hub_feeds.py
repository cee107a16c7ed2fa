"""Delivery through feeds: batches, gaps, order between partitions, a database that loses its latest rows."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from unittest.mock import patch

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from api import read_consistency
from app.log.updates import Update
from app.positions import Position
from tests.api.hub_sharing_stories import SHARING, Member, check_shared, people
from tests.api.hub_stories import OWN, PARTITIONS, SHARED, Story, clients, nodes, partitions, run_story
from tests.api.relay_world import Node, World
from tests.thoroughness import examples

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
        asyncio.run(run_story(story, history))
    check_shared(story)


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
