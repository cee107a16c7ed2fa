"""The wire under a socket: what a connection writes to, and hears from."""

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
"""So long a socket may have more than the high water waiting."""
FAREWELL_S = 2.0
"""So long a peer has to read what is left and to answer the close."""


class Listener(Protocol):
    """Hears of what happens on a wire. None of its methods waits."""

    def received(self, data: str | bytes) -> None:
        """A message came in: text or binary."""

    def pinged(self) -> bool:
        """A ping of the WebSocket protocol came in; whether to answer it."""

    def too_slow(self) -> None:
        """The peer does not read what is written to it."""

    def lost(self) -> None:
        """The connection is gone."""


class Wire(Protocol):
    """Carries the messages of one socket."""

    codec: Codec
    traffic: Traffic
    """What goes out is counted there."""

    @property
    def raw_socket(self) -> RawSocket | None:
        """See `hub.Peer.direct`."""

    @property
    def peer_code(self) -> int | None:
        """The code that the peer closed with, if it did."""

    @property
    def deflates(self) -> bool:
        """Whether the peer takes compressed messages."""

    @property
    def waiting_bytes(self) -> int:
        """What was not taken by the network yet."""

    def listen(self, listener: Listener, switched: Callable[[], None]) -> None:
        """From here on the listener is told of what happens; `switched` when the descriptor changes."""

    def push(self, messages: Sendable) -> None:
        """Write; never waits."""

    async def writable(self) -> None:
        """Wait until less than the high water is waiting."""

    def pause(self) -> None:
        """Read no more for now."""

    def resume(self) -> None:
        """Read on."""

    def finish(self, last: Sendable | None, code: int, reason: str) -> None:
        """Write one more, close, and see that the connection ends; nothing is pushed after it."""

    async def ended(self) -> None:
        """Wait until the connection is gone."""
