"""Socket.IO at `/socket.io/`: the same hub for frontends that use Socket.IO.

python-socketio manages the connections, over WebSockets or long polling. Its rooms are not used: a client
gets what its session sends, and a packet is encoded once for all clients.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Collection
from typing import Any

import anyio
from socketio import ASGIApp, AsyncServer
from socketio.exceptions import ConnectionRefusedError as Refusal
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from api.http.problems import TooMany, deny, problem
from api.protocol import close_codes
from api.protocol.close_codes import CloseReason
from api.protocol.limits import MAX_MESSAGE_BYTES
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.transports.connection_lifecycle import check_address, check_origin
from api.transports.socket_io.client import Answer, SocketIoClient
from api.transports.socket_io.engine_connection import EngineConnection
from api.transports.socket_io.packets import TextPacket
from api.transports.socket_io.requests import REQUESTS, Request, members_of
from api.transports.websocket.wire import CLOSE_TIMEOUT_S, EXTENSION, Wire
from app.errors import Malformed, TaskError, Unauthenticated, Unavailable

PATH = "/socket.io"
_CONNECTION = "tasktape.connection"
NO_PACKET = CloseReason(close_codes.BAD_MESSAGE, "not an Engine.IO packet")
NO_SESSION = "there is no such session at this process: connect again"
NO_POLLING = (
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
        for name, request in REQUESTS.items():
            server.on(name, self._answering(request))
        self._wrap_engine_handlers(server)
        return server

    def _wrap_engine_handlers(self, server: AsyncServer) -> None:
        """Also handle connections before they have a client and after it has left, and all their messages."""
        handlers, hang_up = dict(server.eio.handlers), server.eio.disconnect

        async def connect(engine_id: str, environ: dict[str, Any]) -> object:
            refusal = self._open(engine_id, environ)
            return refusal or await handlers["connect"](engine_id, environ)

        async def message(engine_id: str, data: object) -> None:
            client = self._client_of(engine_id)
            if client is None or client.admits():
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
        is_socket = scope["type"] == "websocket"
        try:
            self._check(HTTPConnection(scope))
        except TaskError as refusal:
            if is_socket:
                await deny(WebSocket(scope, receive, send), refusal)
            else:
                await problem(refusal)(scope, receive, send)
            return
        await (self._serve_socket if is_socket else self._serve_request)(scope, receive, send)

    def _check(self, connection: HTTPConnection) -> None:
        """Raise `TaskError` if the connection is refused."""
        check_origin(connection, self._origins)
        session = connection.query_params.get("sid")
        if session is not None:
            if session not in self._server.eio.sockets:
                raise Malformed(NO_SESSION)
            return
        if self._shares_port and connection.query_params.get("transport") == "polling":
            raise Malformed(NO_POLLING)
        check_address(self._relay, connection.scope)

    async def _serve_request(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of a client that polls."""
        session = QueryParams(scope["query_string"]).get("sid")
        try:
            await self._app(scope, receive, send)
        except KeyError:
            if session in self._server.eio.sockets:
                raise
            # It has just ended.
            await problem(Malformed(NO_SESSION))(scope, receive, send)

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
        try:
            connection.open(engine_id, self._relay, self._connection_registry, scope)
        except TooMany as refusal:
            return refusal.detail
        environ[_CONNECTION] = connection
        self._connections[engine_id] = connection
        return None

    def _gone(self, engine_id: str) -> None:
        connection = self._connections.pop(engine_id, None)
        if connection is not None:
            connection.gone()

    def _client_of(self, engine_id: str) -> SocketIoClient | None:
        """Return the client of a connection, once it has joined the default namespace."""
        connection = self._connections.get(engine_id)
        return connection.client if connection is not None and connection.client_id else None

    # --- clients -----------------------------------------------------------------------------------------

    async def _connect(self, client_id: str, environ: dict[str, Any], auth: object = None) -> None:
        """Register a client; authenticate or refuse it by the handshake's token, if there is one."""
        connection: EngineConnection = environ[_CONNECTION]
        client = connection.client
        if client is None or connection.client_id:
            raise Refusal("there is a client at this connection already")
        given = members_of(auth, "token", "userId")
        if given["token"] is not None:
            await self._check_token(given["token"], given["userId"])
        connection.client_id = client_id
        self._clients[client_id] = client
        if self._connection_registry.draining:
            client.close(close_codes.RESTARTING)
        elif given["token"] is not None:
            client.begin(given["token"])

    async def _check_token(self, token: object, user: object) -> None:
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

    def _answering(self, request: Request) -> Callable[..., Awaitable[Answer | None]]:
        """Return the handler of an event, which answers its request."""

        async def answer(client_id: str, data: object = None, *rest: object) -> Answer | None:
            del rest
            client = self._clients.get(client_id)
            return None if client is None else await request(client, data)

        return answer


async def _serve(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve with the node of the application."""
    await scope["app"].state.live.socketio(scope, receive, send)


def socketio_route() -> Mount:
    """Return the route of the endpoint."""
    return Mount(PATH, _serve)
