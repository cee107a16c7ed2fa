"""Content that does not change while the process runs: served from memory, tagged, compressed once."""

from __future__ import annotations

import asyncio
from hashlib import sha256

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from api.commands.entity_tags import EntityTag
from api.http.content_coding import accepts_gzip, compressed, compressible
from api.http.representations import KEEP, not_modified, unchanged

KEEP_FOR_EVER = "public, max-age=31536000, immutable"
"""For addresses that contain a digest of the content: other content has another address."""
MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


class StaticContent:
    """Content with its entity tag. It is sent whole: range requests are not supported."""

    def __init__(self, body: bytes, suffix: str) -> None:
        self.body = body
        self._media_type = MEDIA_TYPES[suffix]
        self._tag = EntityTag(digest(body))
        self._compressible = compressible(self._media_type, len(body))
        self._compressed: bytes | None = None

    async def answer(self, request: Request, cache_control: str = KEEP) -> Response:
        """Return the content, or 304 if the caller has it. Raise `PreconditionFailed`."""
        headers = {
            "Accept-Ranges": "none",
            "Cache-Control": cache_control,
            "Content-Type": self._media_type,
            "ETag": str(self._tag),
        }
        if self._compressible:
            headers["Vary"] = "Accept-Encoding"
        known = unchanged(request, str(self._tag))
        if known is not None:
            return not_modified(Response(headers=headers), known)
        if not self._compressible or not accepts_gzip(request.headers.getlist("accept-encoding")):
            return Response(self.body, headers=headers)
        if self._compressed is None:
            self._compressed = await asyncio.to_thread(compressed, self.body)
        headers |= {"Content-Encoding": "gzip", "ETag": str(self._tag.compressed())}
        return Response(self._compressed, headers=headers)

    def route(self, path: str) -> Route:
        """Return a route for an address that stays the same when the content changes."""

        async def serve(request: Request) -> Response:
            return await self.answer(request)

        return Route(path, serve, methods=["GET"], include_in_schema=False)


def digest(content: bytes) -> str:
    """Return a short digest of the content."""
    return sha256(content).hexdigest()[:16]
