"""The client of one server and one user."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Self
from weakref import WeakSet

import httpx

from tasktape_client.audit import AuditCalls, Filters
from tasktape_client.comments import CommentCalls
from tasktape_client.exports import ExportCalls
from tasktape_client.feeds import FeedCalls
from tasktape_client.lists import ListCalls
from tasktape_client.operation import OperationCalls
from tasktape_client.patience import Patience
from tasktape_client.sql import SqlCalls
from tasktape_client.statistics import StatisticsCalls
from tasktape_client.tasks import TaskCalls
from tasktape_client.tokens import Token, TokenSource
from tasktape_client.transport import Transport, address

if TYPE_CHECKING:
    from tasktape_client.connection_events import ConnectionListener
    from tasktape_client.link import Server
    from tasktape_client.replays import Replay
    from tasktape_client.tails import AuditTail
    from tasktape_client.updates import Updates


class Client(
    TaskCalls,
    CommentCalls,
    ListCalls,
    FeedCalls,
    StatisticsCalls,
    AuditCalls,
    SqlCalls,
    ExportCalls,
    OperationCalls,
):
    """A client of the API at `url`, for the user of `token`. Use it as an asynchronous context manager.

    `token` is a token, or a function, `async` or not, that returns one. The function is called again when a
    newer token is needed. `patience` limits how long calls are retried while the server is unavailable.
    With `packed`, updates are sent in msgpack, which is smaller than JSON, if the server supports it.
    The constructor raises `ValueError` for an invalid address.
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
        self._listening: WeakSet[Updates | Replay] = WeakSet()
        self._closed = False

    async def __aenter__(self) -> Self:
        """Return the client. It connects when it is used."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close all connections."""
        await self.aclose()

    async def aclose(self) -> None:
        """Close all connections and stop iterations over updates. The client cannot be used afterwards."""
        self._closed = True
        await asyncio.gather(*(updates.aclose() for updates in list(self._listening)))
        await self._transport.close()

    def updates(
        self,
        channels: Iterable[str] = (),
        since: Mapping[str, int] | None = None,
        *,
        attempts: int | None = None,
        on_connection: ConnectionListener | None = None,
    ) -> Updates:
        """Return the updates of the user's lists and of `channels` such as `task:{id}`.

        They begin after the positions `since`, or now. A lost connection is restored, and missed updates are
        delivered. `attempts` limits the consecutive failures. `on_connection` is called when a connection is
        established or lost. Raise `RuntimeError` if the client is closed, as calls do: nobody would
        close the new connection.
        """
        # This module imports libraries that calls do not need.
        from tasktape_client.updates import Updates

        updates = Updates(self._server(), channels, since, attempts=attempts, on_connection=on_connection)
        self._listening.add(updates)
        return updates

    def replay(
        self,
        list_id: str,
        *,
        start: datetime | str | None = None,
        end: datetime | str | None = None,
        speed: float = 1.0,
        types: Iterable[str] | None = None,
        max_gap_ms: int | None = None,
    ) -> Replay:
        """Return the past of a list: its state at `start`, then its events up to `end`, by default all.

        The gaps between events are divided by `speed`, and then at most `max_gap_ms` long. `types` are the
        event types to send. A lost connection is not restored. Raise `RuntimeError` if the client is closed.
        """
        from tasktape_client.replays import Replay

        options = {
            "from": start.isoformat() if isinstance(start, datetime) else start,
            "to": end.isoformat() if isinstance(end, datetime) else end,
            "speed": speed,
            "types": None if types is None else list(types),
            "max_gap_ms": max_gap_ms,
        }
        given = {name: value for name, value in options.items() if value is not None}
        replay = Replay(self._server(), list_id, given)
        self._listening.add(replay)
        return replay

    def audit_tail(
        self,
        filters: Filters | None = None,
        since: Mapping[str, int] | None = None,
        *,
        on_connection: ConnectionListener | None = None,
    ) -> AuditTail:
        """Return the events of the audit that match all filters, as they are recorded.

        They begin after the positions `since`, or now. A lost connection is restored, without a gap.
        `on_connection` is called when it is lost.
        """
        from tasktape_client.tails import AuditTail

        return AuditTail(self._transport, filters or {}, since, on_connection=on_connection)

    def _server(self) -> Server:
        """Return the server of a new connection. Raise `RuntimeError` if the client is closed."""
        if self._closed:
            raise RuntimeError("this client is closed")
        from tasktape_client.link import Server

        return Server(self.url, self._tokens, self._packed)
