"""Feed: resumes after failures of its listener, fills gaps, and ignores stray updates."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from aiokafka.errors import KafkaConnectionError
from broadcaster import Event
from structlog.testing import capture_logs

from api.broadcast.topic_tail import Broken
from api.broadcast.updates_backend import Batch, KafkaUpdates
from api.relay import feed as feed_module
from api.relay.feed import UpdateFeed
from api.relay.hub import Hub
from api.telemetry.counters import RelayCounters
from app.errors import Unavailable
from app.log.updates import Update
from app.positions import Position, Positions
from tests.api.relay_world import nothing_update
from tests.memory_audit import MemoryAudit
from tests.waiting import eventually

TOPIC = "updates"


class Topic:
    """A topic in memory with the audit; updates are of partition 0 but for a few, and both may fail."""

    def __init__(self, partitions: int = 1) -> None:
        self.updates: list[Update] = []
        self.audit = MemoryAudit(partitions)
        self.changed = asyncio.Condition()
        self.opened: list[Mapping[int, int] | None] = []
        self.connect_error: Exception | None = None
        self.read_error: Exception | None = None
        self.ends_error: Exception | None = None
        self.stuck = False

    async def emit(self, *offsets: int) -> None:
        """Commit the rows of these records, and emit their updates."""
        for offset in offsets:
            if Position(0, offset) == self.audit.next_position(0):
                self.audit.commit(nothing_update(Position(0, offset)))
            self.updates.append(nothing_update(Position(0, offset)))
        await self.wake()

    async def wake(self) -> None:
        """Wake readers."""
        async with self.changed:
            self.changed.notify_all()

    def open(self, start: Mapping[int, int] | None) -> KafkaUpdates:
        """Return a backend that reads this topic."""
        self.opened.append(None if start is None else dict(start))
        return Backend(self, start)


class Backend(KafkaUpdates):
    """Backend with the topic in memory in place of Kafka."""

    def __init__(self, topic: Topic, start: Mapping[int, int] | None) -> None:
        self._memory = topic
        self.next_offsets = {0: len(topic.updates) if start is None else start[0]}
        self._next = self.next_offsets[0]
        self.ahead = 0
        self.open_for: set[str] = set()

    async def connect(self) -> None:
        """Connect, or fail if requested."""
        if self._memory.connect_error:
            raise self._memory.connect_error

    async def disconnect(self) -> None:
        """Do nothing."""

    async def subscribe(self, group: str) -> None:
        """Do nothing."""
        self.open_for.add(group)

    async def unsubscribe(self, group: str) -> None:
        """Do nothing."""
        self.open_for.discard(group)

    async def next_published(self) -> Event:
        """Return the next updates, one per batch."""
        topic = self._memory
        async with topic.changed:
            await topic.changed.wait_for(
                lambda: (
                    self.open_for
                    and not topic.stuck
                    and (topic.read_error or self._next < len(topic.updates))
                )
            )
        message: Any
        if topic.read_error:
            message, topic.read_error, topic.stuck = Broken(topic.read_error), None, False
        else:
            self._next += 1
            message = Batch((topic.updates[self._next - 1],), {0: self._next})
        return Event(TOPIC, message)

    def processed(self) -> None:
        """Do nothing; no queue is bounded here."""

    async def ends(self) -> dict[int, int]:
        """Return the ends of the topic."""
        if self._memory.ends_error:
            raise self._memory.ends_error
        return {0: len(self._memory.updates)}


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FIRST_DELAY_S", 0.01)
    monkeypatch.setattr(feed_module, "WATCH_EVERY_S", 0.05)
    monkeypatch.setattr(feed_module, "REFILL_DELAY_S", 0.01)
    monkeypatch.setattr(feed_module, "REFILL_MOST_S", 0.02)
    monkeypatch.setattr(feed_module, "REFILL_AT_ONCE", 2)


@dataclass
class Published:
    """Offsets that a feed published, and the positions it started with."""

    emitted: list[int]
    started: list[Positions]

    def start(self, positions: Positions) -> None:
        """See api.relay.feed.Listener."""
        self.started.append(positions)

    def resolve(self, update: Update) -> None:
        """See api.relay.feed.Listener."""
        self.emitted.append(update.position.offset)


@asynccontextmanager
async def feeding(topic: Topic) -> AsyncIterator[tuple[UpdateFeed, Hub, list[int], list[Positions]]]:
    """Yield a running feed, its hub, the offsets it published, and the positions it started with."""
    hub, emitted, started = Hub(), list[int](), list[Positions]()
    feed = UpdateFeed(
        topic=TOPIC,
        open_backend=topic.open,
        audit=topic.audit,
        log_ends=topic.audit.log_ends,
        hub=hub,
        counters=RelayCounters(),
        listener=Published(emitted, started),
    )
    feed.start()
    try:
        yield feed, hub, emitted, started
    finally:
        await feed.stop()


async def test_feed_starts_at_the_checkpoint() -> None:
    """Earlier updates are in the audit and are not published again."""
    topic = Topic()
    await topic.emit(0, 1, 2)
    async with feeding(topic) as (feed, hub, emitted, started):
        assert not feed.alive
        await eventually(lambda: feed.alive)
        assert started == [{0: 2}]
        assert hub.published.positions == {0: 2}
        await topic.emit(3, 4)
        await eventually(lambda: emitted == [3, 4])


async def test_feed_resumes_after_a_listener_failed() -> None:
    """At its position, not at the end of the topic: updates in between are published once."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, emitted, _):
        await eventually(lambda: feed.alive)
        await topic.emit(0, 1)
        await eventually(lambda: emitted == [0, 1])
        topic.connect_error = Unavailable("no broker")
        topic.read_error = KafkaConnectionError("gone")
        await topic.wake()
        await eventually(lambda: not feed.alive)
        await topic.emit(2, 3)
        topic.connect_error = None
        await eventually(lambda: feed.alive and emitted == [0, 1, 2, 3])
        assert topic.opened[0] is None
        assert topic.opened[-1] == {0: 2}
        assert hub.published.positions == {0: 3}


async def test_start_waits_for_kafka_and_postgres() -> None:
    """And begins at the end as it is then."""
    topic = Topic()
    topic.connect_error, topic.audit.is_away = Unavailable("no broker"), True
    async with feeding(topic) as (feed, hub, emitted, _):
        await eventually(lambda: len(topic.opened) > 1)
        assert not feed.alive
        assert hub.published.partitions == 0
        topic.connect_error = None
        await eventually(lambda: len(topic.opened) > 3)
        assert not feed.alive
        topic.audit.is_away = False
        await eventually(lambda: feed.alive)
        await topic.emit(0)
        await eventually(lambda: emitted == [0])


async def test_missing_updates_are_read_from_the_audit() -> None:
    """Any number, in order, also if the database fails for a moment."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, emitted, _):
        await eventually(lambda: feed.alive)
        await topic.emit(0)
        topic.audit.updates += [nothing_update(Position(0, offset)) for offset in range(1, 7)]
        topic.audit.is_away = True
        await topic.emit(6)
        await eventually(lambda: hub.counters.gaps == 1)
        topic.audit.is_away = False
        await eventually(lambda: emitted == [0, 1, 2, 3, 4, 5, 6])


async def test_causally_earlier_updates_are_published_first() -> None:
    """A late update of another partition is read from the audit, with those before it."""
    topic, order = Topic(), list[str]()
    async with feeding(topic) as (feed, hub, _, _):
        await eventually(lambda: feed.alive)
        publish = hub.publish

        def note(update: Update) -> bool:
            order.append(str(update.position))
            return publish(update)

        hub.publish = note  # type: ignore[method-assign]
        await topic.emit(0)
        removal = [nothing_update(Position(1, offset)) for offset in range(3)]
        later = replace(nothing_update(Position(0, 1)), after=(Position(1, 2), Position(0, 0)))
        topic.audit.updates += [*removal, later]
        topic.updates += [later, *removal]
        await topic.wake()
        await eventually(lambda: order[-3:] == ["1:0", "1:1", "1:2"] and len(order) == 8)
    assert order == ["0:0", "1:0", "1:1", "1:2", "0:1", "1:0", "1:1", "1:2"]
    assert (hub.counters.published, hub.counters.duplicates) == (5, 3)


async def test_cyclic_dependencies_do_not_block_the_feed() -> None:
    """Neither update was written after the other."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, _, _):
        await eventually(lambda: feed.alive)
        one = [nothing_update(Position(0, 0)), nothing_update(Position(0, 1))]
        other = [nothing_update(Position(1, 0)), nothing_update(Position(1, 1))]
        one[0] = replace(one[0], after=(other[1].position,))
        other[0] = replace(other[0], after=(one[1].position,))
        topic.audit.updates += [*one, *other]
        topic.updates += [*one, *other]
        await topic.wake()
        await eventually(lambda: hub.published.positions == {0: 1, 1: 1})
    assert hub.counters.published == 4


async def test_updates_wait_for_a_database_that_is_unavailable_for_long() -> None:
    """After a dependency on another partition, and after a gap; the reader does not count as stalled."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, emitted, _):
        await eventually(lambda: feed.alive)
        topic.audit.is_away = True
        removal = [nothing_update(Position(1, offset)) for offset in range(3)]
        later = replace(nothing_update(Position(0, 0)), after=(Position(1, 2),))
        topic.audit.updates += [*removal, later]
        topic.updates.append(later)
        await topic.emit(3)
        with capture_logs() as lines:
            await eventually(
                lambda: sum(each["event"] == "an update waits for others" for each in lines) > 30
            )
        assert (emitted, feed.restarts) == ([], 0)
        topic.audit.updates += [nothing_update(Position(0, offset)) for offset in (1, 2, 3)]
        topic.audit.is_away = False
        await eventually(lambda: hub.published.positions == {0: 3, 1: 2})
        assert emitted == [0, 1, 2, 0, 1, 2, 3]


async def test_updates_wait_for_rows_lost_in_a_database_crash() -> None:
    """The log has their records: the worker projects them again."""
    topic = Topic()
    async with feeding(topic) as (feed, _, emitted, _):
        await eventually(lambda: feed.alive)
        topic.audit.updates = [nothing_update(Position(0, offset)) for offset in range(4)]
        topic.audit.lost = {0: 2}
        topic.updates.append(nothing_update(Position(0, 3)))
        await topic.wake()
        await eventually(lambda: emitted == [0, 1])
        topic.audit.lost = {}
        await eventually(lambda: emitted == [0, 1, 2, 3])


async def test_update_that_depends_on_a_missing_record_is_published() -> None:
    """The log lost that record, so waiting would not help."""
    topic = Topic()
    async with feeding(topic) as (feed, _, emitted, _):
        await eventually(lambda: feed.alive)
        topic.updates.append(replace(nothing_update(Position(0, 0)), after=(Position(1, 7),)))
        await topic.wake()
        await eventually(lambda: emitted == [0])


async def test_update_without_a_record_is_ignored() -> None:
    """Otherwise the node would drop everything before its position."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, emitted, _):
        await eventually(lambda: feed.alive)
        await topic.emit(0)
        topic.updates.append(nothing_update(Position(0, 999_999)))
        await topic.emit(1)
        await eventually(lambda: hub.published.positions == {0: 1})
        assert emitted[:2] == [0, 1]


async def test_repeated_updates_are_published_once() -> None:
    """A worker repeats them that died between commit and emission."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, _, _):
        await eventually(lambda: feed.alive)
        await topic.emit(0, 1, 0, 1, 2)
        await eventually(lambda: hub.published.positions == {0: 2})
        assert (hub.counters.published, hub.counters.duplicates) == (3, 2)


async def test_unresponsive_brokers_make_the_feed_unready() -> None:
    """Until they respond again; the connection is kept."""
    topic = Topic()
    async with feeding(topic) as (feed, _, _, _):
        await eventually(lambda: feed.alive)
        topic.ends_error = KafkaConnectionError("gone")
        await eventually(lambda: not feed.alive)
        topic.ends_error = None
        await eventually(lambda: feed.alive)
        assert len(topic.opened) == 1


async def test_stalled_reader_is_replaced() -> None:
    """There is more to read, and nothing arrives."""
    topic = Topic()
    async with feeding(topic) as (feed, _, emitted, _):
        await eventually(lambda: feed.alive)
        topic.stuck = True
        await topic.emit(0)
        await eventually(lambda: len(topic.opened) == 2)
        topic.stuck = False
        await topic.wake()
        await eventually(lambda: emitted == [0])


async def test_failing_callback_does_not_end_the_feed() -> None:
    """The failure is logged."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, _, _):
        await eventually(lambda: feed.alive)

        def fail(update: Update) -> bool:
            hub.publish = publish  # type: ignore[method-assign]
            raise RuntimeError(str(update.position))

        publish, hub.publish = hub.publish, fail  # type: ignore[method-assign]
        await topic.emit(0, 1)
        await eventually(lambda: hub.published.positions == {0: 1})
        assert feed.restarts == 1
