"""The port of an API process: taken first, listened at last, and given up without losing anybody."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from app.errors import Unavailable

BACKLOG = 2048


def take_port(host: str, port: int, *, shared: bool) -> socket.socket:
    """Take a port without listening, so that a taken one is told at once. Raises `Unavailable`.

    Until `listen`, whoever connects is refused at once, and a proxy asks another node. Behind a port that
    listens too early, clients would wait for a node that may not even come up.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        taken = socket.socket(family, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        elif family == socket.AF_INET6:
            taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(address)
        return taken  # noqa: TRY300
    except OSError as error:
        raise _taken(host, port, error) from error


def listen(taken: socket.socket) -> None:
    """Listen at a port that was taken. Raises `Unavailable`."""
    try:
        taken.listen(BACKLOG)
    except OSError as error:
        host, port = taken.getsockname()[:2]
        raise _taken(host, port, error) from error


async def stop_listening(
    servers: Sequence[asyncio.Server],
    sockets: Sequence[socket.socket],
    protocol: Callable[[], asyncio.Protocol],
) -> None:
    """Close `servers`, which listen at `sockets`, and serve those who are connected already.

    The kernel connects clients before anybody accepts them. Closing the socket would reset them, and of a
    command that was reset nobody knows whether it was done.
    """
    loop = asyncio.get_running_loop()
    waiting = [each.dup() for each in sockets]
    for server in servers:
        server.close()
    for each in waiting:
        each.setblocking(False)
        with each, suppress(BlockingIOError):
            while True:
                connection, _ = each.accept()
                await loop.connect_accepted_socket(protocol, connection)


def _taken(host: str, port: int, error: OSError) -> Unavailable:
    return Unavailable(f"{host}:{port} can't be listened at: {error.strerror or error}")
