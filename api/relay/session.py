"""One client's session: its requests, its access, and its missed updates."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from time import monotonic, perf_counter

from api.auth import Identity
from api.presence.events import PresenceNotification, PresenceSignal
from api.protocol import close_codes
from api.protocol.close_codes import TOO_SLOW, CloseReason
from api.protocol.frames import EncodedMessage
from api.protocol.messages import (
    BATCH,
    MAX_SUBSCRIPTIONS,
    SYSTEM_CHANNEL,
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
    pong_to,
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

SENT_AT_ONCE = 256
"""The most missed updates that are written at once."""


class Session:
    """The session of one socket. `handle` must not be called concurrently."""

    def __init__(
        self, relay: Relay, sink: SessionSink, session_id: str, wake: Callable[[], None] | None = None
    ) -> None:
        self._relay = relay
        self._hub = relay.hub
        self._sink = sink
        self._wake = wake
        self.push, self.raw_socket = sink.push, sink.raw_socket
        """Sends updates (see `subscribers.ClientSink`)."""
        self.id = session_id
        self._subscriber: Subscriber | None = None
        # May be ahead of this node's hub: another node has sent the client more.
        self._resumed_from: Positions = {}
        self._rate: MessageRate = relay.rates.connection()
        self._has_quota = False
        self.identity: Identity | None = None
        self.needs_catch_up = False
        """True if `catch_up` must be called; `wake` is called when it becomes True."""
        self.has_whole_lists = False
        """True if the updates missed at the start contain whole lists: then they only count once complete."""

    # --- the interface for the hub (see subscribers.ClientSink) ------------------------------------------

    def removed(self, channel: str) -> None:
        """Send that a channel was removed."""
        self._relay.presence_tracker.unsubscribe(self.id, channel)
        self._send(Unsubscribed(channel=channel))

    def paused(self) -> None:
        """Mark the session for catching up."""
        self.needs_catch_up = True
        if self._wake is not None:
            self._wake()

    def notify(self, message: PresenceNotification) -> None:
        """Send presence or a signal (see cluster.Listener); send cursors only while nothing is queued."""
        is_cursor = isinstance(message, PresenceSignal) and message.kind == "cursor"
        if not self._sink.closed and not (is_cursor and self._sink.waiting_bytes):
            self.push(self._relay.presence_messages.message(message))

    # --- messages of the client --------------------------------------------------------------------------

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
        """Return True if the client may send a message now; send rate-limited clients an error, or close."""
        verdict = self._rate.take(monotonic())
        if verdict is Verdict.ALLOW:
            return True
        self._relay.counters.limited["user_rate" if self._has_quota else "socket_rate"] += 1
        if verdict is Verdict.CLOSE:
            self._sink.close(close_codes.RATE)
        else:
            self.refuse(Refused(message_id, "rate", close_codes.RATE.reason))
        return False

    def refuse(self, refused: Refused) -> None:
        """Reply with an error."""
        self._relay.counters.refusals[refused.code] += 1
        self._send(Error(id=refused.message_id, code=refused.code, message=refused.detail))

    def _send(self, message: ServerMessage) -> None:
        self._sink.push(EncodedMessage(message.encode().encode()))

    def close(self) -> None:
        """Leave the hub."""
        subscriber = self._subscriber
        if subscriber is None:
            return
        self._hub.remove(subscriber)
        self._relay.presence_tracker.leave(self.id)
        if self._has_quota:
            self._has_quota = False
            self._relay.quotas.users.release(subscriber.user)
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
                self._send(Unsubscribed(id=message.id, channel=message.channel))
            case Refresh():
                await self._refresh(message, self._known(message))
            case Signal():
                self._known(message)
                self._relay.presence_tracker.signal(self.id, message.channel, message.kind, message.data)
            case Ping():
                self._sink.push(pong_to(message))
            case Pong():
                pass

    def _known(self, message: Incoming) -> Subscriber:
        if self._subscriber is None:
            raise Refused(message.id, "unauthenticated", "authenticate first")
        return self._subscriber

    # --- authentication ----------------------------------------------------------------------------------

    async def _authenticate(self, message: Authenticate) -> None:
        if self._subscriber is not None:
            raise Refused(message.id, "malformed", "this socket is authenticated already")
        if self._hub.partitions == 0:
            self._sink.close(close_codes.CAN_NOT_RECOVER)
            return
        identity = await self._verified(message)
        if identity is None or self._sink.closed:
            return
        since = None if message.since is None else read_since(message.since, self._hub.partitions)
        if not self._relay.quotas.users.take(identity.user):
            self._relay.counters.limited["user_connections"] += 1
            self._sink.close(close_codes.TOO_MANY)
            return
        self._has_quota = True
        self._relay.rates.enter(identity.user, self._rate)
        subscriber = Subscriber(self, identity.user)
        # From here on no update about this user is lost; live ones wait until the session is set up.
        cursor = self._hub.enter(subscriber)
        self._subscriber = subscriber
        if BATCH in message.features:
            self._sink.batch()
        try:
            await self._begin(message, identity, subscriber, dict(cursor.positions), since)
        except Unavailable:
            self._sink.close(close_codes.CAN_NOT_RECOVER)

    async def _begin(
        self,
        message: Authenticate,
        identity: Identity,
        subscriber: Subscriber,
        reached: Positions,
        since: Positions | None,
    ) -> None:
        is_other_log = since is not None and await self._is_beyond(identity.user, since)
        if since is None or is_other_log:
            start: Positions = reached
        else:
            start = self._resumed_from = since
        positions = furthest(reached, self._resumed_from)
        lists = await self._lists_at(identity.user, positions)
        channels = [f"user:{identity.user}", *(f"list:{list_id}" for list_id in sorted(lists))]
        missed = None if is_other_log else await self._missed(channels, start, reached)
        joined = {
            f"list:{list_id}" for update in missed or () if (list_id := joined_list(update, identity.user))
        }.intersection(channels)
        if missed is not None and joined:
            self.has_whole_lists = True
            had = {channel for channel in channels if channel not in joined}
            missed = merged(missed, without(await self._missed(joined, {}, positions), had))
        subscriber.lists, subscriber.lists_at = lists, positions
        for channel in channels:
            begin = reached if missed is None else {} if channel in joined else start
            self._hub.subscribe(subscriber, channel, Subscription(begin))
        sent = [
            (under, each) for each in missed or () if (under := subscriber.first_channel(each)) is not None
        ]
        for channel in joined if missed is not None else ():
            self._hub.subscribe(subscriber, channel, Subscription(self._ahead_of(reached)))
        self.identity = identity
        self._send(
            Authenticated(
                id=message.id,
                user=identity.user,
                session=self.id,
                expires_in=self._expires_in(identity),
                ping_s=int(self._relay.ping_s),
                channels=channels,
                positions=positions_json(positions),
                missed=len(sent),
                limits=Limits(messages_per_s=self._relay.rates.messages_per_s, burst=self._relay.rates.burst),
            )
        )
        self._relay.presence_tracker.enter(self.id, identity.user, self)
        self._relay.presence_tracker.attend(self.id, channels)
        if missed is None:
            self._resync(channels)
        await self._send_missed(sent)
        await self.catch_up()

    def _ahead_of(self, reached: Positions) -> Positions:
        """Return the client's positions that are ahead of this node: whole lists are sent up to there.

        The client is ahead of this node, so updates that it lacks could not arrive in order later.
        """
        return {p: offset for p, offset in self._resumed_from.items() if offset > reached.get(p, -1)}

    async def _is_beyond(self, user: str, since: Positions) -> bool:
        """Return True if positions are beyond the end of the log, so of another log. Raise `Unavailable`.

        Such a log was recreated, or restored from a copy, and its next updates differ from the client's.
        """

        async def reached() -> Positions:
            _, positions = await self._lists_now(user)
            return positions

        if covers(self._hub.positions, since):
            return False
        with suppress(Unavailable):
            await wait_until_recent(reached, since)  # The latest rows may be lost for a moment.
            return False
        return not covers(await reached(), since)

    async def _lists_at(self, user: str, positions: Positions) -> set[str]:
        """Return the lists of a user at a position of the log; later ones follow with their updates."""
        known = self._hub.lists_of(user) if covers(self._hub.positions, positions) else None
        if known is not None:
            return known
        lists, reached = await retry_while_unavailable(lambda: self._lists_now(user))
        later = await self._missed([f"user:{user}"], positions, reached)
        if later is None:
            raise Unavailable("the relay is far behind the read models")
        return lists - {list_id for update in later if (list_id := joined_list(update, user))}

    async def _lists_now(self, user: str) -> tuple[set[str], dict[int, int]]:
        """Return the lists of a user, no older than this node, and their positions. Raise `Unavailable`.

        A database that crashed may have lost its latest rows, until the worker has written them again.
        """
        present = self._hub.positions
        lists, reached = await self._relay.visibility.lists_at(user)
        check_recent(reached, present)
        return lists, reached

    async def _verified(self, message: Authenticate) -> Identity | None:
        """Return the identity in the token; None if the socket is closed because of it."""
        try:
            return await self._relay.verifier.verify(message.token)
        except Unauthenticated as error:
            self.refuse(Refused(message.id, error.code, error.detail))
            self._sink.close(CloseReason(close_codes.BAD_TOKEN, error.detail))
        except Unavailable:
            self._sink.close(close_codes.CAN_NOT_RECOVER)
        return None

    async def _refresh(self, message: Refresh, subscriber: Subscriber) -> None:
        """Continue with a newer token; if it is not valid, the previous one remains."""
        identity = await self._relay.verifier.verify(message.token)
        if identity.user != subscriber.user:
            raise Refused(message.id, "forbidden", "the token is another user's")
        self.identity = identity
        self._send(Refreshed(id=message.id, expires_in=self._expires_in(identity)))
        if not identity.admin and SYSTEM_CHANNEL in subscriber.channels:
            self._hub.unsubscribe(subscriber, SYSTEM_CHANNEL)
            self.removed(SYSTEM_CHANNEL)

    def _expires_in(self, identity: Identity) -> int:
        return max(0, int(identity.expires_at - self._relay.now()))

    # --- channels ----------------------------------------------------------------------------------------

    async def _subscribe(self, message: Subscribe, subscriber: Subscriber) -> None:
        """Add a channel. Live updates wait meanwhile, so that none is lost."""
        since = None if message.since is None else read_since(message.since, self._hub.partitions)
        reached = dict(self._hub.pause(subscriber).positions)
        channel = message.channel
        try:
            list_id = await self._list_behind(message, subscriber)
            if channel not in subscriber.channels and self._is_full(subscriber):
                raise Refused(message.id, "too_many", "this socket has all the subscriptions it may have")
            is_other_log = since is not None and await self._is_beyond(subscriber.user, since)
            start = reached if since is None or is_other_log else since
            missed = None if is_other_log else await self._missed([channel], start, reached)
            fresh = missed and [
                each
                for each in missed
                if subscriber.first_channel(each) is None and subscriber.may_receive(each, channel)
            ]
            await self._add_channel(message.id, subscriber, channel, list_id, start, fresh)
        finally:
            await self.catch_up()

    async def _list_behind(self, message: Subscribe, subscriber: Subscriber) -> str | None:
        """See `channel_access.list_behind`; read nothing that other subscribers of this node know already."""
        assert self.identity is not None
        known = self._hub.list_of(message.channel)
        if known is not None and known in subscriber.lists:
            return known
        return await list_behind(self._relay.visibility, self._hub.positions, message, self.identity)

    def _is_full(self, subscriber: Subscriber) -> bool:
        automatic = 1 + len(subscriber.lists)
        return len(subscriber.channels) - automatic >= MAX_SUBSCRIPTIONS

    async def _add_channel(
        self,
        message_id: int | str | None,
        subscriber: Subscriber,
        channel: str,
        list_id: str | None,
        since: Positions,
        missed: Sequence[Update] | None,
        last: Update | None = None,
    ) -> None:
        """Add a channel to a paused subscriber from `since` on, with the `missed` updates that it lacks.

        `last` is the next update, which belongs to them: a client has all of it, or none.
        """
        cursor = self._hub.pause(subscriber)
        start = dict(cursor.positions) if missed is None else since
        known = subscriber.channels.get(channel)
        if known is not None:
            start = nearest(known.start, start)
        self._hub.subscribe(subscriber, channel, Subscription(start, list_id))
        positions = furthest(furthest(cursor.positions, self._resumed_from), since)
        count = len(missed or ())
        if last is not None and subscriber.first_channel(last) is not None:
            positions = furthest(positions, {last.position.partition: last.position.offset})
            count += 1
        reply = Subscribed(id=message_id, channel=channel, positions=positions_json(positions), missed=count)
        self._send(reply)
        if last is None:
            self._relay.presence_tracker.subscribe(self.id, channel)
        else:
            self._relay.presence_tracker.attend(self.id, [channel])
        if missed is None:
            self._resync([channel])
        await self._send_missed([(channel, update) for update in missed or ()])
        if last is not None:
            self._hub.step(subscriber, last)

    def _resync(self, channels: Collection[str]) -> None:
        self._relay.counters.resyncs += 1
        for channel in channels:
            self._send(Resync(channel=channel, reason="too much was missed"))

    async def _send_missed(self, missed: Sequence[tuple[str, Update]]) -> None:
        """Send missed updates at the pace of the client."""
        for start in range(0, len(missed), SENT_AT_ONCE):
            self._sink.push(self._hub.batch(missed[start : start + SENT_AT_ONCE]))
            await self._sink.writable()

    # --- recovery ----------------------------------------------------------------------------------------

    async def catch_up(self) -> None:
        """Advance the subscriber from its cursor to the present, at the pace of the client."""
        self.needs_catch_up = False
        subscriber = self._subscriber
        if subscriber is None:
            return
        try:
            while subscriber.cursor is not None and not self._sink.closed:
                if subscriber.joining is not None:
                    await self._catch_up_list(subscriber, subscriber.joining)
                await self._advance(subscriber)
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
        cursor, present = subscriber.cursor, self._hub.cursor()
        assert cursor is not None
        missed = await self._missed(list(subscriber.channels), cursor.positions, present.positions)
        if missed is None:
            self._sink.close(TOO_SLOW)
            return
        cursor.number = EVICTED
        left = self._hub.leaves(subscriber, missed)
        for update in missed:
            if self._hub.joins(subscriber, update, left):
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
        channel = f"list:{list_id}"
        reached = dict(self._hub.pause(subscriber).positions)
        upto = furthest(reached, self._resumed_from)
        # All members join a restored list: it is read once for those at the same positions.
        missed = await self._relay.whole_lists.get(
            (channel, tuple(sorted(upto.items()))), lambda: self._missed([channel], {}, upto)
        )
        # It has updates of other automatic channels, maybe from another node before it connected here.
        had = {f"user:{subscriber.user}", *(f"list:{each}" for each in subscriber.lists)}
        subscriber.joining = None
        subscriber.lists.add(list_id)
        missed = without(missed, had.intersection(subscriber.channels))
        fresh = missed and [update for update in missed if not subscriber.has_received(update)]
        await self._add_channel(None, subscriber, channel, None, self._ahead_of(reached), fresh, joining)

    async def _missed(
        self, channels: Collection[str], since: Positions, upto: Positions
    ) -> Sequence[Update] | None:
        return await missed_of(self._relay, channels, since, upto)
