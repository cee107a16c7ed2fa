"""Fanout of one message to many sockets, and the cache of recipients."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from api.protocol.frames import CODECS, JSON, Codec, EncodedMessage, Sendable
from api.relay.fanout import MAX_CACHED, Broadcast, RecipientCache, Recipients
from api.telemetry.counters import Traffic
from app.channels import Channel, list_channel

MESSAGE = EncodedMessage(b'{"type":"ping"}')
LARGE = EncodedMessage(b'{"text":"%s"}' % (b"x" * 4_000_000))


@dataclass
class End:
    """One end of a real connection; `rest` is what the network did not accept."""

    descriptor: int
    codec: Codec = JSON
    traffic: Traffic = field(default_factory=Traffic)
    rest: list[bytes] = field(default_factory=list)
    pushed: list[Sendable] = field(default_factory=list)
    free: bool = True

    @property
    def raw_socket(self) -> End | None:
        """See `fanout.Receiver`."""
        return self if self.free else None

    @property
    def push(self) -> Callable[[Sendable], object]:
        """See `fanout.Receiver`."""
        return self.pushed.append

    def write_rest(self, frames: bytes) -> None:
        """See `fanout.Direct`."""
        self.rest.append(frames)


@contextmanager
def connections(count: int) -> Iterator[Sequence[tuple[End, socket.socket]]]:
    """Yield connections that never block, each with its two ends."""
    with ExitStack() as stack:
        pairs = []
        for _ in range(count):
            ours, theirs = (stack.enter_context(each) for each in socket.socketpair())
            ours.setblocking(False)
            theirs.setblocking(False)
            pairs.append((End(ours.fileno()), theirs))
        yield pairs


def test_each_socket_gets_the_message_in_its_encoding() -> None:
    """Encoded once for each encoding, and counted with its equals."""
    packed = next(codec for codec in CODECS if codec.packed)
    with connections(4) as pairs:
        shared = Traffic()
        for end, _ in pairs[:2]:
            end.traffic = shared
        pairs[2][0].codec = packed
        fanout = Broadcast([end for end, _ in pairs])
        fanout.push(MESSAGE)
        for end, theirs in pairs:
            assert theirs.recv(1_000) == MESSAGE.form(end.codec)
        assert fanout.size == 4
        assert (shared.messages, shared.size_bytes) == (2, 2 * len(MESSAGE.form(JSON)))
        assert pairs[2][0].traffic.size_bytes == len(MESSAGE.form(packed))


def test_busy_socket_gets_the_message_queued() -> None:
    """Also one that was idle and has a message waiting now."""
    with connections(3) as pairs:
        (no_socket, _), (waits, _), (free, theirs) = pairs
        no_socket.free = False
        waits.descriptor = -1
        Broadcast([no_socket, waits, free]).push(MESSAGE)
        assert no_socket.pushed == waits.pushed == [MESSAGE]
        assert free.pushed == []
        assert theirs.recv(1_000) == MESSAGE.form(JSON)


def test_unsent_bytes_are_queued() -> None:
    """For the socket whose network did not accept them."""
    with connections(3) as pairs:
        Broadcast([end for end, _ in pairs]).push(LARGE)
        frames = LARGE.form(JSON)
        for end, reader in pairs:
            taken = b""
            while len(taken) + len(end.rest[0]) < len(frames):
                taken += reader.recv(len(frames))
            assert taken + end.rest[0] == frames


def test_closed_socket_is_left_to_its_transport() -> None:
    """All of the message is its rest, and the others get theirs."""
    with connections(3) as pairs:
        pairs[1][1].close()
        Broadcast([end for end, _ in pairs]).push(MESSAGE)
        assert [end.rest for end, _ in pairs] == [[], [MESSAGE.form(JSON)], []]


def test_recipients_are_cached_on_the_second_use() -> None:
    """Until a subscription changes; a set that cannot be cached now may be later."""
    a = list_channel("a")
    audiences, gathered, made = RecipientCache(), [], [None, [(a, Broadcast([]))]]

    def gather(channels: tuple[Channel, ...]) -> Recipients | None:
        gathered.append(channels)
        return made[min(len(gathered), len(made)) - 1]

    found = [audiences.of((a,), gather) for _ in range(4)]
    assert found == [None, None, made[1], made[1]]
    assert gathered == [(a,)] * 2
    audiences.clear()
    assert audiences.of((a,), gather) is None


def test_cached_recipients_are_bounded() -> None:
    """Whatever the number of sets of channels."""
    audiences = RecipientCache()
    for number in range(10 * MAX_CACHED):
        for _ in range(2):
            audiences.of((list_channel(str(number)),), lambda _: [])
    assert len(audiences) <= MAX_CACHED
