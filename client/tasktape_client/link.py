"""One socket: kept alive, with a token that is renewed in time; when it ends, it says why."""

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
"""What is understood beyond the least: frames of several messages."""
OPEN_TIMEOUT_S = 10.0
HELLO_TIMEOUT_S = 30.0
"""How long the server may take to find out what was missed."""
CLOSE_TIMEOUT_S = 2.0
SILENT_PERIODS = 2.5
"""After so many of the server's ping periods without a word the connection is dead."""
MAX_FRAME_BYTES = 16 * 1_048_576
HELLO_ID = 0
BUFFER_MESSAGES = 256
"""What may wait for who listens; after that the server is left to wait, and at its limit it hangs up."""
RENEW_AT = (0.7, 0.9)
"""The part of a token's life after which it is renewed."""
AWAY = (OSError, TimeoutError, httpx.TransportError)
"""What a callable that fetches a token raises when it can't for now."""

TOKEN_EXPIRED = 4005
BAD_TOKEN = 4500
TOO_LATE = 4502
FORBIDDEN = 4507


class Broken(Exception):
    """The connection ended. `code` is that of its close frame, None without one; `retry_s` a window."""

    def __init__(
        self, reason: str, code: int | None = None, retry_s: tuple[float, float] | None = None
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.code = code
        self.retry_s = retry_s

    @property
    def is_final(self) -> bool:
        """Whether the server does not want us back as we are. We are never late; the server may be slow."""
        return self.code is not None and 4500 <= self.code < 5000 and self.code != TOO_LATE

    def as_error(self) -> TasktapeError:
        """The error that this is to who listens."""
        code = {BAD_TOKEN: "unauthenticated", FORBIDDEN: "forbidden"}.get(self.code or 0, "closed")
        return TasktapeError(self.reason, code=code if self.is_final else "unreachable")


@dataclass(frozen=True, slots=True)
class Server:
    """Where to connect, as whom; and whether msgpack is wanted instead of JSON, if the server knows it."""

    url: str
    tokens: TokenSource
    packed: bool = False

    @property
    def subprotocols(self) -> list[Subprotocol]:
        """What to offer, the best first."""
        return [PACKED_SUBPROTOCOL, SUBPROTOCOL] if self.packed else [SUBPROTOCOL]


class Link:
    """An open socket. What only keeps the connection going is dealt with here, also while nobody listens."""

    def __init__(self, socket: ClientConnection, tokens: TokenSource, token: str) -> None:
        self._socket = socket
        self._tokens = tokens
        self.token = token
        self._inbox: asyncio.Queue[dict[str, Any] | Exception] = asyncio.Queue(BUFFER_MESSAGES)
        self._silence_s = HELLO_TIMEOUT_S
        self._retry_s: tuple[float, float] | None = None
        self._renewing: asyncio.Task[None] | None = None
        self._reading = asyncio.create_task(self._read())

    async def say(self, **message: Any) -> None:
        """Send a message; a connection that is gone is told of by `messages`."""
        with contextlib.suppress(ConnectionClosed):
            await self._socket.send(self._written(message))

    def _written(self, message: Mapping[str, Any]) -> str | bytes:
        packed = self._socket.subprotocol == PACKED_SUBPROTOCOL
        return ormsgpack.packb(message) if packed else json.dumps(message)

    async def message(self) -> dict[str, Any]:
        """The next message, up to the last one. Raises `Broken`, or what the token's callable raised."""
        message = await self._inbox.get()
        if isinstance(message, Exception):
            raise message
        return message

    async def close(self) -> None:
        """Close the socket; who waits for a message learns of it."""
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
        """Do what keeps the connection going; keep the rest."""
        match message["type"]:
            case "ping":
                pong = {"type": "pong"} | ({"id": message["id"]} if "id" in message else {})
                await self.say(**pong)
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
        """Give the server a newer token. Without one by now, it will close, and we come back with one."""
        await asyncio.sleep(delay_s)
        try:
            newer = await self._tokens.newer_than(self.token)
        except AWAY:
            return
        except Exception as error:  # noqa: BLE001 - it belongs to who listens
            await self._inbox.put(error)
            return
        if newer != self.token:
            self.token = newer
            await self.say(type="refresh", token=newer)


def _messages(frame: str | bytes) -> list[dict[str, Any]]:
    """The messages of a frame, one or several. Raises `ValueError`."""
    said = json.loads(frame) if isinstance(frame, str) else ormsgpack.unpackb(frame)
    return said if isinstance(said, list) else [said]


async def open_link(server: Server, since: Mapping[str, int] | None) -> Link:
    """Connect and say who we are. Raises `Broken`, `TasktapeError`, or what the token's callable raises."""
    url = server.url
    try:
        token = await server.tokens.current()
    except AWAY as error:
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
        raise TasktapeError(f"{url} can't be trusted: {error.verify_message}") from None
    except InvalidStatus as refused:
        status = refused.response.status_code
        raise Broken(f"{url} answers {status}", status) from None
    except (OSError, TimeoutError, InvalidHandshake) as error:
        raise Broken(f"{url} can't be reached: {_words(error)}") from None
    link = Link(socket, server.tokens, token)
    try:
        resume = {} if since is None else {"since": dict(since)}
        await link.say(id=HELLO_ID, type="authenticate", token=token, features=FEATURES, **resume)
    except BaseException:
        await link.close()
        raise
    return link


def _words(error: Exception) -> str:
    return str(error).strip() or type(error).__name__
