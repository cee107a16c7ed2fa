"""Pages of tasks: the choice of the way to find them, and the content of a page.

There are two ways. A walk reads an index in the wanted order and checks each task, which finds frequent tasks
quickly. A lookup lets the database choose an index for the criteria and sorts the result, which suits rare
tasks. The database's estimate decides which is tried first, but is not relied on: after a walk has gone on
for a while, or a lookup found too much, the other one is tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.ids import inbox_id
from app.search.criteria import InList
from app.text.names import caseless
from projections.postgres.connections import Connection
from projections.postgres.periods import Moment
from projections.postgres.snapshots import POSITIONS_COLUMN, positions_in
from projections.read_models import members
from projections.task_search.cost_limits import Bounds
from projections.task_search.filters import TaskFilter, Tier
from projections.task_search.index_lookup import IndexLookup
from projections.task_search.index_walk import SETTINGS as WALKING
from projections.task_search.index_walk import Steps, Walk
from projections.task_search.ordering import Order, Place, Portion
from projections.task_search.sources import unchanged_since, versions_at

NEWEST = Order("updated_at", descending=True)
OLDEST = Order("created_at")
"""The order of too many past versions: a walk begins with tasks that existed at any later moment."""
MOST_TASKS = 2**40
"""More tasks than there are: a lookup of all of them."""
TIERS: tuple[Tier, ...] = ("title", "rest")

_LISTS = f"""
    SELECT coalesce(array_agg(list_id), '{{}}') AS ids, {POSITIONS_COLUMN}
    FROM ({members.lists_of("$1")}) AS seen
"""  # noqa: S608
_NAMED_LISTS = f"""
    SELECT coalesce(array_agg(id), '{{}}') AS ids, coalesce(array_agg(name), '{{}}') AS names,
        {POSITIONS_COLUMN}
    FROM lists {members.seen_by("$1", "lists.id")}
"""  # noqa: S608


class TooMany(Exception):
    """Error if more tasks would have to be sorted than wanted, because no index has them in order."""


class NoSuchList(Exception):
    """Error if the user has no list of this name."""

    def __init__(self, wanted: InList) -> None:
        super().__init__(wanted.called)
        self.wanted = wanted


async def lists_of(
    connection: Connection, user: str, wanted: Sequence[InList]
) -> tuple[list[str], dict[int, int]]:
    """Return the ids of the user's matching lists, and the positions of the read models.

    Raise `NoSuchList` for a name or id without a list.
    """
    [row] = await connection.fetch(_NAMED_LISTS if wanted else _LISTS, user)
    found = set(row["ids"])
    names = dict(zip(row["ids"], map(caseless, row["names"]), strict=True)) if wanted else {}
    for each in wanted:
        name = caseless(each.called)
        called = {list_id for list_id in names if list_id == each.called or names[list_id] == name}
        # Everyone has an inbox, also in the moment before it is in the read models.
        if not called and each.called != inbox_id(user):
            raise NoSuchList(each)
        found = found - called if each.negated else found & called
    return sorted(found), positions_in(row)


async def find(
    connection: Connection,
    chosen: TaskFilter,
    order: Order,
    portion: Portion,
    bounds: Bounds,
    most: int = MOST_TASKS,
) -> list[Place]:
    """Return the places of the tasks in a portion of those that match.

    The transaction of the connection begins with the settings of a walk. Raise `TooMany` if no index has the
    order, and more than `most` match.
    """
    lookup = IndexLookup(chosen, order, portion, bounds) if chosen.can_be_looked_up else None
    if lookup is not None and not chosen.source.can_be_walked(order.key):
        gathered = await lookup.go(connection, most)
        if gathered is None:
            raise TooMany
        return gathered
    if lookup is not None:
        if await lookup.is_promising(connection):
            gathered = await lookup.go(connection, bounds.gathered)
            if gathered is not None:
                return gathered
            lookup = None
        await connection.execute(WALKING)
    most = bounds.walked_versions if chosen.source.is_past else bounds.walked
    after, found = portion.after, list[Place]()
    for with_value in order.bands(after):
        # All of the band without values follows any place with one.
        start = after if after is not None and (after.value is not None) == with_value else None
        steps = Steps(chosen, order, with_value=with_value)
        walk = Walk(steps, Portion(start, portion.size - len(found)), bounds)
        if lookup is not None and not await _walk_some(walk, connection, most):
            gathered = await lookup.go(connection, bounds.gathered)
            if gathered is not None:
                return gathered
            lookup = None
            await connection.execute(WALKING)
        await walk.go(connection)
        found += walk.found
        if len(found) == portion.size:
            break
    return found


async def find_at(
    connection: Connection,
    chosen: TaskFilter,
    order: Order,
    portion: Portion,
    bounds: Bounds,
    moment: Moment | None,
    most: int = MOST_TASKS,
) -> list[Place]:
    """Return the same as of a moment: from tasks that are still the same, and from past versions."""
    if moment is None:
        return await find(connection, chosen, order, portion, bounds)
    found: list[Place] = []
    for source in (unchanged_since(moment), versions_at(moment)):
        found += await find(connection, replace(chosen, source=source), order, portion, bounds, most)
    return order.sorted(found)[: portion.size]


async def _walk_some(walk: Walk, connection: Connection, most: int) -> bool:
    """Try a walk; one that is half done by then may go on for a while. Return whether it is done."""
    return await walk.go(connection, most) or (walk.is_half_done and await walk.go(connection, 4 * most))


async def find_relevant(
    connection: Connection, chosen: TaskFilter, portion: Portion, bounds: Bounds, moment: Moment | None = None
) -> list[Place]:
    """Find the same, the most relevant first: tasks with all the words in their titles come first.

    Within both groups the most recently changed come first. At a past moment, the first created come first
    if more than `bounds.gathered` would have to be looked up. A place has the tier, the order and the time.
    """
    after, found = portion.after, list[Place]()
    for tier in TIERS[0 if after is None else TIERS.index(after.value[0]) :]:
        in_tier, size = replace(chosen, tier=tier), portion.size - len(found)
        if after is not None and after.value[0] == tier:
            _, key, time = after.value
            order, rest = NEWEST if key == NEWEST.key else OLDEST, Portion(Place(time, after.id), size)
            places = await find_at(connection, in_tier, order, rest, bounds, moment)
        else:
            order, rest = NEWEST, Portion(None, size)
            try:
                places = await find_at(connection, in_tier, order, rest, bounds, moment, bounds.gathered)
            except TooMany:
                order = OLDEST
                places = await find_at(connection, in_tier, order, rest, bounds, moment)
        found += [Place((tier, order.key, place.value), place.id) for place in places]
        if len(found) == portion.size:
            break
    return found
