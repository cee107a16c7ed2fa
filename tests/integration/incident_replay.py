"""A replay of a long list over a socket, checked while it runs: nothing but the board is kept."""

from __future__ import annotations

import json
from typing import Any

from websockets.asyncio.client import ClientConnection, connect


class CheckedReplay:
    """The board of a replay, and the checks that each event comes once and in order."""

    def __init__(self, list_id: str) -> None:
        self.board: dict[str, Any] = {}
        """The tasks, by id."""
        self.events = 0
        self._channel = f"replay:{list_id}"
        self._versions: dict[str, int] = {}
        self._at = ""

    async def play(self, url: str, token: str, **options: Any) -> None:
        """Play it to its end."""
        async with connect(url, max_size=None) as socket:
            await self._subscribe(socket, token, options)
            async for frame in socket:
                messages = json.loads(frame)
                for message in messages if isinstance(messages, list) else [messages]:
                    if message.get("channel") == self._channel and message["type"] == "update":
                        self._take(message)
                    elif message.get("state") == "ended":
                        assert "reason" not in message
                        return

    async def _subscribe(self, socket: ClientConnection, token: str, options: dict[str, Any]) -> None:
        for message in (
            {"type": "authenticate", "token": token, "features": ["batch"]},
            {"type": "subscribe", "channel": self._channel, "replay": options},
        ):
            await socket.send(json.dumps(message))

    def _take(self, update: dict[str, Any]) -> None:
        event = update["event"]
        assert update["at"] >= self._at, (update["at"], self._at)
        assert event["version"] == self._versions.get(event["stream"], 0) + 1, event
        self._at, self._versions[event["stream"]] = update["at"], event["version"]
        self.events += 1
        if update["task"] is not None:
            self.board[update["task"]["id"]] = update["task"]
