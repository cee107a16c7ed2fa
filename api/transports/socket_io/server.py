"""Socket.IO at `/socket.io/`: the same hub for frontends that use Socket.IO.

python-socketio manages the connections, over WebSockets or long polling. Its rooms are not used: a client
gets what its session sends, and a packet is encoded once for all clients.
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
from api.protocol.close_codes import CloseReason
from api.protocol.limits import MAX_MESSAGE_BYTES
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.relay.rate_limits import network_of
from api.transports.socket_io.client import Answer, SocketIoClient, members_of
from api.transports.socket_io.engine_connection import EngineConnection
from api.transports.socket_io.packets import TextPacket
from api.transports.websocket.endpoint import OTHER_ORIGIN, TOO_MANY_FROM_ADDRESS, origin_allowed
from api.transports.websocket.wire import CLOSE_TIMEOUT_S, EXTENSION, Wire
from app.errors import Malformed, TaskError, Unauthenticated, Unavailable

PATH = "/socket.io"
_CONNECTION = "tasktape.connection"
NO_PACKET = CloseReason(close_codes.BAD_MESSAGE, "not an Engine.IO packet")
NO_SESSION = Malformed("there is no such session at this process: connect again")
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
        self._connections: dict[str, EngineConnection] = {}
        self._clients: dict[str, SocketIoClient] = {}
        self._server = self._make_server()
        self._app = ASGIApp(self._server, socketio_path=PATH)

    def _make_server(self) -> AsyncServer:
        # Errors of clients are answered; they are not worth a traceback each.
        quiet = logging.getLogger("tasktape.socketio")
        quiet.disabled = True
        server = AsyncServer(
            async_mode="asgi",
            cors_allowed_origins=[],  # The application checks origins.
            ping_interval=self._relay.ping_s,
            ping_timeout=self._relay.ping_s,
            max_http_buffer_size=MAX_MESSAGE_BYTES,
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
        self._wrap_engine_handlers(server)
        return server

    def _wrap_engine_handlers(self, server: AsyncServer) -> None:
        """Also handle connections before they have a client and after it has left, and all their messages."""
        handlers, hang_up = dict(server.eio.handlers), server.eio.disconnect

        async def connect(engine_id: str, environ: dict[str, Any]) -> object:
            refusal = self._open(engine_id, environ)
            return refusal or await handlers["connect"](engine_id, environ)

        async def message(engine_id: str, data: object) -> None:
            connection = self._connections.get(engine_id)
            if connection is None or connection.client is None or connection.client.admits():
                await handlers["message"](engine_id, data)

        async def disconnect(engine_id: str, reason: str) -> None:
            await handlers["disconnect"](engine_id, reason)
            self._gone(engine_id)

        async def hang_up_soon(engine_id: str) -> None:
            # By default it waits until the client has read the rest, which it may never do.
            with anyio.move_on_after(CLOSE_TIMEOUT_S):
                await hang_up(engine_id)

        server.eio.disconnect = hang_up_soon
        server.eio.on("connect", connect)
        server.eio.on("message", message)
        server.eio.on("disconnect", disconnect)

    async def stop(self) -> None:
        """Stop managing the connections."""
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
        """Return the reason to refuse a connection, if there is one."""
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
            # It has just ended.
            await problem(NO_SESSION)(scope, receive, send)

    async def _serve_socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a WebSocket, of a connection that has polled until now or of a new one."""
        known = QueryParams(scope["query_string"]).get("sid", "")
        connection = scope[_CONNECTION] = self._connections.get(known) or EngineConnection(self._server)
        wire: Wire | None = scope.get("extensions", {}).get(EXTENSION)
        if wire is not None:
            connection.wires.append(wire)
        try:
            await self._app(scope, receive, send)
        except Exception:  # noqa: BLE001
            # An invalid packet raises up to here, and leaves everything open.
            await connection.hung_up(NO_PACKET)
        finally:
            if wire is not None:
                connection.wires.remove(wire)

    # --- connections -------------------------------------------------------------------------------------

    def _open(self, engine_id: str, environ: dict[str, Any]) -> str | None:
        """Register a connection, or return the reason to refuse it."""
        scope = environ["asgi.scope"]
        connection: EngineConnection = scope.get(_CONNECTION) or EngineConnection(self._server)
        connection.engine_id, connection.address = engine_id, _address_of(scope)
        if not self._relay.quotas.addresses.take(connection.address):
            self._relay.counters.limited["address_connections"] += 1
            return TOO_MANY_FROM_ADDRESS.detail
        environ[_CONNECTION] = connection
        self._connections[engine_id] = connection
        connection.deadline = asyncio.get_running_loop().call_later(
            self._relay.authentication_s, self._look_for_client, connection
        )
        self._connection_registry.add(connection)
        return None

    @staticmethod
    def _look_for_client(connection: EngineConnection) -> None:
        """Hang up a connection without a client."""
        if connection.client is None:
            connection.hang_up(close_codes.NOT_AUTHENTICATED)

    def _gone(self, engine_id: str) -> None:
        connection = self._connections.pop(engine_id, None)
        if connection is None:
            return
        if connection.deadline is not None:
            connection.deadline.cancel()
        connection.close(None)
        self._relay.quotas.addresses.release(connection.address)
        self._connection_registry.discard(connection)

    # --- clients -----------------------------------------------------------------------------------------

    async def _connect(self, client_id: str, environ: dict[str, Any], auth: object = None) -> None:
        """Register a client; authenticate or refuse it by the handshake's token, if there is one."""
        connection: EngineConnection = environ[_CONNECTION]
        if connection.client is not None:
            raise Refusal("there is a client at this connection already")
        given = members_of(auth, "token", "userId")
        if given["token"] is not None:
            await self._check(given["token"], given["userId"])
        connection.client_id, connection.client = client_id, SocketIoClient(self._relay, connection)
        self._clients[client_id] = connection.client
        if self._connection_registry.draining:
            connection.client.close(close_codes.RESTARTING)
        elif given["token"] is not None:
            connection.client.begin(given["token"])

    async def _check(self, token: object, user: object) -> None:
        """Refuse an invalid token, or another user's. Raise `Refusal`."""
        try:
            identity = await self._relay.verifier.verify(token if isinstance(token, str) else "")
        except Unauthenticated as error:
            raise Refusal(error.detail) from None
        except Unavailable:
            return  # The session closes it for a while.
        if user is not None and user != identity.user:
            raise Refusal("the token is another user's")

    async def _disconnect(self, client_id: str, reason: str) -> None:
        """Remove a client, and hang up."""
        del reason
        client = self._clients.pop(client_id, None)
        if client is not None:
            client.close(None)

    async def _authenticate(self, client_id: str, data: object = None, *rest: object) -> Answer | None:
        del rest
        client = self._clients.get(client_id)
        given = members_of(data, "token", "userId")
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
    """Return the address that a connection counts for."""
    return network_of((scope.get("client") or ("",))[0])


def _task_id(data: object) -> object:
    """Return the task's id, given directly or in an object."""
    return data if isinstance(data, str) else members_of(data, "taskId")["taskId"]


async def _serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve with the node of the application."""
    await scope["app"].state.live.socketio(scope, receive, send)


def socketio_route() -> Mount:
    """Return the route of the endpoint."""
    return Mount(PATH, _serve)
