"""Listening: updates over one connection after another, each once and in order."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Mapping
from typing import Any, Self

from tasktape_client.calls import typed
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
from tasktape_client.models import Resync, Unsubscribed, Update
from tasktape_client.news import Connected, Disconnected, Told
from tasktape_client.patience import Patience
from tasktape_client.progress import Progress
from tasktape_client.transport import foreign

RECONNECT = Patience(first_delay_s=0.5, longest_delay_s=10.0)
ASKED_AT_ONCE = 16
"""Subscriptions without an answer at a time: a server does not read on while too many wait."""
TURN_S = 2 * CLOSE_TIMEOUT_S
GONE = frozenset({"not_found", "forbidden"})

Said = Update | Resync | Unsubscribed
"""What there is to say while listening."""


class Updates:
    """What happens in one's lists and on some more channels, as it happens. Iterate over it, once at a time.

    Used as a context manager, it is connected when the block begins: nothing that happens in it is missed.
    """

    def __init__(
        self,
        server: Server,
        channels: Iterable[str] = (),
        since: Mapping[str, int] | None = None,
        *,
        attempts: int | None = None,
        on_connection: Told | None = None,
        patience: Patience = RECONNECT,
    ) -> None:
        self._server = server
        self._wanted = dict.fromkeys(channels)
        self._attempts = attempts
        self._tell: Told = on_connection or (lambda _: None)
        self._patience = patience
        self._progress = Progress(since)
        self._link: Link | None = None
        self._channels: set[str] = set()
        self._had: set[str] = set()
        """The channels that it has; while there is no connection, those that it had."""
        self._gone: deque[str] = deque()
        """Channels that were taken away, which is yet to be told."""
        self._to_ask: deque[str] = deque()
        self._asked: dict[object, str] = {}
        self._since: Mapping[str, int] = {}
        self._anew: Mapping[str, int] | None = None
        """Where the server's log is, if it does not reach to where we were."""
        self._failures = 0
        self._rejected = False
        self._free = asyncio.Event()
        self._free.set()
        self._closed = False

    @property
    def positions(self) -> dict[str, int]:
        """Where to come back to: give it as `since` to another client, at another time.

        It covers what has been iterated over. While what was missed is told, it stays where it was.
        """
        return dict(self._progress.positions or {})

    @property
    def channels(self) -> frozenset[str]:
        """The channels that it has now."""
        return frozenset(self._channels)

    async def __aenter__(self) -> Self:
        """Connect. Raises `TasktapeError`."""
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
        """End it: iterations stop."""
        self._closed = True
        await self._hang_up()

    async def __aiter__(self) -> AsyncGenerator[Said]:
        """Listen until closed. Raises `TasktapeError` when there is no use in another connection.

        A loop that is left closes the connection; another loop goes on where it was left.
        """
        await self._take_turn()
        try:
            while not self._closed:
                found = await self._next()
                if found is not None:
                    yield found
        finally:
            await self._hang_up()
            self._free.set()

    async def _take_turn(self) -> None:
        """Wait for the end of a loop that was left: that takes a moment, as its connection is closed."""
        try:
            async with asyncio.timeout(TURN_S):
                await self._free.wait()
        except TimeoutError:
            raise RuntimeError("another loop iterates over these updates") from None
        self._free.clear()

    # --- connections -------------------------------------------------------------------------------------

    async def _next(self) -> Said | None:
        """Take the next message; what there is to tell of it."""
        if self._link is None:
            await self._connect()
        if self._gone:
            return Unsubscribed(type="unsubscribed", channel=self._gone.popleft())
        link = self._link
        try:
            return None if link is None else await self._take(link, await link.message())
        except Broken as broken:
            await self._recover(broken)
        except KeyError as missing:
            raise foreign(f"{self._server.url} ({missing})") from None
        return None

    async def _connect(self) -> None:
        """Make a connection, however often it has to be tried."""
        while self._link is None and not self._closed:
            try:
                self._link = await open_link(self._server, self._progress.positions)
                await self._begin(self._link, await self._hello(self._link))
            except Broken as broken:
                await self._recover(broken)

    async def _hang_up(self) -> None:
        link, self._link = self._link, None
        self._channels.clear()
        if link is not None:
            await link.close()

    async def _recover(self, broken: Broken) -> None:
        """Wait before the next connection. Raises `TasktapeError` if there is to be none."""
        token = None if self._link is None else self._link.token
        await self._hang_up()
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
        self._tell(Disconnected(broken.reason, delay_s))
        await asyncio.sleep(delay_s)

    def _is_useless(self, broken: Broken) -> bool:
        """Whether another connection would fare no better."""
        if broken.code == BAD_TOKEN:
            return self._rejected or not self._server.tokens.can_renew
        if broken.is_final or (self._attempts is not None and self._failures > self._attempts):
            return True
        never = self._progress.positions is None
        return never and broken.code is not None and broken.code in range(400, 500) and broken.code != 429

    # --- messages ----------------------------------------------------------------------------------------

    async def _hello(self, link: Link) -> dict[str, Any]:
        """The answer to who we are. Raises `Broken`, `TasktapeError`."""
        while True:
            message = await link.message()
            if message["type"] == "authenticated":
                return message
            # After a bad token comes the close, with its code.
            if message["type"] == "error" and message["code"] != "unauthenticated":
                raise _refusal(message)

    async def _begin(self, link: Link, hello: Mapping[str, Any]) -> None:
        """Take the automatic channels, and ask for the others from where those begin."""
        self._failures, self._rejected = 0, False
        since = self._progress.positions
        self._anew = hello["positions"] if self._progress.is_beyond(hello["positions"]) else None
        self._since = dict(hello["positions"] if since is None else since)
        self._channels = set(hello["channels"])
        self._to_ask = deque(channel for channel in self._wanted if channel not in self._channels)
        for channel in sorted(self._had - self._channels - self._wanted.keys()):
            self._lose(channel)
        self._had |= self._channels
        self._asked = {}
        self._progress.begin(1 + len(self._to_ask))
        self._progress.reply(hello["positions"], hello.get("missed", 0))
        self._tell(Connected(hello["user"], frozenset(self._channels)))
        while self._to_ask and len(self._asked) < ASKED_AT_ONCE:
            await self._ask(link)

    async def _ask(self, link: Link) -> None:
        if self._to_ask:
            channel = self._to_ask.popleft()
            number = HELLO_ID + 1 + len(self._to_ask)
            self._asked[number] = channel
            await link.say(id=number, type="subscribe", channel=channel, since=dict(self._since))

    def _lose(self, channel: str) -> None:
        """Take note of a channel that was taken away; nobody asks for it again."""
        self._channels.discard(channel)
        self._had.discard(channel)
        self._wanted.pop(channel, None)
        self._gone.append(channel)

    async def _take(self, link: Link, message: Mapping[str, Any]) -> Said | None:
        match message["type"]:
            case "update":
                return typed(Update, message) if self._progress.update(message["position"]) else None
            case "resync":
                if self._anew is not None:
                    # The log is another one, so where we were means nothing in it.
                    self._progress.restart(self._anew)
                    self._anew = None
                return typed(Resync, message)
            case "subscribed":
                asked = self._asked.pop(message.get("id"), None)
                self._channels.add(message["channel"])
                self._had.add(message["channel"])
                self._progress.reply(
                    message["positions"], message.get("missed", 0), expected=asked is not None
                )
                await self._ask(link)
            case "unsubscribed":
                self._lose(message["channel"])
            case "error" if (refused := self._asked.pop(message.get("id"), None)) is not None:
                if refused not in self._had or message["code"] not in GONE:
                    raise _refusal(message)
                self._lose(refused)
                self._progress.refused()
                await self._ask(link)
        return None


def _refusal(message: Mapping[str, Any]) -> Broken | TasktapeError:
    """What the server will not do: for now, or at all."""
    if message["code"] == "unavailable":
        return Broken(message["message"])
    return TasktapeError(message["message"], code=message["code"])
