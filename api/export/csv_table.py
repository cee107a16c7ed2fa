"""CSV (RFC 4180): a row for each event. `data` and `changes` are JSON; a missing value is empty."""

from __future__ import annotations

import csv
from io import StringIO

from api.export.encoders import Page
from app.dates import format_time
from app.log.event_json import RecordedEvent

COLUMNS = RecordedEvent._fields
_TIME, _RECORDED_AT, _DATA = map(COLUMNS.index, ("time", "recorded_at", "data"))


class CsvTable:
    """The encoder of CSV."""

    def __init__(self) -> None:
        self._text = StringIO()
        self._writer = csv.writer(self._text)
        self._writer.writerow(COLUMNS)

    def encode(self, page: Page) -> bytes:
        """See `Encoder.encode`."""
        self._writer.writerows([_row(event) for event, _ in page.events()])
        return self._take()

    def end(self) -> bytes:
        """See `Encoder.end`."""
        return self._take()

    def _take(self) -> bytes:
        text = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return text.encode()


def _row(event: RecordedEvent) -> list[object]:
    row: list[object] = [*event]
    row[_TIME] = None if event.time is None else format_time(event.time)
    row[_RECORDED_AT] = format_time(event.recorded_at)
    row[_DATA:] = event.data.decode(), event.changes.decode()
    return row
