"""The feed: goes on where it was whenever its listener dies, fills gaps, and believes no stray update."""

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
from tests.waiting import eventually

TOPIC = "updates"


class Topic:
    """A topic in memory, whose updates are of partition 0 but for odd ones, and the audit; both may fail."""

    def __init__(self) -> None:
        self.updates: list[Update] = []
        self.audit: list[Update] = []
        self.changed = asyncio.Condition()
        self.opened: list[Mapping[int, int] | None] = []
        self.connect_error: Exception | None = None
        self.read_error: Exception | None = None
        self.ends_error: Exception | None = None
        self.stuck = False
        self.audit_away = False
        self.lost = 0
        """How many of the last rows of partition 0 a crash of the database has taken."""

    async def emit(self, *offsets: int) -> None:
        """Commit the rows of these records, and emit their updates."""
        for offset in offsets:
            if offset == self._rows(0):
                self.audit.append(nothing_update(Position(0, offset)))
            self.updates.append(nothing_update(Position(0, offset)))
        await self.wake()

    async def wake(self) -> None:
        """Let readers look again."""
        async with self.changed:
            self.changed.notify_all()

    def open(self, start: Mapping[int, int] | None) -> KafkaUpdates:
        """A backend that reads this topic."""
        self.opened.append(None if start is None else dict(start))
        return Backend(self, start)

    # the audit, as the feed asks it

    async def reached(self) -> dict[int, int]:
        """See api.relay.feed.Memory."""
        if self.audit_away:
            raise Unavailable("the database is away")
        return {partition: self._rows(partition) for partition in {0, *self._partitions()}}

    async def between(self, partition: int, first: int, end: int, limit: int) -> list[Update]:
        """See api.relay.feed.Memory."""
        if self.audit_away:
            raise Unavailable("the database is away")
        rows = [each for each in self.audit if each.position.partition == partition]
        there = len(rows) - (self.lost if partition == 0 else 0)
        return rows[first : min(end, there)][:limit]

    async def log_ends(self) -> dict[int, int]:
        """How far the log of events goes: nothing in it waits to be projected here."""
        return {partition: self._rows(partition) for partition in {0, *self._partitions()}}

    def _partitions(self) -> set[int]:
        return {each.position.partition for each in self.audit}

    def _rows(self, partition: int) -> int:
        return sum(each.position.partition == partition for each in self.audit)


class Backend(KafkaUpdates):
    """The backend with the topic in memory in place of Kafka."""

    def __init__(self, topic: Topic, start: Mapping[int, int] | None) -> None:
        self._memory = topic
        self.next_offsets = {0: len(topic.updates) if start is None else start[0]}
        self._next = self.next_offsets[0]
        self.ahead = 0
        self.open_for: set[str] = set()

    async def connect(self) -> None:
        """Fail if told to."""
        if self._memory.connect_error:
            raise self._memory.connect_error

    async def disconnect(self) -> None:
        """Nothing to leave."""

    async def subscribe(self, group: str) -> None:
        """Take note."""
        self.open_for.add(group)

    async def unsubscribe(self, group: str) -> None:
        """Take note."""
        self.open_for.discard(group)

    async def next_published(self) -> Event:
        """What there is next, one update a batch."""
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
        """Nothing is bounded here."""

    async def ends(self) -> dict[int, int]:
        """Where the topic ends."""
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
class Heard:
    """The offsets that a feed told of, and the positions it started with."""

    told: list[int]
    started: list[Positions]

    def start(self, positions: Positions) -> None:
        """See api.relay.feed.Listener."""
        self.started.append(positions)

    def resolve(self, update: Update) -> None:
        """See api.relay.feed.Listener."""
        self.told.append(update.position.offset)


@asynccontextmanager
async def feeding(topic: Topic) -> AsyncIterator[tuple[UpdateFeed, Hub, list[int], list[Positions]]]:
    """A running feed, its hub, the offsets it told of, and the positions it started with."""
    hub, told, started = Hub(), list[int](), list[Positions]()
    feed = UpdateFeed(
        topic=TOPIC,
        open_backend=topic.open,
        audit=topic,
        log_ends=topic.log_ends,
        hub=hub,
        counters=RelayCounters(),
        listener=Heard(told, started),
    )
    feed.start()
    try:
        yield feed, hub, told, started
    finally:
        await feed.stop()


async def test_it_starts_at_the_checkpoint_and_tells_what_is_new() -> None:
    """What was emitted before is in the audit; it isn't told again."""
    topic = Topic()
    await topic.emit(0, 1, 2)
    async with feeding(topic) as (feed, hub, told, started):
        assert not feed.alive
        await eventually(lambda: feed.alive)
        assert started == [{0: 2}]
        assert hub.published.positions == {0: 2}
        await topic.emit(3, 4)
        await eventually(lambda: told == [3, 4])


async def test_a_dead_listener_is_replaced_and_goes_on_where_it_was() -> None:
    """Not at the end of the topic: what came meanwhile is told, once."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, told, _):
        await eventually(lambda: feed.alive)
        await topic.emit(0, 1)
        await eventually(lambda: told == [0, 1])
        topic.connect_error = Unavailable("no broker")
        topic.read_error = KafkaConnectionError("gone")
        await topic.wake()
        await eventually(lambda: not feed.alive)
        await topic.emit(2, 3)
        topic.connect_error = None
        await eventually(lambda: feed.alive and told == [0, 1, 2, 3])
        assert topic.opened[0] is None
        assert topic.opened[-1] == {0: 2}
        assert hub.published.positions == {0: 3}


async def test_a_start_without_kafka_or_postgres_waits_for_them() -> None:
    """And starts at the end as it is then."""
    topic = Topic()
    topic.connect_error, topic.audit_away = Unavailable("no broker"), True
    async with feeding(topic) as (feed, hub, told, _):
        await eventually(lambda: len(topic.opened) > 1)
        assert not feed.alive
        assert hub.published.partitions == 0
        topic.connect_error = None
        await eventually(lambda: len(topic.opened) > 3)
        assert not feed.alive
        topic.audit_away = False
        await eventually(lambda: feed.alive)
        await topic.emit(0)
        await eventually(lambda: told == [0])


async def test_missing_updates_are_read_from_the_audit() -> None:
    """However many, in order, also when the database is away for a moment."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, told, _):
        await eventually(lambda: feed.alive)
        await topic.emit(0)
        topic.audit += [nothing_update(Position(0, offset)) for offset in range(1, 7)]
        topic.audit_away = True
        await topic.emit(6)
        await eventually(lambda: hub.counters.gaps == 1)
        topic.audit_away = False
        await eventually(lambda: told == [0, 1, 2, 3, 4, 5, 6])


async def test_what_has_to_be_told_before_is_told_before() -> None:
    """An update of another partition that has not come yet is read from the audit, with those before it."""
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
        topic.audit += [*removal, later]
        topic.updates += [later, *removal]
        await topic.wake()
        await eventually(lambda: order[-3:] == ["1:0", "1:1", "1:2"] and len(order) == 8)
    assert order == ["0:0", "1:0", "1:1", "1:2", "0:1", "1:0", "1:1", "1:2"]
    assert (hub.counters.published, hub.counters.duplicates) == (5, 3)


async def test_updates_that_would_each_be_told_before_the_other_are_told() -> None:
    """Neither was written after the other: the feed goes on."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, _, _):
        await eventually(lambda: feed.alive)
        one = [nothing_update(Position(0, 0)), nothing_update(Position(0, 1))]
        other = [nothing_update(Position(1, 0)), nothing_update(Position(1, 1))]
        one[0] = replace(one[0], after=(other[1].position,))
        other[0] = replace(other[0], after=(one[1].position,))
        topic.audit += [*one, *other]
        topic.updates += [*one, *other]
        await topic.wake()
        await eventually(lambda: hub.published.positions == {0: 1, 1: 1})
    assert hub.counters.published == 4


async def test_updates_wait_for_a_database_that_is_away_for_long() -> None:
    """One that follows on another partition's, and one behind a gap; the reader is not taken for stalled."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, told, _):
        await eventually(lambda: feed.alive)
        topic.audit_away = True
        removal = [nothing_update(Position(1, offset)) for offset in range(3)]
        later = replace(nothing_update(Position(0, 0)), after=(Position(1, 2),))
        topic.audit += [*removal, later]
        topic.updates.append(later)
        await topic.emit(3)
        with capture_logs() as lines:
            await eventually(
                lambda: sum(each["event"] == "an update waits for others" for each in lines) > 30
            )
        assert (told, feed.restarts) == ([], 0)
        topic.audit += [nothing_update(Position(0, offset)) for offset in (1, 2, 3)]
        topic.audit_away = False
        await eventually(lambda: hub.published.positions == {0: 3, 1: 2})
        assert told == [0, 1, 2, 0, 1, 2, 3]


async def test_updates_wait_for_rows_that_a_crash_of_the_database_took() -> None:
    """The log has their records: the worker makes them again."""
    topic = Topic()
    async with feeding(topic) as (feed, _, told, _):
        await eventually(lambda: feed.alive)
        topic.audit = [nothing_update(Position(0, offset)) for offset in range(4)]
        topic.lost = 2
        topic.updates.append(nothing_update(Position(0, 3)))
        await topic.wake()
        await eventually(lambda: told == [0, 1])
        topic.lost = 0
        await eventually(lambda: told == [0, 1, 2, 3])


async def test_an_update_that_follows_on_no_record_is_told() -> None:
    """A log that lost records has no such place: nothing will come of waiting."""
    topic = Topic()
    async with feeding(topic) as (feed, _, told, _):
        await eventually(lambda: feed.alive)
        topic.updates.append(replace(nothing_update(Position(0, 0)), after=(Position(1, 7),)))
        await topic.wake()
        await eventually(lambda: told == [0])


async def test_an_update_of_no_record_is_passed_over() -> None:
    """It would make the node deaf to all that comes before its position."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, told, _):
        await eventually(lambda: feed.alive)
        await topic.emit(0)
        topic.updates.append(nothing_update(Position(0, 999_999)))
        await topic.emit(1)
        await eventually(lambda: hub.published.positions == {0: 1})
        assert told[:2] == [0, 1]


async def test_updates_emitted_again_are_published_once() -> None:
    """As a worker does that died between commit and emission."""
    topic = Topic()
    async with feeding(topic) as (feed, hub, _, _):
        await eventually(lambda: feed.alive)
        await topic.emit(0, 1, 0, 1, 2)
        await eventually(lambda: hub.published.positions == {0: 2})
        assert (hub.counters.published, hub.counters.duplicates) == (3, 2)


async def test_brokers_that_do_not_answer_make_it_unready() -> None:
    """Until they answer again; the connection is kept."""
    topic = Topic()
    async with feeding(topic) as (feed, _, _, _):
        await eventually(lambda: feed.alive)
        topic.ends_error = KafkaConnectionError("gone")
        await eventually(lambda: not feed.alive)
        topic.ends_error = None
        await eventually(lambda: feed.alive)
        assert len(topic.opened) == 1


async def test_a_stalled_reader_is_replaced() -> None:
    """There is more to read, and nothing comes."""
    topic = Topic()
    async with feeding(topic) as (feed, _, told, _):
        await eventually(lambda: feed.alive)
        topic.stuck = True
        await topic.emit(0)
        await eventually(lambda: len(topic.opened) == 2)
        topic.stuck = False
        await topic.wake()
        await eventually(lambda: told == [0])


async def test_a_callback_that_fails_does_not_end_the_feed() -> None:
    """It is logged, and the feed goes on."""
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
