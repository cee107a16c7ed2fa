"""The API process: uvicorn around the application, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import time
from collections.abc import Iterator
from functools import partial
from types import FrameType

import structlog
import uvicorn
import uvloop

from api.listening import BACKLOG, listen, stop_listening, take_port
from api.main import application, attach
from api.node import Node, open_node
from api.transports.websocket.uvicorn_protocol import OPTIONS, HttpProtocol, State
from app.settings import Settings
from streams.garbage import collect_rarely
from streams.ready_file import ReadyFile

log = structlog.get_logger()

GRACEFUL_SHUTDOWN_S = 3
BEGIN_LIMIT_S = 10.0
"""After so long a node answers though it hears of no updates: it can say what is the matter."""
LOOK_EVERY_S = 0.1
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Server(uvicorn.Server):
    """Says goodbye to sockets before it waits for connections to end: they never end by themselves.

    The ready file is there from when the node answers until it is told to stop.
    """

    def __init__(self, config: uvicorn.Config, node: Node, ready_file: str | None) -> None:
        super().__init__(config)
        self.server_state = self._state = State()
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
        await self._node.started.wait()
        self._ready_file.make()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Say that one is not ready, serve on, stop listening, drain, then finish what is in hand."""
        settings = self._node.deps.settings
        self._node.deps.stopping.set()
        if self._announcing is not None:
            self._announcing.cancel()
        self._ready_file.remove()
        self._state.end()
        await self._serve_on(settings.shutdown_delay_s)
        protocol = partial(
            HttpProtocol, config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        await stop_listening(self.servers, sockets or (), protocol)
        await asyncio.gather(
            self._node.live.connection_registry.drain(settings.drain_s),
            self._serve_on(settings.drain_s, while_connected=True),
        )
        await super().shutdown(sockets)

    async def _serve_on(self, for_s: float, *, while_connected: bool = False) -> None:
        """Serve for some time; `while_connected`, until nobody is connected any more."""
        deadline = time.monotonic() + for_s
        while time.monotonic() < deadline and not self.force_exit:
            if while_connected and not self.server_state.connections:
                return
            await self.on_tick(0)  # the date of answers
            await asyncio.sleep(LOOK_EVERY_S)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises `BadSettings`, `Unavailable` or `WrongLog` if it can't start.

    Raises `KeyboardInterrupt` once all is closed after SIGINT, as it would be without a handler.
    """
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if asyncio.run(serve(settings)) == signal.SIGINT:
        raise KeyboardInterrupt


async def serve(settings: Settings) -> int | None:
    """Open a node and serve it; return the signal that ended it, if one did."""
    taken = take_port(settings.host, settings.port, shared=settings.reuse_port == "on")
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
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(node.started.wait(), BEGIN_LIMIT_S)
        listen(taken)
        host, port = taken.getsockname()[:2]
        log.info("listening", host=host, port=port, node=node.deps.node)
        server = _Server(config, node, settings.ready_file)
        await server.serve(sockets=[taken])
    return server.stopped_by
