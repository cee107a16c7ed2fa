"""The life of a connection, the same on all transports: admission, deadlines, token, counters, close."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager
from secrets import token_hex
from typing import Protocol
from urllib.parse import urlsplit

import structlog
from starlette.requests import HTTPConnection
from starlette.types import Scope

from api.auth import Identity
from api.http.problems import TooMany
from api.protocol import close_codes
from api.protocol.client_messages import Incoming
from api.protocol.close_codes import CloseReason
from api.protocol.frames import EncodedMessage
from api.protocol.server_messages import Error
from api.relay.context import Relay, SessionSink
from api.relay.rate_limits import Quota, network_of
from api.relay.session import Session
from api.telemetry.counters import Traffic, Transport
from app.errors import Forbidden

TOO_MANY_STREAMS = "you have too many replays or connections: end one of them first"

log = structlog.get_logger(__name__)


class Connection(SessionSink, Protocol):
    """A connection on one transport, as its lifecycle sees it. No method waits."""

    transport: Transport

    @property
    def peer_code(self) -> int | None:
        """Return the code that the peer closed with, if it did."""

    def wake(self) -> None:
        """Call `Session.catch_up` soon."""

    def beat(self) -> None:
        """Check that the peer is alive; called periodically once the user is known."""

    def finish(self, close_reason: CloseReason | None) -> None:
        """Stop all work, write the goodbye, and end; called once. None means that the peer is gone."""


class ConnectionLifecycle:
    """The life of one connection, from its acceptance to its close."""

    __slots__ = (
        "_beat_at",
        "_connection",
        "_expires_at",
        "_is_answering",
        "_loop",
        "_relay",
        "_timer",
        "_traffic",
        "close_reason",
        "closed",
        "session",
    )

    def __init__(self, relay: Relay, connection: Connection, traffic: Traffic) -> None:
        self._relay = relay
        self._connection = connection
        self._traffic = traffic
        self._loop = asyncio.get_running_loop()
        self._is_answering = False
        self._expires_at: float | None = None
        self._beat_at = 0.0
        self.closed = False
        self.close_reason: CloseReason | None = None
        self.session = Session(relay, connection, token_hex(16), connection.wake)
        self._timer = self._loop.call_later(relay.authentication_s, self._end_authentication)
        traffic.opened += 1

    @property
    def user(self) -> str | None:
        """Return its user, once authenticated."""
        identity = self.session.identity
        return None if identity is None else identity.user

    async def handle(self, message: Incoming) -> None:
        """Answer a message; from its authentication on, the connection lives as long as its token."""
        before = self.session.identity
        self._is_answering = True
        try:
            await self.session.handle(message)
        finally:
            self._is_answering = False
        identity = self.session.identity
        if identity is not None and identity is not before:
            self._follow_token(identity, is_first=before is None)

    # --- timers ------------------------------------------------------------------------------------------

    def _end_authentication(self) -> None:
        """Close a connection whose user is not known in time."""
        if self.session.identity is not None:
            # The missed updates are still being sent.
            self._follow_token(self.session.identity, is_first=True)
        elif self._is_answering:
            # The client has sent its token; this node takes too long.
            self.close(close_codes.CAN_NOT_RECOVER)
        else:
            reason = close_codes.NOT_AUTHENTICATED
            error = Error(code="unauthenticated", message=reason.reason)
            self._connection.push(EncodedMessage(error.encode()))
            self.close(reason)

    def _follow_token(self, identity: Identity, *, is_first: bool) -> None:
        self._expires_at = identity.expires_at
        if is_first:
            self._beat_at = self._loop.time() + self._relay.ping_s
        self._schedule(identity.expires_at)

    def _schedule(self, expires_at: float) -> None:
        self._timer.cancel()
        if not self.closed:
            delay_s = min(self._beat_at - self._loop.time(), expires_at - self._relay.now())
            self._timer = self._loop.call_later(max(0.0, delay_s), self._tick)

    def _tick(self) -> None:
        """Close a connection with an expired token; check the others."""
        assert self._expires_at is not None
        if self._expires_at <= self._relay.now():
            self.close(close_codes.TOKEN_EXPIRED)
            return
        if self._loop.time() >= self._beat_at:
            self._beat_at = self._loop.time() + self._relay.ping_s
            self._connection.beat()
        self._schedule(self._expires_at)

    # --- close -------------------------------------------------------------------------------------------

    def fail(self, error: Exception) -> None:
        """Close after an unexpected error, which is logged, and ends no other connection."""
        log.error("a connection failed", transport=self._connection.transport, exc_info=error)
        self.close(close_codes.INTERNAL_ERROR)

    def close(self, close_reason: CloseReason | None) -> None:
        """Accept nothing more, and end; the first reason wins. None means that the peer is gone.

        The consequences follow in a later iteration of the loop: the caller may be in the middle of an
        operation.
        """
        if self.closed:
            return
        self.closed = True
        self.close_reason = close_reason
        self._timer.cancel()
        self._loop.call_soon(self._end)

    def _end(self) -> None:
        self.session.close()
        self._traffic.closed += 1
        if self.close_reason is None:
            self._relay.counters.left(self._connection.peer_code)
        else:
            self._relay.counters.closed(self.close_reason.code)
        self._connection.finish(self.close_reason)


# --- admission --------------------------------------------------------------------------------------------


class Admission:
    """A context in which a connection counts for the quota of its address. Raises `TooMany`."""

    __slots__ = ("_address", "_quota")

    def __init__(self, relay: Relay, scope: Scope) -> None:
        self._address = check_address(relay, scope)
        self._quota = relay.quotas.addresses

    def __enter__(self) -> None:
        self._quota.take(self._address)

    def __exit__(self, *_: object) -> None:
        self._quota.release(self._address)


def take_quotas(stack: ExitStack, relay: Relay, user: str, *others: Quota) -> None:
    """Count a stream without a session for its user, and for other quotas, until `stack` is left.

    Raise `TooMany`.
    """
    for quota in (relay.quotas.users, *others):
        if not quota.take(user):
            raise TooMany(TOO_MANY_STREAMS)
        stack.callback(quota.release, user)


@contextmanager
def lifetime(
    relay: Relay, identity: Identity, traffic: Traffic, end: Callable[[CloseReason], None]
) -> Iterator[None]:
    """Count a stream without a session, and `end` it when its token expires."""
    delay_s = max(0.0, identity.expires_at - relay.now())
    expiry = asyncio.get_running_loop().call_later(delay_s, end, close_codes.TOKEN_EXPIRED)
    traffic.opened += 1
    try:
        yield
    finally:
        expiry.cancel()
        traffic.closed += 1


def check_address(relay: Relay, scope: Scope) -> str:
    """Return the address that a connection counts for. Raise `TooMany` if it has reached its quota."""
    address = network_of((scope.get("client") or ("",))[0])
    if relay.quotas.addresses.is_full(address):
        relay.counters.limited["address_connections"] += 1
        raise TooMany("there are too many connections from this address")
    return address


def check_origin(connection: HTTPConnection, origins: Collection[str]) -> None:
    """Raise `Forbidden`, unless a page of this origin may connect: our own, or one that is allowed by name.

    Browsers send `Origin` with every WebSocket handshake and do not apply CORS to it; other clients send
    none.
    """
    if "*" in origins or not any(name == b"origin" for name, _ in connection.scope["headers"]):
        return
    origin = connection.headers["origin"]
    try:
        is_own = urlsplit(origin).netloc == connection.headers.get("host")
    except ValueError:
        is_own = False  # It is not an address.
    if origin not in origins and not is_own:
        raise Forbidden("this origin may not connect; see CORS_ORIGIN")
