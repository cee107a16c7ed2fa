"""The API process: uvicorn around the application, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator, Sequence

import structlog
import uvicorn
import uvloop

from api.live import Live
from api.main import application, attach
from api.node import open_node
from api.transport import WEBSOCKET_OPTIONS, StreamingProtocol
from app.errors import Unavailable
from app.settings import Settings
from streams.garbage import collect_rarely

log = structlog.get_logger()

GRACEFUL_SHUTDOWN_S = 3
BACKLOG = 2048
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Server(uvicorn.Server):
    """Says goodbye to sockets before it waits for connections to end: they never end by themselves."""

    def __init__(self, config: uvicorn.Config, live: Live) -> None:
        super().__init__(config)
        self._live = live

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

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, drain, then finish what is in hand."""
        for server in self.servers:
            server.close()
        await self._live.sockets.drain()
        await super().shutdown(sockets)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `BadSettings`, `Unavailable` or `WrongLog` if it can't start."""
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(serve(settings))


async def serve(settings: Settings) -> None:
    """Open a node and serve it."""
    listening = _listen(settings.host, settings.port)
    async with open_node(settings) as node:
        app = application(settings)
        attach(app, node)
        config = uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            loop="none",
            http=StreamingProtocol,
            **WEBSOCKET_OPTIONS,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=GRACEFUL_SHUTDOWN_S,
        )
        collect_rarely()
        host, port = listening[0].getsockname()[:2]
        log.info("listening", host=host, port=port)
        await _Server(config, node.live).serve(sockets=list(listening))


def _listen(host: str, port: int) -> Sequence[socket.socket]:
    """Take the port before anything else, so that a taken one is told at once. Raises `Unavailable`."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, _, _, _, address = found[0]
        return [socket.create_server(address[:2], family=family, backlog=BACKLOG)]
    except OSError as error:
        raise Unavailable(f"{host}:{port} can't be listened at: {error.strerror or error}") from error
