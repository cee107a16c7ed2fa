"""One client's session: its requests, its access, and its missed updates."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from time import perf_counter

from api.auth import Identity
from api.presence.events import PresenceNotification, PresenceSignal
from api.protocol import close_codes
from api.protocol.client_messages import (
    BATCH,
    Authenticate,
    Control,
    Incoming,
    Ping,
    Pong,
    Refresh,
    Refused,
    Signal,
    Subscribe,
    Unsubscribe,
    read_since,
)
from api.protocol.close_codes import CloseReason
from api.protocol.frames import EncodedMessage
from api.protocol.limits import MAX_SUBSCRIPTIONS
from api.protocol.server_messages import (
    Authenticated,
    Error,
    Refreshed,
    ServerMessage,
    Unsubscribed,
    pong_to,
    positions_json,
)
from api.relay.channel_access import list_behind
from api.relay.context import Relay, SessionSink
from api.relay.rate_limits import Verdict
from api.relay.recovery import Recovery
from api.relay.replays import SessionReplays
from api.relay.session_limits import SessionLimits, limits_of
from api.relay.session_start import start_session
from api.relay.subscribers import Subscriber
from app.channels import SYSTEM_CHANNEL, Channel
from app.errors import TaskError, Unauthenticated, Unavailable
from app.positions import Positions


class Session:
    """The session of one socket. `handle` must not be called concurrently."""

    def __init__(
        self, relay: Relay, sink: SessionSink, session_id: str, wake: Callable[[], None] | None = None
    ) -> None:
        self._relay = relay
        self._published, self._subscribers = relay.hub.published, relay.hub.subscribers
        self._sink = sink
        self._wake = wake
        self.push, self.raw_socket = sink.push, sink.raw_socket
        """Sends updates (see `subscribers.ClientSink`)."""
        self.id = session_id
        self._subscriber: Subscriber | None = None
        self._recovery = Recovery(relay, sink, session_id, self._send)
        self._limits = SessionLimits(relay)
        self._replays: SessionReplays | None = None
        self.identity: Identity | None = None
        self.needs_catch_up = False
        """True if `catch_up` must be called; `wake` is called when it becomes True."""
        self.has_whole_lists = False
        """True if the updates missed at the start contain whole lists: then they only count once complete."""

    # --- the interface for the hub (see subscribers.ClientSink) ------------------------------------------

    def removed(self, channel: Channel) -> None:
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
        verdict = self._limits.take()
        if verdict is Verdict.ALLOW:
            return True
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
        self._sink.push(EncodedMessage(message.encode()))

    def close(self) -> None:
        """Leave the hub."""
        subscriber = self._subscriber
        if subscriber is None:
            return
        self._subscribers.remove(subscriber)
        self._relay.presence_tracker.leave(self.id)
        self._limits.leave()
        if self._replays is not None:
            self._replays.close()

    async def _answer(self, message: Incoming) -> None:
        match message:
            case Authenticate():
                await self._authenticate(message)
            case Subscribe() if message.channel.kind == "replay" or message.replay is not None:
                await self._replay(message, self._known(message))
            case Subscribe():
                await self._subscribe(message, self._known(message))
            case Control():
                self._replays_of(self._known(message)).control(message)
            case Unsubscribe():
                self._unsubscribe(message, self._known(message))
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
        if self._published.partitions == 0:
            self._sink.close(close_codes.CAN_NOT_RECOVER)
            return
        identity = await self._verified(message)
        if identity is None or self._sink.closed:
            return
        since = None if message.since is None else read_since(message.since, self._published.partitions)
        if not self._limits.enter(identity.user):
            self._sink.close(close_codes.TOO_MANY)
            return
        self._subscriber = Subscriber(self, identity.user)
        if BATCH in message.features:
            self._sink.batch()
        try:
            await self._begin(message, identity, self._subscriber, since)
        except Unavailable:
            self._sink.close(close_codes.CAN_NOT_RECOVER)

    async def _begin(
        self, message: Authenticate, identity: Identity, subscriber: Subscriber, since: Positions | None
    ) -> None:
        # From here on no update about this user is lost; live ones wait until the session is set up.
        reached = dict(self._subscribers.enter(subscriber).positions)
        start = await start_session(self._relay.hub, self._recovery, subscriber, reached, since)
        self.has_whole_lists = start.has_whole_lists
        self.identity = identity
        self._send(
            Authenticated(
                id=message.id,
                user=identity.user,
                session=self.id,
                expires_in=self._expires_in(identity),
                ping_s=int(self._relay.ping_s),
                channels=list(start.channels),
                positions=positions_json(start.positions),
                missed=len(start.missed),
                limits=limits_of(self._relay.rates.messages_per_s, self._relay.rates.burst),
            )
        )
        self._relay.presence_tracker.enter(self.id, identity.user, self)
        self._relay.presence_tracker.attend(self.id, start.channels)
        if start.is_too_much:
            self._recovery.resync(start.channels)
        await self._recovery.send_missed(start.missed)
        await self.catch_up()

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
            self._subscribers.unsubscribe(subscriber, SYSTEM_CHANNEL)
            self.removed(SYSTEM_CHANNEL)

    def _expires_in(self, identity: Identity) -> int:
        return max(0, int(identity.expires_at - self._relay.now()))

    # --- channels ----------------------------------------------------------------------------------------

    async def _subscribe(self, message: Subscribe, subscriber: Subscriber) -> None:
        """Add a channel. Live updates wait meanwhile, so that none is lost."""
        since = None if message.since is None else read_since(message.since, self._published.partitions)
        reached = dict(self._subscribers.pause(subscriber).positions)
        channel = message.channel
        try:
            list_id = await self._list_behind(message, subscriber)
            if channel not in subscriber.channels and self._is_full(subscriber):
                raise Refused(message.id, "too_many", "this socket has reached its limit of subscriptions")
            is_other_log = since is not None and await self._recovery.is_beyond(subscriber.user, since)
            start = reached if since is None or is_other_log else since
            missed = None if is_other_log else await self._recovery.missed([channel], start, reached)
            fresh = missed and [
                each
                for each in missed
                if subscriber.first_channel(each) is None and subscriber.may_receive(each, channel)
            ]
            await self._recovery.add_channel(message.id, subscriber, channel, list_id, start, fresh)
            if channel.kind == "stats":
                self._relay.statistics.begin(channel.key)
        finally:
            await self.catch_up()

    async def _list_behind(self, message: Subscribe, subscriber: Subscriber) -> str | None:
        """See `channel_access.list_behind`; read nothing that other subscribers of this node know already."""
        assert self.identity is not None
        known = self._subscribers.list_of(message.channel)
        if known is not None and known in subscriber.lists:
            return known
        return await list_behind(self._relay.visibility, self._published.positions, message, self.identity)

    async def _replay(self, message: Subscribe, subscriber: Subscriber) -> None:
        """Start a replay."""
        positions = partial(self._recovery.positions_of, subscriber)
        check = partial(self._list_behind, message, subscriber)
        await self._replays_of(subscriber).start(message, check, positions)

    def _replays_of(self, subscriber: Subscriber) -> SessionReplays:
        if self._replays is None:  # few sessions need them
            removed = self.removed
            self._replays = SessionReplays(self._relay.replays, subscriber.user, self._sink, removed)
        return self._replays

    def _unsubscribe(self, message: Unsubscribe, subscriber: Subscriber) -> None:
        if self._replays is not None:
            self._replays.stop(message.channel)
        self._subscribers.unsubscribe(subscriber, message.channel)
        self._relay.presence_tracker.unsubscribe(self.id, message.channel)
        self._send(Unsubscribed(id=message.id, channel=message.channel))

    def _is_full(self, subscriber: Subscriber) -> bool:
        automatic = 1 + len(subscriber.lists)
        return len(subscriber.channels) - automatic >= MAX_SUBSCRIPTIONS

    async def catch_up(self) -> None:
        """Advance the subscriber from its cursor to the present, at the pace of the client."""
        self.needs_catch_up = False
        if self._subscriber is not None:
            await self._recovery.catch_up(self._subscriber)
