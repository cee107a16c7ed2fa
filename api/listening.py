"""The port of an API process: bound first, listened on last, and closed without losing requests."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from contextlib import suppress

from app.errors import Unavailable

BACKLOG = 2048


def bind_port(host: str, port: int, *, shared: bool) -> socket.socket:
    """Bind a port without listening, so that a conflict is reported at once. Raise `Unavailable`.

    Until `listen`, connections are refused at once, and a proxy uses another node. Behind a port that listens
    too early, clients would wait for a node that may not even start.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        bound = socket.socket(family, socket.SOCK_STREAM)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        elif family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
        return bound  # noqa: TRY300
    except OSError as error:
        raise _cannot_bind(host, port, error) from error


def listen(bound: socket.socket) -> None:
    """Listen on a bound port. Raise `Unavailable`."""
    try:
        bound.listen(BACKLOG)
    except OSError as error:
        host, port = bound.getsockname()[:2]
        raise _cannot_bind(host, port, error) from error


async def stop_listening(
    servers: Sequence[asyncio.Server],
    sockets: Sequence[socket.socket],
    protocol: Callable[[], asyncio.Protocol],
) -> None:
    """Close `servers`, which listen on `sockets`, and serve the clients that are already connected.

    The kernel connects clients before the process accepts them. Closing the socket would reset them, and
    after a reset a client cannot know whether its command was carried out.
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


def _cannot_bind(host: str, port: int, error: OSError) -> Unavailable:
    return Unavailable(f"cannot bind {host}:{port}: {error.strerror or error}")
