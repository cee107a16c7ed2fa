"""One import from its file to the server: reading goes on while batches are on their way."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Generator
from contextlib import closing
from itertools import chain
from typing import Self

from tasktape.importers.batches import Batch, Batches, parcel
from tasktape.importers.files import ImportFile
from tasktape.importers.histories import history_of
from tasktape.importers.occurrences import Occurrences
from tasktape.importers.server import Destination, ImportServer
from tasktape.importers.summary import Summary
from tasktape.importers.xes import XesTrace, read_xes

IN_FLIGHT = 2
Progress = Callable[[int], None]
"""Told how many bytes of the file have been read."""


def import_xes(
    file: ImportFile, server: ImportServer, list_name: str, summary: Summary, progress: Progress
) -> Destination | None:
    """Import an XES file. Raises `ImportStopped` or `OSError`; what was sent until then stays.

    Returns where it went; None, and no list was made, if the file has nothing to import.
    """
    with closing(_batches(file, summary, progress)) as batches:
        first = next(batches, None)
        if first is None:
            return None
        to = server.open(list_name)
        with Couriers(lambda batch: server.send(batch, to, summary)) as couriers:
            for batch in chain([first], batches):
                couriers.give(batch)
    return to


def _batches(file: ImportFile, summary: Summary, progress: Progress) -> Generator[Batch, None, None]:
    batches = Batches()
    with Occurrences() as names:
        for trace in read_xes(_watched(file, progress)):
            if not isinstance(trace, XesTrace):
                if trace.trace is not None:
                    # So that the others keep their places when this one is mended.
                    names.count(trace.trace)
                summary.refuse(trace)
                continue
            nth = names.count(trace.label)
            if not trace.events:
                summary.skip_empty()
            else:
                full = batches.add(parcel(trace.label, trace.line, nth, history_of(trace).events))
                if full is not None:
                    yield full
    last = batches.take()
    if last is not None:
        yield last


def _watched(file: ImportFile, progress: Progress) -> Generator[bytes, None, None]:
    for chunk in file.chunks():
        progress(file.position)
        yield chunk


class Couriers:
    """A few threads that deliver batches. The first trouble that one of them has ends the work of all.

    They are daemons: an interrupted import does not wait for the answers to what is on its way.
    """

    def __init__(self, deliver: Callable[[Batch], None]) -> None:
        self._deliver = deliver
        self._free = threading.Semaphore(IN_FLIGHT)
        self._batches: queue.SimpleQueue[Batch | None] = queue.SimpleQueue()
        self._trouble: BaseException | None = None
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(IN_FLIGHT)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for _thread in self._threads:
            self._batches.put(None)
        if kind is None:
            for thread in self._threads:
                thread.join()
            self._raise_trouble()

    def give(self, batch: Batch) -> None:
        """Hand a batch over as soon as a thread is free. Raises what went wrong so far."""
        self._free.acquire()
        self._raise_trouble()
        self._batches.put(batch)

    def _raise_trouble(self) -> None:
        if self._trouble is not None:
            raise self._trouble

    def _work(self) -> None:
        while (batch := self._batches.get()) is not None:
            try:
                if self._trouble is None:
                    self._deliver(batch)
            except BaseException as error:  # noqa: BLE001
                self._trouble = error
            finally:
                self._free.release()
