"""The link between the nodes: broadcasts messages to all nodes while it is connected.

It reconnects after errors. Messages that are posted meanwhile are lost and counted.
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
    """The additional methods that the link needs of a broadcaster backend (see `KafkaSignals`)."""

    def processed(self) -> None:
        """Release the capacity of a processed event."""


class NoMessages(Exception):
    """No message arrives, not even this node's own."""


class PublishQueue:
    """Messages to publish. Only the latest cursors are kept; they are sent last, and shed first."""

    def __init__(self) -> None:
        self._posted: list[bytes] = []
        # A queue, which counts what it sheds: no cache.
        self._cursors: OrderedDict[Hashable, bytes] = OrderedDict()
        self._available = asyncio.Event()
        self.idle = asyncio.Event()
        self.idle.set()
        self.shed = 0

    def post(self, value: bytes, cursor: Hashable | None) -> None:
        """Queue a message; `cursor` identifies the cursor, if it is one."""
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
        self._available.set()
        self.idle.clear()

    async def take(self) -> list[bytes]:
        """Wait until there are messages, and return all of them."""
        if not (self._posted or self._cursors):
            self.idle.set()
        await self._available.wait()
        self._available.clear()
        taken = [*self._posted, *self._cursors.values()]
        self._posted.clear()
        self._cursors.clear()
        return taken


class SignalLink:
    """Connects with a new backend, as often as needed. Both callbacks run in the event loop's thread.

    `on_message` receives the messages of all nodes, including this one. If nothing arrives within
    `silence_s`, the connection counts as broken: a node must publish more often than that.
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
        self._queue = PublishQueue()
        self._task: asyncio.Task[None] | None = None
        self.connected = False
        self.lost = 0
        """The number of messages that were posted while disconnected, or shed."""

    def start(self) -> None:
        """Connect in the background."""
        self._task = asyncio.create_task(self._run(), name="signal-link")

    async def stop(self) -> None:
        """Flush pending messages, within a time limit, and disconnect."""
        if self._task is None:
            return
        if self.connected:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await self._queue.idle.wait()
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task

    def post(self, value: bytes, cursor: Hashable | None = None) -> None:
        """Broadcast a message to all nodes. Never wait."""
        if not self.connected:
            self.lost += 1
            return
        self._queue.post(value, cursor)

    async def _run(self) -> None:
        supervised = SupervisedLoop(
            Backoff(FIRST_DELAY_S, LONGEST_DELAY_S, spread=SPREAD, steady_s=LONGEST_DELAY_S),
            (Unavailable, NoMessages, KafkaError, OSError),
            waiting="signals are interrupted",
        )
        await supervised.run(self._connect)

    async def _connect(self) -> None:
        """Transfer messages until an error occurs, and raise it."""
        backend = self._open()
        async with Broadcast(backend=backend) as broadcast, broadcast.subscribe(self._topic) as subscriber:
            self._queue, self.connected = PublishQueue(), True
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._read(subscriber, cast("SignalBackend", backend)))
                    group.create_task(self._write(broadcast, self._queue))
                    self._on_connected()
            finally:
                self.connected = False
                self.lost += self._queue.shed

    async def _read(self, subscriber: Subscriber, backend: SignalBackend) -> None:
        while True:
            try:
                # Not `wait_for`: before Python 3.12 it may swallow a cancellation and continue.
                async with asyncio.timeout(self._silence_s):
                    event = await subscriber.get()
            except TimeoutError:
                raise NoMessages("nothing comes") from None
            # broadcaster declares messages as text and passes on what our backend returned: one of these.
            message = cast("tuple[bytes, ...] | Broken", event.message)
            if isinstance(message, Broken):
                raise message.error
            for value in message:
                self._on_message(value)
            backend.processed()

    async def _write(self, broadcast: Broadcast, queue: PublishQueue) -> None:
        while True:
            for value in await queue.take():
                await broadcast.publish(self._topic, (self._key, value))
