"""The read model that events of the audit are found by: their search keys, times and words, in narrow rows.

The audit itself has one order, that of the log, and indexes for histories. Each of its rows has a row here.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any

from pydantic_core import from_json
from sqlalchemy import BigInteger, Column, Index, SmallInteger, Table, text
from sqlalchemy.dialects.postgresql import ARRAY, TSVECTOR

from app.audit.changed_values import CHANGED_FIELDS, replaced_texts, texts_of
from app.audit.filters import OUTCOMES
from app.audit.keys import field_key, from_key, key_of, to_key
from app.lists.state import TaskList
from app.log.records import EVENT_TYPES
from app.tasks.events import TaskCommented, TaskCommentEdited
from app.tasks.state import Task
from app.text.names import normal_user
from projections.postgres.connections import Connection
from projections.postgres.tables import read_models
from projections.read_models.audit import PLACE_BITS
from projections.read_models.projected import Projected, ProjectedBatch
from projections.read_models.search_index import PENDING_KIB, document_of

KEYS = (
    "(ARRAY[stream, list_id, left_list_id, actor, source, correlation_id, causation_id, type::bigint,"
    " nullif(-outcome::bigint, 0)] || changes)"
)
"""The keys by which the index finds a row, an expression, so that they are not stored in the row again.

An accepted record has no key of its outcome: nearly all are accepted.
"""

audit_search = Table(
    "audit_search",
    read_models,
    # That of `projections.read_models.audit.place_of`.
    Column("place", BigInteger, primary_key=True, autoincrement=False),
    # Microseconds since 1970. An event without a time has that of the log.
    Column("time", BigInteger, nullable=False),
    Column("recorded_at", BigInteger, nullable=False),
    # Keys as in `app.audit.keys`.
    Column("stream", BigInteger),
    Column("list_id", BigInteger),
    Column("left_list_id", BigInteger),
    Column("actor", BigInteger),
    Column("source", BigInteger),
    Column("correlation_id", BigInteger),
    Column("causation_id", BigInteger),
    # A bit for each of `CHANGED_FIELDS`.
    Column("fields", BigInteger),
    # Numbers as in `type_number` and `OUTCOMES`.
    Column("type", SmallInteger),
    Column("outcome", SmallInteger, nullable=False),
    # For each changed field its key, and those of its first former and first new value; then all others.
    Column("changes", ARRAY(BigInteger)),
    # The words before and after.
    Column("document", TSVECTOR),
    Index(
        "audit_search_by_keys_and_words",
        text(KEYS),
        "document",
        postgresql_using="gin",
        postgresql_with={"gin_pending_list_limit": PENDING_KIB},
    ),
    Index("audit_search_by_time", "time", "place"),
    Index("audit_search_by_recorded_at", "recorded_at", "place"),
)
"""The keys, times and words that events are found by, sorted by and counted by."""

TABLES = (audit_search,)
VERSION = 1
_COLUMNS = tuple(column.name for column in audit_search.columns if column.name != "document")
KINDS = (*["bigint"] * 11, *["smallint"] * 2, *["text"] * 2)
"""The types of the columns in a statement that inserts texts for arrays and words."""
_INSERT = f"""
    INSERT INTO audit_search ({", ".join(_COLUMNS)}, document)
    SELECT {", ".join(_COLUMNS[:-1])}, changes::bigint[], document::tsvector
    FROM unnest({", ".join(f"${at}::{kind}[]" for at, kind in enumerate(KINDS, 1))})
        AS found({", ".join(_COLUMNS)}, document)
"""  # noqa: S608
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TEXTS = ("title", "notes", "name", "stage", "tags")
"""The changed fields whose words are indexed."""
_BITS = {name: 1 << at for at, name in enumerate(CHANGED_FIELDS)}
KEPT_CHARS = 200
"""The most characters of texts whose document is kept: stages recur, notes do not."""
DOCUMENTS_KEPT = 4_096
_NOTHING = b"{}"
NO_KEY = 0
"""Stands where a changed field has neither a former nor a new text of its own."""
_TYPE_NUMBERS = {name: key_of("type", name) & 0x7FFF for name in EVENT_TYPES}
OUTCOME_NUMBERS = {name: number for number, name in enumerate(OUTCOMES)}


def microseconds(time: datetime) -> int:
    """Return a time as in the columns."""
    return (time - _EPOCH) // _MICROSECOND


def time_of(microseconds: int) -> datetime:
    """Return the time in a column."""
    return _EPOCH + microseconds * _MICROSECOND


def place_number(partition: int, offset: int) -> int:
    """Return the place of a position."""
    return partition << PLACE_BITS | offset


def fields_mask(names: Iterable[str]) -> int:
    """Return the bits of some fields, each given once."""
    return sum(map(_BITS.__getitem__, names))


def type_number(name: str) -> int:
    """Return the number of an event type: a part of its key, so that new types do not change it."""
    return _TYPE_NUMBERS[name]


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the search keys of every record of the batch."""
    plain: list[tuple[Any, ...]] = []
    worded: list[tuple[Any, ...]] = []
    for projected in batch.records:
        row, document = _row(projected)
        if document:
            *others, changes = row
            worded.append(
                (*others, None if changes is None else f"{{{','.join(map(str, changes))}}}", document)
            )
        else:
            plain.append(row)
    if plain:
        await connection.copy_records_to_table("audit_search", records=plain, columns=_COLUMNS)
    if worded:
        await connection.execute(_INSERT, *map(list, zip(*worded, strict=True)))


def _row(projected: Projected) -> tuple[tuple[Any, ...], str]:
    """Return the columns of a row but the document, and the document."""
    event = projected.event
    recorded_at = microseconds(event.recorded_at)
    changes = {} if event.changes == _NOTHING else from_json(event.changes, cache_strings="keys")
    lists = _lists(projected)
    return (
        place_number(*event.position),
        recorded_at if event.time is None else microseconds(event.time),
        recorded_at,
        _key("stream", event.stream),
        _key("list_id", lists[0]),
        _key("list_id", lists[1]),
        _key("actor", None if event.actor is None else normal_user(event.actor)),
        _key("source", event.source),
        _key("correlation_id", event.correlation_id),
        _key("causation_id", event.causation_id),
        fields_mask(changes) if changes else None,
        None if event.type is None else type_number(event.type),
        OUTCOME_NUMBERS[event.outcome],
        _change_keys(changes) if changes else None,
    ), _document(tuple(_texts(projected, changes)))


def _key(kind: str, value: str | None) -> int | None:
    return None if value is None else key_of(kind, str(value))


def _lists(projected: Projected) -> tuple[str | None, str | None]:
    """Return the list of the record, and the list that a task left; also of a record that is not accepted."""
    match projected.folded.after:
        case Task(list_id=list_id):
            left = projected.lists[1:]
            return list_id, left[0] if left else None
        case TaskList(id=list_id):
            return list_id, None
        case _:
            return None, None


def _document(texts: tuple[str, ...]) -> str:
    if not texts:
        return ""
    written = _kept_document if sum(map(len, texts)) <= KEPT_CHARS else _written_document
    return written(texts)


def _written_document(texts: tuple[str, ...]) -> str:
    return document_of([("", text) for text in texts])


_kept_document = lru_cache(DOCUMENTS_KEPT)(_written_document)


def _change_keys(changes: dict[str, Any]) -> list[int]:
    keys: list[int] = []
    others: list[int] = []
    for name, (before, after) in changes.items():
        former, new = replaced_texts(before, after)
        keys += (
            field_key(name),
            from_key(name, former[0]) if former else NO_KEY,
            to_key(name, new[0]) if new else NO_KEY,
        )
        if len(former) > 1 or len(new) > 1:
            others += [from_key(name, each) for each in former[1:]]
            others += [to_key(name, each) for each in new[1:]]
    return keys + others


def _texts(projected: Projected, changes: dict[str, Any]) -> Iterator[str]:
    for name in _TEXTS:
        if name in changes:
            for value in changes[name]:
                yield from texts_of(value)
    record = projected.folded.record
    if record is not None and isinstance(record.data, TaskCommented | TaskCommentEdited):
        yield record.data.text
