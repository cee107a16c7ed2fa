"""A peer: the chat of `broadcaster`'s README, in memory: a queue per WebSocket, and a send for each event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from broadcaster import Broadcast
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

CHANNEL = "task"
broadcast = Broadcast("memory://")


async def serve(socket: WebSocket) -> None:
    """Accept a WebSocket, ignore its messages, and send it every message of the channel."""
    await socket.accept()
    async with anyio.create_task_group() as group:

        async def receive() -> None:
            async for _ in socket.iter_text():
                pass
            group.cancel_scope.cancel()

        group.start_soon(receive)
        async with broadcast.subscribe(channel=CHANNEL) as subscriber:
            async for event in subscriber:  # type: ignore[union-attr]
                assert event is not None
                await socket.send_text(event.message)


async def publish(request: Request) -> Response:
    """Publish the body."""
    await broadcast.publish(channel=CHANNEL, message=(await request.body()).decode())
    return PlainTextResponse("ok")


@asynccontextmanager
async def lifespan(_app: Starlette) -> AsyncIterator[None]:
    """Connect, and disconnect at the end."""
    await broadcast.connect()
    yield
    await broadcast.disconnect()


app = Starlette(
    routes=[WebSocketRoute("/ws", serve), Route("/publish", publish, methods=["POST"])], lifespan=lifespan
)
