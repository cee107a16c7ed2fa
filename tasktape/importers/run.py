"""One import from file to server. Reading continues while batches are being sent."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator, Iterable
from contextlib import closing
from itertools import chain

from tasktape.importers.batches import Batch, Batches, parcel
from tasktape.importers.files import ImportFile
from tasktape.importers.histories import Unusable, history_of
from tasktape.importers.occurrences import Occurrences
from tasktape.importers.server import Destination, ImportServer
from tasktape.importers.summary import Summary
from tasktape.importers.xes import Refused, XesTrace, read_xes

IN_FLIGHT = 2
Progress = Callable[[int], None]
"""Told how many bytes of the file have been read."""


async def import_xes(
    file: ImportFile, server: ImportServer, list_name: str, summary: Summary, progress: Progress
) -> Destination | None:
    """Import an XES file. Raises `TasktapeError` or `OSError`; what was sent until then stays.

    Returns where it went; None, and no list was made, if the file has nothing to import.
    """
    with closing(_batches(file, summary, progress)) as batches:
        first = next(batches, None)
        if first is None:
            return None
        to = await server.open(list_name)
        await _send_all(chain([first], batches), lambda batch: server.send(batch, to, summary))
    return to


def _batches(file: ImportFile, summary: Summary, progress: Progress) -> Generator[Batch, None, None]:
    batches = Batches()
    with Occurrences() as names:
        for trace in read_xes(_watched(file, progress)):
            if not isinstance(trace, XesTrace):
                if trace.trace is not None:
                    # So that the other traces keep their places when this one is fixed.
                    names.count(trace.trace)
                summary.refuse(trace)
                continue
            nth = names.count(trace.label)
            if not trace.events:
                summary.skip_empty()
                continue
            try:
                full = batches.add(parcel(trace.label, trace.line, nth, history_of(trace).events))
            except Unusable as error:
                summary.refuse(Refused(trace.label, trace.line, str(error)))
            else:
                if full is not None:
                    yield full
    last = batches.take()
    if last is not None:
        yield last


def _watched(file: ImportFile, progress: Progress) -> Generator[bytes, None, None]:
    for chunk in file.chunks():
        progress(file.position)
        yield chunk


async def _send_all(batches: Iterable[Batch], send: Callable[[Batch], Awaitable[None]]) -> None:
    """Send batches, a few at a time. The first error of a batch ends the import."""
    free = asyncio.Semaphore(IN_FLIGHT)

    async def sent(batch: Batch) -> None:
        try:
            await send(batch)
        finally:
            free.release()

    try:
        async with asyncio.TaskGroup() as group:
            for batch in batches:
                await free.acquire()
                group.create_task(sent(batch))
    except BaseExceptionGroup as troubles:
        raise troubles.exceptions[0] from None
