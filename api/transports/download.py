"""Downloads: responses whose content is made while it is sent. A failure breaks the connection off."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.transports.sse.response import cancelled, gone
from api.transports.websocket.uvicorn_protocol import ABORT
from app.errors import TaskError

STALLED_S = 60.0
"""Seconds after which a client that reads nothing is disconnected."""

_log = structlog.get_logger()


class Download(Response):
    """The response, from chunks that raise `TaskError` if the rest cannot be made.

    The first one has been made, so that its errors could be answered.
    """

    def __init__(
        self, first: bytes, rest: AsyncGenerator[bytes], media_type: str, headers: Mapping[str, str]
    ) -> None:
        super().__init__(media_type=media_type, headers={"Cache-Control": "no-store", **headers})
        del self.headers["content-length"]
        self._first = first
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it until it ends, or the client is gone."""
        async with aclosing(self._rest):
            writing, left = asyncio.create_task(self._write(send)), asyncio.create_task(gone(receive))
            try:
                await asyncio.wait((writing, left), return_when=asyncio.FIRST_COMPLETED)
            finally:
                await cancelled([writing, left])
            if left.done() and not left.cancelled():
                return
            error = writing.exception()
            if isinstance(error, TaskError | TimeoutError):
                _log.warning("download broken off", reason=str(error) or "the client reads nothing")
                abort = scope.get("extensions", {}).get(ABORT)
                if abort is not None:
                    abort()
                    return
            if error is not None:
                raise error

    async def _write(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await _send(send, self._first, more=True)
        async for chunk in self._rest:
            await _send(send, chunk, more=True)
        await _send(send, b"", more=False)


async def _send(send: Send, body: bytes, *, more: bool) -> None:
    async with asyncio.timeout(STALLED_S):
        await send({"type": "http.response.body", "body": body, "more_body": more})
