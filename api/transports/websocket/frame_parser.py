"""Parser of client frames (RFC 6455, section 5): bytes to messages and control frames. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame, Opcode
from websockets.utils import apply_mask

_FIN, _COMPRESSED, _RESERVED, _OPCODE = 0x80, 0x40, 0x30, 0x0F
_MASKED, _LENGTH = 0x80, 0x7F
_MAX_CONTROL_BYTES = 125
_HEAD_BYTES, _MASK_BYTES = 2, 4


_OPCODES = frozenset(Opcode)


class BadFrames(Exception):
    """The input is not a valid WebSocket stream; `code` is the close code."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason


class FrameReader:
    """Parses the frames of one connection. Messages over `max_bytes` are bad, also after decompression."""

    __slots__ = ("_buffer", "_deflate", "_max_bytes", "_needed", "_opcode", "_parts", "_size")

    def __init__(self, max_bytes: int, deflate: PerMessageDeflate | None = None) -> None:
        self._max_bytes = max_bytes
        self._deflate = deflate
        self._buffer: bytearray | None = None
        self._needed = 0
        self._opcode = Opcode.CONT
        self._parts: list[bytes] | None = None
        """The fragments of the current message; `_opcode` and `_size` belong to it."""
        self._size = 0

    def read(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield opcodes and payloads that are complete with these bytes: whole messages, and control frames.

        The iterator must be exhausted. Raise `BadFrames`, after which nothing must be read.
        """
        if self._buffer is not None:
            self._buffer += data
            # Wait until there is enough: otherwise each byte of a slowly arriving frame would cost as much as
            # all.
            if len(self._buffer) < self._needed:
                return
            data, self._buffer = bytes(self._buffer), None
        start = 0
        while (head := self._head(data, start)) is not None:
            first, payload_at, end = head
            payload = data[payload_at:end]
            if payload:
                payload = apply_mask(payload, data[payload_at - _MASK_BYTES : payload_at])
            start = end
            if first & _OPCODE >= Opcode.CLOSE:
                yield first & _OPCODE, payload
            else:
                whole = self._message(first, payload)
                if whole is not None:
                    yield whole
        if start < len(data):
            self._buffer = bytearray(data[start:])

    def _head(self, data: bytes, start: int) -> tuple[int, int, int] | None:
        """Return the first byte of the frame at `start`, and its payload's range; None if more is needed."""
        self._needed = _HEAD_BYTES
        available = len(data) - start
        if available < _HEAD_BYTES:
            return None
        first, second = data[start], data[start + 1]
        length = second & _LENGTH
        self._check(first, length, masked=second >= _MASKED)
        head_bytes = _HEAD_BYTES
        if length > _MAX_CONTROL_BYTES:
            head_bytes += 2 if length == _MAX_CONTROL_BYTES + 1 else 8
            self._needed = head_bytes
            if available < head_bytes:
                return None
            length = int.from_bytes(data[start + _HEAD_BYTES : start + head_bytes])
        if first & _OPCODE < Opcode.CLOSE and self._size + length > self._max_bytes:
            raise self._too_large()
        self._needed = head_bytes + _MASK_BYTES + length
        if available < self._needed:
            return None
        end = start + self._needed
        return first, end - length, end

    def _check(self, first: int, length: int, *, masked: bool) -> None:
        opcode = first & _OPCODE
        if not masked:
            raise BadFrames(1002, "incorrect masking")
        if opcode not in _OPCODES:
            raise BadFrames(1002, "invalid opcode")
        compressible = self._deflate is not None and opcode in (Opcode.TEXT, Opcode.BINARY)
        if first & _RESERVED or (first & _COMPRESSED and not compressible):
            raise BadFrames(1002, "reserved bits must be 0")
        if opcode >= Opcode.CLOSE:
            if length > _MAX_CONTROL_BYTES:
                raise BadFrames(1002, "control frame too long")
            if not first & _FIN:
                raise BadFrames(1002, "fragmented control frame")
        elif (opcode == Opcode.CONT) != (self._parts is not None):
            raise BadFrames(1002, "unexpected continuation" if not opcode else "expected a continuation")

    def _message(self, first: int, payload: bytes) -> tuple[int, bytes] | None:
        """Return the message that is complete with this frame."""
        opcode, is_last = first & _OPCODE, first & _FIN
        if self._deflate is not None:
            payload = self._inflated(self._deflate, first, payload)
        parts = self._parts
        if parts is None:
            if is_last:
                return opcode, payload
            parts = self._parts = []
            self._opcode = Opcode(opcode)
        if payload:
            parts.append(payload)
            self._size += len(payload)
            if self._size > self._max_bytes:
                raise self._too_large()
        if not is_last:
            return None
        self._parts, self._size = None, 0
        return self._opcode, b"".join(parts)

    def _inflated(self, deflate: PerMessageDeflate, first: int, payload: bytes) -> bytes:
        frame = Frame(Opcode(first & _OPCODE), payload, bool(first & _FIN), bool(first & _COMPRESSED))
        try:
            return bytes(deflate.decode(frame, max_size=self._max_bytes).data)
        except PayloadTooBig:
            raise self._too_large() from None
        except ProtocolError as error:
            raise BadFrames(1002, str(error)) from None

    def _too_large(self) -> BadFrames:
        return BadFrames(1009, f"a message has at most {self._max_bytes} bytes")
