"""Stories: random steps of a world, its nodes and its clients, and what each client must get."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st

from tests.api.relay_world import Client, Node, World, list_update, nothing_update, task_update

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


JOINED = [
    ("run", 9),
    ("new list", 1),
    ("new task", 0),
    ("publish", 0, 0, 1, 0),
    ("publish", 0, 1, 1, 0),
    ("run", 9),
]


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


async def run_story(story: Story, history: list[Any]) -> None:
    for client in story.clients:
        client.positions = {}  # They have nothing, and know it.
        client.connect(story.nodes[0])
    for step in history:
        await story.take(step)
    await story.finish()


def check(story: Story) -> None:
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
