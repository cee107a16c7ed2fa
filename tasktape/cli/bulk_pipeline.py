"""Concurrent sending of batches of commands, where their order does not matter."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, TypeAlias

if TYPE_CHECKING:
    from tasktape.cli.bulk_lines import Line
    from tasktape_client import BulkOutcome, Client

MAX_IN_FLIGHT = 3
"""Requests: while one is answered, the next one is read and another one is carried out."""
APART_S = 0.05
"""Between two requests, at least: each has a connection of its own, and is to arrive before the next one."""

Result: TypeAlias = "tuple[list[Line], list[BulkOutcome | None]]"


@dataclass(frozen=True, slots=True)
class _Sent:
    batch: list[Line]
    outcomes: asyncio.Task[list[BulkOutcome | None]]


class Pipeline:
    """A sender of batches that returns their outcomes in order."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._sent: deque[_Sent] = deque()
        self._sent_at_s = 0.0
        self._is_warm = False

    async def __aenter__(self) -> Self:
        """Return the pipeline; nothing is sent yet."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel all requests."""
        for each in self._sent:
            each.outcomes.cancel()
        await asyncio.gather(*(each.outcomes for each in self._sent), return_exceptions=True)

    async def results(self, batches: AsyncIterator[list[Line]]) -> AsyncIterator[Result]:
        """Send batches as they arrive; yield each with its outcomes, in order.

        Batches that only create tasks are sent concurrently, after the first one has succeeded, with a pause
        between them, so that they arrive in order. Any other batch is sent alone, because its commands may
        depend on those of another batch. Raise `TasktapeError`.
        """
        source = aiter(batches)
        reading: asyncio.Task[list[Line] | None] | None = asyncio.create_task(_next(source))
        while reading is not None or self._sent:
            tasks: list[asyncio.Task[Any]] = [self._sent[0].outcomes] if self._sent else []
            if reading is not None and len(self._sent) < MAX_IN_FLIGHT:
                tasks.append(reading)
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            while self._sent and self._sent[0].outcomes.done():
                yield self._answered()
            if reading is None or not reading.done() or len(self._sent) >= MAX_IN_FLIGHT:
                continue
            batch = reading.result()
            if batch is None:
                reading = None
                continue
            while self._sent and not (
                self._is_warm and _only_creates(batch) and _only_creates(self._sent[-1].batch)
            ):
                await asyncio.wait({self._sent[0].outcomes})
                yield self._answered()
            if self._sent:
                await asyncio.sleep(self._sent_at_s + APART_S - time.monotonic())
            self._sent_at_s = time.monotonic()
            self._sent.append(_Sent(batch, asyncio.create_task(self._outcomes(batch))))
            reading = asyncio.create_task(_next(source))

    def _answered(self) -> Result:
        sent, self._is_warm = self._sent.popleft(), True
        return sent.batch, sent.outcomes.result()

    async def _outcomes(self, batch: list[Line]) -> list[BulkOutcome | None]:
        """Return an outcome for each line; None for one that is no command."""
        commands = [line.command for line in batch if line.command is not None]
        found = iter(await self._client.bulk(commands) if commands else ())
        return [None if line.command is None else next(found) for line in batch]


def _only_creates(batch: list[Line]) -> bool:
    return all(line.command is None or line.is_creation for line in batch)


async def _next(source: AsyncIterator[list[Line]]) -> list[Line] | None:
    return await anext(source, None)
