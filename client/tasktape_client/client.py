"""The client: one server, one caller."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

import httpx

from tasktape_client.comments import CommentCalls
from tasktape_client.feeds import FeedCalls
from tasktape_client.lists import ListCalls
from tasktape_client.operation import OperationCalls
from tasktape_client.patience import Patience
from tasktape_client.tasks import TaskCalls
from tasktape_client.tokens import Token, TokenSource
from tasktape_client.transport import Transport, address

if TYPE_CHECKING:
    from tasktape_client.news import Told
    from tasktape_client.updates import Updates


class Client(TaskCalls, CommentCalls, ListCalls, FeedCalls, OperationCalls):
    """A client of the API at `url`, as whom `token` says. Use it as an asynchronous context manager.

    `token` is a token, or a function, `async` or not, that returns a fresh one: it is asked again when the
    server wants a newer one. `patience` bounds how long a call is tried again while the server is away.
    With `packed`, updates come in msgpack if the server knows it, which is less to read than JSON.
    Raises `ValueError` for an address that is none.
    """

    def __init__(
        self,
        url: str,
        token: Token,
        *,
        patience: Patience | None = None,
        packed: bool = False,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self.url = address(url)
        self._tokens = TokenSource(token)
        self._packed = packed
        super().__init__(Transport(self.url, self._tokens, patience or Patience(), transport))
        self._listening: WeakSet[Updates] = WeakSet()
        self._closed = False

    async def __aenter__(self) -> Self:
        """Nothing is opened before it is needed."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections; iterations over updates stop. Then it can't be used any more."""
        self._closed = True
        await asyncio.gather(*(updates.aclose() for updates in list(self._listening)))
        await self._transport.close()

    def updates(
        self,
        channels: Iterable[str] = (),
        since: Mapping[str, int] | None = None,
        *,
        attempts: int | None = None,
        on_connection: Told | None = None,
    ) -> Updates:
        """What happens in one's lists, and on `channels` such as `task:{id}`, after `since` or from now on.

        A connection that breaks is made again, and what was missed is told; `attempts` bounds how often that
        may fail in a row. `on_connection` is told of connections made and lost. Raises `RuntimeError` once
        the client is closed, as calls do: nobody would close what it connects.
        """
        if self._closed:
            raise RuntimeError("this client is closed")
        # They bring libraries along that calls do not need.
        from tasktape_client.link import Server
        from tasktape_client.updates import Updates

        server = Server(self.url, self._tokens, self._packed)
        updates = Updates(server, channels, since, attempts=attempts, on_connection=on_connection)
        self._listening.add(updates)
        return updates
