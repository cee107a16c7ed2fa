"""The bytes of an export, from pages of the audit: the next page is read while one is encoded in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field

from api.export.compression import Coding, Compressor, compressor
from api.export.encoders import Encoder
from api.export.formats import Format
from projections.queries.audit_export import EventRows

Pages = AsyncGenerator[EventRows]


@dataclass(slots=True)
class ExportWriter:
    """The writer of one export. `limit` is the number of events after which it ends."""

    format: Format
    coding: Coding | None = None
    limit: int | None = None
    events: int = 0
    """The number of events written so far, in the last pass."""
    _encoder: Encoder = field(init=False)
    _compressor: Compressor | None = field(init=False)

    def __post_init__(self) -> None:
        self._encoder = self.format.encoder()
        self._compressor = None if self.coding is None else compressor(self.coding)

    async def chunks(self, read: Callable[[], Pages]) -> AsyncGenerator[bytes]:
        """Yield the bytes; `read` begins to read the pages. Raise what it raises."""
        for _ in range(self.format.passes):
            self.events = 0
            async with aclosing(_ahead(read())) as pages:
                async for page in pages:
                    chunk = await asyncio.to_thread(self._encode, page)
                    if chunk:
                        yield chunk
                    if self.events == self.limit:
                        break
            yield await asyncio.to_thread(self._end)
        if self._compressor is not None:
            yield self._compressor.flush()

    def _encode(self, page: EventRows) -> bytes:
        wanted = page if self.limit is None else page.first(self.limit - self.events)
        self.events += len(wanted)
        return self._compressed(self._encoder.encode(wanted))

    def _end(self) -> bytes:
        return self._compressed(self._encoder.end())

    def _compressed(self, data: bytes) -> bytes:
        return data if self._compressor is None else self._compressor.compress(data)


async def _ahead(pages: Pages) -> Pages:
    """Yield pages, each while the next one is being read."""
    async with aclosing(pages):
        reading = asyncio.create_task(_next(pages))
        try:
            while (page := await reading) is not None:
                reading = asyncio.create_task(_next(pages))
                yield page
        finally:
            reading.cancel()
            with suppress(asyncio.CancelledError, Exception):
                await reading


async def _next(pages: Pages) -> EventRows | None:
    return await anext(pages, None)
