"""The queue of messages to one client: bounded, so that a slow reader costs little and delays nobody."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from api.protocol.close_codes import TOO_SLOW, CloseReason
from api.protocol.frames import Sendable

MAX_WAITING_MESSAGES = 2_048
MAX_WAITING_BYTES = 4 * 1024 * 1024


class SendQueue:
    """Messages in the order of sending. A push never waits, as the hub pushes to every client."""

    raw_socket = None
    """See `SessionSink.raw_socket`."""

    def __init__(
        self,
        overflowed: Callable[[], None] | None = None,
        *,
        max_messages: int = MAX_WAITING_MESSAGES,
        max_bytes: int = MAX_WAITING_BYTES,
    ) -> None:
        self._overflowed = overflowed
        """Called when the queue is full: its reader is too slow."""
        self._waiting: deque[Sendable] = deque()
        self._count = 0
        self.size = 0
        """In bytes."""
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._ended = asyncio.Event()
        self.close_reason: CloseReason | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """Return the number of bytes that wait to be written."""
        return self.size

    @property
    def closed(self) -> bool:
        """Return True if nothing more is accepted."""
        return self._ended.is_set()

    def batch(self) -> None:
        """Do nothing: messages are written one by one."""

    def push(self, messages: Sendable) -> bool:
        """Add messages. Clear and close a full queue, so that its reader must resume; then return False."""
        if self.closed:
            return True
        # A message larger than the limit must still pass, or its reader would resume for ever.
        if self._count >= self._max_messages or self.size >= self._max_bytes:
            self._waiting.clear()
            self._count = self.size = 0
            self.close(TOO_SLOW)
            if self._overflowed is not None:
                self._overflowed()
            return False
        self._waiting.append(messages)
        self._count += messages.count
        self.size += messages.size
        self._filled.set()
        if self._count > self._max_messages // 2 or self.size > self._max_bytes // 2:
            self._drained.clear()
        return True

    async def first(self) -> Sendable:
        """Return the next messages to write; they stay in the queue until `sent`."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        return self._waiting[0]

    def sent(self) -> None:
        """Remove the first messages."""
        if self._waiting:
            first = self._waiting.popleft()
            self._count -= first.count
            self.size -= first.size
        if self._count <= self._max_messages // 2 and self.size <= self._max_bytes // 2:
            self._drained.set()

    async def writable(self) -> None:
        """Wait until the queue is at most half full, so that a long recovery keeps the pace of its reader."""
        await self._drained.wait()

    def close(self, close_reason: CloseReason | None) -> None:
        """Accept nothing more; the first reason wins. None means that the peer is gone."""
        if not self.closed:
            self.close_reason = close_reason
            self._ended.set()

    async def ended(self) -> CloseReason | None:
        """Wait for the close; return its reason."""
        await self._ended.wait()
        return self.close_reason
