"""Descriptions of events in the audit, with what they need of other rows, for one reader."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import asyncpg
from pydantic_core import from_json

from app.audit.access import Reader
from app.audit.descriptions import COMMENT_CHANGES, Description, describe
from app.audit.sentences import lists_in
from app.log.event_json import RecordedEvent
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection
from projections.read_models.audit_rows import event_and_state
from projections.read_models.members import lists_of
from projections.read_models.task_texts import COMMENT

_NAMES = f"""
    SELECT id, name FROM lists
    WHERE id = ANY($1::text[]) AND ($3 OR id IN ({lists_of("$2")}))
"""  # noqa: S608
_FORMER_COMMENTS = f"""
    SELECT audit.stream, wanted.version, audit.data ->> 'text' AS text
    FROM unnest($1::text[], $2::text[], $3::bigint[]) AS wanted(task_id, comment_id, version)
    JOIN task_texts x ON x.task_id = wanted.task_id AND x.place = '{COMMENT}' || wanted.comment_id
        AND x.end_version = wanted.version
    JOIN audit ON {stream_sql.is_stream(stream_sql.stream_of("task", "x.task_id"), "audit.stream")}
        AND audit.version = x.first_version AND audit.outcome = 'accepted'
"""  # noqa: S608


class Described(NamedTuple):
    """An event and its description."""

    event: RecordedEvent
    description: Description


async def described(
    connection: Connection, rows: Sequence[asyncpg.Record], reader: Reader
) -> list[Described]:
    """Return the events of rows that start with `EVENT_COLUMNS`, described for a reader who may see them."""
    found = [event_and_state(row) for row in rows]
    events = [event for event, _ in found]
    names = await _names(connection, events, reader)
    comments = await _former_comments(connection, events)
    return [
        Described(
            event, describe(event, _title(state), names, comments.get((event.stream or "", event.version)))
        )
        for event, state in found
    ]


def _title(state: bytes | None) -> str:
    values = {} if state is None else from_json(state, cache_strings="keys")
    title: str = values.get("title") or values.get("name") or ""
    return title


async def _names(
    connection: Connection, events: Sequence[RecordedEvent], reader: Reader
) -> Mapping[str, str]:
    """Return the names of lists that tasks moved between, if the reader sees these lists."""
    ids = lists_in(events)
    rows = await connection.fetch(_NAMES, list(ids), reader.user, reader.sees_all) if ids else []
    return {row["id"]: row["name"] for row in rows}


async def _former_comments(
    connection: Connection, events: Sequence[RecordedEvent]
) -> Mapping[tuple[str, int | None], str]:
    """Return the texts that comments had before they were edited or deleted, by stream and version."""
    changed = [each for each in events if each.type in COMMENT_CHANGES and each.outcome == "accepted"]
    if not changed:
        return {}
    rows = await connection.fetch(
        _FORMER_COMMENTS,
        [each.stream.key if each.stream else "" for each in changed],
        [from_json(each.data)["comment_id"] for each in changed],
        [each.version for each in changed],
    )
    return {(row["stream"], row["version"]): row["text"] for row in rows}
