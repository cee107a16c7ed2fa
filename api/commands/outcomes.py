"""Outcomes of appended records, and the positions reached by the read models, from the feed of updates.

The feed passes every update of this node to `Outcomes.resolve`. An update is emitted after its record is in
the read models, so each update also means that they have reached its position.
"""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import count

from app.errors import Unavailable
from app.log.updates import Update
from app.positions import Position, Positions, covers

MAX_EXPECTATIONS = 20_000
MAX_WAITERS = 20_000
MAX_UPDATES_OF_ONE_ID = 32
ROWS_FIRST_S = 0.1
ROWS_MOST_S = 1.0
"""The interval of polling rows for missing updates: long enough for many waiters."""


class Expectation:
    """The outcomes of one event id; `at` returns that of the position which the log assigned."""

    def __init__(self) -> None:
        self._updates: dict[Position, Update] = {}
        self._wanted: Position | None = None
        self._found: asyncio.Future[Update | None] | None = None

    def receive(self, update: Update) -> None:
        """Receive an update with the expected event id."""
        if len(self._updates) < MAX_UPDATES_OF_ONE_ID or update.position == self._wanted:
            self._updates[update.position] = update
        if self._found is not None and not self._found.done() and update.position == self._wanted:
            self._found.set_result(update)

    def accepted(self) -> Update | None:
        """Return the update that accepted the event, if it has arrived, wherever the event lies."""
        return next((each for each in self._updates.values() if each.outcome == "accepted"), None)

    async def at(self, position: Position, timeout_s: float) -> Update | None:
        """Return the update of the record at `position`, or None if it does not arrive in time."""
        if position in self._updates:
            return self._updates[position]
        if timeout_s <= 0:
            return None
        loop = asyncio.get_running_loop()
        self._wanted, self._found = position, loop.create_future()
        # As `asyncio.wait_for`, at a third of its cost, in each command.
        timer = loop.call_later(timeout_s, _give_up, self._found)
        try:
            return await self._found
        finally:
            timer.cancel()


def _give_up(found: asyncio.Future[Update | None]) -> None:
    if not found.done():
        found.set_result(None)


class Outcomes:
    """Expectations by event id, and the positions that the read models are known to have reached."""

    def __init__(self) -> None:
        self.reached: dict[int, int] = {}
        self._expected: dict[str, list[Expectation]] = {}
        self._expectations = 0
        self._waiting: dict[int, list[tuple[int, int, asyncio.Future[None]]]] = {}
        self._waiters = 0
        self._sequence = count()

    def start(self, positions: Positions) -> None:
        """Start with the positions of the checkpoints."""
        for partition, offset in positions.items():
            self._reach(Position(partition, offset))

    def resolve(self, update: Update) -> None:
        """Receive an update from the feed: notify its waiters, and advance the watermark."""
        for expectation in self._expected.get(update.event_id, ()):
            expectation.receive(update)
        self._reach(update.position)

    @contextmanager
    def expect(self, event_id: str) -> Iterator[Expectation]:
        """Expect outcomes of `event_id`; start before appending, as an outcome may arrive first."""
        if self._expectations >= MAX_EXPECTATIONS:
            raise Unavailable("too many commands are waiting for their outcome")
        expectation = Expectation()
        self._expected.setdefault(event_id, []).append(expectation)
        self._expectations += 1
        try:
            yield expectation
        finally:
            self._expectations -= 1
            others = self._expected[event_id]
            others.remove(expectation)
            if not others:
                del self._expected[event_id]

    async def wait_reached(self, positions: Positions, timeout_s: float) -> bool:
        """Wait until the read models have reached `positions`; return False on a timeout."""
        if covers(self.reached, positions):
            return True
        try:
            async with asyncio.timeout(timeout_s):
                for partition, offset in positions.items():
                    await self._wait_one(Position(partition, offset))
        except TimeoutError:
            return False
        return True

    async def wait_visible(
        self, positions: Positions, timeout_s: float, rows: Callable[[], Awaitable[Positions]]
    ) -> bool:
        """Wait as `wait_reached`, but poll the rows too: they are visible before the feed delivers.

        The feed may be arbitrarily late, as while Kafka is unavailable.
        """
        deadline, pause_s = time.monotonic() + timeout_s, ROWS_FIRST_S
        while True:
            left_s = deadline - time.monotonic()
            if await self.wait_reached(positions, min(pause_s, left_s)):
                return True
            if covers(await rows(), positions):
                return True
            if left_s <= pause_s:
                return False
            pause_s = min(pause_s * 2, ROWS_MOST_S)

    async def _wait_one(self, position: Position) -> None:
        if self.reached.get(position.partition, -1) >= position.offset:
            return
        if self._waiters >= MAX_WAITERS:
            raise Unavailable("too many requests are waiting for the read models")
        reached: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault(position.partition, [])
        entry = (position.offset, next(self._sequence), reached)
        heapq.heappush(waiting, entry)
        self._waiters += 1
        try:
            await reached
        finally:
            self._waiters -= 1
            if entry in waiting:  # timed out: remove it now, as its offset may never be reached
                waiting.remove(entry)
                heapq.heapify(waiting)

    def _reach(self, position: Position) -> None:
        if position.offset <= self.reached.get(position.partition, -1):
            return
        self.reached[position.partition] = position.offset
        waiting = self._waiting.get(position.partition)
        while waiting and waiting[0][0] <= position.offset:
            _, _, reached = heapq.heappop(waiting)
            if not reached.done():
                reached.set_result(None)
