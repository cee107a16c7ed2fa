"""The comparison of rows of the audit with the records that they were made from.

Compared is what the record alone determines, and its outcome as far as the versions of its stream determine
it. States and former values follow from all records before; `tasktape rebuild --verify` compares them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import orjson

from app.errors import Undecodable
from app.log.fold import decoded
from app.log.records import RawRecord, event_data_json
from projections.queries.verification import KeptRow

REFUSED = "it cannot be projected"
"""The beginning of the reason of a record that the database refused. Its row is that of an unreadable one."""
_HEADERS = (
    "ce_id",
    "ce_type",
    "ce_actor",
    "ce_source",
    "ce_correlationid",
    "ce_causationid",
    "ce_commandhash",
)
_UNREAD = (None,) * 9
NAMES = (
    "event_id",
    "type",
    "version",
    "time",
    "actor",
    "source",
    "correlation_id",
    "causation_id",
    "command_hash",
)


def differing(raw: RawRecord, row: KeptRow) -> Sequence[str]:
    """Return the columns of a row that are not as its record says."""
    if _is_plainly_equal(raw, row):
        return ()
    expected, data = _expected(raw)
    if row.outcome == "parked" and row[5:14] == _UNREAD and (row.reason or "").startswith(REFUSED):
        expected, data = _UNREAD, None
    columns = {
        "stream": raw.stream,
        "recorded_at": raw.recorded_at,
        **dict(zip(NAMES, expected, strict=True)),
    }
    found = row._asdict()
    differences = [name for name, value in columns.items() if found[name] != value]
    if (None if row.data is None else orjson.loads(row.data)) != data:
        differences.append("data")
    return differences


def _is_plainly_equal(raw: RawRecord, row: KeptRow) -> bool:
    """Return whether a row equals its record without decoding it: most do."""
    headers = dict(raw.headers)
    get = headers.get
    try:
        return (
            raw.recorded_at == row.recorded_at
            and [_text(get(name)) for name in _HEADERS]
            == [row.event_id, row.type, row.actor, row.source, *row[11:14]]
            and row.version == int(get("ce_streamversion") or b"")
            and row.time == datetime.fromisoformat((get("ce_time") or b"").decode())
            and _text(raw.key) == row.stream
            and row.data is not None
            and orjson.loads(raw.value or b"") == orjson.loads(row.data)
        )
    except ValueError:
        return False


def _text(content: bytes | None) -> str | None:
    return None if content is None else content.decode()


def _expected(raw: RawRecord) -> tuple[tuple[object, ...], object]:
    record = decoded(raw)
    if isinstance(record, Undecodable):
        return _UNREAD, None
    envelope = (
        record.id,
        record.type,
        record.version,
        record.time,
        record.actor,
        record.source,
        record.correlation_id,
        record.causation_id,
        record.command_hash,
    )
    return envelope, orjson.loads(event_data_json(record.data))


class Outcomes:
    """The outcomes of a partition's rows, as far as the versions of streams determine them.

    An accepted record has the next version of its stream. A superseded one does not have it, unless its event
    was accepted before; `duplicates` are those, as (stream, event id) with the offset.
    """

    def __init__(self) -> None:
        self._versions: dict[str, int] = {}
        self.duplicates: dict[tuple[str, str], int] = {}

    def fits(self, row: KeptRow) -> bool:
        """Return whether the outcome of the next row fits those before it."""
        if row.stream is None or not row.version or row.outcome == "parked":
            return True
        is_next = row.version == self._versions.get(row.stream, 0) + 1
        if row.outcome == "accepted":
            self._versions[row.stream] = row.version
            return is_next
        if row.reason == "duplicate":
            self.duplicates.setdefault((row.stream, row.event_id or ""), row.offset)
            return True
        return not is_next
