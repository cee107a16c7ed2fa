"""The wire of a socket: the interface that a connection writes to, and receives from."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from api.protocol.frames import Codec, Sendable
from api.relay.fanout import RawSocket
from api.telemetry.counters import Traffic

EXTENSION = "tasktape.wire"
"""The ASGI extension by which a server offers its wire."""
MAX_WAITING_BYTES = 4 * 1024 * 1024
HIGH_WATER_BYTES, LOW_WATER_BYTES = 256 * 1024, 64 * 1024
SLOW_S = 15.0
"""Seconds for which more than the high-water mark may be waiting."""
CLOSE_TIMEOUT_S = 2.0
"""Seconds for a peer to read the remaining messages and to answer the close."""


class Listener(Protocol):
    """The receiver of a wire's events. No method waits."""

    def received(self, data: str | bytes) -> None:
        """Handle a text or binary message."""

    def pinged(self) -> bool:
        """Handle a ping of the WebSocket protocol; return True to answer it."""

    def too_slow(self) -> None:
        """Handle that the peer does not read."""

    def lost(self) -> None:
        """Handle that the connection is gone."""


class Wire(Protocol):
    """Transports the messages of one socket."""

    @property
    def raw_socket(self) -> RawSocket | None:
        """See `subscribers.ClientSink.raw_socket`."""

    @property
    def peer_code(self) -> int | None:
        """Return the code that the peer closed with, if it did."""

    @property
    def deflates(self) -> bool:
        """Return True if the peer accepts compressed messages."""

    @property
    def waiting_bytes(self) -> int:
        """Return the number of bytes that the network has not accepted yet."""

    def listen(self, listener: Listener, switched: Callable[[], None]) -> None:
        """Send events to the listener from here on; call `switched` when the descriptor changes."""

    @property
    def push(self) -> Callable[[Sendable], None]:
        """Return the function that writes; it never waits."""

    def encode_with(self, codec: Codec, traffic: Traffic) -> None:
        """Encode messages in this way from here on, and count them there."""

    async def writable(self) -> None:
        """Wait until less than the high-water mark is waiting."""

    def pause(self) -> None:
        """Pause reading."""

    def resume(self) -> None:
        """Resume reading."""

    def finish(self, last: Sendable | None, code: int, reason: str) -> None:
        """Write a last message, close, and make sure that the connection ends; nothing is pushed after it."""

    async def ended(self) -> None:
        """Wait until the connection is gone."""
