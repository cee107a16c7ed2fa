"""Socket.IO at `/socket.io/`: frontends that speak it are fed by the same hub.

python-socketio keeps the connections, over WebSockets or long polling. Rooms are not used: what a client gets
is what its session gets, and a packet is made once for all of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection
from typing import Any

import anyio
from socketio import ASGIApp, AsyncServer
from socketio.exceptions import ConnectionRefusedError as Refusal
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from api.http.problems import deny, problem
from api.protocol import close_codes
from api.protocol import messages as protocol
from api.protocol.close_codes import CloseReason
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.relay.rate_limits import network_of
from api.transports.socket_io.client import Answer, SocketIoClient, said_by
from api.transports.socket_io.engine_connection import EngineConnection
from api.transports.socket_io.packets import TextPacket
from api.transports.websocket.endpoint import OTHER_ORIGIN, TOO_MANY_FROM_ADDRESS, origin_allowed
from api.transports.websocket.wire import EXTENSION, FAREWELL_S, Wire
from app.errors import Malformed, TaskError, Unauthenticated, Unavailable

PATH = "/socket.io"
_LINE = "tasktape.line"
NO_PACKET = CloseReason(close_codes.BAD_MESSAGE, "not an Engine.IO packet")
NO_SESSION = Malformed("there is no such session at this process: connect anew")
NO_POLLING = Malformed(
    "long polling needs one process for all requests of a client, and several share this port: "
    'connect with {transports: ["websocket"]}'
)


class SocketIo:
    """All Socket.IO clients of this node."""

    def __init__(
        self,
        relay: Relay,
        *,
        origins: Collection[str],
        connection_registry: ConnectionRegistry,
        shares_port: bool = False,
    ) -> None:
        self._relay = relay
        self._shares_port = shares_port
        self._origins = frozenset(origins)
        self._connection_registry = connection_registry
        self._lines: dict[str, EngineConnection] = {}
        self._clients: dict[str, SocketIoClient] = {}
        self._server = self._make_server()
        self._app = ASGIApp(self._server, socketio_path=PATH)

    def _make_server(self) -> AsyncServer:
        # What clients do wrong is answered; it is not worth a traceback each.
        quiet = logging.getLogger("tasktape.socketio")
        quiet.disabled = True
        server = AsyncServer(
            async_mode="asgi",
            cors_allowed_origins=[],  # The application sees to that.
            ping_interval=self._relay.ping_s,
            ping_timeout=self._relay.ping_s,
            max_http_buffer_size=protocol.MAX_MESSAGE_BYTES,
            http_compression=False,
            serializer=TextPacket,
            logger=quiet,
            engineio_logger=quiet,
        )
        server.on("connect", self._connect)
        server.on("disconnect", self._disconnect)
        server.on("authenticate", self._authenticate)
        server.on("subscribe:task", self._subscribe)
        server.on("unsubscribe:task", self._unsubscribe)
        self._follow_engine(server)
        return server

    def _follow_engine(self, server: AsyncServer) -> None:
        """Hear of connections also before a client is there, and after it has left; and of all it says."""
        handlers, hang_up = dict(server.eio.handlers), server.eio.disconnect

        async def connect(engine_id: str, environ: dict[str, Any]) -> object:
            refusal = self._open(engine_id, environ)
            return refusal or await handlers["connect"](engine_id, environ)

        async def message(engine_id: str, data: object) -> None:
            line = self._lines.get(engine_id)
            if line is None or line.client is None or line.client.admits():
                await handlers["message"](engine_id, data)

        async def disconnect(engine_id: str, reason: str) -> None:
            await handlers["disconnect"](engine_id, reason)
            self._gone(engine_id)

        async def hang_up_soon(engine_id: str) -> None:
            # Of itself it waits until the client has taken what is left, which it may never do.
            with anyio.move_on_after(FAREWELL_S):
                await hang_up(engine_id)

        server.eio.disconnect = hang_up_soon
        server.eio.on("connect", connect)
        server.eio.on("message", message)
        server.eio.on("disconnect", disconnect)

    async def stop(self) -> None:
        """Look after the connections no longer."""
        await self._server.shutdown()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a WebSocket."""
        refusal = self._refusal(HTTPConnection(scope))
        if scope["type"] == "websocket":
            if refusal is not None:
                await deny(WebSocket(scope, receive, send), refusal)
            else:
                await self._serve_socket(scope, receive, send)
        elif refusal is not None:
            await problem(refusal)(scope, receive, send)
        else:
            await self._serve_request(scope, receive, send)

    def _refusal(self, connection: HTTPConnection) -> TaskError | None:
        """Why one may not come in, if so."""
        if not origin_allowed(connection, self._origins):
            return OTHER_ORIGIN
        session = connection.query_params.get("sid")
        if session is not None:
            return None if session in self._server.eio.sockets else NO_SESSION
        if self._shares_port and connection.query_params.get("transport") == "polling":
            return NO_POLLING
        return TOO_MANY_FROM_ADDRESS if self._is_full(_address_of(connection.scope)) else None

    def _is_full(self, address: str) -> bool:
        if not self._relay.quotas.addresses.is_full(address):
            return False
        self._relay.counters.limited["address_connections"] += 1
        return True

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of a client that polls."""
        session = QueryParams(scope["query_string"]).get("sid")
        try:
            await self._app(scope, receive, send)
        except KeyError:
            if session in self._server.eio.sockets:
                raise
            # It has ended a moment ago.
            await problem(NO_SESSION)(scope, receive, send)

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket, of a line that has polled until now or of a new one."""
        known = QueryParams(scope["query_string"]).get("sid", "")
        line = scope[_LINE] = self._lines.get(known) or EngineConnection(self._server)
        wire: Wire | None = scope.get("extensions", {}).get(EXTENSION)
        if wire is not None:
            line.wires.append(wire)
        try:
            await self._app(scope, receive, send)
        except Exception:  # noqa: BLE001
            # What is no packet comes up to here, and leaves all open behind it.
            await line.hung_up(NO_PACKET)
        finally:
            if wire is not None:
                line.wires.remove(wire)

    # --- lines -------------------------------------------------------------------------------------------

    def _open(self, engine_id: str, environ: dict[str, Any]) -> str | None:
        """Take in a connection; or else say why not."""
        scope = environ["asgi.scope"]
        line: EngineConnection = scope.get(_LINE) or EngineConnection(self._server)
        line.engine_id, line.address = engine_id, _address_of(scope)
        if not self._relay.quotas.addresses.take(line.address):
            self._relay.counters.limited["address_connections"] += 1
            return TOO_MANY_FROM_ADDRESS.detail
        environ[_LINE] = line
        self._lines[engine_id] = line
        line.deadline = asyncio.get_running_loop().call_later(
            self._relay.authentication_s, self._look_for_client, line
        )
        self._connection_registry.add(line)
        return None

    @staticmethod
    def _look_for_client(line: EngineConnection) -> None:
        """Hang up where nobody came to speak."""
        if line.client is None:
            line.hang_up(close_codes.NOT_AUTHENTICATED)

    def _gone(self, engine_id: str) -> None:
        line = self._lines.pop(engine_id, None)
        if line is None:
            return
        if line.deadline is not None:
            line.deadline.cancel()
        line.close(None)
        self._relay.quotas.addresses.release(line.address)
        self._connection_registry.discard(line)

    # --- clients -----------------------------------------------------------------------------------------

    async def _connect(self, client_id: str, environ: dict[str, Any], auth: object = None) -> None:
        """Take a client in; who shows a token already is let in by it, or refused."""
        line: EngineConnection = environ[_LINE]
        if line.client is not None:
            raise Refusal("there is a client at this connection already")
        given = said_by(auth, "token", "userId")
        if given["token"] is not None:
            await self._check(given["token"], given["userId"])
        line.client_id, line.client = client_id, SocketIoClient(self._relay, line)
        self._clients[client_id] = line.client
        if self._connection_registry.draining:
            line.client.close(close_codes.RESTARTING)
        elif given["token"] is not None:
            line.client.begin(given["token"])

    async def _check(self, token: object, user: object) -> None:
        """Refuse a token that is no good, or another user's. Raises `Refusal`."""
        try:
            identity = await self._relay.verifier.verify(token if isinstance(token, str) else "")
        except Unauthenticated as error:
            raise Refusal(error.detail) from None
        except Unavailable:
            return  # The session sends it away for a while.
        if user is not None and user != identity.user:
            raise Refusal("the token is another user's")

    async def _disconnect(self, client_id: str, reason: str) -> None:
        """Forget a client, and hang up where it left."""
        del reason
        client = self._clients.pop(client_id, None)
        if client is not None:
            client.close(None)

    async def _authenticate(self, client_id: str, data: object = None, *rest: object) -> Answer | None:
        del rest
        client = self._clients.get(client_id)
        given = said_by(data, "token", "userId")
        return None if client is None else await client.authenticate(given["token"], given["userId"])

    async def _subscribe(self, client_id: str, data: object = None, *rest: object) -> Answer | None:
        del rest
        client = self._clients.get(client_id)
        return None if client is None else await client.subscribe(_task_id(data))

    async def _unsubscribe(self, client_id: str, data: object = None, *rest: object) -> Answer | None:
        del rest
        client = self._clients.get(client_id)
        return None if client is None else await client.unsubscribe(_task_id(data))


def _address_of(scope: Scope) -> str:
    """What a connection is counted for."""
    return network_of((scope.get("client") or ("",))[0])


def _task_id(data: object) -> object:
    """The task that is named by its id, or by an object that has it."""
    return data if isinstance(data, str) else said_by(data, "taskId")["taskId"]


async def _serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve with the node of the application."""
    await scope["app"].state.live.socketio(scope, receive, send)


def socketio_route() -> Mount:
    """The route that clients come in by."""
    return Mount(PATH, _serve)
