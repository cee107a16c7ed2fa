"""Gathering tasks that are rare: looking them all up in an index of what is sought, and sorting them."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic_core import from_json

from projections.finding_bounds import Bounds
from projections.projection import Connection
from projections.statements import Parameters, Statement
from projections.task_filters import TaskFilter
from projections.task_orders import Order, Place, Portion

_SETTINGS = """
    SET LOCAL enable_bitmapscan = on; SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;
    SET LOCAL plan_cache_mode = force_custom_plan
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
        """Whether the database expects few tasks, in whatever lists; it may be wrong."""
        await connection.execute(_SETTINGS)
        parameters = Parameters()
        where = " AND ".join(self.chosen.indexed(parameters)) or "true"
        explained = await connection.fetchval(
            f"EXPLAIN (FORMAT JSON) SELECT FROM task_search AS t(id) WHERE {where}", *parameters.values
        )
        # A walk along many shelves sees little of each, and finds late what is rare.
        wide = len(self.chosen.lists) * len(self.chosen.shelves) > self.bounds.wide
        few = self.bounds.expected_wide if wide else self.bounds.expected
        return int(from_json(explained)[0]["Plan"]["Plan Rows"]) <= few

    async def go(self, connection: Connection) -> list[Place] | None:
        """The places, in order, or None if there are more than `bounds.gathered`."""
        await connection.execute(_SETTINGS)
        sql, *values = self._fitting()
        # Two arrays are read several times as fast as rows.
        ((found, ids),) = await connection.fetch(
            f"SELECT array_agg(value), array_agg(id) FROM ({sql}) t",  # noqa: S608
            *values,
        )
        if found is None:
            return []
        if len(ids) > self.bounds.gathered:
            return None
        return self.order.first(zip(found, ids, strict=True), self.portion.size)

    def _fitting(self) -> Statement:
        """Tasks that fit, one more than may be gathered at most."""
        parameters, after = Parameters(), self.portion.after
        conditions = [self.chosen.sought(parameters)]
        if after is not None:
            conditions.append(self.order.after(after, parameters))
        return (
            f"""
            SELECT t.{self.order.column} AS value, t.id FROM task_search AS t(id)
            WHERE {" AND ".join(conditions)} LIMIT {parameters.add(self.bounds.gathered + 1, "bigint")}
            """,  # noqa: S608
            *parameters.values,
        )
