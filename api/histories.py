"""Histories: the events of one stream, with what each changed."""

from __future__ import annotations

import asyncpg
from pydantic import TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from api.answers import page_answer
from api.cursors import Offset, decode_cursor, encode_cursor
from api.edge import edge_of
from api.schemas import HistoryQuery
from projections.audit import event_from_row

_PLACE = TypeAdapter(tuple[Offset])


async def history_answer(request: Request, stream: str, query: HistoryQuery) -> Response:
    """A page of a stream's events, in order; what may be seen was checked by the caller."""
    everything = query.outcome == "all"
    fingerprint = f"history {stream} {query.outcome}"
    after = -1
    if query.cursor is not None:
        [after] = decode_cursor(fingerprint, query.cursor, _PLACE)
    rows = await edge_of(request).audit.history(
        stream, after=after, limit=query.limit + 1, with_superseded=everything
    )
    shown = rows[: query.limit]
    end = None
    if len(rows) > query.limit:
        end = encode_cursor(fingerprint, [shown[-1]["offset" if everything else "version"]])
    return page_answer([event_with_changes(row) for row in shown], end)


def event_with_changes(row: asyncpg.Record) -> bytes:
    """The JSON of an event as histories show it."""
    changes: str = row["changes"] or "{}"
    return event_from_row(row)[:-1] + b',"changes":%s}' % changes.encode()
