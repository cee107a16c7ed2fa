"""Middleware for every request and response: correlation ids, security headers, and request metrics."""

from __future__ import annotations

import time
from typing import cast

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from api.http.dependencies import Dependencies
from api.http.headers import correlation_id
from app.ids import IdFactory

CONTENT_SECURITY_POLICY = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; object-src 'none'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
}
EXPOSED_HEADERS = (
    "Allow",
    "Content-Location",
    "ETag",
    "Location",
    "Tasktape-Position",
    "X-Correlation-ID",
    "Preference-Applied",
    "Retry-After",
    "WWW-Authenticate",
)
ACCEPTED_HEADERS = (
    "Authorization",
    "Content-Type",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "Tasktape-Position",
    "X-Correlation-ID",
    "traceparent",
)


class Envelope:
    """Assigns each request its own or a new correlation id, and adds it to logs and the response."""

    def __init__(self, app: ASGIApp, new_id: IdFactory) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        identifier = correlation_id(Headers(scope=scope).get("x-correlation-id")) or self._new_id()
        scope.setdefault("state", {})["correlation_id"] = identifier

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Correlation-ID"] = identifier
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        with bound_contextvars(correlation_id=identifier):
            await self._app(scope, receive, send_with_headers)


class Timed:
    """Counts each request, with the time until its response started."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()

        def count(status: int) -> None:
            # Use the route's path template: the paths that clients request are unbounded.
            route = getattr(scope.get("route"), "path", None)
            template = None if route is None else route.replace(":path}", "}")
            http = cast("Dependencies", scope["app"].state.deps).metrics.http
            http.observe(scope["method"], template, status, time.perf_counter() - began_s)

        answered = False

        async def send_and_count(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                count(message["status"])
            await send(message)

        try:
            await self._app(scope, receive, send_and_count)
        except Exception:
            if not answered:
                count(500)  # an outer layer answers it
            raise
