"""Finishing of responses: entity tags, conditional requests, caching and content coding."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from api.commands.entity_tags import EntityTag, Tags, parse_tags, read_tag, tag_of_content
from api.http.content_coding import accepts_gzip, compressed, compressible
from app.errors import Malformed, PreconditionFailed

SAFE_METHODS = frozenset({"GET", "HEAD"})
KEEP_PRIVATELY = "private, no-cache"
"""Cache privately, and revalidate each time: most often the response is 304."""
KEEP = "no-cache"
IN_THREAD_BYTES = 128 * 1024
"""Bodies of this size take milliseconds to compress, so a thread compresses them outside the event loop."""
_CONDITIONS = frozenset({b"if-match", b"if-none-match"})
_OF_CONTENT = frozenset({"content-length", "content-type", "content-encoding"})


async def finished(request: Request, response: Response, *, private: bool) -> Response:
    """Return the response with its tag, or 304; compress it if accepted. Raise `PreconditionFailed`."""
    if request.method in SAFE_METHODS and response.status_code == 200:
        headers = response.headers
        headers.setdefault("Cache-Control", KEEP_PRIVATELY if private else KEEP)
        if "etag" not in headers:
            headers["ETag"] = str(tag_of_content(response.body))
        headers.add_vary_header("Authorization, Accept-Encoding" if private else "Accept-Encoding")
        tag = unchanged(request, headers["etag"])
        if tag is not None:
            return not_modified(response, tag)
    return await _coded(request, response)


def unchanged(request: Request, current: str) -> EntityTag | None:
    """Return the current tag if the caller already has this content. Raise `PreconditionFailed`."""
    if not any(name in _CONDITIONS for name, _ in request.scope["headers"]):
        return None
    tag = read_tag(current)
    wanted = parse_tags("If-Match", request.headers.getlist("if-match"))
    if wanted is not None and not wanted.strongly(tag):
        raise PreconditionFailed(f"If-Match does not match the current version, {tag}")
    known = _known(request)
    return None if known is None else known.weakly(tag)


def _known(request: Request) -> Tags | None:
    """Parse `If-None-Match`; a tag that cannot be parsed was not sent by us, so the content has changed."""
    try:
        return parse_tags("If-None-Match", request.headers.getlist("if-none-match"))
    except Malformed:
        return None


def not_modified(response: Response, tag: EntityTag) -> Response:
    """Return 304 with the headers that the full response would have had (RFC 9110, 15.4.5)."""
    kept = {name: value for name, value in response.headers.items() if name not in _OF_CONTENT}
    return Response(status_code=304, headers=kept | {"etag": str(tag)})


async def _coded(request: Request, response: Response) -> Response:
    headers, body = response.headers, response.body
    if not compressible(headers.get("content-type", ""), len(body)):
        return response
    if "accept-encoding" not in headers.get("vary", "").lower():
        headers.add_vary_header("Accept-Encoding")
    if not accepts_gzip(request.headers.getlist("accept-encoding")):
        return response
    smaller = compressed(body) if len(body) < IN_THREAD_BYTES else await asyncio.to_thread(compressed, body)
    response.body = smaller
    headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(smaller))
    if "etag" in headers:
        headers["ETag"] = str(read_tag(headers["etag"]).compressed())
    return response
