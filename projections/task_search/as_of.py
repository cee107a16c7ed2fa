"""Tasks as of a past time: unchanged ones are found in their present state, the others in the audit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from pydantic_core import from_json

from app.search.sorting import sort_value
from app.tasks.events import TaskCommentDeleted, TaskCommented, TaskCommentEdited
from app.tasks.state import Task
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection
from projections.read_models.search_index import COMMENTS_SEARCHED
from projections.task_search.cost_limits import Bounds
from projections.task_search.filters import TaskFilter
from projections.task_search.ordering import Order, Place, Portion
from projections.task_search.planner import find
from projections.task_search.task_states import states

_READ_AT_ONCE = 500

_CHANGED = """
    SELECT id FROM tasks
    WHERE list_id = ANY($1) AND shelf = ANY('{0,1,2}') AND updated_at > $2 AND created_at <= $2 LIMIT $3
"""
_LEFT = f"""
    SELECT {stream_sql.KEY} AS id FROM audit
    WHERE left_list_id = ANY($1) AND outcome = 'accepted' AND {stream_sql.IS_TASK} LIMIT $2
"""  # noqa: S608
_COMMENTS = f"""
    SELECT id, version, data FROM unnest($1::text[]) AS wanted(id) CROSS JOIN LATERAL (
        SELECT version, data FROM audit
        WHERE stream = {stream_sql.stream_of("task", "wanted.id")}
          AND outcome = 'accepted' AND time <= $2 AND type = ANY($3)
        ORDER BY version DESC LIMIT $4
    ) AS newest
"""  # noqa: S608
_COMMENT_EVENTS = [each.type for each in (TaskCommented, TaskCommentEdited, TaskCommentDeleted)]


class TooManyChanged(Exception):
    """Error if more than `Bounds.changed` tasks have changed since, or ever left the lists."""


async def find_as_of(
    connection: Connection,
    chosen: TaskFilter,
    order: Order,
    portion: Portion,
    bounds: Bounds,
    time: datetime,
) -> list[Place]:
    """Return the places of a portion of the tasks that matched then. Raise `TooManyChanged`."""
    most = bounds.changed + 1
    changed = await connection.fetch(_CHANGED, chosen.lists, time, most)
    left = await connection.fetch(_LEFT, chosen.lists, most)
    if len(changed) + len(left) >= most:
        raise TooManyChanged
    found: dict[str, Place] = {}
    ids = sorted({row["id"] for row in (*changed, *left)})
    for first in range(0, len(ids), _READ_AT_ONCE):
        for task in await _fitting(connection, chosen, ids[first : first + _READ_AT_ONCE], time):
            place = Place(sort_value(task, order.key), task.id)
            if portion.after is None or order.is_after(portion.after, place):
                found[task.id] = place
    unchanged = replace(chosen, unchanged_since=time)
    for place in await find(connection, unchanged, order, portion, bounds):
        found[place.id] = place
    return order.sorted(found.values())[: portion.size]


async def _fitting(
    connection: Connection, chosen: TaskFilter, ids: Sequence[str], time: datetime
) -> Iterable[Task]:
    criteria = chosen.criteria
    tasks = [
        task
        for task in [state.decode() for state in (await states(connection, ids, time)).values()]
        if task.list_id in chosen.lists and task.deleted_at is None and criteria.fits(task)
    ]
    if not criteria.needles:
        return tasks
    comments = await comments_as_of(connection, [task.id for task in tasks if task.comment_count], time)
    return [task for task in tasks if criteria.found_in((task.title, task.notes, *comments.get(task.id, ())))]


async def comments_as_of(
    connection: Connection, ids: Sequence[str], time: datetime, limit: int = COMMENTS_SEARCHED
) -> Mapping[str, Sequence[str]]:
    """Return the comments at that time by task, newest first, from at most `limit` events of each task."""
    comments: dict[str, dict[str, str | None]] = defaultdict(dict)
    rows = await connection.fetch(_COMMENTS, ids, time, _COMMENT_EVENTS, limit)
    for row in sorted(rows, key=lambda row: row["version"], reverse=True):
        event = from_json(row["data"])
        # The newest event of a comment comes first; older ones do not replace it.
        comments[row["id"]].setdefault(event["comment_id"], event.get("text"))
    return {
        task_id: [text for text in texts.values() if text is not None] for task_id, texts in comments.items()
    }
