"""The source of a replay: its events in order, read page by page, one page ahead."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Sequence
from datetime import datetime
from typing import Any, Protocol

from projections.queries.replay import Place, SnapshotPage, Span


class Page(Protocol):
    """Some events in order."""

    @property
    def times(self) -> Sequence[datetime]:
        """Return the time of each event."""

    @property
    def sizes(self) -> Sequence[int]:
        """Return the approximate size of each event, in bytes."""

    @property
    def end(self) -> Place | None:
        """Return the place after the page; None if there are no more events."""

    def updates(self, prefix: bytes, first: int, end: int) -> Sequence[bytes]:
        """Return the messages of the events `[first, end)`, which begin with a prefix."""


class Past(Protocol):
    """The past of lists. Its methods raise `Unavailable`."""

    async def span(self, list_id: str) -> Span | None:
        """Return the times of the first and the last event of a list, if it has any."""

    def events(
        self, list_id: str, after: Place, until: datetime, types: Collection[str] | None
    ) -> Coroutine[Any, Any, Page]:
        """Return the events after a place up to a time, of some types or of all."""

    async def tasks(self, list_id: str, time: datetime, after: Place) -> SnapshotPage:
        """Return tasks that were in a list at a time; the first page is after `START`."""

    async def list_at(self, list_id: str, time: datetime) -> bytes:
        """Return the JSON of a list at a time; `null` if it did not exist."""


class EventReader:
    """Reads the events of a list from a place on. It holds at most two pages."""

    def __init__(self, past: Past, list_id: str, until: datetime, types: Collection[str] | None) -> None:
        self._past = past
        self._list_id = list_id
        self._until = until
        self._types = types
        self._page: Page | None = None
        self._next = 0
        self._after: Place | None = None
        """The place after the page; None if there are no more events."""
        self._ahead: asyncio.Task[Page] | None = None

    def move(self, after: Place) -> None:
        """Continue after another place."""
        self.close()
        self._page, self._next, self._after = None, 0, after

    def close(self) -> None:
        """Stop reading ahead."""
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead = None

    async def following(self) -> datetime | None:
        """Return the time of the next event; None at the end. Raise `Unavailable`; then call it again."""
        while self._page is None or self._next >= len(self._page.times):
            if self._after is None:
                return None
            await self._load(self._after)
        return self._page.times[self._next]

    @property
    def loaded(self) -> datetime | None:
        """Return the time of the next event if it is in memory."""
        page = self._page
        return page.times[self._next] if page is not None and self._next < len(page.times) else None

    def take(
        self, prefix: bytes, is_wanted: Callable[[datetime], bool], limit: int, limit_bytes: int
    ) -> Sequence[bytes]:
        """Return the messages of the next events in memory, while they are wanted and within the limits.

        `is_wanted` is called once for each, in order. A single event is never too large.
        """
        page, first = self._page, self._next
        if page is None:
            return ()
        end, size_bytes = first, 0
        last = min(len(page.times), first + limit)
        while end < last and size_bytes < limit_bytes and is_wanted(page.times[end]):
            size_bytes += page.sizes[end]
            end += 1
        self._next = end
        return page.updates(prefix, first, end)

    async def _load(self, after: Place) -> None:
        ahead, self._ahead = self._ahead or self._read(after), None
        page = await ahead
        self._page, self._next, self._after = page, 0, page.end
        if page.end is not None:
            self._ahead = self._read(page.end)

    def _read(self, after: Place) -> asyncio.Task[Page]:
        read = self._past.events(self._list_id, after, self._until, self._types)
        task = asyncio.create_task(read)
        task.add_done_callback(_forget_error)
        return task


def _forget_error(task: asyncio.Task[Page]) -> None:
    """Mark the error of a page as read: a reader that has moved on does not need the page."""
    if not task.cancelled():
        task.exception()
