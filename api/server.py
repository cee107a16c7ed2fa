"""The API process: uvicorn around the application, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from types import FrameType

import structlog
import uvicorn
import uvloop

from api.http_protocol import OPTIONS
from api.main import application, attach
from api.node import Node, open_node
from app.errors import Unavailable
from app.settings import Settings
from streams.garbage import collect_rarely
from streams.ready_file import ReadyFile

log = structlog.get_logger()

GRACEFUL_SHUTDOWN_S = 3
BACKLOG = 2048
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Server(uvicorn.Server):
    """Says goodbye to sockets before it waits for connections to end: they never end by themselves.

    The ready file is there from when the node answers until it is told to stop.
    """

    def __init__(self, config: uvicorn.Config, node: Node, ready_file: str | None) -> None:
        super().__init__(config)
        self._node = node
        self._ready_file = ReadyFile(ready_file)
        self._announcing: asyncio.Task[None] | None = None
        self.stopped_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal to stop."""
        self.stopped_by = self.stopped_by or sig
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals to stop. uvicorn's own way raises them again before the node could be closed."""
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and say so."""
        await super().startup(sockets)
        self._announcing = asyncio.create_task(self._announce())

    async def _announce(self) -> None:
        """Make the ready file once updates come in; all else was there before this started."""
        await self._node.begun.wait()
        self._ready_file.make()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that one is not ready, stop listening, drain, then finish what is in hand."""
        self._node.edge.stopping.set()
        if self._announcing is not None:
            self._announcing.cancel()
        self._ready_file.remove()
        for server in self.servers:
            server.close()
        await self._node.live.attendance.drain(self._node.edge.settings.drain_s)
        await super().shutdown(sockets)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `BadSettings`, `Unavailable` or `WrongLog` if it can't start.

    Raises `KeyboardInterrupt` once all is closed after SIGINT, as it would be without a handler.
    """
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if asyncio.run(serve(settings)) == signal.SIGINT:
        raise KeyboardInterrupt


async def serve(settings: Settings) -> int | None:
    """Open a node and serve it; return the signal that ended it, if one did."""
    listening = _take_port(settings.host, settings.port, shared=settings.reuse_port == "on")
    async with open_node(settings) as node:
        app = application(settings)
        attach(app, node)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            loop="none",
            **OPTIONS | {"ws_per_message_deflate": settings.compression == "on"},
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=bool(settings.trusted_proxies),
            forwarded_allow_ips=list(settings.trusted_proxies),
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
        )
        collect_rarely()
        host, port = listening.getsockname()[:2]
        log.info("listening", host=host, port=port, node=node.edge.node)
        server = _Server(config, node, settings.ready_file)
        await server.serve(sockets=[listening])
    return server.stopped_by


def _take_port(host: str, port: int, *, shared: bool) -> socket.socket:
    """Take the port before anything else, so that a taken one is told at once. Raises `Unavailable`.

    A port that is shared is bound only: from when we listen, the kernel gives us our part of the clients,
    who would have to wait until the node is open.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        if not shared:
            return socket.create_server(address[:2], family=family, backlog=BACKLOG)
        taken = socket.socket(family, socket.SOCK_STREAM)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(address)
        return taken  # noqa: TRY300
    except OSError as error:
        raise Unavailable(f"{host}:{port} can't be listened at: {error.strerror or error}") from error
