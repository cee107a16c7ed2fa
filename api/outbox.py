"""What waits to be written to one socket: bounded, so that a slow reader costs little and delays nobody."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass

MAX_WAITING_MESSAGES = 2_048
MAX_WAITING_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Farewell:
    """Why a socket is closed. Codes 4000 to 4499 invite to come back, after a time drawn from the window."""

    code: int
    reason: str
    retry_after_ms: tuple[int, int] = (0, 1_000)

    @property
    def come_back(self) -> bool:
        """Whether the client should connect again."""
        return 4000 <= self.code < 4500


TOO_SLOW = Farewell(4008, "too slow")


class Outbox:
    """Frames in the order they must leave. A push never waits: it is what the hub does for every socket."""

    def __init__(
        self, *, max_messages: int = MAX_WAITING_MESSAGES, max_bytes: int = MAX_WAITING_BYTES
    ) -> None:
        self._frames: deque[str] = deque()
        self._size = 0
        self._max_messages = max_messages
        self._max_bytes = max_bytes
        self._filled = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._ended = asyncio.Event()
        self.farewell: Farewell | None = None

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def closed(self) -> bool:
        """Whether nothing more is taken."""
        return self._ended.is_set()

    def push(self, frame: str) -> None:
        """Add a frame. A full outbox drops what it holds and closes: its reader must resume."""
        if self.closed:
            return
        # A frame larger than the bound must still pass, or its reader would resume for ever.
        if len(self._frames) >= self._max_messages or self._size >= self._max_bytes:
            self._frames.clear()
            self.close(TOO_SLOW)
            return
        self._frames.append(frame)
        self._size += len(frame)
        self._filled.set()
        if len(self._frames) > self._max_messages // 2 or self._size > self._max_bytes // 2:
            self._drained.clear()

    async def first(self) -> str:
        """The next frame to write, left in its place until `sent` says that it was written."""
        while not self._frames:
            self._filled.clear()
            await self._filled.wait()
        return self._frames[0]

    def sent(self) -> None:
        """Forget the first frame."""
        if self._frames:
            self._size -= len(self._frames.popleft())
        if len(self._frames) <= self._max_messages // 2 and self._size <= self._max_bytes // 2:
            self._drained.set()

    async def room(self) -> None:
        """Wait until the outbox is at most half full: how a long recovery goes at its reader's pace."""
        await self._drained.wait()

    def close(self, farewell: Farewell | None) -> None:
        """Take nothing more; the first reason given is the one that stays. None: the peer is gone."""
        if not self.closed:
            self.farewell = farewell
            self._ended.set()

    async def ended(self) -> Farewell | None:
        """Wait for the close; why."""
        await self._ended.wait()
        return self.farewell
