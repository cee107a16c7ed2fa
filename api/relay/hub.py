"""The hub: who gets which update, in which order, once. Pure: no I/O, no clock, nothing awaited.

Updates come in with contiguous positions per partition and go to the subscribers of their channels. What a
subscriber has of a channel begins *after* its subscription's `start`; an update is sent under the first of
its channels that the subscriber has and whose start lies before it, so it is sent once.

A subscriber in recovery is *held*: nothing live reaches it. It has a place in the ring of recent updates,
is given what it missed up to there, and then `advance` brings it from that place to the present, at its own
pace, until nothing lies between and it is live again. So its updates come in order, without gap or double.
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

    def __init__(self, ring: ReplayBuffer | None = None, *, many: int = MANY) -> None:
        self._ring = ring or ReplayBuffer()
        self._many = many
        # With a subscription where its start lies ahead of this node: there it has to be looked at.
        self._channels: dict[str, dict[Subscriber, Subscription | None]] = {}
        self._users: dict[str, dict[Subscriber, None]] = {}
        self._positions: dict[int, int] = {}
        self._joining = False
        self._to_flush: list[Subscriber] = []
        self.audiences = RecipientCache()
        """Cleared also when a subscriber is written to another way."""
        self.partitions = 0
        """How many partitions the log has; 0 until `start`."""
        self.counters = Counters()

    # --- updates -----------------------------------------------------------------------------------------

    def start(self, positions: Positions, partitions: int) -> None:
        """Say up to where updates are in the audit already: the first live ones come right after."""
        self._positions = dict(positions)
        self._ring.start(positions)
        self.partitions = partitions

    @property
    def positions(self) -> dict[int, int]:
        """Partition → the last offset whose update has been published."""
        return dict(self._positions)

    def gap_before(self, update: Update) -> range | None:
        """The offsets that are missing between what was published and this update, if any are."""
        partition, offset = update.position
        following = self._positions.get(partition, -1) + 1
        if offset <= following:
            return None
        self.counters.gaps += 1
        return range(following, offset)

    def follows(self, update: Update) -> bool:
        """Whether all was published that has to be told before this update."""
        return self._positions.get(update.position.partition, -1) + 1 >= update.position.offset and all(
            place.offset <= self._positions.get(place.partition, -1) for place in update.after
        )

    def gap_up_to(self, place: Position) -> range | None:
        """The offsets that are missing between what was published and a position, that one included."""
        following = self._positions.get(place.partition, -1) + 1
        return range(following, place.offset + 1) if place.offset >= following else None

    def publish(self, update: Update) -> bool:
        """Send an update to whom it concerns; False if it was published before. There must be no gap."""
        partition, offset = update.position
        following = self._positions.get(partition, -1) + 1
        if offset < following:
            self.counters.duplicates += 1
            return False
        if offset > following:
            raise ValueError(f"update {update.position} leaves a gap from {following}")
        self._hold_joining(update)
        channels = tuple(channel for channel in update.channels if channel in self._channels)
        audience = self._audience(channels)
        self._positions[partition] = offset
        turn = self._ring.end
        self._ring.append(update)
        self.counters.published += 1
        if audience is not None:
            self._send_at_once(update, audience)
        else:
            for channel in channels:
                self._send(update, channel, self._channels[channel], turn)
        self._follow_live(update)
        return True

    def _audience(self, channels: tuple[str, ...]) -> Recipients | None:
        """Who gets what these channels carry together, if they are many and nothing changed of late."""
        if self._joining or sum(len(self._channels[channel]) for channel in channels) < self._many:
            return None
        return self.audiences.of(channels, self._gathered)

    def _gathered(self, channels: tuple[str, ...]) -> Recipients | None:
        """Each live subscriber under the first of the channels that it has; None if there is more to it."""
        if any(channel.startswith("user:") for channel in channels):
            return None  # Who gets it depends on the update.
        seen: set[Subscriber] = set()
        audience: list[tuple[str, Broadcast]] = []
        for channel in channels:
            subscriptions = self._channels[channel]
            if any(map(self._is_ahead, filter(None, subscriptions.values()))):
                return None
            members = [each for each in subscriptions if each.place is None and each not in seen]
            seen.update(members)
            audience.append((channel, Broadcast(members)))
        return audience

    def _send_at_once(self, update: Update, audience: Recipients) -> None:
        for channel, fanout in audience:
            if fanout.size:
                fanout.push(self._ring.message(update, channel))
                self.counters.delivered += fanout.size

    def _send(
        self, update: Update, channel: str, subscriptions: dict[Subscriber, Subscription | None], turn: int
    ) -> None:
        """Send to all subscribers of a channel, as they are now."""
        partition, offset = update.position
        message = self._ring.message(update, channel)
        restricted = channel.startswith("user:")
        joining, delivered = self._joining, 0
        for subscriber, subscription in subscriptions.items():
            if subscriber.place is not None or subscriber.turn == turn:
                continue
            if restricted and not subscriber.may_have(update, channel):
                continue
            if subscription is not None and subscription.start.get(partition, -1) >= offset:
                continue
            subscriber.turn = turn
            delivered += 1
            if joining:
                if not subscriber.waiting:
                    self._to_flush.append(subscriber)
                subscriber.waiting.append(message)
            else:
                subscriber.push(message)
        self.counters.delivered += delivered

    def has(self, channel: str) -> bool:
        """Whether anybody has a channel."""
        return channel in self._channels

    def tell(self, channel: str, message: EncodedMessage) -> None:
        """Send what is no update, and is not kept, to all subscribers of a channel."""
        for subscriber in list(self._channels.get(channel, ())):
            self._flush(subscriber)
            subscriber.push(message)

    @contextmanager
    def joining(self) -> Iterator[None]:
        """Send what is published in the block at its end, so that each socket is written to once."""
        self._joining = True
        try:
            yield
        finally:
            self._joining = False
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
        """Send what waits for the end of a block, as something else has to follow it."""
        if subscriber.waiting:
            waiting, subscriber.waiting = subscriber.waiting, []
            subscriber.push(MessageBatch(waiting))

    # --- subscriptions -----------------------------------------------------------------------------------

    def enter(self, subscriber: Subscriber) -> StreamCursor:
        """Take in a subscriber, held: events that change what its user may see reach it from here on."""
        self._users.setdefault(subscriber.user, {})[subscriber] = None
        return self.hold(subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        """Forget a subscriber."""
        for channel in list(subscriber.channels):
            self.unsubscribe(subscriber, channel)
        _discard(self._users, subscriber.user, subscriber)

    def subscribe(self, subscriber: Subscriber, channel: str, subscription: Subscription) -> None:
        """Give a channel, or another start on one that the subscriber has."""
        self.counters.subscriptions += channel not in subscriber.channels
        subscriber.channels[channel] = subscription
        ahead = self._is_ahead(subscription)
        self._channels.setdefault(channel, {})[subscriber] = subscription if ahead else None
        self.audiences.clear()

    def unsubscribe(self, subscriber: Subscriber, channel: str) -> None:
        """Take a channel away, if the subscriber has it."""
        if subscriber.channels.pop(channel, None) is not None:
            self.counters.subscriptions -= 1
            _discard(self._channels, channel, subscriber)
            self.audiences.clear()

    def _is_ahead(self, subscription: Subscription) -> bool:
        """Whether it starts behind what was published."""
        return any(offset > self._positions.get(p, -1) for p, offset in subscription.start.items())

    # --- what subscribers know ---------------------------------------------------------------------------

    def lists_of(self, user: str) -> set[str] | None:
        """The lists of a user at the present; None if no live subscriber of theirs tells."""
        for subscriber in self._users.get(user, ()):
            if subscriber.place is None and covers(self._positions, subscriber.lists_at):
                return set(subscriber.lists)
        return None

    def list_of(self, channel: str) -> str | None:
        """The list of a task at the present; None if the first subscriber of its channel doesn't tell."""
        subscriber = next(iter(self._channels.get(channel, ())), None)
        if subscriber is None or subscriber.place is not None:
            return None
        return subscriber.channels[channel].list_id

    # --- recovery ----------------------------------------------------------------------------------------

    def place(self) -> StreamCursor:
        """The present."""
        return StreamCursor(self._ring.end, dict(self._positions))

    def hold(self, subscriber: Subscriber) -> StreamCursor:
        """Hold a subscriber at the present, or where it is held already."""
        if subscriber.place is None:
            subscriber.place = self.place()
            self.audiences.clear()
        return subscriber.place

    def offer(self, subscriber: Subscriber, update: Update) -> None:
        """Give one update to one subscriber, if it is for it, with all consequences."""
        channel = subscriber.first_channel(update)
        if channel is not None:
            self.push(subscriber, channel, update)
        self.follow(subscriber, update)

    def push(self, subscriber: Subscriber, channel: str, update: Update) -> None:
        """Send an update under a channel."""
        self._flush(subscriber)
        subscriber.push(self._ring.message(update, channel))
        self.counters.delivered += 1

    def joined(self, told: Sequence[tuple[str, Update]]) -> MessageBatch:
        """Updates under their channels, as one."""
        self.counters.delivered += len(told)
        return self._ring.joined([self._ring.message(update, channel) for channel, update in told])

    def missed(
        self, channels: Collection[str], since: Positions, upto: Positions, limit: int
    ) -> list[Update] | None:
        """What the channels carried in `(since, upto]`; None if more than `limit`. Raises `BufferOverrun`."""
        return self._ring.missed(channels, since, upto, limit)

    def advance(self, subscriber: Subscriber, limit: int) -> bool:
        """Bring a held subscriber on by at most `limit` updates; True once it is live.

        It stops early before an update with which its user joins a list. Raises `BufferOverrun` when the ring
        has forgotten what comes next: then that has to be read from the audit.
        """
        place = subscriber.place
        if place is None:
            return True
        for update in self._ring.read(place.number, limit):
            if self.joins(subscriber, update):
                return False
            self.step(subscriber, update)
        if place.number < self._ring.end:
            return False
        subscriber.place = None
        self.audiences.clear()
        return True

    def step(self, subscriber: Subscriber, update: Update) -> None:
        """Give a held subscriber the next update, if it is for it, and move it on behind that."""
        place = subscriber.place
        assert place is not None
        if place.number != EVICTED:
            place.number += 1
        place.positions[update.position.partition] = update.position.offset
        self.offer(subscriber, update)

    # --- membership --------------------------------------------------------------------------------------

    def joins(self, subscriber: Subscriber, update: Update, left: Mapping[str, int] = NOTHING_LEFT) -> bool:
        """Tell if its user joins a list with this update, the next one for it; then it is `joining`.

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
        """Take away the lists that its user leaves with one of these updates, before it is their turn.

        Return these lists, each with the offset of the last update that takes it away. Where the ring has
        forgotten the order, one partition comes after the other: what happened in a list after its user had
        left it must not come because it lies in an earlier one.
        """
        left: dict[str, int] = {}
        for update in updates:
            list_id = self._follow_membership(subscriber, update)
            if list_id is not None:
                left[list_id] = update.position.offset
        return left

    def _hold_joining(self, update: Update) -> None:
        """Hold those whose user joins a list with the update that is about to be published."""
        if not update.stream.startswith("list:"):
            return
        for subscriber in self._users_of(update):
            if subscriber.place is None and self.joins(subscriber, update):
                self.hold(subscriber)
                subscriber.peer.held()

    def _follow_live(self, update: Update) -> None:
        """Let an update have its consequences on what the subscribers that are live may see."""
        if update.stream.startswith("list:"):
            concerned = self._users_of(update)
        elif moved_to(update) is not None:
            concerned = list(self._channels.get(update.stream, ()))
        else:
            return
        for subscriber in concerned:
            if subscriber.place is None:
                self.follow(subscriber, update)

    def follow(self, subscriber: Subscriber, update: Update) -> None:
        """Let an update have its consequences on what one subscriber may see."""
        self._follow_membership(subscriber, update)
        list_id = moved_to(update)
        if list_id is not None:
            self._moved(subscriber, update.stream, list_id)

    def _follow_membership(self, subscriber: Subscriber, update: Update) -> str | None:
        """Take a list away if its user leaves it with this update; return the list."""
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
            subscriber.peer.left(channel)

    def _moved(self, subscriber: Subscriber, channel: str, list_id: str) -> None:
        subscription = subscriber.channels.get(channel)
        if subscription is None:
            return
        if list_id in subscriber.lists:
            self.subscribe(subscriber, channel, Subscription(subscription.start, list_id))
        else:
            self._flush(subscriber)
            self.unsubscribe(subscriber, channel)
            subscriber.peer.left(channel)


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
