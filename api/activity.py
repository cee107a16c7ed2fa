"""The activity feed over HTTP: what happened in the caller's lists, in groups."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

import asyncpg
from pydantic import TypeAdapter
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from api.answers import page_answer
from api.asking import query_of
from api.cursors import Offset, Partition, Time, decode_cursor, encode_cursor
from api.edge import caller_of, edge_of
from api.lists import unseen_list
from api.schemas import ActivityQuery
from app.activity import Group
from app.activity_phrases import summary
from app.graphemes import shortened
from app.positions import Position
from projections.activity_queries import EVENTS_SHOWN, Cut, Place

TASK_IDS_SHOWN = 50
LONGEST_TEXT = 200
MOST_PARTS = 20
"""What is longer, or has more parts, is cut in the feed's events; a task's history has it whole."""
_END: TypeAdapter[tuple[list[tuple[int, int]], Place | None]] = TypeAdapter(
    tuple[list[tuple[Partition, Offset]], tuple[Time, int, Offset] | None]
)


async def activity(request: Request) -> Response:
    """GET /api/activity."""
    query = query_of(request, ActivityQuery)
    fingerprint = f"activity {query.model_dump_json(exclude={'cursor', 'limit'})}"
    page = await edge_of(request).activity.page(
        caller_of(request).user,
        list_id=query.list_id,
        actor=query.actor,
        start=None if query.cursor is None else _read_cursor(fingerprint, query.cursor),
        limit=query.limit,
    )
    if page is None:
        raise await unseen_list(request, query.list_id or "")
    items = [to_json(group_json(group, page.shown)) for group in page.groups]
    end = None if page.end is None else _cursor(fingerprint, page.end)
    return page_answer(items, end, page.positions)


def _cursor(fingerprint: str, end: Cut) -> str:
    after = None if end.after is None else [end.after[0].isoformat(), *end.after[1:]]
    return encode_cursor(fingerprint, [list(end.below.items()), after])


def _read_cursor(fingerprint: str, cursor: str) -> Cut:
    below, after = decode_cursor(fingerprint, cursor, _END)
    return Cut(dict(below), after)


def group_json(group: Group, shown: Mapping[Position, asyncpg.Record]) -> dict[str, Any]:
    """A group as the API shows it, with the rows of its newest events."""
    task_ids, newest = group.task_ids, group.entries[0]
    rows = [shown[entry.position] for entry in group.entries[:EVENTS_SHOWN]]
    events = [_event(row) for row in rows]
    n = len(task_ids) or len(group.entries)
    return {
        "summary": summary(
            group.type, group.actor, n=n, title=rows[0]["title"], data=from_json(rows[0]["data"] or "{}")
        ),
        "actor": group.actor,
        "type": group.type,
        "list_id": group.list_id,
        "count": len(group.entries),
        "task_count": len(task_ids),
        "task_ids": task_ids[:TASK_IDS_SHOWN],
        "first_at": group.entries[-1].at,
        "last_at": newest.at,
        "events": events,
    }


def _event(row: asyncpg.Record) -> dict[str, Any]:
    kind, _, key = row["stream"].partition(":")
    return {
        "id": row["event_id"],
        "type": row["type"],
        "stream": row["stream"],
        "version": row["version"],
        "position": f"{row['partition']}:{row['offset']}",
        "task_id": key if kind == "task" else None,
        "title": row["title"],
        "time": row["time"],
        "recorded_at": row["recorded_at"],
        "actor": row["actor"],
        "data": _brief(from_json(row["data"] or "{}")),
        "changes": _brief(from_json(row["changes"] or "{}")),
    }


def _brief(value: Any) -> Any:
    """The value with what is long in it cut."""
    if isinstance(value, str):
        return shortened(value, LONGEST_TEXT)
    if isinstance(value, list):
        return [_brief(each) for each in value[:MOST_PARTS]]
    if isinstance(value, dict):
        return {name: _brief(each) for name, each in islice(value.items(), MOST_PARTS)}
    return value
