"""Replays of a list's past over one connection."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime
from typing import Any

from tasktape_client.calls import typed
from tasktape_client.errors import TasktapeError
from tasktape_client.link import Broken, Link, Server, open_link
from tasktape_client.models import ReplayState, Update
from tasktape_client.transport import foreign

SUBSCRIBE_ID = 1

Item = Update | ReplayState
"""The items of an iteration."""


class Replay:
    """The past of a list: a snapshot, in parts, then the updates after it, with the gaps that they had.

    Iterating connects. It stops after the item with the state `ended`, unless the loop seeks back before it
    asks for the next item. The controls may be called while iterating.
    """

    def __init__(self, server: Server, list_id: str, options: Mapping[str, Any]) -> None:
        self._server = server
        self._channel = f"replay:{list_id}"
        self._options = options
        self._link: Link | None = None
        self._is_sought = False

    async def __aiter__(self) -> AsyncGenerator[Item]:
        """Yield items. Raise `TasktapeError` if the replay is refused or cut off, or ends before its end.

        Leaving the loop closes the connection.
        """
        try:
            self._link = link = await open_link(self._server, None)
            await self._subscribe(link)
            while True:
                item = self._taken(await link.receive())
                if item is None:
                    continue
                self._is_sought = False
                yield item
                if isinstance(item, ReplayState) and item.state == "ended" and not self._is_sought:
                    return
        except Broken as broken:
            raise broken.as_error() from None
        except KeyError as missing:
            raise foreign(f"{self._server.url} ({missing})") from None
        finally:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the connection and stop the iteration."""
        link, self._link = self._link, None
        if link is not None:
            await link.close()

    # --- controls ----------------------------------------------------------------------------------------

    async def pause(self) -> None:
        """Pause."""
        await self._control("pause")

    async def resume(self) -> None:
        """Continue after a pause."""
        await self._control("resume")

    async def step(self) -> None:
        """Pause, and send the next update at once."""
        await self._control("step")

    async def seek(self, at: datetime) -> None:
        """Continue from another time, before or behind; a snapshot of it follows."""
        self._is_sought = True
        await self._control("seek", at=at.isoformat())

    async def set_speed(self, speed: float) -> None:
        """Change the speed."""
        await self._control("speed", speed=speed)

    async def _control(self, action: str, **values: Any) -> None:
        """Send a control. Raise `RuntimeError` if nothing iterates."""
        if self._link is None:
            raise RuntimeError("nothing iterates over this replay")
        await self._link.send(type="control", channel=self._channel, action=action, **values)

    # --- messages ----------------------------------------------------------------------------------------

    async def _subscribe(self, link: Link) -> None:
        message = await link.hello()
        if message["type"] == "error":
            raise _refusal(message)
        await link.send(id=SUBSCRIBE_ID, type="subscribe", channel=self._channel, replay=dict(self._options))

    def _taken(self, message: Mapping[str, Any]) -> Item | None:
        match message["type"]:
            case "error":
                raise _refusal(message)
            case "update" if message["channel"] == self._channel:
                return typed(Update, message)
            case "replay" if message["channel"] == self._channel:
                state = typed(ReplayState, message)
                if state.reason is not None:
                    raise TasktapeError(f"the replay ended: {state.reason}", code="ended")
                return state
        return None


def _refusal(message: Mapping[str, Any]) -> TasktapeError:
    return TasktapeError(message["message"], code=message["code"])
