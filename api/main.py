"""The application: routes, middleware and error handlers around a node."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.types import Lifespan, Receive, Scope, Send
from starlette.websockets import WebSocket

from api.docs import docs_routes
from api.endpoints.table import ENDPOINTS
from api.http.addresses import Addressed
from api.http.cors import METHODS, PREFLIGHT_S, Cors
from api.http.middleware import ACCEPTED_HEADERS, EXPOSED_HEADERS, Envelope
from api.http.problems import on_http_exception, on_task_error, on_unexpected
from api.http.routing import routes
from api.node import Node, new_id, open_node
from api.pages import page_routes
from api.transports.socket_io.server import socketio_route
from app.errors import TaskError
from app.settings import Settings


def create_app(settings: Settings) -> Starlette:
    """Return the application, which opens its node when it starts and closes it when it stops."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_node(settings) as node:
            attach(app, node)
            yield

    return application(settings, lifespan)


def application(settings: Settings, lifespan: Lifespan[Starlette] | None = None) -> Starlette:
    """Return the application without a node; `attach` adds one before the first request."""
    app = _Application(
        routes=[
            *routes(ENDPOINTS),
            *docs_routes(),
            socketio_route(),
            *page_routes(),
        ],
        middleware=[
            Middleware(Envelope, new_id=new_id),
            Middleware(
                Cors,
                allow_origins=settings.cors_origin,
                allow_methods=METHODS,
                allow_headers=ACCEPTED_HEADERS,
                expose_headers=EXPOSED_HEADERS,
                max_age=PREFLIGHT_S,
            ),
            Middleware(Addressed),
        ],
        exception_handlers={
            TaskError: on_task_error,
            HTTPException: on_http_exception,
            Exception: on_unexpected,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return app


def attach(app: Starlette, node: Node) -> None:
    """Attach a node to the application."""
    app.state.deps = node.deps
    app.state.live = node.live


class _Application(Starlette):
    """Serves the sockets of `/ws` directly, without the middleware of requests.

    The middleware answers errors as problems, adds headers, and measures; it would also stay around each open
    socket.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request or a socket."""
        if scope["type"] == "websocket" and scope["path"] == "/ws":
            scope["app"] = self
            await self.state.live.sockets.serve(WebSocket(scope, receive, send))
        else:
            await super().__call__(scope, receive, send)
