"""Decoding of client frames into messages: each message is decoded or refused, or the frame is bad."""

from __future__ import annotations

from math import isfinite
from typing import Annotated

import ormsgpack
from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from api.protocol.client_messages import BadFrame, ClientId, Incoming, Refused
from api.protocol.limits import MAX_BATCH, MAX_MESSAGE_BYTES
from app.errors import Malformed
from app.text.json_text import MAX_DEPTH, inside, read_json

MAX_DETAIL_CHARACTERS = 300
BAD_ID = "id: an integer of at most 2^53, or text of at most 64 characters"
_INCOMING: TypeAdapter[Incoming] = TypeAdapter(Annotated[Incoming, Field(discriminator="type")])
_ID: TypeAdapter[int | str | None] = TypeAdapter(ClientId | None)


def read_frame(data: str | bytes, *, batch: bool) -> list[Incoming | Refused]:
    """Decode a text frame as JSON, a binary one as msgpack; with `batch` it may be an array of messages.

    An invalid message is refused without affecting the others. Raise `BadFrame` for anything but a message.
    """
    value = _from_text(data) if isinstance(data, str) else _from_binary(data)
    if not _is_plain(value):
        raise BadFrame(f"numbers must be finite, values at most {MAX_DEPTH} levels deep, and not binary")
    if batch and isinstance(value, list):
        if not 1 <= len(value) <= MAX_BATCH:
            raise BadFrame(f"a batch has 1 to {MAX_BATCH} messages")
        return [_message(each) for each in value]
    if not isinstance(value, dict):
        raise BadFrame("a message is an object")
    return [_message(value)]


def _from_text(text: str) -> object:
    _bound(len(text))  # Each character has at least one byte: text that is too long need not be encoded.
    try:
        encoded = text.encode()
        _bound(len(encoded))
        from_json(encoded, allow_inf_nan=False)  # It also refuses lone surrogates.
        return read_json(encoded, "a message")
    except Malformed as error:
        raise BadFrame(error.detail) from None
    except ValueError:
        raise BadFrame("not JSON") from None


def _from_binary(data: bytes) -> object:
    _bound(len(data))
    try:
        value = ormsgpack.unpackb(data)
    except ValueError:
        raise BadFrame("not msgpack") from None
    if _is_whole(memoryview(data)[:-1]):
        raise BadFrame("not msgpack: something follows the message")
    return value


def _bound(size_bytes: int) -> None:
    if size_bytes > MAX_MESSAGE_BYTES:
        raise BadFrame(f"a message has at most {MAX_MESSAGE_BYTES} bytes")


def _is_whole(data: memoryview) -> bool:
    """Return True if it starts with a value. The library does not report where a value ends."""
    try:
        ormsgpack.unpackb(data)
    except ValueError:
        return False
    return True


def _is_plain(value: object) -> bool:
    """Return True if both JSON and msgpack can represent it within the maximum depth."""
    level = [value]
    for _ in range(MAX_DEPTH + 1):
        kinds = set(map(type, level))  # Level by level: a frame may have tens of thousands of values.
        if bytes in kinds:
            return False
        if float in kinds and not all(isfinite(each) for each in level if isinstance(each, float)):
            return False
        if kinds.isdisjoint((dict, list)):
            return True
        level = [inner for each in level for inner in inside(each)]
    return False


def _message(value: object) -> Incoming | Refused:
    if not isinstance(value, dict):
        return Refused(None, "malformed", "a message is an object")
    try:
        return _INCOMING.validate_python(value)
    except ValidationError as error:
        return _refused(_id(value.get("id")), error)


def _id(value: object) -> int | str | None:
    """Return the id if it is valid; the error contains it."""
    try:
        return _ID.validate_python(value, strict=True)
    except ValidationError:
        return None


def _refused(message_id: int | str | None, error: ValidationError) -> Refused:
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    if first["type"] == "union_tag_invalid":
        return Refused(message_id, "unknown_type", "there is no message of this type")
    if first["type"] == "union_tag_not_found":
        return Refused(message_id, "malformed", "a message has a type")
    if first["loc"][1:2] == ("id",):
        return Refused(message_id, "malformed", BAD_ID)
    # The first part of a location is the message's type, the discriminator of the union.
    where = ".".join(str(part) for part in first["loc"][1:])
    return Refused(message_id, "malformed", f"{where}: {first['msg']}"[:MAX_DETAIL_CHARACTERS])
