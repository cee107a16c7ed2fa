"""Live updates over consecutive connections, each once and in order."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, Self

from tasktape_client.calls import typed
from tasktape_client.connection_events import Connected, ConnectionListener, Disconnected
from tasktape_client.errors import TasktapeError
from tasktape_client.link import (
    BAD_TOKEN,
    CLOSE_TIMEOUT_S,
    HELLO_ID,
    TOKEN_EXPIRED,
    Broken,
    Link,
    Server,
    open_link,
)
from tasktape_client.models import Resync, StatisticsReport, Unsubscribed, Update
from tasktape_client.patience import Patience
from tasktape_client.progress import Progress
from tasktape_client.transport import foreign

RECONNECT = Patience(first_delay_s=0.5, longest_delay_s=10.0)
MAX_OPEN_REQUESTS = 16
"""The maximum of unanswered subscriptions. A server stops reading while too many wait."""
TURN_S = 2 * CLOSE_TIMEOUT_S
GONE = frozenset({"not_found", "forbidden"})

Item = Update | Resync | Unsubscribed | StatisticsReport
"""The items of an iteration."""


class Updates:
    """The live updates of the user's lists and of further channels. Only one loop can iterate at a time.

    As a context manager, it connects when the block begins, so that nothing in the block is missed.
    """

    def __init__(
        self,
        server: Server,
        channels: Iterable[str] = (),
        since: Mapping[str, int] | None = None,
        *,
        attempts: int | None = None,
        on_connection: ConnectionListener | None = None,
        patience: Patience = RECONNECT,
    ) -> None:
        self._server = server
        self._wanted = dict.fromkeys(channels)
        self._attempts = attempts
        self._notify: ConnectionListener = on_connection or (lambda _: None)
        self._patience = patience
        self._progress = Progress(since)
        self._link: Link | None = None
        self._channels: set[str] = set()
        self._had: set[str] = set()
        """The current channels; without a connection, those of the last one."""
        self._lost: deque[str] = deque()
        """Lost channels that are not reported yet."""
        self._to_subscribe: deque[str] = deque()
        self._requested: dict[object, str] = {}
        self._since: Mapping[str, int] = {}
        self._restart_at: Mapping[str, int] | None = None
        """The positions of the server's log, if the resume positions are beyond them."""
        self._failures = 0
        self._rejected = False
        self._free = asyncio.Event()
        self._free.set()
        self._closed = False

    @property
    def positions(self) -> dict[str, int]:
        """Return the resume positions, to pass as `since` later.

        They include all yielded items. They do not advance while missed updates are delivered.
        """
        return dict(self._progress.positions or {})

    @property
    def channels(self) -> frozenset[str]:
        """Return the current channels."""
        return frozenset(self._channels)

    async def __aenter__(self) -> Self:
        """Connect. Raise `TasktapeError`."""
        try:
            await self._connect()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connection and stop iterations."""
        self._closed = True
        await self._disconnect()

    async def __aiter__(self) -> AsyncGenerator[Item]:
        """Yield items until closed. Raise `TasktapeError` if a reconnect would be useless.

        Leaving the loop closes the connection. Another loop continues where it stopped.
        """
        await self._take_turn()
        try:
            while not self._closed:
                found = await self._next()
                if found is not None:
                    yield found
        finally:
            await self._disconnect()
            self._free.set()

    async def _take_turn(self) -> None:
        """Wait for the end of a previous loop, which has to close its connection."""
        try:
            async with asyncio.timeout(TURN_S):
                await self._free.wait()
        except TimeoutError:
            raise RuntimeError("another loop iterates over these updates") from None
        self._free.clear()

    # --- connections -------------------------------------------------------------------------------------

    async def _next(self) -> Item | None:
        """Handle the next message. Return its item, if any."""
        if self._link is None:
            await self._connect()
        if self._lost:
            return Unsubscribed(type="unsubscribed", channel=self._lost.popleft())
        link = self._link
        try:
            return None if link is None else await self._take(link, await link.receive())
        except Broken as broken:
            await self._recover(broken)
        except KeyError as missing:
            raise foreign(f"{self._server.url} ({missing})") from None
        return None

    async def _connect(self) -> None:
        """Connect, with retries."""
        while self._link is None and not self._closed:
            try:
                self._link = await open_link(self._server, self._progress.positions)
                await self._begin(self._link, await self._hello(self._link))
            except Broken as broken:
                await self._recover(broken)

    async def _disconnect(self) -> None:
        link, self._link = self._link, None
        self._channels.clear()
        if link is not None:
            await link.close()

    async def _recover(self, broken: Broken) -> None:
        """Wait before a reconnect. Raise `TasktapeError` if there is to be none."""
        token = None if self._link is None else self._link.token
        await self._disconnect()
        if self._closed:
            return
        if broken.code in (BAD_TOKEN, TOKEN_EXPIRED) and token is not None:
            self._server.tokens.expire(token)
        self._failures += 1
        if self._is_useless(broken):
            raise broken.as_error()
        self._rejected = broken.code == BAD_TOKEN
        delay_s = self._patience.delay_s(self._failures)
        if broken.retry_s is not None:
            delay_s = min(random.uniform(*broken.retry_s), self._patience.longest_delay_s)  # noqa: S311
        self._notify(Disconnected(broken.reason, delay_s))
        await asyncio.sleep(delay_s)

    def _is_useless(self, broken: Broken) -> bool:
        """Return True if a reconnect would fail in the same way."""
        if broken.code == BAD_TOKEN:
            return self._rejected or not self._server.tokens.can_renew
        if broken.is_final or (self._attempts is not None and self._failures > self._attempts):
            return True
        never = self._progress.positions is None
        return never and broken.code is not None and broken.code in range(400, 500) and broken.code != 429

    # --- messages ----------------------------------------------------------------------------------------

    async def _hello(self, link: Link) -> dict[str, Any]:
        """Wait for the reply to the authentication, and return it. Raise `Broken` or `TasktapeError`."""
        message = await link.hello()
        if message["type"] == "error":
            raise _refusal(message)
        return message

    async def _begin(self, link: Link, hello: Mapping[str, Any]) -> None:
        """Take the automatic channels, and subscribe to the others from the same positions."""
        self._failures, self._rejected = 0, False
        since = self._progress.positions
        self._restart_at = hello["positions"] if self._progress.is_beyond(hello["positions"]) else None
        self._since = dict(hello["positions"] if since is None else since)
        self._channels = set(hello["channels"])
        self._to_subscribe = deque(channel for channel in self._wanted if channel not in self._channels)
        for channel in sorted(self._had - self._channels - self._wanted.keys()):
            self._lose(channel)
        self._had |= self._channels
        self._requested = {}
        self._progress.begin(1 + len(self._to_subscribe))
        self._progress.reply(hello["positions"], hello.get("missed", 0))
        self._notify(Connected(hello["user"], frozenset(self._channels)))
        while self._to_subscribe and len(self._requested) < MAX_OPEN_REQUESTS:
            await self._subscribe_next(link)

    async def _subscribe_next(self, link: Link) -> None:
        if self._to_subscribe:
            channel = self._to_subscribe.popleft()
            number = HELLO_ID + 1 + len(self._to_subscribe)
            self._requested[number] = channel
            await link.send(id=number, type="subscribe", channel=channel, since=dict(self._since))

    def _lose(self, channel: str) -> None:
        """Record the loss of a channel. It is not subscribed again."""
        self._channels.discard(channel)
        self._had.discard(channel)
        self._wanted.pop(channel, None)
        self._lost.append(channel)

    async def _take(self, link: Link, message: Mapping[str, Any]) -> Item | None:
        match message["type"]:
            case "update":
                return typed(Update, message) if self._progress.update(message["position"]) else None
            case "stats":
                return typed(StatisticsReport, message)
            case "resync":
                if self._restart_at is not None:
                    # It is another log, in which the old positions mean nothing.
                    self._progress.restart(self._restart_at)
                    self._restart_at = None
                return typed(Resync, message)
            case "subscribed":
                asked = self._requested.pop(message.get("id"), None)
                self._channels.add(message["channel"])
                self._had.add(message["channel"])
                self._progress.reply(
                    message["positions"], message.get("missed", 0), expected=asked is not None
                )
                await self._subscribe_next(link)
            case "unsubscribed":
                self._lose(message["channel"])
            case "error" if (refused := self._requested.pop(message.get("id"), None)) is not None:
                if refused not in self._had or message["code"] not in GONE:
                    raise _refusal(message)
                self._lose(refused)
                self._progress.refused()
                await self._subscribe_next(link)
        return None


def _refusal(message: Mapping[str, Any]) -> Broken | TasktapeError:
    """Return the error of a refusal, temporary or final."""
    if message["code"] == "unavailable":
        return Broken(message["message"])
    return TasktapeError(message["message"], code=message["code"])
