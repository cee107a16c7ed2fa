"""Driver of a player: a clock that stands still until it is advanced, and a reader that keeps messages."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from api.protocol.client_messages import Control
from api.protocol.frames import JSON, Sendable
from api.protocol.replay_options import ReplayOptions
from api.relay.replays import plan_of
from api.replay.player import Player
from api.replay.source import Past
from api.replay.turns import Turns
from api.telemetry.counters import Counters
from app.channels import Channel

MAX_ROUNDS = 100_000


class ManualClock:
    """A clock that stands still; `is_idle` while its player waits for it or for a control."""

    def __init__(self) -> None:
        self.time_s = 0.0
        self._awaited: tuple[asyncio.Event, float | None] | None = None

    def now_s(self) -> float:
        """See `api.replay.player.Clock`."""
        return self.time_s

    async def wait(self, woken: asyncio.Event, until_s: float | None) -> None:
        """See `api.replay.player.Clock`."""
        self._awaited = woken, until_s
        while self.is_idle:  # noqa: ASYNC110  # the clock is advanced by hand
            await asyncio.sleep(0)
        self._awaited = None

    @property
    def is_idle(self) -> bool:
        """Return whether the player waits."""
        if self._awaited is None:
            return False
        woken, until_s = self._awaited
        return not woken.is_set() and (until_s is None or self.time_s < until_s)

    @property
    def next_s(self) -> float | None:
        """Return the time that the player waits for."""
        return None if self._awaited is None else self._awaited[1]


class Reader:
    """The output of a player: messages in order; while `is_slow` it accepts none."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []
        self.is_slow = False

    async def ready(self) -> None:
        """See `api.replay.player.Output`."""
        while self.is_slow:  # noqa: ASYNC110  # in rounds of the loop, which the tests count
            await asyncio.sleep(0)

    def send(self, messages: Sendable) -> None:
        """See `api.replay.player.Output`."""
        self.messages += [json.loads(payload) for payload in messages.payloads(JSON)]


class Driver:
    """One replay of a list."""

    def __init__(self, past: Past, list_id: str) -> None:
        self.clock = ManualClock()
        self.reader = Reader()
        self.counters = Counters()
        self.player: Player
        self.task: asyncio.Task[None]
        self._past = past
        self._list_id = list_id

    async def start(self, **options: Any) -> None:
        """Start the replay."""
        plan = await plan_of(self._past, self._list_id, ReplayOptions.model_validate(options))
        channel = Channel(f"replay:{self._list_id}")
        self.player = Player(self._past, channel, plan, self.reader, Turns(self.counters), self.clock)
        self.task = asyncio.create_task(self.player.run())

    async def begin(self) -> None:
        """Let it send the snapshot, and the first event of the list."""
        await self.settle()
        await self.advance(0.001)

    def control(self, action: str, **values: Any) -> None:
        """Send a control."""
        message = {"type": "control", "channel": f"replay:{self._list_id}", "action": action, **values}
        self.player.control(Control.model_validate(message))

    async def settle(self) -> None:
        """Wait until the player waits for the clock or for a control."""
        for _ in range(MAX_ROUNDS):
            await asyncio.sleep(0)
            if self.clock.is_idle or self.task.done():
                return
        raise AssertionError("the player does not come to rest")

    async def advance(self, seconds: float) -> None:
        """Advance the clock, and let the player do what is due then."""
        self.clock.time_s += seconds
        await self.settle()

    async def play_on(self) -> None:
        """Advance the clock until the player waits for a control."""
        await self.settle()
        while (due_s := self.clock.next_s) is not None:
            await self.advance(due_s - self.clock.time_s)

    def updates(self) -> Sequence[dict[str, Any]]:
        """Return the updates so far."""
        return [message for message in self.reader.messages if message["type"] == "update"]

    def last(self) -> dict[str, Any]:
        """Return the last message."""
        return self.reader.messages[-1]


@asynccontextmanager
async def replaying(past: Past, list_id: str, **options: Any) -> AsyncIterator[Driver]:
    """Yield the driver of a started replay."""
    driver = Driver(past, list_id)
    await driver.start(**options)
    try:
        yield driver
    finally:
        driver.task.cancel()
        await asyncio.gather(driver.task, return_exceptions=True)
