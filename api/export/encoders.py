"""Encoders: from pages of events to the bytes of a file, without I/O, with one page in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from app.log.event_json import RecordedEvent

COLUMNS = (
    *("id", "type", "stream", "version", "partition", "offset", "outcome", "reason", "time", "recorded_at"),
    *("actor", "source", "correlation_id", "causation_id", "data", "changes"),
)


class ExportedEvent(NamedTuple):
    """An event, and the id of its list: that of the task after it, or the list itself."""

    event: RecordedEvent
    list_id: str | None


class Page(Protocol):
    """Some events in order."""

    def events(self) -> Iterable[tuple[RecordedEvent, str | None]]:
        """Return the events, as `ExportedEvent`."""

    def columns(self) -> Sequence[Sequence[Any]]:
        """Return the values of the events, by column: those of `COLUMNS`."""


class Encoder(Protocol):
    """The encoder of one file. The first call of either method also returns how the file begins."""

    def encode(self, page: Page) -> bytes:
        """Return the bytes of the next events; perhaps none, if the format collects events into groups."""

    def end(self) -> bytes:
        """Return the bytes after all events. In a format of two passes, the first call ends the first one."""
