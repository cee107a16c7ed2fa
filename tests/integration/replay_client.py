"""Client of replays for tests: a socket that keeps the board of one replay and checks the order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.integration.live_client import LiveClient, live


class ReplayClient:
    """One socket; `board` are the tasks of the list as the replay shows them, by id."""

    def __init__(self, client: LiveClient, list_id: str) -> None:
        self.list_id = list_id
        self.channel = f"replay:{list_id}"
        self.board: dict[str, Any] = {}
        self.updates: list[dict[str, Any]] = []
        self.states: list[dict[str, Any]] = []
        self._client = client
        self._part = 0

    async def subscribe(self, **options: Any) -> dict[str, Any]:
        """Subscribe, and return the reply."""
        await self._client.send(id=7, type="subscribe", channel=self.channel, replay=options)
        return await self.reply(7)

    async def control(self, action: str, **values: Any) -> dict[str, Any]:
        """Send a control, and return the reply; what comes before it is taken."""
        await self._client.send(
            id=f"c {action}", type="control", channel=self.channel, action=action, **values
        )
        return await self.reply(f"c {action}")

    async def reply(self, message_id: int | str) -> dict[str, Any]:
        """Return the reply to a message."""
        while (message := await self.next()).get("id") != message_id:
            pass
        return message

    async def until(self, state: str) -> dict[str, Any]:
        """Return the next message of a state of the replay."""
        while not ((message := await self.next())["type"] == "replay" and message["state"] == state):
            pass
        return message

    async def next(self) -> dict[str, Any]:
        """Return the next message that is no ping."""
        message = await self._client.receive()
        self._take(message)
        return message

    def _take(self, message: dict[str, Any]) -> None:
        if message.get("channel") != self.channel:
            return
        if message["type"] == "update":
            self.updates.append(message)
            task = message["event"]["stream"].partition(":")[2]
            if message["task"] is not None and message["task"]["list_id"] == self.list_id:
                self.board[task] = message["task"]
            else:
                self.board.pop(task, None)
        elif message["type"] == "replay" and message["state"] == "snapshot":
            assert message["part"] == self._part
            self._part = self._part + 1 if message["more"] else 0
            if message["part"] == 0:
                self.board = {}
            self.board |= {task["id"]: task for task in message["tasks"]}
        elif message["type"] == "replay":
            self.states.append(message)


@asynccontextmanager
async def replaying(url: str, token: str, list_id: str) -> AsyncIterator[ReplayClient]:
    """Yield an authenticated client for the replays of a list."""
    async with live(url, token) as client:
        yield ReplayClient(client, list_id)
