"""What waits to be written to one client: bounded, so that a slow reader costs little and delays nobody."""

from __future__ import annotations

import asyncio
from collections import deque

from api.protocol.close_codes import TOO_SLOW, CloseReason
from api.protocol.frames import Sendable

MAX_WAITING_MESSAGES = 2_048
MAX_WAITING_BYTES = 4 * 1024 * 1024


class SendQueue:
    """Messages in the order they must leave. A push never waits: it is what the hub does for every client."""

    raw_socket = None
    """See `relay.Outlet.direct`."""

    def __init__(
        self, *, max_messages: int = MAX_WAITING_MESSAGES, max_bytes: int = MAX_WAITING_BYTES
    ) -> None:
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
        """What waits to be written."""
        return self.size

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._ended.is_set()

    def batch(self) -> None:
        """Whoever writes what is in it does so one by one."""

    def push(self, messages: Sendable) -> bool:
        """Add messages. A full outbox drops what it holds and closes: its reader must resume; then False."""
        if self.closed:
            return True
        # What is larger than the bound must still pass, or its reader would resume for ever.
        if self._count >= self._max_messages or self.size >= self._max_bytes:
            self._waiting.clear()
            self._count = self.size = 0
            self.close(TOO_SLOW)
            return False
        self._waiting.append(messages)
        self._count += messages.count
        self.size += messages.size
        self._filled.set()
        if self._count > self._max_messages // 2 or self.size > self._max_bytes // 2:
            self._drained.clear()
        return True

    async def first(self) -> Sendable:
        """The next messages to write, left in their place until `sent` says that they were written."""
        while not self._waiting:
            self._filled.clear()
            await self._filled.wait()
        return self._waiting[0]

    def sent(self) -> None:
        """Forget the first messages."""
        if self._waiting:
            first = self._waiting.popleft()
            self._count -= first.count
            self.size -= first.size
        if self._count <= self._max_messages // 2 and self.size <= self._max_bytes // 2:
            self._drained.set()

    async def writable(self) -> None:
        """Wait until the outbox is at most half full: how a long recovery goes at its reader's pace."""
        await self._drained.wait()

    def close(self, close_reason: CloseReason | None) -> None:
        """Take nothing more; the first reason given is the one that stays. None: the peer is gone."""
        if not self.closed:
            self.close_reason = close_reason
            self._ended.set()

    async def ended(self) -> CloseReason | None:
        """Wait for the close; why."""
        await self._ended.wait()
        return self.close_reason
