"""Check the addresses of requests: decode percent-encoded text strictly before anything else reads it.

The libraries below replace each byte that is not UTF-8 by U+FFFD: `Ren%E9` and `Ren%E8` would be the same
person.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocket

from api.http.problems import correlation_id_of, deny, problem
from app.errors import Malformed

_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")


class Addressed:
    """Middleware that refuses requests and handshakes whose address is not valid text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            if scope["type"] in ("http", "websocket"):
                check_address(scope)
        except Malformed as error:
            if scope["type"] == "websocket":
                await deny(WebSocket(scope, receive, send), error)
            else:
                await problem(error, correlation_id_of(HTTPConnection(scope)))(scope, receive, send)
            return
        await self._app(scope, receive, send)


def check_address(scope: Scope) -> None:
    """Check the path and the query string. Raise `Malformed` if one is not valid."""
    _check(scope.get("raw_path") or b"", "path")
    _check(scope["query_string"], "query string")


def _check(encoded: bytes, part: str) -> None:
    if not encoded.isascii():
        raise Malformed(f"the {part} has bytes that are not ASCII: percent-encode them, as UTF-8")
    if b"%" not in encoded:
        return
    if _BROKEN_ESCAPE.search(encoded):
        raise Malformed(f"the {part} has a % without two hexadecimal digits; write %25 for the sign itself")
    try:
        unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError:
        raise Malformed(f"the {part} is not UTF-8 after percent-decoding") from None
