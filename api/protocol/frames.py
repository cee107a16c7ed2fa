"""Frames for sockets: each message encoded once as JSON, and once in each form that clients negotiate.

A form is a whole WebSocket frame (RFC 6455, section 5.2), so the same bytes are written to every socket with
that form. For this reason compressed messages (RFC 7692) share no context with others.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import ormsgpack
from pydantic_core import from_json

MAX_BATCH_MESSAGES = 256
"""The most messages in one array."""
MAX_BATCH_BYTES = 512 * 1024
DEFLATED_FROM_BYTES = 256
"""Smaller payloads are not compressed."""
WINDOW_BITS = 12
_LEVEL, _MEMORY_LEVEL = 6, 5
_TEXT, _BINARY, _DEFLATED, _LAST = 0x81, 0x82, 0x40, 0x80


@dataclass(frozen=True, slots=True, eq=False)
class Codec:
    """The encoding that a client negotiated; one instance for each kind, compared by identity."""

    packed: bool = False
    """Use msgpack instead of JSON."""
    deflated: bool = False
    batched: bool = False
    """Allow several messages in an array."""

    @property
    def name(self) -> str:
        """Return its name in metrics."""
        words = ("msgpack" if self.packed else "json", "deflate" * self.deflated, "batch" * self.batched)
        return "-".join(filter(None, words))

    def frame(self, payload: bytes) -> bytes:
        """Return a payload as one frame."""
        first = _BINARY if self.packed else _TEXT
        if self.deflated and len(payload) >= DEFLATED_FROM_BYTES:
            first, payload = first | _DEFLATED, _deflated(payload)
        size = len(payload)
        if size < 126:
            return bytes((first, size)) + payload
        if size < 65_536:
            return bytes((first, 126)) + size.to_bytes(2) + payload
        return bytes((first, 127)) + size.to_bytes(8) + payload

    def array(self, payloads: Sequence[bytes]) -> bytes:
        """Return the payload of an array of payloads."""
        if not self.packed:
            return b"[%s]" % b",".join(payloads)
        return _array_head(len(payloads)) + b"".join(payloads)


CODECS = tuple(
    Codec(packed, deflated, batched)
    for packed in (False, True)
    for deflated in (False, True)
    for batched in (False, True)
)
JSON, PACKED = CODECS[0], CODECS[4]


def codec(*, packed: bool, deflated: bool, batched: bool) -> Codec:
    """Return the one codec of a kind."""
    return CODECS[packed * 4 + deflated * 2 + batched]


def control_frame(opcode: int, payload: bytes) -> bytes:
    """Return the frame of a close, ping or pong, of at most 125 bytes."""
    return bytes((_LAST | opcode, len(payload))) + payload


class Sendable(Protocol):
    """Data that can be written to a socket."""

    size: int
    """The approximate number of bytes."""
    count: int
    """The number of messages."""

    def form(self, wanted: Codec) -> bytes:
        """Return the frames to write."""

    def forms(self, wanted: Codec) -> Iterable[bytes]:
        """Return the frames one by one, without batching."""

    def payloads(self, wanted: Codec) -> Iterable[bytes]:
        """Return the messages one by one, without frames."""


class EncodedMessage:
    """One message of the server, given as JSON."""

    __slots__ = ("_forms", "_packed", "size", "value")
    count = 1

    def __init__(self, value: bytes) -> None:
        self.value = value
        self.size = len(value)
        self._forms: dict[Codec, bytes] = {}
        self._packed: bytes | None = None

    def form(self, wanted: Codec) -> bytes:
        """Return the frame, which is encoded once."""
        made = self._forms.get(wanted)
        if made is None:
            made = self._forms[wanted] = wanted.frame(self.payload(wanted))
        return made

    def forms(self, wanted: Codec) -> Iterable[bytes]:
        """Return the only frame."""
        return (self.form(wanted),)

    def payload(self, wanted: Codec) -> bytes:
        """Return the message without the frame."""
        if not wanted.packed:
            return self.value
        if self._packed is None:
            self._packed = _packed(self.value)
        return self._packed

    def payloads(self, wanted: Codec) -> Iterable[bytes]:
        """Return the only message, without a frame."""
        return (self.payload(wanted),)


class MessageBatch:
    """Several messages that are written at once, in order."""

    __slots__ = ("_forms", "count", "messages", "size")

    def __init__(self, messages: Sequence[EncodedMessage]) -> None:
        self.messages = messages
        self.count = len(messages)
        self.size = sum(message.size for message in messages)
        self._forms: dict[Codec, bytes] = {}

    def form(self, wanted: Codec) -> bytes:
        """Return the frames, which are encoded once."""
        made = self._forms.get(wanted)
        if made is None:
            made = self._forms[wanted] = b"".join(
                _arrays(self.messages, wanted)
                if wanted.batched
                else (message.form(wanted) for message in self.messages)
            )
        return made

    def forms(self, wanted: Codec) -> Iterable[bytes]:
        """Return the frames one by one, encoded once for each message."""
        return (message.form(wanted) for message in self.messages)

    def payloads(self, wanted: Codec) -> Iterable[bytes]:
        """Return the messages one by one, without frames."""
        return (message.payload(wanted) for message in self.messages)


class PayloadBatch:
    """Several messages for one client, given as JSON: nothing is encoded twice, so nothing is kept.

    They fit one array: at most `MAX_BATCH_MESSAGES`.
    """

    __slots__ = ("_values", "count", "size")

    def __init__(self, values: Sequence[bytes]) -> None:
        self._values = values
        self.count = len(values)
        self.size = sum(map(len, values))

    def form(self, wanted: Codec) -> bytes:
        """Return the frames."""
        if self.count > 1 and wanted.batched:
            return wanted.frame(wanted.array(list(self.payloads(wanted))))
        return b"".join(self.forms(wanted))

    def forms(self, wanted: Codec) -> Iterable[bytes]:
        """Return the frames one by one, without batching."""
        return map(wanted.frame, self.payloads(wanted))

    def payloads(self, wanted: Codec) -> Iterable[bytes]:
        """Return the messages one by one, without frames."""
        return map(_packed, self._values) if wanted.packed else self._values


def _packed(value: bytes) -> bytes:
    return ormsgpack.packb(from_json(value))


def _arrays(messages: Sequence[EncodedMessage], wanted: Codec) -> Iterable[bytes]:
    """Yield frames, each with as many messages as fit."""
    some: list[EncodedMessage] = []
    size = 0
    for message in messages:
        if some and (len(some) == MAX_BATCH_MESSAGES or size + message.size > MAX_BATCH_BYTES):
            yield _array(some, wanted)
            some, size = [], 0
        some.append(message)
        size += message.size
    yield _array(some, wanted)


def _array(messages: Sequence[EncodedMessage], wanted: Codec) -> bytes:
    if len(messages) == 1:
        return messages[0].form(wanted)
    return wanted.frame(wanted.array([message.payload(wanted) for message in messages]))


def _array_head(count: int) -> bytes:
    """Return the head of a msgpack array."""
    return bytes((0x90 | count,)) if count < 16 else b"\xdc" + count.to_bytes(2)


def _deflated(payload: bytes) -> bytes:
    compressor = zlib.compressobj(_LEVEL, zlib.DEFLATED, -WINDOW_BITS, _MEMORY_LEVEL)
    # The empty block at the end of a flush is omitted (RFC 7692, section 7.2.1).
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]
