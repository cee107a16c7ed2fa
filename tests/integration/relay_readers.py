"""Clients of the relay that reconnect until they are stopped, each in its own way, through a gate."""

from __future__ import annotations

import asyncio
import contextlib
import json
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable
from typing import Self

import httpx
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidHandshake, WebSocketException
from websockets.typing import Subprotocol

from app.positions import Position, Positions, parse_positions, positions_to_json
from tasktape_client import Connected, Disconnected, Unsubscribed, Update
from tasktape_client.link import Server
from tasktape_client.patience import Patience
from tasktape_client.tokens import TokenSource
from tasktape_client.updates import Updates
from tests.api.event_client import Event, EventReader
from tests.integration.gate import Gate
from tests.integration.transcript import Transcript
from tests.waiting import eventually

COME_BACK_LIMIT_S = 90.0
QUIET_S = 60.0
"""Longer than a server is silent."""
PATIENCE = Patience(first_delay_s=0.05, longest_delay_s=0.5)


class Reader(ABC):
    """Reads everything that concerns a user, from the very beginning."""

    def __init__(self, user: str, token: str, node: str) -> None:
        self.user = user
        self.token = token
        self.gate = Gate(node)
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        await self.gate.__aenter__()
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self.gate.__aexit__()

    def __str__(self) -> str:
        return f"{type(self).__name__} of {self.user}"

    def has(self, positions: Collection[Position]) -> bool:
        """Return whether it has received all of these. Raise the error that ended it."""
        assert self._task is not None
        if self._task.done():
            self._task.result()
        return self.got.issuperset(positions)

    @property
    @abstractmethod
    def got(self) -> set[Position]:
        """Return the received updates."""

    @abstractmethod
    async def _run(self) -> None:
        """Read for ever."""


class PythonReader(Reader):
    """Uses our own client; `received` includes its connections, as None."""

    def __init__(
        self,
        user: str,
        token: str,
        node: str,
        *,
        packed: bool = False,
        channels: Iterable[str] = (),
        is_guest: bool = False,
    ) -> None:
        super().__init__(user, token, node)
        self.is_guest = is_guest
        """True if its user joins and leaves lists in between."""
        self._packed = packed
        self._channels = channels
        self.received: list[Update | None] = []

    @property
    def got(self) -> set[Position]:
        return {Position.parse(update.position) for update in self.received if update is not None}

    async def _run(self) -> None:
        server = Server(self.gate.url, TokenSource(self.token), self._packed)
        updates = Updates(server, self._channels, {}, on_connection=self._connection, patience=PATIENCE)
        async for update in updates:
            if self.is_guest and isinstance(update, Unsubscribed):
                continue  # A list that it has gone from.
            assert isinstance(update, Update), f"{self} got {update}"
            self.received.append(update)
        raise AssertionError(f"{self} came to an end")

    def _connection(self, news: Connected | Disconnected) -> None:
        if isinstance(news, Connected):
            self.received.append(None)


class CarefulReader(Reader):
    """Follows the protocol by hand."""

    def __init__(self, user: str, token: str, node: str) -> None:
        super().__init__(user, token, node)
        self.transcript = Transcript(user)

    @property
    def got(self) -> set[Position]:
        return set(self.transcript.kept)

    async def _run(self) -> None:
        while True:
            await eventually(self._connection, COME_BACK_LIMIT_S, f"{self} was not let in")

    @abstractmethod
    async def _connection(self) -> bool:
        """Make a connection and read to its end; return False if none was made."""


class SocketReader(CarefulReader):
    """Resumes with `since`."""

    async def _connection(self) -> bool:
        let_in = False
        try:
            url = self.gate.url.replace("http", "ws", 1) + "/ws"
            protocols = [Subprotocol("tasktape.v1.json")]
            async with connect(url, subprotocols=protocols, max_size=None, ping_interval=None) as socket:
                since = self.transcript.positions
                hello = {"id": 1, "type": "authenticate", "token": self.token, "since": since}
                await socket.send(json.dumps(hello))
                while True:
                    message = json.loads(await asyncio.wait_for(socket.recv(), QUIET_S))
                    if message["type"] == "ping":
                        await socket.send('{"type": "pong"}')
                    let_in = let_in or message["type"] == "authenticated"
                    self.transcript.take(message)
        except (OSError, WebSocketException, InvalidHandshake):
            self.transcript.cut()
        return let_in


class StreamReader(CarefulReader):
    """Resumes with `Last-Event-ID`, as `EventSource` does."""

    def __init__(self, user: str, token: str, node: str) -> None:
        super().__init__(user, token, node)
        self._place = ","

    async def _connection(self) -> bool:
        let_in = False
        headers = {"Authorization": f"Bearer {self.token}", "Last-Event-ID": self._place}
        async with httpx.AsyncClient(base_url=self.gate.url, trust_env=False, timeout=QUIET_S) as client:
            with contextlib.suppress(httpx.HTTPError, StopAsyncIteration):
                async with client.stream("GET", "/api/stream", headers=headers) as answer:
                    assert answer.status_code in {200, 503}, answer.status_code
                    let_in = answer.status_code == 200
                    await self._read(EventReader(answer, self._place))
        self.transcript.cut(positions_to_json(parse_positions(self._place)))
        return let_in

    async def _read(self, reader: EventReader) -> None:
        while True:
            with contextlib.suppress(TimeoutError):
                event = await reader.next()
                before, self._place = parse_positions(self._place), reader.place or ","
                if event.name:
                    self.transcript.take(event.message, counts=_moves(event, before))


def _moves(event: Event, before: Positions) -> bool:
    """Return whether an update moves the position to resume from, starting at `before`."""
    if event.name != "update" or event.place is None:
        return False
    partition, offset = Position.parse(event.message["position"])
    return before.get(partition, -1) < offset == parse_positions(event.place).get(partition)
