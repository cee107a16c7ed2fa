"""Replay buffer: returns all missed updates, or reports that it does not have them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.protocol.frames import JSON, EncodedMessage
from api.relay.replay_buffer import MAX_BATCHED_BYTES, MAX_BATCHES, BufferOverrun, ReplayBuffer
from app.channels import Channel, list_channel, task_channel, user_channel
from app.log.updates import Update
from app.positions import Position
from tests.api.relay_world import nothing_update

PARTITIONS = 3
B = list_channel("b")
CHANNELS = (user_channel("a"), B, task_channel("c"))


def update_at(partition: int, offset: int, channels: Collection[Channel], size: int = 20) -> Update:
    update = nothing_update(Position(partition, offset))
    return replace(update, channels=tuple(channels), value=b'{"pad":"%s"}' % (b"x" * size))


histories = st.lists(
    st.tuples(st.integers(0, PARTITIONS - 1), st.sets(st.sampled_from(CHANNELS))), max_size=40
)
places = st.fixed_dictionaries({}, optional={p: st.integers(-1, 20) for p in range(PARTITIONS)})


@given(histories, st.integers(1, 12), places, places, places, st.sets(st.sampled_from(CHANNELS)))
def test_missed_updates_are_returned_completely_or_not_at_all(
    history: list[tuple[int, set[Channel]]],
    size: int,
    start: dict[int, int],
    since: dict[int, int],
    upto: dict[int, int],
    channels: set[Channel],
) -> None:
    """In order. Refused only if an update was evicted, or has not arrived."""
    ring, received, ends = ReplayBuffer(max_updates=size), list[Update](), dict(start)
    ring.start(start)
    for partition, concerned in history:
        ends[partition] = ends.get(partition, -1) + 1
        received.append(update_at(partition, ends[partition], sorted(concerned)))
        ring.append(received[-1])
    wanted = [
        each
        for each in received
        if since.get(each.position.partition, -1) < each.position.offset
        and each.position.offset <= upto.get(each.position.partition, -1)
        and channels & set(each.channels)
    ]
    floor = dict(start)
    for each in received[: max(0, len(received) - size)]:
        floor[each.position.partition] = each.position.offset
    known = all(
        floor.get(partition, -1) <= since.get(partition, -1) and last <= ends.get(partition, -1)
        for partition, last in upto.items()
        if last > since.get(partition, -1)
    )
    if not known:
        with pytest.raises(BufferOverrun):
            ring.missed(channels, since, upto, 100)
        return
    assert ring.missed(channels, since, upto, 100) == wanted
    if wanted:
        assert ring.missed(channels, since, upto, len(wanted) - 1) is None


@given(histories, st.integers(1, 12))
def test_messages_are_encoded_once_and_evicted_with_their_updates(
    history: list[tuple[int, set[Channel]]], size: int
) -> None:
    """So that memory is bounded."""
    ring, ends = ReplayBuffer(max_updates=size), dict[int, int]()
    for partition, channels in history:
        ends[partition] = ends.get(partition, -1) + 1
        update = update_at(partition, ends[partition], sorted(channels))
        ring.append(update)
        for channel in channels:
            message = ring.message(update, channel)
            assert message is ring.message(update, channel)
            assert message.value.startswith(b'{"channel":"%s",' % channel.encode())
    assert len(ring._messages) <= size * len(CHANNELS)
    kept = {update.position for update in ring._slots if update is not None}
    assert {position for position, _ in ring._messages} <= kept
    assert set(ring._by_channel) == {
        channel for update in ring._slots if update is not None for channel in update.channels
    }


def test_message_of_an_evicted_update_is_encoded_again() -> None:
    """It is not kept."""
    ring = ReplayBuffer(max_updates=1)
    for offset in range(2):
        ring.append(update_at(0, offset, [B]))
    old = update_at(0, 0, [B])
    assert ring.message(old, B) is not ring.message(old, B)
    assert not ring._messages


def test_bytes_are_bounded_too() -> None:
    """An update larger than the buffer is not kept."""
    ring = ReplayBuffer(max_updates=10, max_bytes=1_000)
    for offset in range(5):
        ring.append(update_at(0, offset, [], size=400))
    assert ring.missed([], {0: 2}, {0: 4}, 10) == []
    with pytest.raises(BufferOverrun):
        ring.missed([], {0: 1}, {0: 4}, 10)
    ring.append(update_at(0, 5, [], size=5_000))
    with pytest.raises(BufferOverrun):
        ring.missed([], {0: 4}, {0: 5}, 10)


def test_joined_messages_are_shared_by_clients() -> None:
    """The same messages are the same bytes; few of such are kept."""
    ring = ReplayBuffer()
    messages = [EncodedMessage(b'{"n":%d}' % number) for number in range(MAX_BATCHES + 5)]
    first = ring.batch(messages[:2])
    assert ring.batch(messages[:2]) is first
    assert first.form(JSON) == messages[0].form(JSON) + messages[1].form(JSON)
    for message in messages:
        ring.batch([message])
    assert len(ring._batches) == MAX_BATCHES
    assert ring.batch(messages[:2]) is not first
    ring.batch([EncodedMessage(b'"%s"' % (b"x" * MAX_BATCHED_BYTES))])
    ring.batch([EncodedMessage(b'"%s"' % (b"x" * MAX_BATCHED_BYTES))])
    assert len(ring._batches) == 1
    assert ring._batched_size <= MAX_BATCHED_BYTES + 2
