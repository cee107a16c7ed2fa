"""Subscribers of the hub: their subscriptions, and their progress in each channel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from api.protocol.frames import EncodedMessage, MessageBatch, Sendable
from api.relay.fanout import RawSocket
from api.relay.membership import lists_of
from app.channels import Channel
from app.log.updates import Update
from app.positions import Positions


class ClientSink(Protocol):
    """The socket of a subscriber. No method waits."""

    @property
    def raw_socket(self) -> RawSocket | None:
        """Return its socket, if it may be written to directly, past all queues."""

    def push(self, messages: Sendable) -> object:
        """Send messages. Consequences of a failure follow later: the hub is in a loop."""

    def removed(self, channel: Channel) -> None:
        """Notify of a removed channel: its list or task is no longer visible."""

    def paused(self) -> None:
        """Notify that the subscriber was paused, as its user joins a list, which must be caught up first."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscription to a channel: updates after `start` are sent.

    `list_id` is set on the subscription of a task: the list through which the task is visible.
    """

    start: Positions
    list_id: str | None = None


EVICTED = -1


@dataclass(slots=True)
class StreamCursor:
    """A point in the stream of updates: the number of the next one, and the positions before it.

    The number is `EVICTED` if the replay buffer no longer has the next update: then only the positions count.
    """

    number: int
    positions: dict[int, int]


@dataclass(slots=True, eq=False)
class Subscriber:
    """One socket from the hub's point of view. `cursor` is set while it is paused.

    `lists` are those that its user is a member of, as of `lists_at` or a later update that it received: a
    client from another node may be ahead of this one. `joining` is the very next update, if its user becomes
    a member of a list with it: that list must be caught up from its beginning before the update is sent, so
    that a client with the update has the whole list.
    """

    sink: ClientSink
    user: str
    channels: dict[Channel, Subscription] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)
    lists_at: Positions = field(default_factory=dict)
    joining: Update | None = None
    cursor: StreamCursor | None = None
    turn: int = -1
    waiting: list[EncodedMessage] = field(default_factory=list)
    push: Callable[[Sendable], object] = field(init=False)
    """The sink's method, cached because it is called for every message."""

    def __post_init__(self) -> None:
        self.push = self.sink.push

    @property
    def raw_socket(self) -> RawSocket | None:
        """See `fanout.Receiver`."""
        return self.sink.raw_socket

    def flush(self) -> None:
        """Send what waits for the end of a block (see `Hub.batching`), as another message must follow it."""
        if self.waiting:
            waiting, self.waiting = self.waiting, []
            self.push(MessageBatch(waiting))

    def first_channel(self, update: Update) -> Channel | None:
        """Return the channel under which this subscriber receives an update, or None."""
        partition, offset = update.position
        for channel in update.channels:
            subscription = self.channels.get(channel)
            if (
                subscription is not None
                and subscription.start.get(partition, -1) < offset
                and self.may_receive(update, channel)
            ):
                return channel
        return None

    def may_receive(self, update: Update, channel: Channel) -> bool:
        """Return True if it may receive an update under a channel: only members are notified about a task."""
        if channel.kind != "user" or update.stream.kind != "task":
            return True
        return any(list_id in self.lists for list_id in lists_of(update))

    def knows(self, update: Update) -> bool:
        """Return True if its lists already include this update."""
        return update.position.offset <= self.lists_at.get(update.position.partition, -1)

    def has_received(self, update: Update) -> bool:
        """Return True if it received an update under a channel of a task or list.

        Notifications about a task from before its user became a member do not count: joining a list sends all
        of it.
        """
        partition, offset = update.position
        subscriptions = (self.channels.get(channel) for channel in own_channels(update))
        return any(each is not None and each.start.get(partition, -1) < offset for each in subscriptions)


def own_channels(update: Update) -> list[Channel]:
    """Return the channels of an update, without those of users who are notified about a task."""
    if update.stream.kind != "task":
        return list(update.channels)
    return [channel for channel in update.channels if channel.kind != "user"]
