"""Gathering tasks that are rare: looking them all up in an index of what is sought, and sorting them."""

from __future__ import annotations

from collections.abc import Sequence

from projections.projection import Connection
from projections.statements import Parameters, Statement
from projections.task_filters import TaskFilter
from projections.task_orders import Order, Place

MOST_GATHERED = 2_500
"""If more tasks are found, this is not the way: what is sought is frequent, and a walk meets it soon."""

_SETTINGS = """
    SET LOCAL enable_bitmapscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;
    SET LOCAL plan_cache_mode = force_custom_plan
"""
"""For the transaction: no index is read for its order, and plans are made for the values that are sought."""


async def gather(
    connection: Connection, chosen: TaskFilter, order: Order, *, after: Place | None, wanted: int
) -> list[Place] | None:
    """The places of the first `wanted` tasks after a place, or None if neither way finds few enough."""
    await connection.execute(_SETTINGS)
    places: list[Place] | None = None
    if chosen.has_words:
        places = await _by_words(connection, chosen, order, after)
    if places is None and chosen.has_facets:
        places = await _by_facets(connection, chosen, order, after)
    return None if places is None else order.sorted(places)[:wanted]


async def _by_words(
    connection: Connection, chosen: TaskFilter, order: Order, after: Place | None
) -> list[Place] | None:
    rows = await connection.fetch(*with_words(chosen))
    if len(rows) > MOST_GATHERED:
        return None
    rows = await connection.fetch(*with_facts(chosen, order, after, among=[row["id"] for row in rows]))
    return [Place(row["value"], row["id"]) for row in rows]


async def _by_facets(
    connection: Connection, chosen: TaskFilter, order: Order, after: Place | None
) -> list[Place] | None:
    rows = await connection.fetch(*with_facts(chosen, order, after))
    if len(rows) > MOST_GATHERED:
        return None
    places = [Place(row["value"], row["id"]) for row in rows]
    if not chosen.criteria.needles:
        return places
    found = await connection.fetch(*with_words(chosen, among=[place.id for place in places]))
    ids = {row["id"] for row in found}
    return [place for place in places if place.id in ids]


def with_words(chosen: TaskFilter, among: Sequence[str] | None = None) -> Statement:
    """Tasks that have the words, of those given or of all; one more than are gathered shows: too many."""
    parameters = Parameters()
    conditions = [chosen.named(parameters)]
    if among is not None:
        conditions.append(f"task_id = ANY({parameters.add(among, 'text[]')})")
    return (
        f"""
        SELECT task_id AS id FROM task_search WHERE {" AND ".join(conditions)}
        LIMIT {parameters.add(MOST_GATHERED + 1, "bigint")}
        """,  # noqa: S608
        *parameters.values,
    )


def with_facts(
    chosen: TaskFilter, order: Order, after: Place | None, among: Sequence[str] | None = None
) -> Statement:
    """Tasks after a place that fit but for their words, of those given or of all; as many as above."""
    parameters = Parameters()
    conditions = [chosen.sought(parameters)]
    if among is not None:
        conditions.append(f"t.id = ANY({parameters.add(among, 'text[]')})")
    if after is not None:
        conditions.append(order.after(after, parameters))
    return (
        f"""
        SELECT t.{order.column} AS value, t.id FROM tasks t WHERE {" AND ".join(conditions)}
        LIMIT {parameters.add(MOST_GATHERED + 1, "bigint")}
        """,  # noqa: S608
        *parameters.values,
    )
