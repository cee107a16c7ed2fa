"""The last touch to an answer: its entity tag, the conditions of the request, caching and content coding."""

from __future__ import annotations

import asyncio

from starlette.requests import Request
from starlette.responses import Response

from api.commands.entity_tags import EntityTag, Tags, parse_tags, read_tag, tag_of_content
from api.http.content_coding import accepts_gzip, compressed, compressible
from app.errors import Malformed, PreconditionFailed

SAFE_METHODS = frozenset({"GET", "HEAD"})
KEEP_PRIVATELY = "private, no-cache"
"""Keep it for the one who asked, and ask again each time: most often the answer is 304."""
KEEP = "no-cache"
IN_THREAD_BYTES = 128 * 1024
"""What takes milliseconds to compress is compressed beside the loop."""
_OF_CONTENT = frozenset({"content-length", "content-type", "content-encoding"})


async def finished(request: Request, response: Response, *, private: bool) -> Response:
    """Return the answer with its tag, or 304, compressed if that is accepted. Raises `PreconditionFailed`."""
    if request.method in SAFE_METHODS and response.status_code == 200:
        headers = response.headers
        headers.setdefault("Cache-Control", KEEP_PRIVATELY if private else KEEP)
        if "etag" not in headers:
            headers["ETag"] = str(tag_of_content(response.body))
        if private:
            headers.add_vary_header("Authorization")
        headers.add_vary_header("Accept-Encoding")
        tag = unchanged(request, read_tag(headers["etag"]))
        if tag is not None:
            return not_modified(response, tag)
    return await _coded(request, response)


def unchanged(request: Request, tag: EntityTag) -> EntityTag | None:
    """Return the tag that the caller has already, if it is this one. Raises `PreconditionFailed`."""
    wanted = parse_tags("If-Match", request.headers.getlist("if-match"))
    if wanted is not None and not wanted.strongly(tag):
        raise PreconditionFailed(f"If-Match names another version than {tag}")
    known = _known(request)
    return None if known is None else known.weakly(tag)


def _known(request: Request) -> Tags | None:
    """Read `If-None-Match`; what can't be read is nothing that we sent, and so has changed."""
    try:
        return parse_tags("If-None-Match", request.headers.getlist("if-none-match"))
    except Malformed:
        return None


def not_modified(response: Response, tag: EntityTag) -> Response:
    """Return 304 with the headers that the answer would have had (RFC 9110, 15.4.5)."""
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
