"""Client of `/api/stream` for tests: it parses as `EventSource` does, and keeps the last event id."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from tests.updates import matches

LIMIT_S = 30.0


@dataclass
class Event:
    """One event, or a comment as `event` with `name` ''."""

    name: str
    message: Any
    place: str | None
    retry_ms: int | None


class EventReader:
    """Events of one response; `place` is what a browser would send as `Last-Event-ID`."""

    def __init__(self, answer: httpx.Response, place: str | None) -> None:
        self.answer = answer
        self.place = place
        self._lines = answer.aiter_lines()

    async def next(self) -> Event:
        """Return the next event or comment. Raise `StopAsyncIteration` at the end."""
        event = Event("", None, None, None)
        async with asyncio.timeout(LIMIT_S):
            while line := await anext(self._lines):
                name, _, value = line.partition(": ")
                match name:
                    case "event":
                        event.name = value
                    case "data":
                        event.message = json.loads(value)
                    case "id":
                        self.place = event.place = value
                    case "retry":
                        event.retry_ms = int(value)
        return event

    async def named(self, name: str) -> Event:
        """Return the next event of a name."""
        while (event := await self.next()).name != name:
            pass
        return event

    async def update(self, type_: str = "", of: str = "") -> dict[str, Any]:
        """Return the message of the next update, or of the next that `matches`."""
        while True:
            message: dict[str, Any] = (await self.named("update")).message
            if matches(message, type_, of):
                return message

    async def rest(self) -> list[Event]:
        """Return all events to the end."""
        events = []
        while True:
            try:
                events.append(await self.next())
            except StopAsyncIteration:
                return events


@asynccontextmanager
async def events(
    client: httpx.AsyncClient,
    place: str | None = None,
    params: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> AsyncIterator[EventReader]:
    """Yield an open stream that resumes from a place."""
    resume = {} if place is None else {"Last-Event-ID": place}
    async with client.stream(
        "GET",
        "/api/stream",
        params=dict(params or {}),
        headers={**(headers or {}), **resume},
        timeout=LIMIT_S,
    ) as answer:
        if answer.status_code != 200:
            await answer.aread()
        assert answer.status_code == 200, answer.text
        yield EventReader(answer, place)
