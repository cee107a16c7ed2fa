"""Gathering tasks that are rare: looking them all up in an index of what is sought, and sorting them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic_core import from_json

from projections.finding_bounds import Bounds
from projections.projection import Connection
from projections.statements import Parameters, Statement
from projections.task_filters import TaskFilter
from projections.task_orders import Order, Place, Portion
from projections.task_walks import LEAST_AT_ONCE

_SETTINGS = """
    SET LOCAL enable_bitmapscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;
    SET LOCAL enable_sort = on; SET LOCAL plan_cache_mode = force_custom_plan
"""
"""For the transaction: no index is read for its order, and plans are made for the values that are sought."""


@dataclass(frozen=True, slots=True)
class Gathering:
    """The search for a portion of the tasks that fit, if few enough of them are after its place."""

    chosen: TaskFilter
    order: Order
    portion: Portion
    bounds: Bounds

    async def is_promising(self, connection: Connection) -> bool:
        """Whether the database expects it to be less work than a walk would be; it may be wrong."""
        await connection.execute(_SETTINGS)
        fitting, everything = await self._expected(connection)
        shelves = len(self.chosen.lists) * len(self.chosen.shelves)
        return self.bounds.rather_gathers(
            fitting,
            shelves=shelves,
            steps=shelves * LEAST_AT_ONCE + self.portion.size * everything / max(fitting, 1),
            with_words=bool(self.chosen.criteria.needles),
        )

    async def _expected(self, connection: Connection) -> tuple[int, int]:
        """How many tasks the database expects that fit, and how many in all on the shelves.

        Of either those in whatever lists, if the lists are many.
        """
        parameters = Parameters()
        fitting = " AND ".join(self.chosen.indexed(parameters)) or "true"
        everything = " AND ".join(self.chosen.shelved(parameters)) or "true"
        explained = await connection.fetchval(
            f"EXPLAIN (FORMAT JSON) SELECT FROM task_search AS t(id) WHERE {fitting} "  # noqa: S608
            f"UNION ALL SELECT FROM task_search AS t(id) WHERE {everything}",
            *parameters.values,
        )
        one, other = from_json(explained)[0]["Plan"]["Plans"]
        return int(one["Plan Rows"]), int(other["Plan Rows"])

    async def go(self, connection: Connection) -> list[Place] | None:
        """The places, in order, or None if there are more than `bounds.gathered`."""
        await connection.execute(_SETTINGS)
        rows = await connection.fetch(*self._first())
        if rows and rows[0]["is_too_much"]:
            return None
        return [Place(row["value"], row["id"]) for row in rows]

    def _first(self) -> Statement:
        """The first tasks that fit; but one before them that is one too many, if there is."""
        parameters, after = Parameters(), self.portion.after
        conditions = [self.chosen.sought(parameters)]
        if after is not None:
            conditions.append(self.order.after(after, parameters))
        most = parameters.add(self.bounds.gathered, "bigint")
        return (
            f"""
            SELECT t.{self.order.column} AS value, t.id, t.number > {most} AS is_too_much FROM (
                SELECT t.{self.order.column}, t.id, row_number() OVER () AS number
                FROM task_search AS t(id) WHERE {" AND ".join(conditions)} LIMIT {most} + 1
            ) t
            ORDER BY is_too_much DESC, {self.order.by_bands}
            LIMIT {parameters.add(self.portion.size, "bigint")}
            """,  # noqa: S608
            *parameters.values,
        )
