"""One WebSocket connection: it is kept alive, renews its token in time, and reports why it ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import ormsgpack
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, InvalidURI
from websockets.typing import Subprotocol

from tasktape_client.errors import TasktapeError
from tasktape_client.tokens import TokenSource
from tasktape_client.transport import foreign, is_local

SUBPROTOCOL = Subprotocol("tasktape.v1.json")
PACKED_SUBPROTOCOL = Subprotocol("tasktape.v1.msgpack")
FEATURES = ("batch",)
"""Supported optional features: frames with several messages."""
OPEN_TIMEOUT_S = 10.0
HELLO_TIMEOUT_S = 30.0
"""The time that the server has to look up missed updates."""
CLOSE_TIMEOUT_S = 2.0
SILENT_PERIODS = 2.5
"""The connection is considered dead after so many ping periods of the server without a message."""
MAX_FRAME_BYTES = 16 * 1_048_576
HELLO_ID = 0
BUFFER_MESSAGES = 256
"""Messages buffered for a slow reader. Beyond that the server waits, and disconnects at its own limit."""
RENEW_AT = (0.7, 0.9)
"""The fraction of a token's lifetime after which it is renewed."""
TOKEN_UNAVAILABLE = (OSError, TimeoutError, httpx.TransportError)
"""The errors of a token function that is temporarily unable to return a token."""

TOKEN_EXPIRED = 4005
BAD_TOKEN = 4500
TOO_LATE = 4502
FORBIDDEN = 4507


class Broken(Exception):
    """The end of a connection. `code` is that of its close frame, if any. `retry_s` bounds the next delay."""

    def __init__(
        self, reason: str, code: int | None = None, retry_s: tuple[float, float] | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.retry_s = retry_s

    @property
    def is_final(self) -> bool:
        """Return True if a reconnect would be refused. `TOO_LATE` is not final: the server may be slow."""
        return self.code is not None and 4500 <= self.code < 5000 and self.code != TOO_LATE

    def as_error(self) -> TasktapeError:
        """Return the error to raise to the reader."""
        code = {BAD_TOKEN: "unauthenticated", FORBIDDEN: "forbidden"}.get(self.code or 0, "closed")
        return TasktapeError(self.reason, code=code if self.is_final else "unreachable")


@dataclass(frozen=True, slots=True)
class Server:
    """The server and the user of a connection. `packed` prefers msgpack to JSON."""

    url: str
    tokens: TokenSource
    packed: bool = False

    @property
    def subprotocols(self) -> list[Subprotocol]:
        """Return the subprotocols to offer, in order of preference."""
        return [PACKED_SUBPROTOCOL, SUBPROTOCOL] if self.packed else [SUBPROTOCOL]


class Link:
    """An open WebSocket. It answers pings and renews the token, also while nobody reads from it."""

    def __init__(self, socket: ClientConnection, tokens: TokenSource, token: str) -> None:
        self._socket = socket
        self._tokens = tokens
        self.token = token
        self._inbox: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue(BUFFER_MESSAGES)
        self._silence_s = HELLO_TIMEOUT_S
        self._retry_s: tuple[float, float] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._reading = asyncio.create_task(self._read())

    async def send(self, **message: Any) -> None:
        """Send a message. A lost connection is reported by `receive`."""
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(self._encode(message))

    def _encode(self, message: Mapping[str, Any]) -> str | bytes:
        packed = self._socket.subprotocol == PACKED_SUBPROTOCOL
        return ormsgpack.packb(message) if packed else json.dumps(message)

    async def receive(self) -> dict[str, Any]:
        """Return the next message. Raise `Broken` after the last one, or what the token function raised."""
        message = await self._inbox.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def hello(self) -> dict[str, Any]:
        """Return the reply to the authentication, or an error. Raise as `receive` does."""
        while True:
            message = await self.receive()
            # A rejected token is followed by a close frame with its code.
            if message["type"] == "authenticated" or (
                message["type"] == "error" and message["code"] != "unauthenticated"
            ):
                return message

    async def close(self) -> None:
        """Close the socket, and wake a waiting reader."""
        tasks = [task for task in (self._reading, self._renewing) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        while not self._inbox.empty():
            self._inbox.get_nowait()
        self._inbox.put_nowait(Broken("the connection is closed"))
        await self._socket.close()

    async def _read(self) -> None:
        try:
            while True:
                async with asyncio.timeout(self._silence_s):
                    frame = await self._socket.recv()
                for message in _messages(frame):
                    await self._take(message)
        except TimeoutError:
            ending: Exception = Broken("the server fell silent")
        except ConnectionClosed as closed:
            frame_in = closed.rcvd
            code = frame_in.code if frame_in is not None else None
            reason = frame_in.reason if frame_in is not None else ""
            ending = Broken(reason or f"the connection was closed ({code or 'cut'})", code, self._retry_s)
        except (ValueError, KeyError, TypeError):
            ending = foreign("the server's socket")
        await self._inbox.put(ending)

    async def _take(self, message: dict[str, Any]) -> None:
        """Handle a message that maintains the connection. Queue any other."""
        match message["type"]:
            case "ping":
                pong = {"type": "pong"} | ({"id": message["id"]} if "id" in message else {})
                await self.send(**pong)
                return
            case "goodbye":
                earliest_ms, latest_ms = message["retry_after_ms"]
                self._retry_s = (earliest_ms / 1000, latest_ms / 1000)
                return
            case "authenticated":
                self._silence_s = SILENT_PERIODS * message["ping_s"]
                self._renew_in(message["expires_in"])
            case "refreshed":
                self._renew_in(message["expires_in"])
                return
            case "pong":
                return
        await self._inbox.put(message)

    def _renew_in(self, expires_in_s: float) -> None:
        if self._tokens.can_renew:
            self._renewing = asyncio.create_task(self._renew(expires_in_s * random.uniform(*RENEW_AT)))  # noqa: S311

    async def _renew(self, delay_s: float) -> None:
        """Send a newer token. If there is none yet, the server closes, and the reconnect brings one."""
        await asyncio.sleep(delay_s)
        try:
            newer = await self._tokens.newer_than(self.token)
        except TOKEN_UNAVAILABLE:
            return
        except Exception as error:  # noqa: BLE001 - the reader gets it
            await self._inbox.put(error)
            return
        if newer != self.token:
            self.token = newer
            await self.send(type="refresh", token=newer)


def _messages(frame: str | bytes) -> list[dict[str, Any]]:
    """Return the messages of a frame, one or several. Raise `ValueError`."""
    value = json.loads(frame) if isinstance(frame, str) else ormsgpack.unpackb(frame)
    return value if isinstance(value, list) else [value]


async def open_link(server: Server, since: Mapping[str, int] | None) -> Link:
    """Connect and authenticate. Raise `Broken`, `TasktapeError`, or what the token function raises."""
    url = server.url
    try:
        token = await server.tokens.current()
    except TOKEN_UNAVAILABLE as error:
        raise Broken(f"there is no token: {_words(error)}") from None
    try:
        socket = await connect(
            url.replace("http", "ws", 1) + "/ws",
            subprotocols=server.subprotocols,
            open_timeout=OPEN_TIMEOUT_S,
            close_timeout=CLOSE_TIMEOUT_S,
            ping_interval=None,  # the protocol has its own
            max_size=MAX_FRAME_BYTES,
            proxy=None if is_local(url) else True,
        )
    except InvalidURI:
        raise TasktapeError(f"{url} is not an address", code="malformed") from None
    except ssl.SSLCertVerificationError as error:
        raise TasktapeError(f"{url} cannot be trusted: {error.verify_message}") from None
    except InvalidStatus as refused:
        status = refused.response.status_code
        raise Broken(f"{url} answers {status}", status) from None
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise Broken(f"{url} cannot be reached: {_words(error)}") from None
    link = Link(socket, server.tokens, token)
    try:
        resume = {} if since is None else {"since": dict(since)}
        await link.send(id=HELLO_ID, type="authenticate", token=token, features=FEATURES, **resume)
    except BaseException:
        await link.close()
        raise
    return link


def _words(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
