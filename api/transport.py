"""uvicorn's WebSocket protocol, made to let go of peers that never read."""

from __future__ import annotations

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

ABORT_AFTER_S = 5.0


class RelayProtocol(WebSocketsSansIOProtocol):
    """Once the application is done, a transport has a bounded time to write what is left, then is aborted.

    uvicorn closes it, and a close waits for the peer to read: a peer that never does would keep the
    connection, and its buffers, for ever.
    """

    async def run_asgi(self) -> None:
        """Run the application, then see the connection end."""
        await super().run_asgi()
        self.loop.call_later(ABORT_AFTER_S, self._abort)

    def _abort(self) -> None:
        if not self.disconnected:
            self.transport.abort()
