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

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from api.protocol.frames import EncodedMessage, MessageBatch
from api.relay.fanout import MANY, Broadcast, RecipientCache, Recipients
from api.relay.membership import joined_list, membership_after, moved_to
from api.relay.replay_buffer import ReplayBuffer
from api.relay.subscribers import EVICTED, StreamCursor, Subscriber, Subscription
from api.telemetry.counters import Counters
from app.log.updates import Update
from app.positions import Position, Positions, covers

NOTHING_LEFT: Mapping[str, int] = {}


class Hub:
    """The channels of one node and their subscribers."""

    def __init__(self, replay_buffer: ReplayBuffer | None = None, *, many: int = MANY) -> None:
        self._replay_buffer = replay_buffer or ReplayBuffer()
        self._many = many
        # A subscription whose start is ahead of this node is stored, as its start must be checked.
        self._channels: dict[str, dict[Subscriber, Subscription | None]] = {}
        self._users: dict[str, dict[Subscriber, None]] = {}
        self._positions: dict[int, int] = {}
        self._batching = False
        self._to_flush: list[Subscriber] = []
        self.recipients = RecipientCache()
        """Also cleared when the raw socket of a subscriber changes."""
        self.partitions = 0
        """The number of partitions of the log; 0 until `start`."""
        self.counters = Counters()

    # --- updates -----------------------------------------------------------------------------------------

    def start(self, positions: Positions, partitions: int) -> None:
        """Set the positions up to which updates are in the audit: the first live ones follow directly."""
        self._positions = dict(positions)
        self._replay_buffer.start(positions)
        self.partitions = partitions

    @property
    def positions(self) -> dict[int, int]:
        """Return partition → the last offset whose update has been published."""
        return dict(self._positions)

    def gap_before(self, update: Update) -> range | None:
        """Return the missing offsets between the published updates and this one, if there are any."""
        partition, offset = update.position
        following = self._positions.get(partition, -1) + 1
        if offset <= following:
            return None
        self.counters.gaps += 1
        return range(following, offset)

    def follows(self, update: Update) -> bool:
        """Return True if all updates that must be published before this one were published."""
        return self._positions.get(update.position.partition, -1) + 1 >= update.position.offset and all(
            position.offset <= self._positions.get(position.partition, -1) for position in update.after
        )

    def gap_up_to(self, position: Position) -> range | None:
        """Return the missing offsets between the published updates and a position, inclusive."""
        following = self._positions.get(position.partition, -1) + 1
        return range(following, position.offset + 1) if position.offset >= following else None

    def publish(self, update: Update) -> bool:
        """Send an update to its recipients; return False for a duplicate. There must be no gap."""
        partition, offset = update.position
        following = self._positions.get(partition, -1) + 1
        if offset < following:
            self.counters.duplicates += 1
            return False
        if offset > following:
            raise ValueError(f"update {update.position} leaves a gap from {following}")
        self._pause_joining(update)
        channels = tuple(channel for channel in update.channels if channel in self._channels)
        recipients = self._recipients_of(channels)
        self._positions[partition] = offset
        turn = self._replay_buffer.end
        self._replay_buffer.append(update)
        self.counters.published += 1
        if recipients is not None:
            self._send_at_once(update, recipients)
        else:
            for channel in channels:
                self._send(update, channel, self._channels[channel], turn)
        self._follow_live(update)
        return True

    def _recipients_of(self, channels: tuple[str, ...]) -> Recipients | None:
        """Return the recipients of updates in these channels, if they are many and stable."""
        if self._batching or sum(len(self._channels[channel]) for channel in channels) < self._many:
            return None
        return self.recipients.of(channels, self._live_recipients)

    def _live_recipients(self, channels: tuple[str, ...]) -> Recipients | None:
        """Return each live subscriber under its first channel; None if that depends on the update."""
        if any(channel.startswith("user:") for channel in channels):
            return None  # The recipients depend on the update.
        seen: set[Subscriber] = set()
        recipients: list[tuple[str, Broadcast]] = []
        for channel in channels:
            subscriptions = self._channels[channel]
            if any(map(self._is_ahead, filter(None, subscriptions.values()))):
                return None
            members = [each for each in subscriptions if each.cursor is None and each not in seen]
            seen.update(members)
            recipients.append((channel, Broadcast(members)))
        return recipients

    def _send_at_once(self, update: Update, recipients: Recipients) -> None:
        for channel, broadcast in recipients:
            if broadcast.size:
                broadcast.push(self._replay_buffer.message(update, channel))
                self.counters.delivered += broadcast.size

    def _send(
        self, update: Update, channel: str, subscriptions: dict[Subscriber, Subscription | None], turn: int
    ) -> None:
        """Send to all current subscribers of a channel."""
        partition, offset = update.position
        message = self._replay_buffer.message(update, channel)
        restricted = channel.startswith("user:")
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

    def has(self, channel: str) -> bool:
        """Return True if anybody is subscribed to a channel."""
        return channel in self._channels

    def send(self, channel: str, message: EncodedMessage) -> None:
        """Send an ephemeral message, which is no update, to all subscribers of a channel."""
        for subscriber in list(self._channels.get(channel, ())):
            self._flush(subscriber)
            subscriber.push(message)

    @contextmanager
    def batching(self) -> Iterator[None]:
        """Send what is published in the block at its end, so that each socket is written to once."""
        self._batching = True
        try:
            yield
        finally:
            self._batching = False
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

    def _flush(self, subscriber: Subscriber) -> None:
        """Send what waits for the end of a block, as another message must follow it."""
        if subscriber.waiting:
            waiting, subscriber.waiting = subscriber.waiting, []
            subscriber.push(MessageBatch(waiting))

    # --- subscriptions -----------------------------------------------------------------------------------

    def enter(self, subscriber: Subscriber) -> StreamCursor:
        """Add a subscriber, paused: from here on it receives events that change what its user may see."""
        self._users.setdefault(subscriber.user, {})[subscriber] = None
        return self.pause(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Remove a subscriber."""
        for channel in list(subscriber.channels):
            self.unsubscribe(subscriber, channel)
        _discard(self._users, subscriber.user, subscriber)

    def subscribe(self, subscriber: Subscriber, channel: str, subscription: Subscription) -> None:
        """Add a channel, or change the start of a channel that the subscriber has."""
        self.counters.subscriptions += channel not in subscriber.channels
        subscriber.channels[channel] = subscription
        ahead = self._is_ahead(subscription)
        self._channels.setdefault(channel, {})[subscriber] = subscription if ahead else None
        self.recipients.clear()

    def unsubscribe(self, subscriber: Subscriber, channel: str) -> None:
        """Remove a channel, if the subscriber has it."""
        if subscriber.channels.pop(channel, None) is not None:
            self.counters.subscriptions -= 1
            _discard(self._channels, channel, subscriber)
            self.recipients.clear()

    def _is_ahead(self, subscription: Subscription) -> bool:
        """Return True if it starts after the published updates."""
        return any(offset > self._positions.get(p, -1) for p, offset in subscription.start.items())

    # --- what subscribers know ---------------------------------------------------------------------------

    def lists_of(self, user: str) -> set[str] | None:
        """Return the current lists of a user; None if no live subscriber of the user knows them."""
        for subscriber in self._users.get(user, ()):
            if subscriber.cursor is None and covers(self._positions, subscriber.lists_at):
                return set(subscriber.lists)
        return None

    def list_of(self, channel: str) -> str | None:
        """Return the current list of a task; None if the first subscriber of its channel does not know it."""
        subscriber = next(iter(self._channels.get(channel, ())), None)
        if subscriber is None or subscriber.cursor is not None:
            return None
        return subscriber.channels[channel].list_id

    # --- recovery ----------------------------------------------------------------------------------------

    def cursor(self) -> StreamCursor:
        """Return a cursor at the present."""
        return StreamCursor(self._replay_buffer.end, dict(self._positions))

    def pause(self, subscriber: Subscriber) -> StreamCursor:
        """Pause a subscriber at the present, unless it is paused already; return its cursor."""
        if subscriber.cursor is None:
            subscriber.cursor = self.cursor()
            self.recipients.clear()
        return subscriber.cursor

    def deliver(self, subscriber: Subscriber, update: Update) -> None:
        """Send an update to one subscriber, if it may receive it, and apply all consequences."""
        channel = subscriber.first_channel(update)
        if channel is not None:
            self.push(subscriber, channel, update)
        self.follow(subscriber, update)

    def push(self, subscriber: Subscriber, channel: str, update: Update) -> None:
        """Send an update under a channel."""
        self._flush(subscriber)
        subscriber.push(self._replay_buffer.message(update, channel))
        self.counters.delivered += 1

    def batch(self, updates: Sequence[tuple[str, Update]]) -> MessageBatch:
        """Return updates under their channels as one batch."""
        self.counters.delivered += len(updates)
        return self._replay_buffer.batch(
            [self._replay_buffer.message(update, channel) for channel, update in updates]
        )

    def missed(
        self, channels: Collection[str], since: Positions, upto: Positions, limit: int
    ) -> list[Update] | None:
        """Return the channels' updates in `(since, upto]`; None if over `limit`. Raise `BufferOverrun`."""
        return self._replay_buffer.missed(channels, since, upto, limit)

    def advance(self, subscriber: Subscriber, limit: int) -> bool:
        """Advance a paused subscriber by at most `limit` updates; return True once it is live.

        It stops before an update with which its user joins a list. Raise `BufferOverrun` if the replay buffer
        no longer contains the next update: then it must be read from the audit.
        """
        cursor = subscriber.cursor
        if cursor is None:
            return True
        for update in self._replay_buffer.read(cursor.number, limit):
            if self.joins(subscriber, update):
                return False
            self.step(subscriber, update)
        if cursor.number < self._replay_buffer.end:
            return False
        subscriber.cursor = None
        self.recipients.clear()
        return True

    def step(self, subscriber: Subscriber, update: Update) -> None:
        """Send the next update to a paused subscriber, if it may receive it, and advance its cursor."""
        cursor = subscriber.cursor
        assert cursor is not None
        if cursor.number != EVICTED:
            cursor.number += 1
        cursor.positions[update.position.partition] = update.position.offset
        self.deliver(subscriber, update)

    # --- membership --------------------------------------------------------------------------------------

    def joins(self, subscriber: Subscriber, update: Update, left: Mapping[str, int] = NOTHING_LEFT) -> bool:
        """Return True if its user joins a list with this update, the next one for it; then it is `joining`.

        A list that the user has `left` by a later update (see `leaves`) is not joined for the time between.
        """
        list_id = joined_list(update, subscriber.user)
        if list_id is None or list_id in subscriber.lists or subscriber.knows(update):
            return False
        if left.get(list_id, -1) > update.position.offset:
            return False
        subscriber.joining = update
        return True

    def leaves(self, subscriber: Subscriber, updates: Iterable[Update]) -> dict[str, int]:
        """Remove the lists that its user leaves with one of these updates, before their turn.

        Return these lists, each with the offset of the last update that removes it. Where the replay buffer
        no longer has the order, partitions are sent one after another: an event of a list after its user had
        left it must not be sent because it lies in an earlier partition.
        """
        left: dict[str, int] = {}
        for update in updates:
            list_id = self._follow_membership(subscriber, update)
            if list_id is not None:
                left[list_id] = update.position.offset
        return left

    def _pause_joining(self, update: Update) -> None:
        """Pause subscribers whose user joins a list with the update that is about to be published."""
        if not update.stream.startswith("list:"):
            return
        for subscriber in self._users_of(update):
            if subscriber.cursor is None and self.joins(subscriber, update):
                self.pause(subscriber)
                subscriber.sink.paused()

    def _follow_live(self, update: Update) -> None:
        """Apply the consequences of an update on what live subscribers may see."""
        if update.stream.startswith("list:"):
            concerned = self._users_of(update)
        elif moved_to(update) is not None:
            concerned = list(self._channels.get(update.stream, ()))
        else:
            return
        for subscriber in concerned:
            if subscriber.cursor is None:
                self.follow(subscriber, update)

    def follow(self, subscriber: Subscriber, update: Update) -> None:
        """Apply the consequences of an update on what one subscriber may see."""
        self._follow_membership(subscriber, update)
        list_id = moved_to(update)
        if list_id is not None:
            self._moved(subscriber, update.stream, list_id)

    def _follow_membership(self, subscriber: Subscriber, update: Update) -> str | None:
        """Remove a list if the user leaves it with this update; return the list."""
        membership = None if subscriber.knows(update) else membership_after(update)
        if membership is None or subscriber.user in membership.members:
            return None
        self._leave(subscriber, membership.list_id)
        return membership.list_id

    def _users_of(self, update: Update) -> list[Subscriber]:
        users = [channel.removeprefix("user:") for channel in update.channels if channel.startswith("user:")]
        return [subscriber for user in users for subscriber in self._users.get(user, ())]

    def _leave(self, subscriber: Subscriber, list_id: str) -> None:
        subscriber.lists.discard(list_id)
        seen_through_it = [
            channel
            for channel, subscription in subscriber.channels.items()
            if channel == f"list:{list_id}" or subscription.list_id == list_id
        ]
        self._flush(subscriber)
        for channel in seen_through_it:
            self.unsubscribe(subscriber, channel)
            subscriber.sink.removed(channel)

    def _moved(self, subscriber: Subscriber, channel: str, list_id: str) -> None:
        subscription = subscriber.channels.get(channel)
        if subscription is None:
            return
        if list_id in subscriber.lists:
            self.subscribe(subscriber, channel, Subscription(subscription.start, list_id))
        else:
            self._flush(subscriber)
            self.unsubscribe(subscriber, channel)
            subscriber.sink.removed(channel)


def _discard(
    index: dict[str, dict[Subscriber, Subscription | None]] | dict[str, dict[Subscriber, None]],
    key: str,
    subscriber: Subscriber,
) -> None:
    entries = index.get(key)
    if entries is not None:
        entries.pop(subscriber, None)
        if not entries:
            del index[key]
