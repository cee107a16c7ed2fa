"""Writing of frames to one socket: directly to its descriptor while nothing is queued, within limits."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from api.protocol.frames import JSON, Sendable
from api.telemetry.counters import Traffic
from api.transports.websocket.wire import (
    HIGH_WATER_BYTES,
    LOW_WATER_BYTES,
    MAX_WAITING_BYTES,
    SLOW_S,
    Listener,
)


class SocketWriter:
    """The writer of one socket; implements `fanout.RawSocket`."""

    __slots__ = (
        "_descriptor",
        "_loop",
        "_slow_timer",
        "_switched",
        "_transport",
        "_writable",
        "codec",
        "descriptor",
        "finished",
        "listener",
        "traffic",
    )

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._descriptor = _descriptor_of(transport)
        self._switched: Callable[[], None] = _ignore
        self._writable: asyncio.Future[None] | None = None
        self._slow_timer: asyncio.TimerHandle | None = None
        self.codec = JSON
        self.traffic = Traffic()
        self.descriptor = -1
        """See `fanout.RawSocket`."""
        self.finished = False
        """True if nothing more is pushed."""
        self.listener: Listener | None = None
        transport.set_write_buffer_limits(HIGH_WATER_BYTES, LOW_WATER_BYTES)

    def listen(self, listener: Listener, switched: Callable[[], None]) -> None:
        """Report a peer that is too slow to the listener; call `switched` when the descriptor changes."""
        self.listener, self._switched = listener, switched

    @property
    def is_raw(self) -> bool:
        """Return True if the socket has a descriptor to write to."""
        return self._descriptor is not None

    @property
    def waiting_bytes(self) -> int:
        """See `Wire.waiting_bytes`."""
        return self._transport.get_write_buffer_size()

    def push(self, messages: Sendable) -> None:
        """Write; close a peer that is too slow. A single large message always fits."""
        if self.finished:
            return
        frames = messages.form(self.codec)
        if self.send(frames):
            traffic = self.traffic
            traffic.messages += messages.count
            traffic.size_bytes += len(frames)

    def send(self, frames: bytes) -> bool:
        """Write directly to the socket while the transport has nothing queued: the transport takes longer.

        Return False if the limit is reached. The transport reports a lost connection before it closes the
        descriptor.
        """
        if self.descriptor < 0 and not self._can_write_directly():
            if self.waiting_bytes >= MAX_WAITING_BYTES:
                self._report_slow()
                return False
            self._transport.write(frames)
            return True
        try:
            taken = os.write(self.descriptor, frames)
        except OSError:
            taken = 0  # The transport finds the error.
        if taken < len(frames):
            self.write_rest(frames[taken:])
        return True

    def _can_write_directly(self) -> bool:
        """Return True if writing directly to the socket is possible again."""
        if self._descriptor is None or self.finished or self.waiting_bytes:
            return False
        self.descriptor = self._descriptor
        self._switched()
        return True

    def write_rest(self, frames: bytes) -> None:
        """See `fanout.RawSocket`."""
        self.queue()
        self._transport.write(frames)

    def queue(self) -> None:
        """Do not write directly until the transport has written everything queued."""
        if self.descriptor >= 0:
            self.descriptor = -1
            self._switched()

    async def writable(self) -> None:
        """See `Wire.writable`."""
        if self._writable is not None:
            await asyncio.shield(self._writable)

    def finish(self) -> None:
        """Push nothing more; the rest is queued."""
        self.queue()
        self.end_time_limit()
        self.finished = True

    # --- the time limit of a peer that does not read -----------------------------------------------------

    def begin_time_limit(self) -> None:
        """Start the time limit: much is waiting for the peer to read."""
        if self._writable is None:
            self._writable = self._loop.create_future()
        if self._slow_timer is None and not self.finished:
            self._slow_timer = self._loop.call_later(SLOW_S, self._report_slow)

    def end_time_limit(self) -> None:
        """End the time limit: little is waiting."""
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        if self._slow_timer is not None:
            self._slow_timer.cancel()
            self._slow_timer = None

    def _report_slow(self) -> None:
        if self.listener is not None:
            self.listener.too_slow()


def _ignore() -> None:
    """Do nothing; the default callback."""


def _descriptor_of(transport: asyncio.Transport) -> int | None:
    """Return the descriptor to write to directly; None if the transport is more than a socket."""
    connected = transport.get_extra_info("socket")
    if connected is None or transport.get_extra_info("sslcontext") is not None:
        return None
    number: int = connected.fileno()
    return number
