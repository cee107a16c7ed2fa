"""The hub: distributes each update to its subscribers, in order, once. Pure: no I/O, no clock, no awaits.

Updates arrive with contiguous positions per partition and go to the subscribers of their channels. A
subscriber receives only updates *after* its subscription's `start`; an update is sent under the first of its
channels that the subscriber has and whose start lies before it, so it is sent once.

A subscriber in recovery is *paused*: it receives nothing live. It has a cursor in the replay buffer of recent
updates, receives what it missed up to there, and then `advance` moves it from that cursor to the present, at
its own pace, until nothing is left and it is live again. So its updates arrive in order, without gaps or
duplicates.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from api.protocol.frames import EncodedMessage, MessageBatch
from api.relay.arrivals import Arrivals
from api.relay.fanout import MANY, Broadcast, Recipients
from api.relay.list_watches import ListWatches
from api.relay.membership import moved_to
from api.relay.published_updates import PublishedUpdates
from api.relay.replay_buffer import ReplayBuffer
from api.relay.subscriber_index import SubscriberIndex
from api.relay.subscribers import EVICTED, Subscriber, Subscription
from api.relay.visibility_changes import VisibilityChanges
from api.telemetry.counters import Counters
from app.channels import Channel
from app.log.updates import Update


class Hub:
    """The distribution of updates to the channels of one node."""

    def __init__(self, replay_buffer: ReplayBuffer | None = None, *, many: int = MANY) -> None:
        self.counters = Counters()
        self.published = PublishedUpdates(replay_buffer or ReplayBuffer(), self.counters)
        self.subscribers = SubscriberIndex(self.published, self.counters)
        self.visibility = VisibilityChanges(self.subscribers)
        self.watches = ListWatches()
        self.arrivals = Arrivals()
        # For the innermost loops: the same objects, nearer.
        self._replay_buffer = self.published.replay_buffer
        self._positions = self.published.reached
        self._channels = self.subscribers.channels
        self._recipients = self.subscribers.recipients
        self._many = many
        self._batching = False
        self._to_flush: list[Subscriber] = []
        # The latest updates of a block with the same recipients, which receive them together.
        self._joint: Recipients | None = None
        self._joint_updates: list[Update] = []

    def publish(self, update: Update) -> bool:
        """Send an update to its recipients; return False for a duplicate. There must be no gap."""
        partition, offset = update.position
        following = self._positions.get(partition, -1) + 1
        if offset < following:
            self.counters.duplicates += 1
            return False
        if offset > following:
            raise ValueError(f"update {update.position} leaves a gap from {following}")
        is_list = update.stream.kind == "list"
        if is_list:
            self.visibility.pause_joining(update)
        channels = tuple(channel for channel in update.channels if channel in self._channels)
        recipients = self._recipients_of(channels)
        if self._batching and recipients is not None and not self._join(update, recipients, is_list=is_list):
            recipients = None
        self._positions[partition] = offset
        turn = self._replay_buffer.end
        self._replay_buffer.append(update)
        self.counters.published += 1
        if recipients is not None:
            if not self._batching:
                self._send_at_once([update], recipients)
        else:
            for channel in channels:
                self._send(update, channel, self._channels[channel], turn)
        self.visibility.follow_live(update, is_list=is_list)
        if is_list:
            self.watches.follow(update)
        if self.arrivals:
            self.arrivals.notify(update)
        return True

    def _recipients_of(self, channels: tuple[Channel, ...]) -> Recipients | None:
        """Return the recipients of updates in these channels, if they are many and stable."""
        if sum(len(self._channels[channel]) for channel in channels) < self._many:
            return None
        return self._recipients.of(channels, self._live_recipients)

    def _live_recipients(self, channels: tuple[Channel, ...]) -> Recipients | None:
        """Return each live subscriber under its first channel; None if that depends on the update."""
        if any(channel.kind == "user" for channel in channels):
            return None  # The recipients depend on the update.
        seen: set[Subscriber] = set()
        recipients: list[tuple[Channel, Broadcast]] = []
        for channel in channels:
            subscriptions = self._channels[channel]
            if any(map(self.subscribers.is_ahead, filter(None, subscriptions.values()))):
                return None
            members = [each for each in subscriptions if each.cursor is None and each not in seen]
            seen.update(members)
            recipients.append((channel, Broadcast(members)))
        return recipients

    def _join(self, update: Update, recipients: Recipients, *, is_list: bool) -> bool:
        """Keep an update of a block for its end, if it may be sent there to all recipients at once.

        Return False if it may not: other messages wait at single subscribers, or its consequences must
        follow it directly. Recipients are only valid until something is sent, as a socket may get full.
        """
        if self._to_flush or is_list or moved_to(update) is not None:
            return False
        if self._joint is not None and self._joint is not recipients:
            return False
        self._joint = recipients
        self._joint_updates.append(update)
        return True

    def _send_joint(self) -> None:
        """Send the updates that were kept for the end of a block."""
        recipients, self._joint = self._joint, None
        updates, self._joint_updates = self._joint_updates, []
        if recipients is not None:
            self._send_at_once(updates, recipients)

    def _send_at_once(self, updates: Sequence[Update], recipients: Recipients) -> None:
        for channel, broadcast in recipients:
            if broadcast.size:
                messages = [self._replay_buffer.message(update, channel) for update in updates]
                broadcast.push(messages[0] if len(messages) == 1 else MessageBatch(messages))
                self.counters.delivered += broadcast.size * len(messages)

    def _send(
        self,
        update: Update,
        channel: Channel,
        subscriptions: dict[Subscriber, Subscription | None],
        turn: int,
    ) -> None:
        """Send to all current subscribers of a channel."""
        self._send_joint()
        partition, offset = update.position
        message = self._replay_buffer.message(update, channel)
        restricted = channel.kind == "user"
        batching, delivered = self._batching, 0
        for subscriber, subscription in subscriptions.items():
            if subscriber.cursor is not None or subscriber.turn == turn:
                continue
            if restricted and not subscriber.may_receive(update, channel):
                continue
            if subscription is not None and subscription.start.get(partition, -1) >= offset:
                continue
            subscriber.turn = turn
            delivered += 1
            if batching:
                if not subscriber.waiting:
                    self._to_flush.append(subscriber)
                subscriber.waiting.append(message)
            else:
                subscriber.push(message)
        self.counters.delivered += delivered

    def has(self, channel: Channel) -> bool:
        """Return True if anybody is subscribed to a channel."""
        return channel in self._channels

    def send(self, channel: Channel, message: EncodedMessage) -> None:
        """Send an ephemeral message, which is no update, to all subscribers of a channel."""
        self._send_joint()
        for subscriber in list(self._channels.get(channel, ())):
            subscriber.flush()
            subscriber.push(message)

    @contextmanager
    def batching(self) -> Iterator[None]:
        """Send what is published in the block at its end, so that each socket is written to once."""
        self._batching = True
        try:
            yield
        finally:
            self._batching = False
            self._send_joint()
            flushed, self._to_flush = self._to_flush, []
            same: dict[tuple[int, ...], MessageBatch] = {}
            for subscriber in flushed:
                waiting, subscriber.waiting = subscriber.waiting, []
                if len(waiting) > 1:
                    key = tuple(map(id, waiting))
                    joined = same.get(key) or same.setdefault(key, MessageBatch(waiting))
                    subscriber.push(joined)
                elif waiting:
                    subscriber.push(waiting[0])

    # --- one subscriber ----------------------------------------------------------------------------------

    def batch(self, updates: Sequence[tuple[Channel, Update]]) -> MessageBatch:
        """Return updates under their channels as one batch."""
        self.counters.delivered += len(updates)
        return self._replay_buffer.batch(
            [self._replay_buffer.message(update, channel) for channel, update in updates]
        )

    def advance(self, subscriber: Subscriber, limit: int) -> bool:
        """Advance a paused subscriber by at most `limit` updates; return True once it is live.

        It stops before an update with which its user joins a list. Raise `BufferOverrun` if the replay buffer
        no longer contains the next update: then it must be read from the audit.
        """
        self._send_joint()
        cursor = subscriber.cursor
        if cursor is None:
            return True
        for update in self._replay_buffer.read(cursor.number, limit):
            if self.visibility.joins(subscriber, update):
                return False
            self.step(subscriber, update)
        if cursor.number < self._replay_buffer.end:
            return False
        self.subscribers.resume(subscriber)
        return True

    def step(self, subscriber: Subscriber, update: Update) -> None:
        """Advance a paused subscriber by the next update: send it, if allowed, and apply its consequences."""
        cursor = subscriber.cursor
        assert cursor is not None
        if cursor.number != EVICTED:
            cursor.number += 1
        cursor.positions[update.position.partition] = update.position.offset
        channel = subscriber.first_channel(update)
        if channel is not None:
            subscriber.flush()
            subscriber.push(self._replay_buffer.message(update, channel))
            self.counters.delivered += 1
        self.visibility.follow(subscriber, update)
