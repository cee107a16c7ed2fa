"""Signals between nodes: one contract for the topic in memory and a real broker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from uuid import uuid4

import pytest
from aiokafka import AIOKafkaProducer
from broadcaster import BroadcastBackend

from api.broadcast.signals_backend import KafkaSignals
from api.presence.cluster import Signals, Timing
from api.presence.events import PresenceChange, PresenceNotification, PresenceSignal
from app.channels import Channel
from app.errors import Unavailable
from streams.topics import ensure_topics, signals_topic
from tests.api.memory_signals import MemoryTopic
from tests.waiting import LIMIT_S, eventually

TASK = Channel("task:0190f3c0-0000-7000-8000-000000000001")
QUICK = Timing(heartbeat_s=0.2, ttl_s=1.5)


@dataclass
class Socket:
    """Messages that a socket got."""

    messages: list[PresenceNotification] = field(default_factory=list)

    def notify(self, message: PresenceNotification) -> None:
        """Record the message."""
        self.messages.append(message)

    def signals(self, kind: str) -> list[PresenceSignal]:
        """Return the signals of a kind."""
        return [each for each in self.messages if isinstance(each, PresenceSignal) and each.kind == kind]

    def joined(self) -> list[str]:
        """Return the users that joined."""
        news = [each for each in self.messages if isinstance(each, PresenceChange)]
        return [user.user for each in news for user in each.joined]

    def knows(self) -> set[str]:
        """Return the users that were present, or joined."""
        news = [each for each in self.messages if isinstance(each, PresenceChange)]
        return {user.user for each in news for user in (*(each.present or ()), *each.joined)}

    def left(self) -> list[str]:
        """Return the users that left."""
        news = [each for each in self.messages if isinstance(each, PresenceChange)]
        return [user.user for each in news for user in each.left]


@dataclass
class Wire:
    """A topic, and a node's connection to it."""

    name: str
    open: Callable[[], BroadcastBackend]
    brokers: str | None = None

    @asynccontextmanager
    async def node(self, timing: Timing = QUICK) -> AsyncIterator[Signals]:
        """Yield a running node that has greeted the others."""
        signals = Signals(self.name, self.open, node=str(uuid4()), timing=timing)
        signals.start()
        try:
            await eventually(lambda: signals.connected)
            yield signals
        finally:
            await signals.stop()


@pytest.fixture(params=["memory", "kafka"])
async def wire(request: pytest.FixtureRequest) -> Wire:
    """Yield a topic of this test's own."""
    name = f"signals-{uuid4().hex}"
    if request.param == "memory":
        return Wire(name, MemoryTopic().backend)
    brokers = request.getfixturevalue("kafka_brokers")
    await ensure_topics([brokers], [signals_topic(name, 1)])
    return Wire(name, lambda: KafkaSignals([brokers], name), brokers)


def join(signals: Signals, user: str) -> tuple[str, Socket]:
    """Return a socket of a user that subscribes to the task."""
    session, socket = str(uuid4()), Socket()
    signals.enter(session, user, socket)
    signals.subscribe(session, TASK)
    return session, socket


async def kill(signals: Signals) -> None:
    """End a node without a goodbye."""
    assert signals._pulse_task is not None
    assert signals._link._task is not None
    for task in (signals._pulse_task, signals._link._task):
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_users_of_one_node_are_present_on_the_other(wire: Wire) -> None:
    """Also those that connected before the other node started."""
    async with wire.node() as one:
        _, alice = join(one, "alice")
        async with wire.node() as two:
            bobs, bob = join(two, "bob")
            await eventually(lambda: "bob" in alice.knows())
            await eventually(lambda: two.presence.users.connected_users() == ["alice", "bob"])
            assert [each.user for each in one.presence.users.present(TASK)] == ["alice", "bob"]
            await eventually(lambda: {"alice", "bob"} == bob.knows())
            two.leave(bobs)
            await eventually(lambda: alice.left() == ["bob"])


async def test_signals_reach_other_nodes(wire: Wire) -> None:
    async with wire.node() as one, wire.node() as two:
        session, alice = join(one, "alice")
        _, bob = join(two, "bob")
        await eventually(
            lambda: two.presence.users.present_count(TASK) == one.presence.users.present_count(TASK) == 2
        )
        one.signal(session, TASK, "typing", {})
        one.signal(session, TASK, "viewing", {})
        one.signal(session, TASK, "cursor", {"x": 1, "y": 2})
        one.signal(session, TASK, "cursor", {"x": 3, "y": 4})
        await eventually(lambda: len(bob.signals("cursor")) == 2)
        assert [each.data for each in bob.signals("cursor")] == [{"x": 1, "y": 2}, {"x": 3, "y": 4}]
        assert bob.signals("typing") == [PresenceSignal(TASK, "typing", {}, "alice", session)]
        assert len(bob.signals("viewing")) == 1
        seen = {each.user: (each.viewing, each.typing) for each in two.presence.users.present(TASK)}
        assert seen == {"alice": (True, True), "bob": (False, False)}
        assert alice.signals("cursor") == []
        one.unsubscribe(session, TASK)
        await eventually(lambda: bob.left() == ["alice"])


async def test_stopped_node_is_removed_at_once(wire: Wire) -> None:
    slow = Timing(heartbeat_s=0.5, ttl_s=60)
    async with wire.node(slow) as one:
        _, alice = join(one, "alice")
        async with wire.node(slow) as two:
            join(two, "bob")
            await eventually(lambda: "bob" in alice.knows())
        await eventually(lambda: alice.left() == ["bob"])


async def test_dead_node_is_removed_after_a_timeout(wire: Wire) -> None:
    async with wire.node() as one, wire.node() as two:
        _, alice = join(one, "alice")
        join(two, "bob")
        await eventually(lambda: "bob" in alice.knows())
        await kill(two)
        await eventually(lambda: alice.left() == ["bob"])
        assert one.presence.users.connected_users() == ["alice"]


async def test_invalid_messages_are_counted(wire: Wire) -> None:
    async with wire.node() as one:
        one._link.post(b"junk")
        await eventually(lambda: one.counters.undecodable == 1)
        assert one.connected


async def test_presence_recovers_when_the_topic_does() -> None:
    topic = MemoryTopic()
    wire = Wire("signals", topic.backend)
    async with wire.node() as one, wire.node() as two:
        session, alice = join(one, "alice")
        join(two, "bob")
        await eventually(lambda: "bob" in alice.knows())
        topic.break_connections()
        await eventually(lambda: alice.left() == ["bob"])
        one.signal(session, TASK, "cursor", {})
        assert one.lost > 0
        topic.unavailable = False
        await eventually(
            lambda: alice.joined()[-1:] == ["bob"] and one.presence.users.connection_count("bob") > 0
        )


async def test_silent_connection_is_replaced() -> None:
    topic = MemoryTopic()
    wire = Wire("signals", topic.backend)
    async with wire.node(Timing(heartbeat_s=0.1, ttl_s=0.5)) as one:
        (stuck,) = topic.readers
        topic.readers.clear()
        await eventually(lambda: bool(topic.readers))
        assert stuck not in topic.readers
        await eventually(lambda: one.connected)


async def test_missing_topic_is_awaited(kafka_brokers: str) -> None:
    name = f"signals-{uuid4().hex}"
    with pytest.raises(Unavailable, match="tasktape migrate"):
        await KafkaSignals([kafka_brokers], name).connect()
    signals = Signals(name, lambda: KafkaSignals([kafka_brokers], name), node="n", timing=QUICK)
    signals.start()
    try:
        _, alice = join(signals, "alice")
        await eventually(lambda: len(alice.messages) == 1)
        await ensure_topics([kafka_brokers], [signals_topic(name, 1)])
        await eventually(lambda: signals.counters.received > 0)
    finally:
        await signals.stop()


async def test_unavailable_broker_does_not_block_the_start() -> None:
    with pytest.raises(Unavailable, match="cannot be used"):
        await KafkaSignals(["127.0.0.1:1"], "signals").connect()
    signals = Signals("signals", lambda: KafkaSignals(["127.0.0.1:1"], "signals"), node="n")
    signals.start()
    session, alice = join(signals, "alice")
    await eventually(lambda: len(alice.messages) == 1)
    signals.signal(session, TASK, "typing", {})
    await asyncio.wait_for(signals.stop(), LIMIT_S)


async def test_earlier_messages_of_the_topic_are_not_read(kafka_brokers: str) -> None:
    name = f"signals-{uuid4().hex}"
    await ensure_topics([kafka_brokers], [signals_topic(name, 1)])
    producer = AIOKafkaProducer(bootstrap_servers=kafka_brokers)
    await producer.start()
    await producer.send_and_wait(name, b"old")
    wire = Wire(name, lambda: KafkaSignals([kafka_brokers], name))
    async with wire.node() as one:
        await eventually(lambda: one.counters.received > 1)
        assert one.counters.undecodable == 0
        await producer.send_and_wait(name, b"new")
        await eventually(lambda: one.counters.undecodable == 1)
    await producer.stop()


async def test_subscribing_does_not_suspend(kafka_brokers: str) -> None:
    """broadcaster loses concurrent first subscribers otherwise."""
    backend = KafkaSignals([kafka_brokers], "signals")
    with pytest.raises(StopIteration):
        backend.subscribe("signals").send(None)
    with pytest.raises(ValueError, match="only channel"):
        await backend.subscribe("another")
    await backend.disconnect()
