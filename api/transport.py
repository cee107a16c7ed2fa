"""uvicorn's WebSocket protocol, made to let go of peers that never read."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from api.protocol import MAX_MESSAGE_BYTES

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


WEBSOCKET_OPTIONS: dict[str, Any] = {
    "ws": RelayProtocol,
    # The protocol refuses what is larger with a reason; this bounds what is buffered until then.
    "ws_max_size": 2 * MAX_MESSAGE_BYTES,
    # We ping with messages of our own, which a page can see and answer.
    "ws_ping_interval": None,
    # Each socket would compress every message anew, and keep a window for it.
    "ws_per_message_deflate": False,
}
"""What uvicorn has to be told about WebSockets."""
