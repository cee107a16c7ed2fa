"""Invariants of every frame that anybody may send, and initial frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import ormsgpack
from pydantic_core import from_json

from api.contract import message_examples as examples
from api.protocol.client_messages import BadFrame, Incoming, Refused, Signal
from api.protocol.decoding import read_frame
from api.protocol.limits import MAX_BATCH, MAX_MESSAGE_BYTES
from api.protocol.server_messages import Error, SignalSent

Read = list[Incoming | Refused]
Frame = str | bytes

EXAMPLES = [example for shown in examples.FROM_CLIENT.values() for example in shown]


def seeds() -> Iterator[bytes]:
    """Return every example as `frame_of` reads it: alone and among others, in both encodings."""
    for value in (*EXAMPLES, EXAMPLES, [*EXAMPLES[:2], {"id": 1, "type": "dance"}, [], 1]):
        for batch in b"\0\1":
            yield bytes([batch]) + json.dumps(value, ensure_ascii=False).encode()
            yield bytes([batch | 2]) + ormsgpack.packb(value)


def frame_of(data: bytes) -> tuple[Frame, bool]:
    """Return a frame and whether it may be a batch, according to the first byte."""
    flags, rest = data[0] if data else 0, data[1:]
    return rest if flags & 2 else rest.decode("utf-8", "surrogateescape"), bool(flags & 1)


def check(frame: Frame, *, batch: bool, read: Callable[..., Read] = read_frame) -> None:
    """Check that a frame is decoded, refused or bad; results can be encoded, in the other encoding too."""
    try:
        found = read(frame, batch=batch)
    except BadFrame as bad:
        Error(code="malformed", message=str(bad)).encode()
        return
    assert 1 <= len(found) <= (MAX_BATCH if batch else 1)
    for each in found:
        _check_message(each)
    for other in _in_the_other_encoding(frame):
        assert comparable(read(other, batch=batch)) == comparable(found)


def comparable(found: Read) -> list[object]:
    """Return a decoded message in comparable form."""
    return [
        (each.message_id, each.code, each.detail) if isinstance(each, Refused) else each for each in found
    ]


def _check_message(found: Incoming | Refused) -> None:
    """Check that refusals and signals can be sent to sockets of either encoding."""
    if isinstance(found, Refused):
        reply = Error(id=found.message_id, code=found.code, message=found.detail).encode()
    elif isinstance(found, Signal):
        reply = SignalSent(
            channel=found.channel, kind=found.kind, data=found.data, user="u", session="s"
        ).encode()
    else:
        reply = found.model_dump_json(include={"id", "type"}).encode()
    value = from_json(reply, allow_inf_nan=False)
    assert ormsgpack.unpackb(ormsgpack.packb(value)) == value


def _in_the_other_encoding(frame: Frame) -> Iterator[Frame]:
    """Return the message in the other encoding, if that is possible within the maximum size."""
    other: Frame
    if isinstance(frame, bytes):
        other = json.dumps(ormsgpack.unpackb(frame), ensure_ascii=False)
        size = len(other.encode())
    else:
        try:
            other = ormsgpack.packb(from_json(frame))
        except (ormsgpack.MsgpackEncodeError, TypeError):
            return
        size = len(other)
    if size <= MAX_MESSAGE_BYTES:
        yield other
