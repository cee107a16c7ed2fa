"""A wire over plain ASGI, for servers without the wire extension: a queue, and tasks that write and read."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketDisconnected

from api.protocol.close_codes import CloseReason
from api.protocol.frames import JSON, Codec, Sendable
from api.telemetry.counters import Traffic
from api.transports.send_queue import SendQueue
from api.transports.websocket.wire import CLOSE_TIMEOUT_S, Listener

GONE = (WebSocketDisconnect, WebSocketDisconnected, RuntimeError, OSError)


class AsgiWire:
    """The wire of one accepted WebSocket."""

    deflates = False
    raw_socket = None

    def __init__(self, socket: WebSocket) -> None:
        self._socket = socket
        self._send_queue = SendQueue()
        self._listener: Listener | None = None
        self._reading = asyncio.Event()
        self._reading.set()
        self._last: Sendable | None = None
        self._codec = JSON
        self._traffic = Traffic()
        self.peer_code: int | None = None

    @property
    def waiting_bytes(self) -> int:
        """See `Wire.waiting_bytes`."""
        return self._send_queue.size

    def listen(self, listener: Listener, switched: Callable[[], None]) -> None:  # noqa: ARG002
        """See `Wire.listen`."""
        self._listener = listener

    def push(self, messages: Sendable) -> None:
        """See `Wire.push`."""
        if not self._send_queue.push(messages) and self._listener is not None:
            self._listener.too_slow()

    def encode_with(self, codec: Codec, traffic: Traffic) -> None:
        """See `Wire.encode_with`."""
        self._codec, self._traffic = codec, traffic

    async def writable(self) -> None:
        """See `Wire.writable`."""
        await self._send_queue.writable()

    def pause(self) -> None:
        """See `Wire.pause`."""
        self._reading.clear()

    def resume(self) -> None:
        """See `Wire.resume`."""
        self._reading.set()

    def finish(self, last: Sendable | None, code: int, reason: str) -> None:
        """See `Wire.finish`."""
        self._last = last
        self._send_queue.close(CloseReason(code, reason))

    async def ended(self) -> None:
        """Read and write until the connection is lost or finished."""
        reading, writing = asyncio.create_task(self._read()), asyncio.create_task(self._write())
        finishing = asyncio.create_task(self._send_queue.ended())
        try:
            await asyncio.wait((reading, writing, finishing), return_when=asyncio.FIRST_COMPLETED)
            if finishing.done() and not reading.done():
                writing.cancel()
                await asyncio.wait((asyncio.create_task(self._write_close()),), timeout=CLOSE_TIMEOUT_S)
        finally:
            for task in (reading, writing, finishing):
                task.cancel()
            await asyncio.gather(reading, writing, finishing, return_exceptions=True)
            if self._listener is not None:
                self._listener.lost()

    async def _read(self) -> None:
        while True:
            await self._reading.wait()
            event = await self._socket.receive()
            if event["type"] == "websocket.disconnect":
                self.peer_code = event.get("code")
                return
            text = event.get("text")
            if self._listener is not None:
                self._listener.received(event["bytes"] if text is None else text)

    async def _write(self) -> None:
        while True:
            await self._send(await self._send_queue.first())
            # Only now: a cancelled write leaves the messages in the queue.
            self._send_queue.sent()

    async def _send(self, messages: Sendable) -> None:
        for payload in messages.payloads(self._codec):
            if self._codec.packed:
                await self._socket.send_bytes(payload)
            else:
                await self._socket.send_text(payload.decode())
            self._traffic.messages += 1
            self._traffic.size_bytes += len(payload)

    async def _write_close(self) -> None:
        """Send the remaining messages, the last one, and the close."""
        close_reason = self._send_queue.close_reason
        try:
            while len(self._send_queue):
                await self._send(await self._send_queue.first())
                self._send_queue.sent()
            if self._last is not None:
                await self._send(self._last)
            if close_reason is not None:
                await self._socket.close(close_reason.code, close_reason.reason)
        except GONE:
            return
