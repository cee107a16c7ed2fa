"""One message to many sockets: each gets all of it, and audiences are kept only while they hold."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from api.protocol.frames import CODECS, JSON, Codec, EncodedMessage, Sendable
from api.relay.fanout import MAX_CACHED, Broadcast, RecipientCache, Recipients
from api.telemetry.counters import Traffic

MESSAGE = EncodedMessage(b'{"type":"ping"}')
LARGE = EncodedMessage(b'{"text":"%s"}' % (b"x" * 4_000_000))


@dataclass
class End:
    """One end of a real connection, as a fanout sees it; `rest` is what the network did not take."""

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
    """Connections that never block, each with its end here and the one that reads."""
    with ExitStack() as stack:
        pairs = []
        for _ in range(count):
            ours, theirs = (stack.enter_context(each) for each in socket.socketpair())
            ours.setblocking(False)
            theirs.setblocking(False)
            pairs.append((End(ours.fileno()), theirs))
        yield pairs


def test_everyone_gets_a_message_in_their_form() -> None:
    """Written once for each form, and counted with those that are alike."""
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


def test_who_is_not_free_is_pushed_to() -> None:
    """Also who was free and has something waiting now."""
    with connections(3) as pairs:
        (no_socket, _), (waits, _), (free, theirs) = pairs
        no_socket.free = False
        waits.descriptor = -1
        Broadcast([no_socket, waits, free]).push(MESSAGE)
        assert no_socket.pushed == waits.pushed == [MESSAGE]
        assert free.pushed == []
        assert theirs.recv(1_000) == MESSAGE.form(JSON)


def test_what_the_network_does_not_take_is_not_lost() -> None:
    """The rest goes to the one that could not take it."""
    with connections(3) as pairs:
        Broadcast([end for end, _ in pairs]).push(LARGE)
        frames = LARGE.form(JSON)
        for end, reader in pairs:
            taken = b""
            while len(taken) + len(end.rest[0]) < len(frames):
                taken += reader.recv(len(frames))
            assert taken + end.rest[0] == frames


def test_one_that_is_gone_is_left_to_the_transport() -> None:
    """All of the message is its rest, and the others have theirs."""
    with connections(3) as pairs:
        pairs[1][1].close()
        Broadcast([end for end, _ in pairs]).push(MESSAGE)
        assert [end.rest for end, _ in pairs] == [[], [MESSAGE.form(JSON)], []]


def test_audiences_are_gathered_when_asked_for_again() -> None:
    """Kept from then on, until somebody changes; one that can't be gathered now may be later."""
    audiences, gathered, made = RecipientCache(), [], [None, [("list:a", Broadcast([]))]]

    def gather(channels: tuple[str, ...]) -> Recipients | None:
        gathered.append(channels)
        return made[min(len(gathered), len(made)) - 1]

    found = [audiences.of(("list:a",), gather) for _ in range(4)]
    assert found == [None, None, made[1], made[1]]
    assert gathered == [("list:a",)] * 2
    audiences.clear()
    assert audiences.of(("list:a",), gather) is None


def test_audiences_are_bounded() -> None:
    """However many sets of channels come."""
    audiences = RecipientCache()
    for number in range(10 * MAX_CACHED):
        for _ in range(2):
            audiences.of((f"list:{number}",), lambda _: [])
    assert len(audiences) <= MAX_CACHED
