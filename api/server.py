"""The API process: uvicorn around the application, with an orderly shutdown."""

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

from api.listening import BACKLOG, bind_port, listen, stop_listening
from api.main import application, attach
from api.node import Node, open_node
from api.transports.websocket.uvicorn_protocol import OPTIONS, HttpProtocol, State
from app.settings import Settings
from streams.garbage import collect_rarely
from streams.ready_file import ReadyFile

log = structlog.get_logger()

GRACEFUL_SHUTDOWN_S = 3
BEGIN_LIMIT_S = 10.0
"""Seconds after which a node answers without the feed of updates: it can report the problem."""
LOOK_EVERY_S = 0.1
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class _Server(uvicorn.Server):
    """Closes sockets before it waits for connections to end: they never end by themselves.

    The ready file exists from when the node answers until it is asked to stop.
    """

    def __init__(self, config: uvicorn.Config, node: Node, ready_file: str | None) -> None:
        super().__init__(config)
        self.server_state = self._state = State()
        self._node = node
        self._ready_file = ReadyFile(ready_file)
        self._announcing: asyncio.Task[None] | None = None
        self.stopped_by: int | None = None

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Handle a signal to stop."""
        self.stopped_by = self.stopped_by or sig
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals to stop. uvicorn would raise them again before the node can be closed."""
        loop = asyncio.get_running_loop()
        for number in _STOP_SIGNALS:
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in _STOP_SIGNALS:
                loop.remove_signal_handler(number)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to answer, and announce it."""
        await super().startup(sockets)
        self._announcing = asyncio.create_task(self._announce())

    async def _announce(self) -> None:
        """Create the ready file once updates arrive; everything else is ready before this starts."""
        await self._node.started.wait()
        self._ready_file.make()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Announce the end, continue serving, stop listening, drain, then finish the current requests."""
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
        """Serve for some time; with `while_connected`, until all connections are closed."""
        deadline = time.monotonic() + for_s
        while time.monotonic() < deadline and not self.force_exit:
            if while_connected and not self.server_state.connections:
                return
            await self.on_tick(0)  # the date header
            await asyncio.sleep(LOOK_EVERY_S)


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raise `BadSettings`, `Unavailable` or `WrongLog` if it cannot start.

    Raise `KeyboardInterrupt` once all is closed after SIGINT, as it would be without a handler.
    """
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    if asyncio.run(serve(settings)) == signal.SIGINT:
        raise KeyboardInterrupt


async def serve(settings: Settings) -> int | None:
    """Open a node and serve it; return the signal that ended it, if any."""
    bound = bind_port(settings.host, settings.port, shared=settings.reuse_port == "on")
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
        listen(bound)
        host, port = bound.getsockname()[:2]
        log.info("listening", host=host, port=port, node=node.deps.node)
        server = _Server(config, node, settings.ready_file)
        await server.serve(sockets=[bound])
    return server.stopped_by
