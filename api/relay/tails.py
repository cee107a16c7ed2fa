"""Tails: questions to the audit that are followed live, and what they share on a node.

A tail reads what the audit has after the positions that it has reached. It is woken by updates, whose rows
are committed before. It also reads without being woken: a node whose feed is interrupted gets no updates.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Protocol

from api.protocol.limits import MAX_TAILS
from api.relay.arrivals import Arrivals
from api.relay.rate_limits import Quota
from app.audit.access import Reader
from app.audit.query import AuditQuery
from app.errors import Unavailable
from app.log.updates import Update
from app.positions import Positions
from projections.queries.audit_tail import TailPage
from streams.backoff import Backoff

READERS = 2
"""The most connections of the pool that all tails of a node use at the same time."""
POLL_S = 5.0
"""The time after which a tail reads without being woken."""
FIRST_DELAY_S, LONGEST_DELAY_S = 0.2, 5.0


class Audit(Protocol):
    """The queries of a tail. They raise `Unavailable`."""

    async def positions(self) -> dict[int, int]:
        """Return the positions that the read models have reached."""

    async def after(self, query: AuditQuery, reader: Reader, since: Positions) -> TailPage:
        """Return the next events after some positions that the reader sees now."""


class TailOutput(Protocol):
    """The recipient of the events of a tail."""

    def send(self, page: TailPage) -> None:
        """Send events; never wait."""

    async def ready(self) -> None:
        """Wait until the reader keeps up."""


@dataclass(frozen=True, slots=True)
class TailNode:
    """The state that all tails of a node share."""

    audit: Audit
    arrivals: Arrivals
    quota: Quota = field(default_factory=lambda: Quota(MAX_TAILS))
    """By user."""
    readers: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(READERS))


class Tail:
    """One question that is followed. `check` raises `TaskError` once the reader may no longer ask it."""

    def __init__(
        self,
        node: TailNode,
        query: AuditQuery,
        reader: Reader,
        output: TailOutput,
        check: Callable[[], Awaitable[object]],
    ) -> None:
        self._node = node
        self._query = query
        self._reader = reader
        self._output = output
        self._check = check
        self._streams = frozenset(query.streams)
        self._woken = asyncio.Event()
        self._is_checked = True

    def wake(self, update: Update) -> None:
        """Read soon, unless the update is of a stream that is not asked for."""
        if update.stream.kind == "list":
            self._is_checked = False
        elif update.stream in self._streams:
            self._is_checked = False  # A task may have moved to another list.
        elif self._streams:
            return
        self._woken.set()

    async def run(self, since: Positions) -> None:
        """Send events after some positions, until cancelled. Raise the errors of `check`."""
        failures, pauses = 0, Backoff(FIRST_DELAY_S, LONGEST_DELAY_S)
        while True:
            self._woken.clear()
            try:
                page = await self._read(since)
            except Unavailable:
                failures += 1
                await asyncio.sleep(pauses.pause_s(failures))
                continue
            failures, since = 0, page.reached
            await self._output.ready()
            if not page.more:
                with suppress(TimeoutError):
                    async with asyncio.timeout(POLL_S):
                        await self._woken.wait()

    async def _check_again(self) -> None:
        """Check access if it may have changed. Raise `Unavailable`, or the errors of `check`."""
        if self._is_checked:
            return
        self._is_checked = True  # An update may change it meanwhile.
        try:
            await self._check()
        except Unavailable:
            self._is_checked = False
            raise

    async def _read(self, since: Positions) -> TailPage:
        """Read and send a page. Raise `Unavailable`, or the errors of `check`."""
        loop = asyncio.get_running_loop()
        async with self._node.readers:
            await self._check_again()
            began_s = loop.time()
            page = await self._node.audit.after(self._query, self._reader, since)
            self._output.send(page)
            # All tails together take half of the time of their connections at most.
            await asyncio.sleep(loop.time() - began_s)
        return page
