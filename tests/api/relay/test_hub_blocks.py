"""Updates that are published in blocks: each socket receives the same, in the same order, as without them."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack, nullcontext
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from api.protocol.frames import JSON, EncodedMessage, Sendable
from api.relay.hub import Hub
from api.relay.subscribers import Subscriber, Subscription
from api.telemetry.counters import Traffic
from app.channels import Channel, list_channel, task_channel, user_channel
from app.log.updates import Update
from app.positions import Position
from tests.api.relay_world import list_update, task_update
from tests.thoroughness import examples

USERS = ("ann", "ben", "cat")
LISTS = ("one", "two")
TASKS = ("t1", "t2")
MAX_BYTES = 1_000_000
LENGTH_IN_TWO_BYTES = 126

updates = st.one_of(
    st.tuples(st.just("task"), st.sampled_from(TASKS), st.sampled_from(LISTS)),
    st.tuples(st.just("move"), st.sampled_from(TASKS), st.sampled_from(LISTS)),
    st.tuples(st.just("notify"), st.sampled_from(TASKS), st.sampled_from(USERS)),
    st.tuples(st.just("remove"), st.sampled_from(LISTS), st.sampled_from(USERS)),
    st.tuples(st.just("rename"), st.sampled_from(LISTS), st.just("")),
    st.tuples(st.just("signal"), st.sampled_from(LISTS), st.just("")),
)
blocks = st.lists(st.lists(updates, min_size=1, max_size=6), max_size=8)
PLAIN, MOVED = ("task", "t1", "one"), ("task", "t1", "two")
LEFT = [("move", "t1", "two"), ("remove", "one", "ann")]


class Sink:
    """A client with a real socket, which is written to directly or, if it is `slow`, by `push`."""

    closed, waiting_bytes = False, 0

    def __init__(self, ours: socket.socket, *, slow: bool) -> None:
        self.descriptor = -1 if slow else ours.fileno()
        self.codec, self.traffic = JSON, Traffic()
        self._socket = ours
        self.raw_socket = self

    def push(self, message: Sendable) -> None:
        """Write a message."""
        self._socket.sendall(message.form(JSON))

    def write_rest(self, frames: bytes) -> None:
        """Fail: everything fits."""
        raise AssertionError(len(frames))

    def removed(self, channel: Channel) -> None:
        """Write that a channel was removed."""
        self.push(EncodedMessage(b'{"removed":"%s"}' % channel.encode()))

    def paused(self) -> None:
        """Fail: nobody joins a list."""
        raise AssertionError


def _publish(history: list[list[tuple[str, str, str]]], *, in_blocks: bool) -> list[list[Any]]:
    """Return what each of six clients received."""
    hub = Hub(many=2)
    hub.published.start({}, 1)
    members = {list_id: set(USERS) for list_id in LISTS}
    with ExitStack() as stack:
        readers = []
        for number in range(2 * len(USERS)):
            ours, theirs = (stack.enter_context(each) for each in socket.socketpair())
            theirs.settimeout(0)
            readers.append(theirs)
            sink: Any = Sink(ours, slow=number == 1)
            _enter(hub, Subscriber(sink, USERS[number % len(USERS)]))
        for block in history:
            with hub.batching() if in_blocks else nullcontext():
                for step in block:
                    _happen(hub, members, step)
        return [_messages(theirs) for theirs in readers]


def _enter(hub: Hub, subscriber: Subscriber) -> None:
    hub.subscribers.enter(subscriber)
    subscriber.lists = set(LISTS)
    channels = [user_channel(subscriber.user), *map(list_channel, LISTS)]
    for channel in channels:
        hub.subscribers.subscribe(subscriber, channel, Subscription({}))
    hub.subscribers.subscribe(subscriber, task_channel("t1"), Subscription({}, "one"))
    assert hub.advance(subscriber, 1)


def _happen(hub: Hub, members: dict[str, set[str]], step: tuple[str, str, str]) -> None:
    kind, what, where = step
    if kind == "signal":
        hub.send(list_channel(what), EncodedMessage(b'{"signal":"%s"}' % what.encode()))
    else:
        hub.publish(_update(Position(0, hub.published.reached.get(0, -1) + 1), members, kind, what, where))


def _update(at: Position, members: dict[str, set[str]], kind: str, what: str, where: str) -> Update:
    match kind:
        case "task":
            return task_update(at, what, where)
        case "move":
            return task_update(at, what, where, left=next(each for each in LISTS if each != where))
        case "notify":
            return task_update(at, what, "one", notified=[where])
    before = set(members[what])
    members[what].discard(where)
    return list_update(at, what, before, set(members[what]))


def _messages(theirs: socket.socket) -> list[Any]:
    """Return the messages in the received frames (RFC 6455, section 5.2), which are of less than 64 KiB."""
    try:
        received = theirs.recv(MAX_BYTES)
    except BlockingIOError:
        return []
    found, at = [], 0
    while at < len(received):
        size, at = received[at + 1], at + 2
        if size == LENGTH_IN_TWO_BYTES:
            size, at = int.from_bytes(received[at : at + 2]), at + 2
        found.append(json.loads(received[at : at + size]))
        at += size
    return found


@settings(max_examples=examples(200), deadline=None)
@given(blocks)
@example([[PLAIN] * 3] * 3)
@example([[PLAIN], [PLAIN], [PLAIN, PLAIN, ("signal", "one", ""), PLAIN]])
@example([[PLAIN], [PLAIN], [PLAIN, ("remove", "one", "ann"), PLAIN, PLAIN]])
@example([[PLAIN], [PLAIN], [PLAIN, ("move", "t1", "two"), PLAIN, ("notify", "t1", "ben")]])
# A task moves to a list that one has left, right after an update that all received together.
@example([*([step] for step in [*LEFT, MOVED, MOVED]), [MOVED, ("move", "t1", "one")]])
def test_blocks_change_nothing_of_what_clients_receive(history: list[list[tuple[str, str, str]]]) -> None:
    """Neither messages nor their order, whether sockets are written to together or one by one."""
    assert _publish(history, in_blocks=True) == _publish(history, in_blocks=False)


def test_updates_of_a_block_are_one_write_for_each_socket() -> None:
    """Their frames are joined once for all sockets."""
    hub, traffic = Hub(many=2), Traffic()
    hub.published.start({}, 1)
    with ExitStack() as stack:
        readers, writes = [], []
        for user in USERS:
            ours, theirs = (
                stack.enter_context(each) for each in socket.socketpair(type=socket.SOCK_SEQPACKET)
            )
            readers.append(theirs)
            sink: Any = Sink(ours, slow=False)
            sink.traffic = traffic
            _enter(hub, Subscriber(sink, user))
        for count in (1, 1, 5):
            with hub.batching():
                for _ in range(count):
                    _happen(hub, {}, PLAIN)
            # A packet is what one call wrote.
            writes.append([len(theirs.recv(MAX_BYTES)) for theirs in readers])
        assert writes[2] == [5 * writes[1][0]] * len(USERS)
        assert traffic.messages == (1 + 5) * len(USERS)
        assert hub.counters.delivered == (1 + 1 + 5) * len(USERS)
