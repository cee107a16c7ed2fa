"""Request bodies: bounded, of a content type that we read, and JSON that means one thing only."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from api.problems import BodyTooLarge, UnsupportedType, invalid
from app.errors import Malformed

JSON = ("application/json",)
PATCH = ("application/merge-patch+json", "application/json")

Model = TypeVar("Model", bound=BaseModel)


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
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    if kind.strip().lower() not in types:
        raise UnsupportedType(f"send {' or '.join(types)}")
    name, _, value = parameters.strip().lower().partition("=")
    if name == "charset" and value.strip('" ') not in ("utf-8", "utf8", "us-ascii"):
        raise UnsupportedType("JSON is written in UTF-8")


def parse_object(body: bytes) -> dict[str, Any]:
    """Read a JSON object. Raises `Malformed`, also for what JSON parsers are known to disagree on."""
    try:
        value = json.loads(body.decode("utf-8-sig"), object_pairs_hook=_unique, parse_constant=_refuse)
    except UnicodeDecodeError:
        raise Malformed("the body is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise Malformed(
            f"the body is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise Malformed("the body is nested too deeply") from None
    except ValueError:
        raise Malformed("the body holds a number that is too long") from None
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Malformed(f"the body names {twice[:100]!r} twice")
    return members


def _refuse(constant: str) -> NoReturn:
    raise Malformed(f"the body holds {constant}, which is not JSON")


def validated(model: type[Model], body: Mapping[str, Any]) -> Model:
    """The body as `model`. Raises `Invalid` with the fields that are wrong."""
    try:
        return model.model_validate(body)
    except ValidationError as error:
        raise invalid(error) from None
