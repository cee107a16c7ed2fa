"""Request bodies: limited in size, of an accepted content type, and JSON that all parsers read alike."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from starlette.requests import Request

from api.http.problems import BodyTooLarge, UnsupportedType
from app.errors import Malformed
from app.text.json_text import read_json

JSON = ("application/json",)
PATCH = ("application/merge-patch+json", "application/json")


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Return the whole body. Raise `UnsupportedType`, or `BodyTooLarge` as soon as it exceeds the limit."""
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedType("send the body as it is, without a content encoding")
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > limit_bytes:
        raise BodyTooLarge(f"a body may have {limit_bytes} bytes at most")
    chunks = bytearray()
    async for chunk in request.stream():
        chunks += chunk
        if len(chunks) > limit_bytes:
            raise BodyTooLarge(f"a body may have {limit_bytes} bytes at most")
    return bytes(chunks)


async def read_object(
    request: Request, limit_bytes: int, types: Collection[str] = JSON, *, optional: bool = False
) -> dict[str, Any]:
    """Return the JSON object in the body; an empty one if `optional` and there is no body.

    Raise `BodyTooLarge`, `UnsupportedType` or `Malformed`.
    """
    body = await read_body(request, limit_bytes)
    if not body.strip():
        if optional:
            return {}
        raise Malformed("the body is empty; send a JSON object")
    check_type(request, types)
    return parse_object(body)


def check_type(request: Request, types: Collection[str]) -> None:
    """Check the content type. Raise `UnsupportedType` if it is not one of `types`."""
    given = request.headers.getlist("content-type")
    kind, parameters = _media_type(given[0]) if len(given) == 1 else ("", {})
    if kind not in types:
        raise UnsupportedType(f"send {' or '.join(types)}")
    if parameters.get("charset", "utf-8") not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedType("JSON is written in UTF-8")


def _media_type(header: str) -> tuple[str, dict[str, str]]:
    """Return the media type and its parameters, in lower case and without quotes (RFC 9110)."""
    kind, *parameters = header.lower().split(";")
    pairs = (parameter.partition("=") for parameter in parameters)
    return kind.strip(), {name.strip(): value.strip().strip('"') for name, _, value in pairs}


def parse_object(body: bytes) -> dict[str, Any]:
    """Parse a JSON object. Raise `Malformed`, also for JSON that parsers are known to disagree on."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value
