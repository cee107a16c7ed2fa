"""Events for exports, made by the fold alone, in both orders; and whole files, written by their encoders."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from api.export.encoders import COLUMNS, ExportedEvent
from api.export.formats import FORMATS, FormatName
from app.lists.state import TaskList
from app.log.event_json import changes_json, event_of
from app.log.fold import Folded, changes
from app.log.records import RawRecord, event_data_json
from app.stream_ids import StreamId
from app.tasks.state import Task
from tests.folding import fold_log


def in_log_order(records: Iterable[RawRecord]) -> list[ExportedEvent]:
    """Return every record, partition by partition."""
    folded = fold_log(records)[1]
    return [exported(each) for each in sorted(folded, key=lambda each: each.raw.position)]


def by_stream(events: Iterable[ExportedEvent]) -> list[ExportedEvent]:
    """Return the accepted events of each stream together, the streams in the order of their first ones."""
    streams = defaultdict[StreamId | None, list[ExportedEvent]](list)
    for each in events:
        if each.event.outcome == "accepted" and each.event.version:
            streams[each.event.stream].append(each)
    return [each for found in streams.values() for each in found]


def exported(folded: Folded) -> ExportedEvent:
    """Return the event of a folded record."""
    data = b"null" if folded.record is None else event_data_json(folded.record.data)
    event = event_of(folded, data, changes_json(changes(folded.before, folded.after)))
    match folded.after if folded.outcome == "accepted" else None:
        case Task(list_id=list_id) | TaskList(id=list_id):
            return ExportedEvent(event, list_id)
        case _:
            return ExportedEvent(event, None)


@dataclass(frozen=True, slots=True)
class EventPage:
    """A page of such events."""

    found: Sequence[ExportedEvent]

    def events(self) -> Sequence[ExportedEvent]:
        """See `Page.events`."""
        return self.found

    def columns(self) -> list[list[Any]]:
        """See `Page.columns`."""
        values = [
            {
                **event._asdict(),
                **event.position._asdict(),
                "data": event.data.decode(),
                "changes": event.changes.decode(),
            }
            for event, _ in self.found
        ]
        return [[each[name] for each in values] for name in COLUMNS]


def written(name: FormatName, events: Sequence[ExportedEvent], page: int = 7) -> bytes:
    """Return the file of an export whose pages have so many events."""
    encoder, parts = FORMATS[name].encoder(), []
    for _ in range(FORMATS[name].passes):
        parts += [
            encoder.encode(EventPage(events[first : first + page])) for first in range(0, len(events), page)
        ]
        parts.append(encoder.end())
    return b"".join(parts)
