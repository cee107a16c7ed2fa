"""Subscribers of the hub: their subscriptions, and up to where each channel was sent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from api.protocol.frames import EncodedMessage, Sendable
from api.relay.fanout import RawSocket
from api.relay.membership import lists_of
from app.log.updates import Update
from app.positions import Positions


class ClientSink(Protocol):
    """The socket behind a subscriber. None of its methods waits."""

    @property
    def raw_socket(self) -> RawSocket | None:
        """Its socket, if it may be written to past everything that queues."""

    def push(self, messages: Sendable) -> object:
        """Take what has to be sent. What follows from a failure follows later: the hub is in a loop."""

    def left(self, channel: str) -> None:
        """The channel was taken away: its list or task can't be seen any longer."""

    def held(self) -> None:
        """The subscriber was put on hold, as its user joins a list, which has to be caught up first."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """A subscriber's hold on a channel: what lies after `start` is for it.

    `list_id` is set on the subscription of a task: the list through which the task may be seen.
    """

    start: Positions
    list_id: str | None = None


EVICTED = -1


@dataclass(slots=True)
class StreamCursor:
    """A point in the stream of updates: the number of the next one, and the positions before it.

    The number is `EVICTED` where the ring has forgotten what comes next: then the positions alone count.
    """

    number: int
    positions: dict[int, int]


@dataclass(slots=True, eq=False)
class Subscriber:
    """One socket, as the hub sees it. `place` is set while it is held.

    `lists` are those that its user is a member of, as of `lists_at` or a later update that it got: a client
    that comes from another node may be ahead of this one. `joining` is the very next update, if its user
    becomes a member of a list with it: that list has to be caught up from its beginning before the update is
    sent, so that whoever has the update has the whole list.
    """

    peer: ClientSink
    user: str
    channels: dict[str, Subscription] = field(default_factory=dict)
    lists: set[str] = field(default_factory=set)
    lists_at: Positions = field(default_factory=dict)
    joining: Update | None = None
    place: StreamCursor | None = None
    turn: int = -1
    waiting: list[EncodedMessage] = field(default_factory=list)
    push: Callable[[Sendable], object] = field(init=False)
    """The peer's, kept as it is called for every message."""

    def __post_init__(self) -> None:
        self.push = self.peer.push

    @property
    def raw_socket(self) -> RawSocket | None:
        """See `fanout.Receiver`."""
        return self.peer.raw_socket

    def first_channel(self, update: Update) -> str | None:
        """The channel under which this subscriber gets an update, or None if it isn't for it."""
        partition, offset = update.position
        for channel in update.channels:
            subscription = self.channels.get(channel)
            if (
                subscription is not None
                and subscription.start.get(partition, -1) < offset
                and self.may_have(update, channel)
            ):
                return channel
        return None

    def may_have(self, update: Update, channel: str) -> bool:
        """Whether it may get an update under a channel: what is told of a task is for its list's members."""
        if not channel.startswith("user:") or not update.stream.startswith("task:"):
            return True
        return any(list_id in self.lists for list_id in lists_of(update))

    def knows(self, update: Update) -> bool:
        """Whether its lists are those after this update."""
        return update.position.offset <= self.lists_at.get(update.position.partition, -1)

    def saw(self, update: Update) -> bool:
        """Whether it got an update under a channel that says where a task or list is.

        What it was told of a task while its user was a member before does not count: with a list that it
        joins comes all of it.
        """
        partition, offset = update.position
        subscriptions = (self.channels.get(channel) for channel in own_channels(update))
        return any(each is not None and each.start.get(partition, -1) < offset for each in subscriptions)


def own_channels(update: Update) -> list[str]:
    """The channels of an update, without those of the users who are told of a task."""
    if not update.stream.startswith("task:"):
        return list(update.channels)
    return [channel for channel in update.channels if not channel.startswith("user:")]
