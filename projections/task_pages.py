"""Pages of tasks: which way to find them, and what belongs on a page.

There are two ways. A walk reads an index in the order that is wanted and checks each task, which finds what
is frequent at once. Gathering lets the database choose an index of what is sought and sorts what it finds,
which is good for what is rare. Which of them it is shows when a walk has gone on for a while, or when too
much was gathered: no estimate is relied on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from app.criteria import InList
from app.ids import inbox_id
from projections.projection import Connection
from projections.task_filters import TaskFilter, Tier
from projections.task_gathering import gather
from projections.task_orders import Order, Place
from projections.task_walks import SETTINGS as WALKING
from projections.task_walks import Walk

MOST_WALKED = 2_000
MOST_READ = 600
"""So many tasks are looked at before gathering is tried; looking at their words takes longer."""
NEWEST = Order("updated_at", descending=True)
TIERS: tuple[Tier, ...] = ("title", "rest")

_LISTS = "SELECT list_id AS id, NULL AS name FROM list_members WHERE user_id = $1"
_NAMED_LISTS = """
    SELECT lists.id, lower(lists.name) AS name FROM list_members JOIN lists ON lists.id = list_id
    WHERE user_id = $1
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
        if bounded and not await walk.go(connection, MOST_READ if chosen.has_words else MOST_WALKED):
            gathered = await gather(connection, chosen, order, after=after, wanted=wanted)
            if gathered is not None:
                return gathered
            bounded = False
            await connection.execute(WALKING)
        await walk.go(connection)
        found += walk.found
        if len(found) == wanted:
            break
    return found


async def find_relevant(
    connection: Connection, chosen: TaskFilter, *, after: Place | None, wanted: int
) -> list[Place]:
    """The same, the most relevant first: those with all the words in their titles before the others.

    Of either those that changed last come first. The value of a place is the tier and the time of that.
    """
    found: list[Place] = []
    for tier in TIERS[0 if after is None else TIERS.index(after.value[0]) :]:
        start = Place(after.value[1], after.id) if after is not None and after.value[0] == tier else None
        places = await find(
            connection, replace(chosen, tier=tier), NEWEST, after=start, wanted=wanted - len(found)
        )
        found += [Place((tier, place.value), place.id) for place in places]
        if len(found) == wanted:
            break
    return found
