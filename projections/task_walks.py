"""Walking through tasks in their order, along an index, and keeping those that fit.

An index has an order for each shelf of each list. The shelves are walked in step: some tasks of each at a
time, and of those that may still have tasks before the last one that is wanted, some more. So a walk looks at
little more than what lies before the end of the page, however many lists there are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from projections.projection import Connection
from projections.task_filters import Parameters, TaskFilter
from projections.task_orders import Order, Place

LEAST_AT_ONCE = 4
MOST_AT_ONCE = 4_000
"""How many tasks of one shelf, and of all of them, are looked at by one statement."""
GROWTH = 4

SETTINGS = """
    SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL plan_cache_mode = auto
"""
"""For the transaction of a walk: indexes are read in their order, however large Postgres thinks a list is."""


@dataclass(slots=True)
class Shelf:
    """A shelf of a list, and how far it has been walked."""

    list_id: str
    number: int
    place: Place | None


class Walk:
    """A walk through one band of an order, up to `wanted` tasks that fit."""

    def __init__(
        self, chosen: TaskFilter, order: Order, *, with_value: bool, after: Place | None, wanted: int
    ) -> None:
        self.found: list[Place] = []
        self.examined = 0
        """Tasks looked at, at most."""
        self._chosen, self._order, self._with_value, self._wanted = chosen, order, with_value, wanted
        self._open = [Shelf(list_id, shelf, after) for list_id in chosen.lists for shelf in chosen.shelves]
        self.width = len(self._open)
        """How many shelves are walked."""
        self._at_once = min(wanted, 4 * wanted // max(1, self.width))

    async def go(self, connection: Connection, most: int | None = None) -> bool:
        """Walk until all that is wanted is found, or until about `most` tasks were looked at.

        Returns whether it is done; else it can go on.
        """
        while self._open and (most is None or self.examined < most):
            await self._step(connection)
        return not self._open

    async def _step(self, connection: Connection) -> None:
        at_once = max(LEAST_AT_ONCE, min(self._at_once, MOST_AT_ONCE // len(self._open)))
        sql, values = statement(self._chosen, self._order, self._open, at_once, with_value=self._with_value)
        ends: dict[int, Place] = {}
        for number, value, identifier, fits, row in await connection.fetch(sql, *values):
            place = Place(value, identifier)
            if fits:
                self.found.append(place)
            if row == at_once:
                ends[number] = place
        self.examined += at_once * len(self._open)
        self._at_once = at_once * GROWTH
        self._narrow(ends)

    def _narrow(self, ends: Mapping[int, Place]) -> None:
        """Keep the best, and go on with the shelves only that may have better ones."""
        order = self._order
        self.found = order.sorted(self.found)[: self._wanted]
        last = self.found[-1] if len(self.found) == self._wanted else None
        still_open = []
        for number, shelf in enumerate(self._open, start=1):
            shelf.place = ends.get(number)
            if shelf.place is not None and (last is None or order.precedes(shelf.place, last)):
                still_open.append(shelf)
        self._open = still_open


def statement(
    chosen: TaskFilter, order: Order, shelves: Sequence[Shelf], at_once: int, *, with_value: bool
) -> tuple[str, list[Any]]:
    """The next tasks of each shelf: those that fit, and the last one that was looked at."""
    parameters = Parameters()
    columns = {
        "list_id": parameters.add([shelf.list_id for shelf in shelves], "text[]"),
        "shelf": parameters.add([shelf.number for shelf in shelves], "smallint[]"),
    }
    conditions = ["t.list_id = s.list_id", "t.shelf = s.shelf", *chosen.bounds(order.key, parameters)]
    if order.key == "due":
        conditions.append(f"t.due_at IS {'NOT ' if with_value else ''}NULL")
    places = [shelf.place for shelf in shelves if shelf.place is not None]
    if places:
        columns["value"] = parameters.add([place.value for place in places], f"{order.kind}[]")
        columns["id"] = parameters.add([place.id for place in places], "text[]")
        conditions.append(order.beyond("s.value", "s.id", with_value=with_value))
    by = f"t.{order.column} {order.direction}, t.id {order.direction}"
    limit = parameters.add(at_once, "bigint")
    return (
        f"""
        SELECT s.number, t.value, t.id, t.fits, t.row
        FROM unnest({", ".join(columns.values())}) WITH ORDINALITY AS s({", ".join(columns)}, number)
        CROSS JOIN LATERAL (
            SELECT t.{order.column} AS value, t.id, {chosen.checked(parameters)} AS fits,
                row_number() OVER (ORDER BY {by}) AS row
            FROM tasks t WHERE {" AND ".join(conditions)} ORDER BY {by} LIMIT {limit}
        ) t
        WHERE t.fits OR t.row = {limit}
        """,  # noqa: S608
        parameters.values,
    )
