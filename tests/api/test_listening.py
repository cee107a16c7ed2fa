"""Port of an API process: refusing, waiting and handing over."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import cast

import pytest
import uvloop

from api.listening import bind_port, listen, stop_listening
from app.errors import Unavailable

LOOPBACK = "127.0.0.1"
LIMIT_S = 30
CLIENTS = 50


class Echo(asyncio.Protocol):
    """Sends received bytes back."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Store the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Send the bytes back and close."""
        self._transport.write(data)
        self._transport.close()


@pytest.mark.parametrize("shared", [False, True])
def test_bound_port_refuses_clients_until_it_listens(*, shared: bool) -> None:
    with bind_port(LOOPBACK, 0, shared=shared) as taken:
        address = taken.getsockname()
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, LIMIT_S)
        listen(taken)
        socket.create_connection(address, LIMIT_S).close()


@pytest.mark.parametrize("shared", [False, True])
def test_listening_port_cannot_be_bound(*, shared: bool) -> None:
    with socket.create_server((LOOPBACK, 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(Unavailable, match=f"cannot bind 127.0.0.1:{port}"):
            bind_port(LOOPBACK, port, shared=shared)


def test_port_bound_by_two_is_listened_on_by_one() -> None:
    with bind_port(LOOPBACK, 0, shared=False) as first:
        port = first.getsockname()[1]
        with bind_port(LOOPBACK, port, shared=False) as second:
            listen(first)
            with pytest.raises(Unavailable, match=f"cannot bind 127.0.0.1:{port}"):
                listen(second)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_waiting_clients_are_served_when_a_port_is_closed(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
) -> None:
    async def check() -> None:
        loop = asyncio.get_running_loop()
        taken = bind_port(LOOPBACK, 0, shared=False)
        listen(taken)
        address = taken.getsockname()
        server = await loop.create_server(Echo, sock=taken)
        # The loop does not run meanwhile: it is the kernel that connects them.
        clients = [socket.create_connection(address, LIMIT_S) for _ in range(CLIENTS)]
        for client in clients:
            client.sendall(b"request")
        await stop_listening([server], [taken], Echo)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, LIMIT_S)
        for client in clients:
            with client:
                assert await asyncio.to_thread(client.recv, 100) == b"request"

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(check())
