"""The middleware around every request: correlation ids, security headers, and request metrics."""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import cast

from starlette.datastructures import Headers
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
_DEFAULT_HEADERS = tuple(
    (name.lower().encode(), value.encode())
    for name, value in (SECURITY_HEADERS | {"Cache-Control": "no-store"}).items()
)
EXPOSED_HEADERS = (
    "Allow",
    "Content-Disposition",
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
    """Identifies and counts each request, and adds the headers that every response has.

    The correlation id is the caller's or a new one; logs and the response have it. It is one layer, because
    each layer costs every message of every response two calls.
    """

    def __init__(self, app: ASGIApp, new_id: IdFactory) -> None:
        self._app = app
        self._new_id = new_id

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began_s = time.perf_counter()
        identifier = correlation_id(Headers(scope=scope).get("x-correlation-id")) or self._new_id()
        scope.setdefault("state", {})["correlation_id"] = identifier
        answered = False

        async def send_with_headers(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                answered = True
                _count(scope, message["status"], time.perf_counter() - began_s)
                message["headers"] = _complete(message.get("headers", ()), identifier)
            await send(message)

        with bound_contextvars(correlation_id=identifier):
            try:
                await self._app(scope, receive, send_with_headers)
            except Exception:
                if not answered:  # an outer layer answers it
                    _count(scope, 500, time.perf_counter() - began_s)
                raise


def _count(scope: Scope, status: int, seconds: float) -> None:
    """Count a response with the time until it started."""
    # Use the route's path template: the paths that clients request are unbounded.
    route = getattr(scope.get("route"), "path", None)
    template = None if route is None else route.replace(":path}", "}")
    http = cast("Dependencies", scope["app"].state.deps).metrics.http
    http.observe(scope["method"], template, status, seconds)


def _complete(headers: Iterable[tuple[bytes, bytes]], identifier: str) -> list[tuple[bytes, bytes]]:
    """Return the headers with the correlation id, and with those that every response has by default."""
    complete = [(b"x-correlation-id", identifier.encode("latin-1")), *headers]
    present = {name for name, _ in headers}
    complete += [header for header in _DEFAULT_HEADERS if header[0] not in present]
    return complete
