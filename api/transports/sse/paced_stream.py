"""Streams of server-sent events without a session: one task makes the events, at the pace of their reader."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Coroutine
from contextlib import ExitStack
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.auth import Identity
from api.http.problems import problem
from api.protocol.close_codes import CloseReason
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.telemetry.counters import Traffic, Transport
from api.transports.connection_lifecycle import Admission, lifetime
from api.transports.sse.encoder import HEARTBEAT, RETRY_MS
from api.transports.sse.response import HEADERS, MEDIA_TYPE, cancelled, gone
from api.transports.websocket.uvicorn_protocol import ABORT
from api.transports.websocket.wire import CLOSE_TIMEOUT_S
from app.errors import TaskError


class PacedStream(Response, ABC):
    """The response. It ends with its task, with its token, or with the node."""

    transport: Transport = "sse"

    def __init__(self, relay: Relay, connection_registry: ConnectionRegistry, identity: Identity) -> None:
        super().__init__(media_type=MEDIA_TYPE, headers=HEADERS)
        del self.headers["content-length"]
        self._relay = relay
        self._registry = connection_registry
        self._identity = identity
        self._traffic = relay.counters.traffic_of("sse", "json")
        self._output = StreamOutput(relay.ping_s, self._traffic)
        self._ended: asyncio.Future[CloseReason | str | None] = asyncio.get_running_loop().create_future()
        """The reason to end the stream from outside: a close, or a text about what it shows."""

    @abstractmethod
    async def _admitted(self, stack: ExitStack) -> Coroutine[Any, Any, None]:
        """Return the work of a stream that may begin; `stack` releases what it takes. Raise `TaskError`."""

    @abstractmethod
    def _say_end(self, reason: CloseReason | str | None, error: BaseException | None) -> None:
        """Add the last event: for the reason to end, or the error of the work; None if it came to its end."""

    @property
    def user(self) -> str:
        """See `ClientConnection.user`."""
        return self._identity.user

    @property
    def waiting_bytes(self) -> int:
        """See `ClientConnection.waiting_bytes`."""
        return self._output.waiting_bytes

    def close(self, close_reason: CloseReason | None) -> None:
        """See `ClientConnection.close`."""
        self._end(close_reason)

    def _end(self, reason: CloseReason | str | None) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until one side ends it, or refuse it with a problem."""
        try:
            with ExitStack() as stack:
                stack.enter_context(Admission(self._relay, scope))
                work = await self._admitted(stack)
                await self._serve(work, scope, receive, send)
        except TaskError as refusal:
            await problem(refusal)(scope, receive, send)

    async def _serve(
        self, work: Coroutine[Any, Any, None], scope: Scope, receive: Receive, send: Send
    ) -> None:
        working, left = asyncio.create_task(work), asyncio.create_task(gone(receive))
        tasks: list[asyncio.Task[None]] = [working, left]
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            writing = asyncio.create_task(self._output.write(send))
            tasks.append(writing)
            life = lifetime(self._relay, self._identity, self._traffic, self._end)
            with life, self._registry.present(self):
                ends: list[asyncio.Future[Any]] = [*tasks, self._ended]
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
                if not left.done() and not writing.done():
                    working.cancel()
                    await asyncio.wait((working,))
                    error = None if working.cancelled() else working.exception()
                    self._say_end(self._ended.result() if self._ended.done() else None, error)
                    await self._finish(writing, scope, send)
        finally:
            await cancelled(tasks)

    async def _finish(self, writing: asyncio.Task[None], scope: Scope, send: Send) -> None:
        """Write the rest and end; abort a client that does not read."""
        ready = asyncio.create_task(self._output.ready())
        await asyncio.wait((ready, writing), timeout=CLOSE_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        is_written = ready.done()
        ready.cancel()
        writing.cancel()
        await asyncio.wait((writing,))
        abort = scope.get("extensions", {}).get(ABORT)
        if is_written or abort is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            abort()


class StreamOutput:
    """The output of a stream: events that wait until the client has read those before."""

    def __init__(self, ping_s: float, traffic: Traffic) -> None:
        self._ping_s = ping_s
        self._traffic = traffic
        self._waiting: list[bytes] = [b"retry: %d\n\n" % RETRY_MS]
        self._filled = asyncio.Event()
        self._filled.set()
        self._written = asyncio.Event()
        self.waiting_bytes = 0

    def add(self, event: bytes) -> None:
        """Add an event; never wait."""
        self._waiting.append(event)
        self.waiting_bytes += len(event)
        self._traffic.messages += 1
        self._written.clear()
        self._filled.set()

    async def ready(self) -> None:
        """Wait until the client has read what was added."""
        await self._written.wait()

    async def write(self, send: Send) -> None:
        """Write events as they come, and comments while there are none."""
        while True:
            try:
                async with asyncio.timeout(self._ping_s):
                    await self._filled.wait()
            except TimeoutError:
                self._waiting.append(HEARTBEAT)
            self._filled.clear()
            body, self._waiting = b"".join(self._waiting), []
            await send({"type": "http.response.body", "body": body, "more_body": True})
            self._traffic.size_bytes += len(body)
            if not self._waiting:
                self.waiting_bytes = 0
                self._written.set()
