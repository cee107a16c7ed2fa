"""Gathering tasks that are rare: looking them all up in an index of what is sought, and sorting them."""

from __future__ import annotations

from collections.abc import Sequence

from projections.projection import Connection
from projections.statements import Parameters, Statement
from projections.task_filters import TaskFilter
from projections.task_orders import Order, Place

_SETTINGS = """
    SET LOCAL enable_bitmapscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;
    SET LOCAL plan_cache_mode = force_custom_plan
"""
"""For the transaction: no index is read for its order, and plans are made for the values that are sought."""


async def gather(
    connection: Connection, chosen: TaskFilter, order: Order, after: Place | None, most: int
) -> list[Place] | None:
    """The places of all tasks after a place, in order, or None if there are more than `most` either way."""
    await connection.execute(_SETTINGS)
    places: list[Place] | None = None
    if chosen.has_words:
        places = await _by_words(connection, chosen, order, after, most)
    if places is None and chosen.has_facets:
        places = await _by_facets(connection, chosen, order, after, most)
    return None if places is None else order.sorted(places)


async def _by_words(
    connection: Connection, chosen: TaskFilter, order: Order, after: Place | None, most: int
) -> list[Place] | None:
    found = await connection.fetch(*with_words(chosen, limit=most + 1))
    if len(found) > most:
        return None
    rows = await connection.fetch(*with_facts(chosen, order, after, among=[row["id"] for row in found]))
    return [Place(row["value"], row["id"]) for row in rows]


async def _by_facets(
    connection: Connection, chosen: TaskFilter, order: Order, after: Place | None, most: int
) -> list[Place] | None:
    rows = await connection.fetch(*with_facts(chosen, order, after, limit=most + 1))
    if len(rows) > most:
        return None
    places = [Place(row["value"], row["id"]) for row in rows]
    if not chosen.criteria.needles:
        return places
    found = await connection.fetch(*with_words(chosen, among=[place.id for place in places]))
    ids = {row["id"] for row in found}
    return [place for place in places if place.id in ids]


def with_words(
    chosen: TaskFilter, *, among: Sequence[str] | None = None, limit: int | None = None
) -> Statement:
    """Tasks that have the words; of those given, or of all up to the limit."""
    parameters = Parameters()
    conditions = [chosen.named(parameters)]
    if among is not None:
        conditions.append(f"task_id = ANY({parameters.add(among, 'text[]')})")
    return (
        f"""
        SELECT task_id AS id FROM task_search WHERE {" AND ".join(conditions)}
        LIMIT {parameters.add(limit, "bigint")}
        """,  # noqa: S608
        *parameters.values,
    )


def with_facts(
    chosen: TaskFilter,
    order: Order,
    after: Place | None,
    *,
    among: Sequence[str] | None = None,
    limit: int | None = None,
) -> Statement:
    """Tasks after a place that fit but for their words; of those given, or of all up to the limit."""
    parameters = Parameters()
    conditions = [chosen.sought(parameters)]
    if among is not None:
        conditions.append(f"t.id = ANY({parameters.add(among, 'text[]')})")
    if after is not None:
        conditions.append(order.after(after, parameters))
    return (
        f"""
        SELECT t.{order.column} AS value, t.id FROM tasks t WHERE {" AND ".join(conditions)}
        LIMIT {parameters.add(limit, "bigint")}
        """,  # noqa: S608
        *parameters.values,
    )
