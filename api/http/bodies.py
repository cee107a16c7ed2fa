"""Request bodies: bounded, of a content type that we read, and JSON that means one thing only."""

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
    """The whole body. Raises `UnsupportedType`, and `BodyTooLarge` as soon as it grows past the limit."""
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
    """The JSON object in the body; an empty one if `optional` and there is no body.

    Raises `BodyTooLarge`, `UnsupportedType` or `Malformed`.
    """
    body = await read_body(request, limit_bytes)
    if not body.strip():
        if optional:
            return {}
        raise Malformed("the body is empty; send a JSON object")
    check_type(request, types)
    return parse_object(body)


def check_type(request: Request, types: Collection[str]) -> None:
    """Check the content type. Raises `UnsupportedType`."""
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
    """Read a JSON object. Raises `Malformed`, also for what JSON parsers are known to disagree on."""
    value = read_json(body)
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value
