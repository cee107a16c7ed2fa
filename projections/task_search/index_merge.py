"""Index merge: read the next tasks of a few lists, all of which match, in one statement with their states.

This is the most frequent page: no filter but the status. Everything else takes a walk or a lookup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from app.search.criteria import Criteria
from projections.postgres.connections import Connection
from projections.postgres.snapshots import POSITIONS_COLUMN, positions_in
from projections.postgres.sql_parameters import Parameters, Statement
from projections.read_models.members import lists_of
from projections.task_search.cost_limits import Bounds
from projections.task_search.filters import TaskFilter
from projections.task_search.ordering import Order, Place, Portion
from projections.task_search.task_states import TaskState, newest_state


@dataclass(frozen=True, slots=True)
class Merged:
    """A page of tasks in order, its end if there are more, and the positions of the read models."""

    states: Sequence[TaskState]
    end: Place | None
    positions: dict[int, int]


def can_be_merged(wanted: Criteria, order: Order) -> bool:
    """Return whether all tasks of the user's lists match, except for their status."""
    # Descending, an index begins with the tasks that have no value, and pages end with them.
    return wanted == Criteria(statuses=wanted.statuses) and not order.nullable


async def merge(
    connection: Connection, user: str, wanted: Criteria, order: Order, portion: Portion, bounds: Bounds
) -> Merged | None:
    """Return all but the last of a portion of the user's tasks, and the end if it has a last.

    Return None if the tasks are in more than `bounds.abreast` status buckets. The transaction of the
    connection has the settings of a walk.
    """
    [row] = await connection.fetch(*_statement(user, wanted, order, portion, bounds))
    if row["buckets"] > bounds.abreast:
        return None
    ids, last = row["ids"] or (), portion.size - 1
    end = Place(row["values"][last - 1], ids[last - 1]) if len(ids) > last else None
    parts = (row["versions"] or (), row["lists"] or (), row["states"] or ())
    states = map(TaskState.unpacked, ids[:last], *parts)
    return Merged(list(states), end, positions_in(row))


def _statement(user: str, wanted: Criteria, order: Order, portion: Portion, bounds: Bounds) -> Statement:
    parameters = Parameters()
    member = parameters.add(user, "text")
    buckets = parameters.add(TaskFilter(wanted, ()).buckets, "smallint[]")
    abreast = parameters.add(bounds.abreast, "bigint")
    size = parameters.add(portion.size, "bigint")
    conditions = ["t.list_id = bucket.list_id", "t.status_bucket = bucket.status_bucket"]
    if portion.after is not None:
        conditions.append(order.after(portion.after, parameters))
    key = f"t.{order.column}"
    return (
        f"""
        WITH bucket AS MATERIALIZED (
            SELECT list_id, status_bucket FROM ({lists_of(member)}) AS seen
            CROSS JOIN unnest({buckets}) AS status_bucket
            LIMIT {abreast} + 1
        ), size AS MATERIALIZED (SELECT count(*) AS buckets FROM bucket), next AS MATERIALIZED (
            SELECT {key}, t.id FROM bucket CROSS JOIN LATERAL (
                SELECT {key}, t.id FROM tasks t WHERE {" AND ".join(conditions)}
                ORDER BY {order.by} LIMIT {size}
            ) AS t
            WHERE (SELECT buckets FROM size) <= {abreast} ORDER BY {order.by} LIMIT {size}
        )
        SELECT (SELECT buckets FROM size) AS buckets, {POSITIONS_COLUMN}, array_agg(t.id) AS ids,
            array_agg({key}) AS values, array_agg(t.version) AS versions, array_agg(t.list_id) AS lists,
            array_agg(t.state) AS states
        FROM (
            SELECT {key}, t.id, newest.version, newest.list_id, newest.state
            FROM next AS t CROSS JOIN LATERAL ({newest_state("t.id")}) AS newest ORDER BY {order.by}
        ) AS t
        """,  # noqa: S608
        *parameters.values,
    )
