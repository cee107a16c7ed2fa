"""The opening handshake of WebSockets (RFC 6455, section 4.2), for requests that are parsed already."""

from __future__ import annotations

import binascii
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha1

from websockets.exceptions import InvalidHeader, NegotiationError
from websockets.extensions.permessage_deflate import PerMessageDeflate, ServerPerMessageDeflateFactory
from websockets.headers import build_extension, parse_extension

from api.protocol.frames import WINDOW_BITS

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_VERSION = b"13"
_KEY_BYTES = 16
# Without context takeover a message is compressed once for all sockets, and no socket keeps a window.
_DEFLATE = ServerPerMessageDeflateFactory(
    server_no_context_takeover=True,
    client_no_context_takeover=True,
    server_max_window_bits=WINDOW_BITS,
    client_max_window_bits=WINDOW_BITS,
)

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Handshake:
    """The offers of a client, the accept value of its key, and the negotiated compression."""

    subprotocols: tuple[str, ...]
    accept: bytes
    deflate: PerMessageDeflate | None = None
    extensions: bytes | None = None

    def response(self, subprotocol: str | None, headers: Iterable[Header] = ()) -> bytes:
        """Return the response that accepts it, with additional headers."""
        lines = [
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n",
            b"Sec-WebSocket-Accept: %s\r\n" % self.accept,
        ]
        if subprotocol is not None:
            lines.append(b"Sec-WebSocket-Protocol: %s\r\n" % subprotocol.encode("latin-1"))
        if self.extensions is not None:
            lines.append(b"Sec-WebSocket-Extensions: %s\r\n" % self.extensions)
        lines += [b"%s: %s\r\n" % header for header in headers]
        return b"".join([*lines, b"\r\n"])


def read_handshake(
    method: str, http_version: str, headers: Sequence[Header], *, deflates: bool = False
) -> Handshake | None:
    """Return the handshake in the head of a request, whose header names are in lower case.

    Return None if it is not valid: then uvicorn reports the error. The header fields `Upgrade` and
    `Connection` are assumed to be valid, as the caller has checked them.
    """
    keys = [value.strip() for name, value in headers if name == b"sec-websocket-key"]
    versions = [value.strip() for name, value in headers if name == b"sec-websocket-version"]
    if method != "GET" or http_version != "1.1" or versions != [_VERSION] or len(keys) != 1:
        return None
    try:
        if len(binascii.a2b_base64(keys[0], strict_mode=True)) != _KEY_BYTES:
            return None
        offered = [value.decode("ascii") for name, value in headers if name == b"sec-websocket-protocol"]
        deflate, extensions = _negotiated(headers) if deflates else (None, None)
    except (ValueError, InvalidHeader):
        return None
    accept = b64encode(sha1(keys[0] + _GUID, usedforsecurity=False).digest())
    names = tuple(name.strip() for value in offered for name in value.split(","))
    return None if not all(names) else Handshake(names, accept, deflate, extensions)


def _negotiated(headers: Iterable[Header]) -> tuple[PerMessageDeflate | None, bytes | None]:
    """Return the first acceptable compression offer (RFC 7692), and the answer to it."""
    values = [value.decode("ascii") for name, value in headers if name == b"sec-websocket-extensions"]
    for name, parameters in (offer for value in values for offer in parse_extension(value)):
        if name != _DEFLATE.name:
            continue
        try:
            answer, deflate = _DEFLATE.process_request_params(parameters, [])
        except NegotiationError:
            continue
        return deflate, build_extension([(name, answer)]).encode()
    return None, None
