"""The link between the nodes: brings messages to all of them, for as long as there is a way.

It connects again whenever something breaks. What is posted meanwhile is lost, and counted.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Protocol, cast

from aiokafka.errors import KafkaError
from broadcaster import Broadcast, BroadcastBackend
from broadcaster._base import Subscriber

from api.broadcast.topic_tail import Broken
from app.errors import Unavailable
from streams.backoff import Backoff
from streams.supervised_loop import SupervisedLoop

FIRST_DELAY_S = 0.2
LONGEST_DELAY_S = 5.0
SPREAD = (0.5, 1.5)
STOP_TIMEOUT_S = 2.0
MAX_POSTED = 2_000
MAX_CURSORS = 1_000


class SignalBackend(Protocol):
    """What the link needs of a broadcaster backend besides (see `signal_topic.KafkaSignals`)."""

    def taken(self) -> None:
        """Say that an event was dealt with."""


class Silence(Exception):
    """Nothing comes, not even what one has said oneself."""


class Outgoing:
    """Messages that wait to be written. Of cursors the latest is kept; they go last, and are shed first."""

    def __init__(self) -> None:
        self._posted: list[bytes] = []
        # A queue, which counts what it sheds: no cache.
        self._cursors: OrderedDict[Hashable, bytes] = OrderedDict()
        self._there = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self.shed = 0

    def post(self, value: bytes, cursor: Hashable | None) -> None:
        """Take a message; `cursor` says whose cursor it is, if it is one."""
        if cursor is not None and len(self._posted) < MAX_CURSORS:
            self._cursors.pop(cursor, None)
            self._cursors[cursor] = value
            if len(self._cursors) > MAX_CURSORS:
                self._cursors.popitem(last=False)
                self.shed += 1
        elif cursor is None and len(self._posted) < MAX_POSTED:
            self._posted.append(value)
        else:
            self.shed += 1
        self._there.set()
        self.idle.clear()

    async def take(self) -> list[bytes]:
        """All that waits, as soon as something does."""
        if not (self._posted or self._cursors):
            self.idle.set()
        await self._there.wait()
        self._there.clear()
        taken = [*self._posted, *self._cursors.values()]
        self._posted.clear()
        self._cursors.clear()
        return taken


class SignalLink:
    """Connects with a new backend, as often as needed. Both callbacks are called in the event loop's thread.

    `on_message` gets what any node has said, this one too. If nothing comes in `silence_s`, the connection
    counts as broken: a node has to say something more often than that.
    """

    def __init__(
        self,
        topic: str,
        key: bytes,
        open_backend: Callable[[], BroadcastBackend],
        *,
        on_connected: Callable[[], None],
        on_message: Callable[[bytes], None],
        silence_s: float,
    ) -> None:
        self._topic = topic
        self._key = key
        self._open = open_backend
        self._on_connected = on_connected
        self._on_message = on_message
        self._silence_s = silence_s
        self._outgoing = Outgoing()
        self._task: asyncio.Task[None] | None = None
        self.connected = False
        self.lost = 0
        """How many messages were posted while there was no connection, or too many of them."""

    def start(self) -> None:
        """Connect, in the background."""
        self._task = asyncio.create_task(self._run(), name="signal-link")

    async def stop(self) -> None:
        """Write what was posted, unless that takes too long, and disconnect."""
        if self._task is None:
            return
        if self.connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._outgoing.idle.wait()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def post(self, value: bytes, cursor: Hashable | None = None) -> None:
        """Say something to all nodes. Never waits."""
        if not self.connected:
            self.lost += 1
            return
        self._outgoing.post(value, cursor)

    async def _run(self) -> None:
        supervised = SupervisedLoop(
            Backoff(FIRST_DELAY_S, LONGEST_DELAY_S, spread=SPREAD, steady_s=LONGEST_DELAY_S),
            (Unavailable, Silence, KafkaError, OSError),
            waiting="signals are interrupted",
        )
        await supervised.run(self._connect)

    async def _connect(self) -> None:
        """Carry messages until something breaks, and raise that."""
        backend = self._open()
        async with Broadcast(backend=backend) as broadcast, broadcast.subscribe(self._topic) as subscriber:
            self._outgoing, self.connected = Outgoing(), True
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(subscriber, cast("SignalBackend", backend)))
                    group.create_task(self._write(broadcast, self._outgoing))
                    self._on_connected()
            finally:
                self.connected = False
                self.lost += self._outgoing.shed

    async def _read(self, subscriber: Subscriber, backend: SignalBackend) -> None:
        while True:
            try:
                # Not `wait_for`: before Python 3.12 it may swallow a cancellation, and we would go on.
                async with asyncio.timeout(self._silence_s):
                    event = await subscriber.get()
            except TimeoutError:
                raise Silence("nothing comes") from None
            # broadcaster declares messages to be text and hands on what our backend gave: one of these two.
            message = cast("tuple[bytes, ...] | Broken", event.message)
            if isinstance(message, Broken):
                raise message.error
            for value in message:
                self._on_message(value)
            backend.taken()

    async def _write(self, broadcast: Broadcast, outgoing: Outgoing) -> None:
        while True:
            for value in await outgoing.take():
                await broadcast.publish(self._topic, (self._key, value))
