"""Handshake compared with the library websockets."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from api.transports.websocket.handshake import Header, read_handshake

RIGHT: list[Header] = [
    (b"host", b"x"),
    (b"upgrade", b"websocket"),
    (b"connection", b"Upgrade"),
    (b"sec-websocket-key", b"dGhlIHNhbXBsZSBub25jZQ=="),
    (b"sec-websocket-version", b"13"),
]


def without(name: bytes) -> list[Header]:
    return [header for header in RIGHT if header[0] != name]


def test_handshake_of_the_standard_is_answered() -> None:
    """Example of RFC 6455, section 1.3."""
    handshake = read_handshake("GET", "1.1", RIGHT)
    assert handshake is not None
    assert handshake.accept == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert handshake.subprotocols == ()


@given(st.lists(st.sampled_from(["chat", "tasktape.v1.json", "x-y"]), max_size=3, unique=True), st.data())
def test_client_of_another_library_accepts_the_response(offered: list[str], data: st.DataObject) -> None:
    """With the chosen subprotocol, and additional headers."""
    client = ClientProtocol(parse_uri("ws://x/ws"), subprotocols=offered or None)  # type: ignore[arg-type]
    request = client.connect()
    headers = [(name.lower().encode(), value.encode()) for name, value in request.headers.raw_items()]
    handshake = read_handshake("GET", "1.1", headers)
    assert handshake is not None
    assert list(handshake.subprotocols) == offered
    chosen = data.draw(st.sampled_from(offered)) if offered else None
    client.send_request(request)
    client.receive_data(handshake.response(chosen, [(b"x-more", b"1")]))
    assert client.handshake_exc is None
    assert (client.state, client.subprotocol) == (State.OPEN, chosen)


@given(st.binary(max_size=20).map(b64encode) | st.binary(max_size=30))
def test_accepted_keys_are_accepted_by_the_library(key: bytes) -> None:
    """With the same response."""
    handshake = read_handshake("GET", "1.1", [*without(b"sec-websocket-key"), (b"sec-websocket-key", key)])
    if handshake is None:
        return
    server = ServerProtocol()
    lines = [b"%s: %s\r\n" % header for header in without(b"sec-websocket-key")]
    server.receive_data(b"GET / HTTP/1.1\r\n" + b"".join(lines) + b"Sec-WebSocket-Key: " + key + b"\r\n\r\n")
    [request] = server.events_received()
    assert isinstance(request, Request)
    response = server.accept(request)
    assert response.headers["Sec-WebSocket-Accept"].encode() == handshake.accept


@pytest.mark.parametrize(
    ("method", "version", "headers"),
    [
        ("POST", "1.1", RIGHT),
        ("GET", "1.0", RIGHT),
        ("GET", "1.1", without(b"sec-websocket-key")),
        ("GET", "1.1", [*RIGHT, RIGHT[3]]),
        ("GET", "1.1", [*without(b"sec-websocket-key"), (b"sec-websocket-key", b"dGhlIHNhbXBsZQ==")]),
        ("GET", "1.1", [*without(b"sec-websocket-key"), (b"sec-websocket-key", b"not base64!")]),
        ("GET", "1.1", without(b"sec-websocket-version")),
        ("GET", "1.1", [*without(b"sec-websocket-version"), (b"sec-websocket-version", b"12")]),
        ("GET", "1.1", [*RIGHT, (b"sec-websocket-protocol", b"a,,b")]),
        ("GET", "1.1", [*RIGHT, (b"sec-websocket-protocol", b"\xff")]),
    ],
)
def test_unclear_handshake_is_left_to_the_library(method: str, version: str, headers: list[Header]) -> None:
    """It says what is wrong with it."""
    assert read_handshake(method, version, headers) is None
