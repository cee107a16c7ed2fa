"""The subscribers of a node by channel and by user, and what they know of their lists."""

from __future__ import annotations

from typing import TypeVar

from api.relay.fanout import RecipientCache
from api.relay.published_updates import PublishedUpdates
from api.relay.subscribers import StreamCursor, Subscriber, Subscription
from api.telemetry.counters import Counters
from app.channels import Channel
from app.positions import covers

K = TypeVar("K")
V = TypeVar("V")


class SubscriberIndex:
    """The subscribers of each channel, and the subscribers of each user."""

    def __init__(self, published: PublishedUpdates, counters: Counters) -> None:
        # A subscription whose start is ahead of this node is stored, as its start must be checked.
        self.channels: dict[Channel, dict[Subscriber, Subscription | None]] = {}
        self.users: dict[str, dict[Subscriber, None]] = {}
        self.recipients = RecipientCache()
        """Also cleared when the raw socket of a subscriber changes."""
        self._published = published
        self._counters = counters

    def enter(self, subscriber: Subscriber) -> StreamCursor:
        """Add a subscriber, paused: from here on it receives events that change what its user may see."""
        self.users.setdefault(subscriber.user, {})[subscriber] = None
        return self.pause(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Remove a subscriber."""
        for channel in list(subscriber.channels):
            self.unsubscribe(subscriber, channel)
        _discard(self.users, subscriber.user, subscriber)

    def subscribe(self, subscriber: Subscriber, channel: Channel, subscription: Subscription) -> None:
        """Add a channel, or change the start of a channel that the subscriber has."""
        self._counters.subscriptions += channel not in subscriber.channels
        subscriber.channels[channel] = subscription
        ahead = self.is_ahead(subscription)
        self.channels.setdefault(channel, {})[subscriber] = subscription if ahead else None
        self.recipients.clear()

    def unsubscribe(self, subscriber: Subscriber, channel: Channel) -> None:
        """Remove a channel, if the subscriber has it."""
        if subscriber.channels.pop(channel, None) is not None:
            self._counters.subscriptions -= 1
            _discard(self.channels, channel, subscriber)
            self.recipients.clear()

    def pause(self, subscriber: Subscriber) -> StreamCursor:
        """Pause a subscriber at the present, unless it is paused already; return its cursor."""
        if subscriber.cursor is None:
            subscriber.cursor = self._published.cursor()
            self.recipients.clear()
        return subscriber.cursor

    def resume(self, subscriber: Subscriber) -> None:
        """Make a subscriber live again: its cursor has reached the present."""
        subscriber.cursor = None
        self.recipients.clear()

    def is_ahead(self, subscription: Subscription) -> bool:
        """Return True if it starts after the published updates."""
        reached = self._published.reached
        return any(offset > reached.get(p, -1) for p, offset in subscription.start.items())

    # --- what subscribers know ---------------------------------------------------------------------------

    def lists_of(self, user: str) -> set[str] | None:
        """Return the current lists of a user; None if no live subscriber of the user knows them."""
        for subscriber in self.users.get(user, ()):
            if subscriber.cursor is None and covers(self._published.reached, subscriber.lists_at):
                return set(subscriber.lists)
        return None

    def list_of(self, channel: Channel) -> str | None:
        """Return the current list of a task; None if the first subscriber of its channel does not know it."""
        subscriber = next(iter(self.channels.get(channel, ())), None)
        if subscriber is None or subscriber.cursor is not None:
            return None
        return subscriber.channels[channel].list_id


def _discard(index: dict[K, dict[Subscriber, V]], key: K, subscriber: Subscriber) -> None:
    entries = index.get(key)
    if entries is not None:
        entries.pop(subscriber, None)
        if not entries:
            del index[key]
