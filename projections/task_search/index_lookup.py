"""Index lookup of rare tasks: find all that match in an index, and sort them."""

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
"""Settings of the transaction: no index is read for its order, and plans use the actual values.

Costs assume pages in memory, and the parts of a union run one after the other.
"""


@dataclass(frozen=True, slots=True)
class IndexLookup:
    """The search for a portion of the matching tasks, if few enough of them are after its place."""

    chosen: TaskFilter
    order: Order
    portion: Portion
    bounds: Bounds

    async def is_promising(self, connection: Connection) -> bool:
        """Return whether the database expects less work than for a walk; it may be wrong."""
        await connection.execute(_SETTINGS)
        fitting, everything = await self._expected(connection)
        buckets = len(self.chosen.lists) * len(self.chosen.buckets)
        return self.bounds.prefers_lookup(
            fitting,
            buckets=buckets,
            steps=buckets * LEAST_AT_ONCE + self.portion.size * everything / max(fitting, 1),
            with_words=bool(self.chosen.criteria.needles),
        )

    async def _expected(self, connection: Connection) -> tuple[int, int]:
        """Return the number of tasks that the database expects to match, and of all in the buckets.

        If the lists are many, both numbers are for all lists.
        """
        parameters = Parameters()
        fitting = " AND ".join(self.chosen.indexed(parameters)) or "true"
        everything = " AND ".join(self.chosen.shelved(parameters)) or "true"
        rows = self.chosen.source.looked_up
        explained = await connection.fetchval(
            f"EXPLAIN (FORMAT JSON) SELECT FROM {rows} WHERE {fitting} "  # noqa: S608
            f"UNION ALL SELECT FROM {rows} WHERE {everything}",
            *parameters.values,
        )
        one, other = from_json(explained)[0]["Plan"]["Plans"]
        return int(one["Plan Rows"]), int(other["Plan Rows"])

    async def go(self, connection: Connection, most: int) -> list[Place] | None:
        """Return the places, in order, or None if there are more than `most`."""
        await connection.execute(_SETTINGS)
        rows = await connection.fetch(*self._first(most))
        if not rows[0]["is_end"]:
            return None
        return [Place(row["value"], row["id"]) for row in rows[1:]]

    def _first(self, most: int) -> Statement:
        """Return the first matching tasks, preceded by the end of all that match, if it is near enough.

        They are read one by one until there are too many. Finding the end costs less than counting.
        """
        parameters, after = Parameters(), self.portion.after
        conditions = [self.chosen.sought(parameters)]
        if after is not None:
            conditions.append(self.order.after(after, parameters))
        column = self.order.column
        return (
            f"""
            SELECT t.{column} AS value, t.id, t.is_end FROM (
                SELECT t.{column}, t.id, false AS is_end FROM {self.chosen.source.looked_up}
                WHERE {" AND ".join(conditions)}
                UNION ALL SELECT NULL, NULL, true LIMIT {parameters.add(most + 1, "bigint")}
            ) t
            ORDER BY t.is_end DESC, {self.order.by_bands}
            LIMIT {parameters.add(self.portion.size + 1, "bigint")}
            """,  # noqa: S608
            *parameters.values,
        )
