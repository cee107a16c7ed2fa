"""Two peers with one difference: the relay in memory, on our WebSocket protocol or on picows.

Both authenticate JSON Web Tokens, have presence, subscribe, and send the same updates, which arrive by HTTP.
There is no Kafka and no PostgreSQL. Run it with `python -m benchmarks.peers.in_memory picows 8000 8001`: the
protocol, the port of the sockets and the port of `/publish`.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Collection, Sequence
from typing import Any

import uvicorn
import uvloop
from broadcaster import BroadcastBackend
from picows import WSCloseCode, WSFrame, WSListener, WSMsgType, WSTransport, ws_create_server
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from api.auth import Verifier
from api.listening import BACKLOG
from api.presence.cluster import Signals
from api.protocol.frames import JSON, Codec, Sendable
from api.protocol.limits import MAX_MESSAGE_BYTES
from api.relay.context import Relay
from api.relay.hub import Hub
from api.relay.rate_limits import RateLimits
from api.relay.replays import ReplayNode
from api.relay.statistics_channel import ListStatistics
from api.replay.turns import Turns
from api.telemetry.counters import Traffic
from api.transports.websocket.connection import SocketConnection
from api.transports.websocket.endpoint import LiveSockets
from api.transports.websocket.uvicorn_protocol import OPTIONS, State
from api.transports.websocket.wire import CLOSE_TIMEOUT_S, Listener
from app.errors import Unavailable
from app.log.updates import Update
from app.positions import Positions
from app.settings import Settings
from benchmarks.relay_peers import SECRET
from benchmarks.relay_publisher import update
from benchmarks.relay_wires import LIST_ID, TASK_ID
from streams.garbage import collect_rarely

OURS, PICOWS = "ours", "picows"
READ_BUFFER_BYTES = 1_024
"""Enough for the messages of a client; by default each connection would have 16 KiB."""


class Rows:
    """Read models with one list, which everybody is a member of, and one task; nothing was missed."""

    async def lists_at(self, user: str) -> tuple[set[str], dict[int, int]]:
        """See `channel_access.Visibility`."""
        del user
        return {LIST_ID}, {}

    async def list_of_task_at(self, user: str, task_id: str) -> tuple[str | None, dict[int, int]]:
        """See `channel_access.Visibility`."""
        del user
        return LIST_ID if task_id == TASK_ID else None, {}

    async def missed(
        self, channels: Collection[str], since: Positions, upto: Positions, limit: int
    ) -> Sequence[Update]:
        """See `context.History`."""
        del channels, since, upto, limit
        return ()


class PicowsWire(WSListener):  # type: ignore[misc]
    """One WebSocket of picows, as a `wire.Wire` of a connection."""

    deflates = False
    raw_socket = None

    def __init__(self, relay: Relay) -> None:
        self._relay = relay
        self._codec = JSON
        self._traffic = Traffic()
        self._listener: Listener | None = None
        self.peer_code: int | None = None

    def on_ws_connected(self, transport: WSTransport) -> None:
        """Begin to serve."""
        self._transport = transport
        SocketConnection(self, self._relay)

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """Pass on a message, or answer a close."""
        assert self._listener is not None
        if frame.msg_type == WSMsgType.TEXT:
            self._listener.received(frame.get_payload_as_utf8_text())
        elif frame.msg_type == WSMsgType.CLOSE:
            code = frame.get_close_code()
            self.peer_code = int(code)
            transport.send_close(code)
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        """Report that the connection is gone."""
        del transport
        if self._listener is not None:
            self._listener.lost()

    @property
    def waiting_bytes(self) -> int:
        """See `Wire.waiting_bytes`."""
        return int(self._transport.underlying_transport.get_write_buffer_size())

    def encode_with(self, codec: Codec, traffic: Traffic) -> None:
        """See `Wire.encode_with`."""
        self._codec, self._traffic = codec, traffic

    def listen(self, listener: Listener, switched: Callable[[], None]) -> None:
        """See `Wire.listen`."""
        del switched
        self._listener = listener

    def push(self, messages: Sendable) -> None:
        """See `Wire.push`."""
        for payload in messages.payloads(self._codec):
            self._transport.send(WSMsgType.TEXT, payload)
            self._traffic.messages += 1
            self._traffic.size_bytes += len(payload)

    async def writable(self) -> None:
        """See `Wire.writable`; the load client reads everything."""

    def pause(self) -> None:
        """See `Wire.pause`."""

    def resume(self) -> None:
        """See `Wire.resume`."""

    def finish(self, last: Sendable | None, code: int, reason: str) -> None:
        """See `Wire.finish`."""
        if last is not None:
            self.push(last)
        self._transport.send_close(WSCloseCode(code), reason)
        asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._transport.disconnect)

    async def ended(self) -> None:
        """See `Wire.ended`."""
        await self._transport.wait_disconnected()


class NoPast:
    """The past of lists, which this server does not have: an `api.replay.source.Past`."""

    async def span(self, list_id: str) -> Any:
        """Raise `Unavailable`."""
        raise Unavailable(list_id)

    async def events(self, list_id: str, *_: object) -> Any:
        """Raise `Unavailable`."""
        raise Unavailable(list_id)

    async def tasks(self, list_id: str, *_: object) -> Any:
        """Raise `Unavailable`."""
        raise Unavailable(list_id)

    async def list_at(self, list_id: str, *_: object) -> Any:
        """Raise `Unavailable`."""
        raise Unavailable(list_id)


async def _no_statistics(list_id: str) -> bytes:
    raise Unavailable(list_id)


async def serve(protocol: str, port: int, publish_port: int) -> None:
    """Serve until the process is ended."""
    hub, rows = Hub(), Rows()
    hub.published.start({}, 1)
    relay = Relay(
        hub,
        Verifier.from_settings(Settings(jwt_secret=SECRET)),
        rows,
        rows,
        now=time.time,
        replays=ReplayNode(NoPast(), hub.watches, Turns(hub.counters)),
        statistics=ListStatistics(hub, _no_statistics),
        presence_tracker=Signals("signals", _no_backend, node="benchmark"),
        rates=RateLimits(1_000, 1_000, 1_000, 1_000_000),
    )
    if protocol == PICOWS:
        await ws_create_server(
            lambda _: PicowsWire(relay),
            "127.0.0.1",
            port,
            max_frame_size=2 * MAX_MESSAGE_BYTES,
            read_buffer_init_size=READ_BUFFER_BYTES,
            backlog=BACKLOG,
        )
    sockets = LiveSockets(relay, origins=())

    async def publish(request: Request) -> Response:
        offset = hub.published.positions.get(0, -1) + 1
        hub.publish(update(0, LIST_ID, TASK_ID, offset, await request.body()))
        return PlainTextResponse("ok")

    async def serve_socket(scope: Scope, receive: Receive, send: Send) -> None:
        await sockets.serve(WebSocket(scope, receive, send))

    publishing = Starlette(routes=[Route("/publish", publish, methods=["POST"])])
    servers = [_http(publishing, publish_port)]
    if protocol == OURS:
        servers.append(_http(serve_socket, port))
    collect_rarely()
    await asyncio.gather(*(server.serve() for server in servers))


def _http(app: ASGIApp, port: int) -> uvicorn.Server:
    config = uvicorn.Config(
        app,
        port=port,
        loop="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        **OPTIONS,
    )
    server = uvicorn.Server(config)
    server.server_state = State()
    return server


def _no_backend() -> BroadcastBackend:
    raise AssertionError("the node is alone")


if __name__ == "__main__":
    uvloop.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
