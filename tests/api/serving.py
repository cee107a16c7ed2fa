"""An application of a test, served at a port by the product's own protocols."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from starlette.types import ASGIApp

from api.relay.connections import ConnectionRegistry
from api.transports.websocket.uvicorn_protocol import OPTIONS
from tests.waiting import eventually


@asynccontextmanager
async def serving(
    app: ASGIApp, connections: ConnectionRegistry, **options: Any
) -> AsyncIterator[tuple[uvicorn.Server, int]]:
    """Serve at a free port; at the end drain the connections. Provide the server and the port."""
    config = uvicorn.Config(
        app, port=0, lifespan="off", log_config=None, timeout_graceful_shutdown=1, **OPTIONS | options
    )
    server = uvicorn.Server(config)
    # As the product's own server does: signals are not the server's to take.
    server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
    running = asyncio.create_task(server.serve())
    await eventually(lambda: server.started)
    try:
        yield server, server.servers[0].sockets[0].getsockname()[1]
    finally:
        await connections.drain()
        server.should_exit = True
        await running


class Everyone:
    """Inboxes that all users have."""

    async def ensure(self, user: str) -> None:
        """Do nothing."""
