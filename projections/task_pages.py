"""Pages of tasks: which way to find them, and what belongs on a page.

There are two ways. A walk reads an index in the order that is wanted and checks each task, which finds what
is frequent at once. Gathering lets the database choose an index of what is sought and sorts what it finds,
which is good for what is rare. Which of them it is shows when a walk has gone on for a while, or when too
much was gathered: no estimate is relied on.
"""

from __future__ import annotations

from collections.abc import Sequence

from app.criteria import InList
from app.ids import inbox_id
from projections.projection import Connection
from projections.task_filters import Parameters, TaskFilter, tsquery_of
from projections.task_orders import Order, Place
from projections.task_walks import SETTINGS as WALKING
from projections.task_walks import Walk

MOST_WALKED = 2_000
"""So many tasks are looked at before gathering is tried."""
MOST_SHELVES = 200
"""A walk over more of them sees too little of each: gathering is tried at once."""
MOST_GATHERED = 3_000
"""If more fit, what is sought is frequent enough to walk on."""
RANKED = 1_000
"""How many tasks are compared by relevance: of those that fit, the ones that changed last."""

_LISTS = "SELECT list_id AS id, NULL AS name FROM list_members WHERE user_id = $1"
_NAMED_LISTS = """
    SELECT lists.id, lower(lists.name) AS name FROM list_members JOIN lists ON lists.id = list_id
    WHERE user_id = $1
"""
_GATHERING = """
    SET LOCAL enable_sort = on; SET LOCAL enable_bitmapscan = on;
    SET LOCAL plan_cache_mode = force_custom_plan
"""
_RANKS = """
    SELECT task_id, ts_rank(document, $2)::float8 AS rank FROM task_search WHERE task_id = ANY($1)
"""


class NoSuchList(Exception):
    """The user has no list that is called so."""

    def __init__(self, wanted: InList) -> None:
        super().__init__(wanted.called)
        self.wanted = wanted


async def lists_of(connection: Connection, user: str, wanted: Sequence[InList]) -> list[str]:
    """The ids of the user's lists that fit. Raises `NoSuchList` for what is not a list of theirs."""
    rows = await connection.fetch(_NAMED_LISTS if wanted else _LISTS, user)
    found = {row["id"] for row in rows}
    for each in wanted:
        called = {row["id"] for row in rows if each.called == row["id"] or each.called.lower() == row["name"]}
        # Everyone has an inbox, also in the moment before it is in the read models.
        if not called and each.called != inbox_id(user):
            raise NoSuchList(each)
        found = found - called if each.negated else found & called
    return sorted(found)


async def find(
    connection: Connection, chosen: TaskFilter, order: Order, *, after: Place | None, wanted: int
) -> list[Place]:
    """The places of the first `wanted` tasks after a place."""
    await connection.execute(WALKING)
    found: list[Place] = []
    bounded = not chosen.is_plain
    for with_value in order.bands(after):
        # All of the band without values comes after any place with one.
        start = after if after is not None and (after.value is not None) == with_value else None
        walk = Walk(chosen, order, with_value=with_value, after=start, wanted=wanted - len(found))
        if bounded and not await walk.go(connection, MOST_WALKED if walk.width <= MOST_SHELVES else 0):
            gathered = await _gather(connection, chosen, order, after, wanted)
            if gathered is not None:
                return gathered
            bounded = False
        await walk.go(connection)
        found += walk.found
        if len(found) == wanted:
            break
    return found


async def _gather(
    connection: Connection, chosen: TaskFilter, order: Order, after: Place | None, wanted: int
) -> list[Place] | None:
    """The same, from all tasks that fit; None if they are too many."""
    sql, values = gathering(chosen, order, after, wanted)
    await connection.execute(_GATHERING)
    rows = await connection.fetch(sql, *values)
    if rows and rows[0]["number"] > MOST_GATHERED:
        await connection.execute(WALKING)
        return None
    return [Place(row["value"], row["id"]) for row in rows]


def gathering(chosen: TaskFilter, order: Order, after: Place | None, wanted: int) -> tuple[str, list[object]]:
    """What fits, in order, with its number as far as it is counted."""
    parameters = Parameters()
    source = chosen.sought(parameters)
    if after is not None:
        place = parameters.add(after.value, order.kind), parameters.add(after.id, "text")
        source += f" AND {order.after(*place, with_value=after.value is not None)}"
    most = parameters.add(MOST_GATHERED + 1, "bigint")
    return (
        f"""
        WITH found AS MATERIALIZED (SELECT t.{order.column} AS value, t.id FROM {source} LIMIT {most})
        SELECT value, id, (SELECT count(*) FROM found) AS number FROM found
        ORDER BY value {order.direction} NULLS LAST, id {order.direction}
        LIMIT {parameters.add(wanted, "bigint")}
        """,  # noqa: S608
        parameters.values,
    )


async def find_relevant(
    connection: Connection, chosen: TaskFilter, *, after: Place | None, wanted: int
) -> list[Place]:
    """The same in the order of relevance; of equally relevant ones, those that changed last come first."""
    candidates = await find(
        connection, chosen, Order("updated_at", descending=True), after=None, wanted=RANKED
    )
    changed = {place.id: place.value for place in candidates}
    rows = await connection.fetch(_RANKS, list(changed), tsquery_of(chosen.criteria.needles))
    places = [Place((row["rank"], changed[row["task_id"]]), row["task_id"]) for row in rows]
    order = Order("updated_at", descending=True)
    return [place for place in order.sorted(places) if after is None or order.precedes(after, place)][:wanted]
