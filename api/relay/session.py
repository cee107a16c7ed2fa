"""One client's conversation: what it asks for, what it may see, and how it gets what it missed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from time import monotonic, perf_counter

from api.auth import Identity
from api.presence.events import PresenceNotification, PresenceSignal
from api.protocol import close_codes
from api.protocol import messages as protocol
from api.protocol.close_codes import TOO_SLOW, CloseReason
from api.protocol.frames import EncodedMessage
from api.protocol.messages import (
    Authenticate,
    Authenticated,
    Error,
    Incoming,
    Limits,
    Ping,
    Pong,
    Refresh,
    Refreshed,
    Refused,
    Resync,
    ServerMessage,
    Signal,
    Subscribe,
    Subscribed,
    Unsubscribe,
    Unsubscribed,
    positions_json,
    read_since,
)
from api.read_consistency import check_recent, retry_while_unavailable, wait_until_recent
from api.relay.channel_access import list_behind
from api.relay.context import Relay, SessionSink
from api.relay.membership import joined_list
from api.relay.rate_limits import MessageRate, Verdict
from api.relay.recovery import furthest, merged, missed_of, nearest, without
from api.relay.replay_buffer import BufferOverrun
from api.relay.subscribers import EVICTED, Subscriber, Subscription
from app.errors import TaskError, Unauthenticated, Unavailable
from app.log.updates import Update
from app.positions import Positions, covers

TOLD_AT_ONCE = 256
"""So many updates that were missed are written at once."""


class Session:
    """The conversation with one socket. `handle` is called with one message after another, never with two."""

    def __init__(
        self, relay: Relay, outlet: SessionSink, session_id: str, wake: Callable[[], None] | None = None
    ) -> None:
        self._relay = relay
        self._hub = relay.hub
        self._outlet = outlet
        self._wake = wake
        self.push, self.raw_socket = outlet.push, outlet.raw_socket
        """How updates are sent (see hub.Peer)."""
        self.id = session_id
        self._subscriber: Subscriber | None = None
        # It may lie ahead of this node's hub: another one had told the client more.
        self._resumed_from: Positions = {}
        self._rate: MessageRate = relay.rates.connection()
        self._has_place = False
        self.identity: Identity | None = None
        self.needs_settling = False
        """Whether `settle` has to be called; `wake` is called when it becomes so."""
        self.whole = False
        """Whether what was missed at the start has whole lists in it: then it counts when it is complete."""

    # --- what the hub says (see hub.Peer) ----------------------------------------------------------------

    def left(self, channel: str) -> None:
        """Tell of a channel that was taken away."""
        self._relay.presence_tracker.unsubscribe(self.id, channel)
        self._say(Unsubscribed(channel=channel))

    def held(self) -> None:
        """Remember to settle."""
        self.needs_settling = True
        if self._wake is not None:
            self._wake()

    def notify(self, message: PresenceNotification) -> None:
        """Tell of who is present, or of a signal (see signals.Listener); cursors only while there is room."""
        is_cursor = isinstance(message, PresenceSignal) and message.kind == "cursor"
        if not self._outlet.closed and not (is_cursor and self._outlet.waiting_bytes):
            self.push(self._relay.presence_messages.message(message))

    # --- what the client says ----------------------------------------------------------------------------

    async def handle(self, message: Incoming) -> None:
        """Answer one message."""
        began_s = perf_counter()
        try:
            await self._answer(message)
        except Refused as refused:
            self.refuse(refused)
        except TaskError as error:
            self.refuse(Refused(message.id, error.code, error.detail))
        self._relay.counters.handled(message.type, perf_counter() - began_s)

    def admits(self, message_id: int | str | None = None) -> bool:
        """Whether the client may send a message now; who floods is told so, and at last sent away."""
        verdict = self._rate.take(monotonic())
        if verdict is Verdict.ALLOW:
            return True
        self._relay.counters.limited["user_rate" if self._has_place else "socket_rate"] += 1
        if verdict is Verdict.CLOSE:
            self._outlet.close(close_codes.RATE)
        else:
            self.refuse(Refused(message_id, "rate", close_codes.RATE.reason))
        return False

    def refuse(self, refused: Refused) -> None:
        """Answer with an error."""
        self._relay.counters.refusals[refused.code] += 1
        self._say(Error(id=refused.message_id, code=refused.code, message=refused.detail))

    def _say(self, message: ServerMessage) -> None:
        self._outlet.push(EncodedMessage(message.encode().encode()))

    def close(self) -> None:
        """Leave the hub."""
        subscriber = self._subscriber
        if subscriber is None:
            return
        self._hub.remove(subscriber)
        self._relay.presence_tracker.leave(self.id)
        if self._has_place:
            self._has_place = False
            self._relay.places.users.give_back(subscriber.user)
            self._relay.rates.leave(subscriber.user, monotonic())

    async def _answer(self, message: Incoming) -> None:
        match message:
            case Authenticate():
                await self._authenticate(message)
            case Subscribe():
                await self._subscribe(message, self._known(message))
            case Unsubscribe():
                self._hub.unsubscribe(self._known(message), message.channel)
                self._relay.presence_tracker.unsubscribe(self.id, message.channel)
                self._say(Unsubscribed(id=message.id, channel=message.channel))
            case Refresh():
                await self._refresh(message, self._known(message))
            case Signal():
                self._known(message)
                self._relay.presence_tracker.signal(self.id, message.channel, message.kind, message.data)
            case Ping():
                self._outlet.push(protocol.pong_to(message))
            case Pong():
                pass

    def _known(self, message: Incoming) -> Subscriber:
        if self._subscriber is None:
            raise Refused(message.id, "unauthenticated", "authenticate first")
        return self._subscriber

    # --- who one is --------------------------------------------------------------------------------------

    async def _authenticate(self, message: Authenticate) -> None:
        if self._subscriber is not None:
            raise Refused(message.id, "malformed", "this socket is authenticated already")
        if self._hub.partitions == 0:
            self._outlet.close(close_codes.CAN_NOT_RECOVER)
            return
        identity = await self._verified(message)
        if identity is None or self._outlet.closed:
            return
        since = None if message.since is None else read_since(message.since, self._hub.partitions)
        if not self._relay.places.users.take(identity.user):
            self._relay.counters.limited["user_connections"] += 1
            self._outlet.close(close_codes.TOO_MANY)
            return
        self._has_place = True
        self._relay.rates.enter(identity.user, self._rate)
        subscriber = Subscriber(self, identity.user)
        # From here on nothing about this user passes by unseen; what is live waits until all is set up.
        place = self._hub.enter(subscriber)
        self._subscriber = subscriber
        if protocol.BATCH in message.features:
            self._outlet.batch()
        try:
            await self._begin(message, identity, subscriber, dict(place.positions), since)
        except Unavailable:
            self._outlet.close(close_codes.CAN_NOT_RECOVER)

    async def _begin(
        self,
        message: Authenticate,
        identity: Identity,
        subscriber: Subscriber,
        reached: Positions,
        since: Positions | None,
    ) -> None:
        afresh = since is not None and await self._is_beyond(identity.user, since)
        if since is None or afresh:
            start: Positions = reached
        else:
            start = self._resumed_from = since
        place = furthest(reached, self._resumed_from)
        lists = await self._lists_at(identity.user, place)
        channels = [f"user:{identity.user}", *(f"list:{list_id}" for list_id in sorted(lists))]
        missed = None if afresh else await self._missed(channels, start, reached)
        joined = {
            f"list:{list_id}" for update in missed or () if (list_id := joined_list(update, identity.user))
        }.intersection(channels)
        if missed is not None and joined:
            self.whole = True
            had = {channel for channel in channels if channel not in joined}
            missed = merged(missed, without(await self._missed(joined, {}, place), had))
        subscriber.lists, subscriber.lists_at = lists, place
        for channel in channels:
            begin = reached if missed is None else {} if channel in joined else start
            self._hub.subscribe(subscriber, channel, Subscription(begin))
        told = [
            (under, each) for each in missed or () if (under := subscriber.first_channel(each)) is not None
        ]
        for channel in joined if missed is not None else ():
            self._hub.subscribe(subscriber, channel, Subscription(self._ahead_of(reached)))
        self.identity = identity
        self._say(
            Authenticated(
                id=message.id,
                user=identity.user,
                session=self.id,
                expires_in=self._expires_in(identity),
                ping_s=int(self._relay.ping_s),
                channels=channels,
                positions=positions_json(place),
                missed=len(told),
                limits=Limits(messages_per_s=self._relay.rates.messages_per_s, burst=self._relay.rates.burst),
            )
        )
        self._relay.presence_tracker.enter(self.id, identity.user, self)
        self._relay.presence_tracker.attend(self.id, channels)
        if missed is None:
            self._resync(channels)
        await self._tell(told)
        await self.settle()

    def _ahead_of(self, reached: Positions) -> Positions:
        """Where the client comes from further on: of what is told whole, all up to there is told at once.

        It has come further than this node, so what it has not got of that could not come in order later.
        """
        return {p: offset for p, offset in self._resumed_from.items() if offset > reached.get(p, -1)}

    async def _is_beyond(self, user: str, since: Positions) -> bool:
        """Whether positions lie beyond the end of the log: they are another log's. Raises `Unavailable`.

        Such a log was made anew, or restored from a copy, and what it brings next is not what the client had.
        """

        async def reached() -> Positions:
            _, positions = await self._lists_now(user)
            return positions

        if covers(self._hub.positions, since):
            return False
        with suppress(Unavailable):
            await wait_until_recent(reached, since)  # The latest rows may be lost, for a moment.
            return False
        return not covers(await reached(), since)

    async def _lists_at(self, user: str, place: Positions) -> set[str]:
        """The lists of a user at a place of the log; later ones come with the updates behind it."""
        known = self._hub.lists_of(user) if covers(self._hub.positions, place) else None
        if known is not None:
            return known
        lists, reached = await retry_while_unavailable(lambda: self._lists_now(user))
        later = await self._missed([f"user:{user}"], place, reached)
        if later is None:
            raise Unavailable("the relay is far behind the read models")
        return lists - {list_id for update in later if (list_id := joined_list(update, user))}

    async def _lists_now(self, user: str) -> tuple[set[str], dict[int, int]]:
        """The lists of a user, no older than this node, and where they are from. Raises `Unavailable`.

        A database that crashed may have lost its latest rows, until the worker has made them anew.
        """
        present = self._hub.positions
        lists, reached = await self._relay.visibility.lists_at(user)
        check_recent(reached, present)
        return lists, reached

    async def _verified(self, message: Authenticate) -> Identity | None:
        """Who the token was given to; None if the socket is closed for it."""
        try:
            return await self._relay.verifier.verify(message.token)
        except Unauthenticated as error:
            self.refuse(Refused(message.id, error.code, error.detail))
            self._outlet.close(CloseReason(close_codes.BAD_TOKEN, error.detail))
        except Unavailable:
            self._outlet.close(close_codes.CAN_NOT_RECOVER)
        return None

    async def _refresh(self, message: Refresh, subscriber: Subscriber) -> None:
        """Go on with a newer token; while it is no good, the one before still holds."""
        identity = await self._relay.verifier.verify(message.token)
        if identity.user != subscriber.user:
            raise Refused(message.id, "forbidden", "the token is another user's")
        self.identity = identity
        self._say(Refreshed(id=message.id, expires_in=self._expires_in(identity)))
        if not identity.admin and protocol.SYSTEM_CHANNEL in subscriber.channels:
            self._hub.unsubscribe(subscriber, protocol.SYSTEM_CHANNEL)
            self.left(protocol.SYSTEM_CHANNEL)

    def _expires_in(self, identity: Identity) -> int:
        return max(0, int(identity.expires_at - self._relay.now()))

    # --- channels ----------------------------------------------------------------------------------------

    async def _subscribe(self, message: Subscribe, subscriber: Subscriber) -> None:
        """Give a channel. What is live waits meanwhile, so that nothing passes by unseen."""
        since = None if message.since is None else read_since(message.since, self._hub.partitions)
        reached = dict(self._hub.hold(subscriber).positions)
        channel = message.channel
        try:
            list_id = await self._list_behind(message, subscriber)
            if channel not in subscriber.channels and self._is_full(subscriber):
                raise Refused(message.id, "too_many", "this socket has all the subscriptions it may have")
            afresh = since is not None and await self._is_beyond(subscriber.user, since)
            start = reached if since is None or afresh else since
            missed = None if afresh else await self._missed([channel], start, reached)
            fresh = missed and [
                each
                for each in missed
                if subscriber.first_channel(each) is None and subscriber.may_have(each, channel)
            ]
            await self._take_up(message.id, subscriber, channel, list_id, start, fresh)
        finally:
            await self.settle()

    async def _list_behind(self, message: Subscribe, subscriber: Subscriber) -> str | None:
        """See `channels.list_behind`; what others on this node have already need not be read."""
        assert self.identity is not None
        known = self._hub.list_of(message.channel)
        if known is not None and known in subscriber.lists:
            return known
        return await list_behind(self._relay.visibility, self._hub.positions, message, self.identity)

    def _is_full(self, subscriber: Subscriber) -> bool:
        automatic = 1 + len(subscriber.lists)
        return len(subscriber.channels) - automatic >= protocol.MAX_SUBSCRIPTIONS

    async def _take_up(
        self,
        message_id: int | str | None,
        subscriber: Subscriber,
        channel: str,
        list_id: str | None,
        since: Positions,
        missed: Sequence[Update] | None,
        last: Update | None = None,
    ) -> None:
        """Give a held subscriber a channel from `since` on, and what it `missed` of it and has not got.

        `last` is the next update, which belongs to that: a client has all of it, or none.
        """
        place = self._hub.hold(subscriber)
        start = dict(place.positions) if missed is None else since
        known = subscriber.channels.get(channel)
        if known is not None:
            start = nearest(known.start, start)
        self._hub.subscribe(subscriber, channel, Subscription(start, list_id))
        positions = furthest(furthest(place.positions, self._resumed_from), since)
        count = len(missed or ())
        if last is not None and subscriber.first_channel(last) is not None:
            positions = furthest(positions, {last.position.partition: last.position.offset})
            count += 1
        reply = Subscribed(id=message_id, channel=channel, positions=positions_json(positions), missed=count)
        self._say(reply)
        if last is None:
            self._relay.presence_tracker.subscribe(self.id, channel)
        else:
            self._relay.presence_tracker.attend(self.id, [channel])
        if missed is None:
            self._resync([channel])
        await self._tell([(channel, update) for update in missed or ()])
        if last is not None:
            self._hub.step(subscriber, last)

    def _resync(self, channels: Collection[str]) -> None:
        self._relay.counters.resyncs += 1
        for channel in channels:
            self._say(Resync(channel=channel, reason="too much was missed"))

    async def _tell(self, missed: Sequence[tuple[str, Update]]) -> None:
        """Give what was missed, at the pace its client reads."""
        for start in range(0, len(missed), TOLD_AT_ONCE):
            self._outlet.push(self._hub.joined(missed[start : start + TOLD_AT_ONCE]))
            await self._outlet.room()

    # --- recovery ----------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Bring the subscriber from where it is held to the present, at the pace its client reads."""
        self.needs_settling = False
        subscriber = self._subscriber
        if subscriber is None:
            return
        try:
            while subscriber.place is not None and not self._outlet.closed:
                if subscriber.joining is not None:
                    await self._catch_up_list(subscriber, subscriber.joining)
                await self._advance(subscriber)
                await self._outlet.room()
                await asyncio.sleep(0)  # Let the writer write.
        except Unavailable:
            self._outlet.close(close_codes.CAN_NOT_RECOVER)

    async def _advance(self, subscriber: Subscriber) -> None:
        try:
            self._hub.advance(subscriber, self._relay.chunk)
        except BufferOverrun:
            await self._leap(subscriber)

    async def _leap(self, subscriber: Subscriber) -> None:
        """Read from the audit what the ring has forgotten."""
        place, present = subscriber.place, self._hub.place()
        assert place is not None
        missed = await self._missed(list(subscriber.channels), place.positions, present.positions)
        if missed is None:
            self._outlet.close(TOO_SLOW)
            return
        place.number = EVICTED
        left = self._hub.leaves(subscriber, missed)
        for update in missed:
            if self._hub.joins(subscriber, update, left):
                # All before it has come. The list comes first; then we go on behind it, with its channel.
                place.positions[update.position.partition] = update.position.offset - 1
                return
            self._hub.step(subscriber, update)
            await self._outlet.room()
        subscriber.place = present

    async def _catch_up_list(self, subscriber: Subscriber, joining: Update) -> None:
        """Give a list that the user is about to join, from its beginning."""
        list_id = joined_list(joining, subscriber.user)
        assert list_id is not None
        channel = f"list:{list_id}"
        reached = dict(self._hub.hold(subscriber).positions)
        upto = furthest(reached, self._resumed_from)
        # All members join a list that is restored: it is read once for those who are as far as each other.
        missed = await self._relay.whole_lists.get(
            (channel, tuple(sorted(upto.items()))), lambda: self._missed([channel], {}, upto)
        )
        # What came under another automatic channel it has, maybe from another node before it came to us.
        had = {f"user:{subscriber.user}", *(f"list:{each}" for each in subscriber.lists)}
        subscriber.joining = None
        subscriber.lists.add(list_id)
        missed = without(missed, had.intersection(subscriber.channels))
        fresh = missed and [update for update in missed if not subscriber.saw(update)]
        await self._take_up(None, subscriber, channel, None, self._ahead_of(reached), fresh, joining)

    async def _missed(
        self, channels: Collection[str], since: Positions, upto: Positions
    ) -> Sequence[Update] | None:
        return await missed_of(self._relay, channels, since, upto)
