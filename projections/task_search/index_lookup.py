"""Gathering tasks that are rare: looking them all up in an index of what is sought, and sorting them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic_core import from_json

from projections.postgres.connections import Connection
from projections.postgres.sql_parameters import Parameters, Statement
from projections.task_search.cost_limits import Bounds
from projections.task_search.filters import TaskFilter
from projections.task_search.index_walk import LEAST_AT_ONCE
from projections.task_search.ordering import Order, Place, Portion

_SETTINGS = """
    SET LOCAL enable_bitmapscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;
    SET LOCAL enable_sort = on; SET LOCAL plan_cache_mode = force_custom_plan;
    SET LOCAL seq_page_cost = 0.1; SET LOCAL random_page_cost = 0.1;
    SET LOCAL max_parallel_workers_per_gather = 0
"""
"""For the transaction: no index is read for its order, plans are made for the values that are sought, by what
pages cost in memory, and what is united comes one after the other."""


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
        if not rows[0]["is_end"]:
            return None
        return [Place(row["value"], row["id"]) for row in rows[1:]]

    def _first(self) -> Statement:
        """The first tasks that fit, and before them the end of all that do, if it is not too far to see.

        They are read one after the other until there are too many. To see the end costs less than to count.
        """
        parameters, after = Parameters(), self.portion.after
        conditions = [self.chosen.sought(parameters)]
        if after is not None:
            conditions.append(self.order.after(after, parameters))
        column = self.order.column
        return (
            f"""
            SELECT t.{column} AS value, t.id, t.is_end FROM (
                SELECT t.{column}, t.id, false AS is_end FROM task_search AS t(id)
                WHERE {" AND ".join(conditions)}
                UNION ALL SELECT NULL, NULL, true LIMIT {parameters.add(self.bounds.gathered + 1, "bigint")}
            ) t
            ORDER BY t.is_end DESC, {self.order.by_bands}
            LIMIT {parameters.add(self.portion.size + 1, "bigint")}
            """,  # noqa: S608
            *parameters.values,
        )
