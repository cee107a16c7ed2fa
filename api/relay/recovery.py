"""Recovery: finds the updates that a client missed in memory, or else in the audit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress

from api.protocol import close_codes
from api.protocol.close_codes import TOO_SLOW
from api.protocol.limits import MAX_MISSED
from api.protocol.server_messages import Resync, ServerMessage, Subscribed, positions_json
from api.read_consistency import check_recent, retry_while_unavailable, wait_until_recent
from api.relay.context import Relay, SessionSink
from api.relay.membership import joined_list
from api.relay.replay_buffer import BufferOverrun
from api.relay.subscribers import EVICTED, Subscriber, Subscription, own_channels
from app.channels import Channel, list_channel, user_channel
from app.errors import Unavailable
from app.log.updates import Update
from app.positions import Positions, covers

SENT_AT_ONCE = 256
"""The most missed updates that are written at once."""


class Recovery:
    """The catching up of one session: from the replay buffer, or from the audit."""

    def __init__(
        self, relay: Relay, sink: SessionSink, session_id: str, send: Callable[[ServerMessage], None]
    ) -> None:
        self._relay = relay
        self._hub = relay.hub
        self._published, self._subscribers = relay.hub.published, relay.hub.subscribers
        self._sink = sink
        self._session_id = session_id
        self._send = send
        self.resumed_from: Positions = {}
        """May be ahead of this node's hub: another node has sent the client more."""

    async def is_beyond(self, user: str, since: Positions) -> bool:
        """Return True if positions are beyond the end of the log, so of another log. Raise `Unavailable`.

        Such a log was recreated, or restored from a copy, and its next updates differ from the client's.
        """

        async def reached() -> Positions:
            _, positions = await self._lists_now(user)
            return positions

        if covers(self._published.positions, since):
            return False
        with suppress(Unavailable):
            await wait_until_recent(reached, since)  # The latest rows may be lost for a moment.
            return False
        return not covers(await reached(), since)

    async def lists_at(self, user: str, positions: Positions) -> set[str]:
        """Return the lists of a user at a position of the log; later ones follow with their updates."""
        known = self._subscribers.lists_of(user) if covers(self._published.positions, positions) else None
        if known is not None:
            return known
        lists, reached = await retry_while_unavailable(lambda: self._lists_now(user))
        later = await self.missed([user_channel(user)], positions, reached)
        if later is None:
            raise Unavailable("the relay is far behind the read models")
        return lists - {list_id for update in later if (list_id := joined_list(update, user))}

    async def _lists_now(self, user: str) -> tuple[set[str], dict[int, int]]:
        """Return the lists of a user, no older than this node, and their positions. Raise `Unavailable`.

        A database that crashed may have lost its latest rows, until the worker has written them again.
        """
        present = self._published.positions
        lists, reached = await self._relay.visibility.lists_at(user)
        check_recent(reached, present)
        return lists, reached

    def positions_of(self, subscriber: Subscriber) -> Positions:
        """Return the positions up to which the client has everything of its channels."""
        cursor = subscriber.cursor
        reached = self._published.positions if cursor is None else cursor.positions
        return furthest(reached, self.resumed_from)

    def ahead_of(self, reached: Positions) -> Positions:
        """Return the client's positions that are ahead of this node: whole lists are sent up to there.

        The client is ahead of this node, so updates that it lacks could not arrive in order later.
        """
        return {p: offset for p, offset in self.resumed_from.items() if offset > reached.get(p, -1)}

    async def missed(
        self, channels: Collection[Channel], since: Positions, upto: Positions
    ) -> Sequence[Update] | None:
        """See `missed_of`."""
        return await missed_of(self._relay, channels, since, upto)

    async def add_channel(
        self,
        message_id: int | str | None,
        subscriber: Subscriber,
        channel: Channel,
        list_id: str | None,
        since: Positions,
        missed: Sequence[Update] | None,
        last: Update | None = None,
    ) -> None:
        """Add a channel to a paused subscriber from `since` on, with the `missed` updates that it lacks.

        `last` is the next update, which belongs to them: a client has all of it, or none.
        """
        cursor = self._subscribers.pause(subscriber)
        start = dict(cursor.positions) if missed is None else since
        known = subscriber.channels.get(channel)
        if known is not None:
            start = nearest(known.start, start)
        self._subscribers.subscribe(subscriber, channel, Subscription(start, list_id))
        positions = furthest(furthest(cursor.positions, self.resumed_from), since)
        count = len(missed or ())
        if last is not None and subscriber.first_channel(last) is not None:
            positions = furthest(positions, {last.position.partition: last.position.offset})
            count += 1
        reply = Subscribed(id=message_id, channel=channel, positions=positions_json(positions), missed=count)
        self._send(reply)
        if last is None:
            self._relay.presence_tracker.subscribe(self._session_id, channel)
        else:
            self._relay.presence_tracker.attend(self._session_id, [channel])
        if missed is None:
            self.resync([channel])
        await self.send_missed([(channel, update) for update in missed or ()])
        if last is not None:
            self._hub.step(subscriber, last)

    def resync(self, channels: Collection[Channel]) -> None:
        """Tell the client to read these channels again, as it missed too much."""
        self._relay.counters.resyncs += 1
        for channel in channels:
            self._send(Resync(channel=channel, reason="too much was missed"))

    async def send_missed(self, missed: Sequence[tuple[Channel, Update]]) -> None:
        """Send missed updates at the pace of the client."""
        for start in range(0, len(missed), SENT_AT_ONCE):
            self._sink.push(self._hub.batch(missed[start : start + SENT_AT_ONCE]))
            await self._sink.writable()

    async def catch_up(self, subscriber: Subscriber) -> None:
        """Advance a subscriber from its cursor to the present, at the pace of the client."""
        try:
            while subscriber.cursor is not None and not self._sink.closed:
                if subscriber.joining is not None:
                    await self._catch_up_list(subscriber, subscriber.joining)
                await self._advance(subscriber)
                if subscriber.cursor is not None:
                    await self._sink.writable()
                    await asyncio.sleep(0)  # Let the writer write.
        except Unavailable:
            self._sink.close(close_codes.CAN_NOT_RECOVER)

    async def _advance(self, subscriber: Subscriber) -> None:
        try:
            self._hub.advance(subscriber, self._relay.chunk)
        except BufferOverrun:
            await self._advance_from_audit(subscriber)

    async def _advance_from_audit(self, subscriber: Subscriber) -> None:
        """Read updates from the audit that the replay buffer no longer has."""
        cursor, present = subscriber.cursor, self._published.cursor()
        assert cursor is not None
        missed = await self.missed(list(subscriber.channels), cursor.positions, present.positions)
        if missed is None:
            self._sink.close(TOO_SLOW)
            return
        cursor.number = EVICTED
        left = self._hub.visibility.leaves(subscriber, missed)
        for update in missed:
            if self._hub.visibility.joins(subscriber, update, left):
                # All updates before it were sent. The list comes first; then sending continues after it.
                cursor.positions[update.position.partition] = update.position.offset - 1
                return
            self._hub.step(subscriber, update)
            await self._sink.writable()
        subscriber.cursor = present

    async def _catch_up_list(self, subscriber: Subscriber, joining: Update) -> None:
        """Send a list that the user is about to join, from its beginning."""
        list_id = joined_list(joining, subscriber.user)
        assert list_id is not None
        channel = list_channel(list_id)
        reached = dict(self._subscribers.pause(subscriber).positions)
        upto = furthest(reached, self.resumed_from)
        # All members join a restored list: it is read once for those at the same positions.
        missed = await self._relay.whole_lists.get(
            (channel, tuple(sorted(upto.items()))), lambda: self.missed([channel], {}, upto)
        )
        # It has updates of other automatic channels, maybe from another node before it connected here.
        had = {user_channel(subscriber.user), *(list_channel(each) for each in subscriber.lists)}
        subscriber.joining = None
        subscriber.lists.add(list_id)
        missed = without(missed, had.intersection(subscriber.channels))
        fresh = missed and [update for update in missed if not subscriber.has_received(update)]
        await self.add_channel(None, subscriber, channel, None, self.ahead_of(reached), fresh, joining)


async def missed_of(
    relay: Relay, channels: Collection[Channel], since: Positions, upto: Positions
) -> Sequence[Update] | None:
    """Return the channels' updates in `(since, upto]`, in order per partition; None if there are too many.

    Raise `Unavailable`.
    """
    if all(since.get(partition, -1) >= offset for partition, offset in upto.items()):
        return ()
    counters, buffer = relay.counters, relay.hub.published.replay_buffer
    try:
        missed: Sequence[Update] | None = buffer.missed(channels, since, upto, MAX_MISSED)
        counters.recovered_memory += 1
    except BufferOverrun:
        counters.ring_misses += 1
        missed = await retry_while_unavailable(
            lambda: relay.history.missed(channels, since, upto, MAX_MISSED)
        )
        counters.recovered_audit += 1
    return missed


def furthest(one: Positions, other: Positions) -> Positions:
    """Return the positions that include both."""
    if not other:
        return dict(one)
    return {p: max(one.get(p, -1), other.get(p, -1)) for p in {*one, *other}}


def merged(some: Sequence[Update], others: Sequence[Update] | None) -> Sequence[Update] | None:
    """Merge both in one order, each update once; return None if there are too many."""
    if others is None:
        return None
    updates = {update.position: update for update in (*some, *others)}
    if len(updates) > MAX_MISSED:
        return None
    return [updates[position] for position in sorted(updates)]


def without(updates: Sequence[Update] | None, channels: Collection[Channel]) -> Sequence[Update] | None:
    """Return the updates that are in none of the channels; see `Subscriber.has_received` for tasks."""
    if updates is None:
        return None
    return [update for update in updates if not any(channel in channels for channel in own_channels(update))]


def nearest(one: Positions, other: Positions) -> Positions:
    """Return the positions that are included in both."""
    return {p: min(one[p], other[p]) for p in one.keys() & other.keys()}
