"""Gathering tasks that are rare: looking them all up in an index of what is sought, and sorting them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pydantic_core import from_json

from projections.finding_bounds import Bounds
from projections.projection import Connection
from projections.statements import Parameters, Statement
from projections.task_filters import TaskFilter
from projections.task_orders import Order, Place, Portion

Way = Literal["words", "facts"]
"""By what tasks are looked up, and then checked for the rest: their words, or their facets and due dates."""

SETTINGS = """
    SET LOCAL enable_sort = on; SET LOCAL enable_bitmapscan = on;
    SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;
    SET LOCAL plan_cache_mode = force_custom_plan
"""
"""For the transaction: no index is read for its order, and plans are made for the values that are sought."""


@dataclass(slots=True)
class Gathering:
    """The search for a portion of the tasks that fit; each way is tried once."""

    chosen: TaskFilter
    order: Order
    portion: Portion
    bounds: Bounds
    _tried: set[Way] = field(default_factory=set)

    async def promising(self, connection: Connection) -> list[Way]:
        """The ways by which the database expects few tasks, the best one first; it may be wrong."""
        await connection.execute(SETTINGS)
        expected = {way: await self._expected(connection, way) for way in self._ways()}
        # A wide walk sees little of each shelf, and finds late what is rare.
        wide = len(self.chosen.lists) * len(self.chosen.shelves) > self.bounds.wide
        most = self.bounds.gathered if wide else self.bounds.expected
        few = [way for way, number in expected.items() if number <= most]
        return sorted(few, key=lambda way: expected[way])

    def _ways(self) -> list[Way]:
        ways: list[Way] = ["words"] if self.chosen.has_words else []
        return [*ways, "facts"] if self.chosen.has_facets else ways

    async def _expected(self, connection: Connection, way: Way) -> int:
        sql, *values = self.named(way)
        explained = await connection.fetchval(f"EXPLAIN (FORMAT JSON) {sql}", *values)
        return int(from_json(explained)[0]["Plan"]["Plan Rows"])

    async def go(self, connection: Connection, ways: Sequence[Way] | None = None) -> list[Place] | None:
        """What is found by one of these ways, or of those not tried; None if each finds too many tasks."""
        await connection.execute(SETTINGS)
        for way in self._ways() if ways is None else ways:
            if way in self._tried:
                continue
            self._tried.add(way)
            rows = await connection.fetch(*(self.by_words() if way == "words" else self.by_facts()))
            if rows[0]["number"] <= self.bounds.gathered:
                return [Place(row["value"], row["id"]) for row in rows if row["id"] is not None]
        return None

    def named(self, way: Way) -> Statement:
        """All tasks that are found by a way, before they are checked for the rest."""
        parameters = Parameters()
        if way == "words":
            return f"SELECT FROM task_search WHERE {self.chosen.named(parameters)}", *parameters.values
        return f"SELECT FROM tasks t WHERE {self._sought(parameters)}", *parameters.values

    def by_words(self) -> Statement:
        """Those that have the words, if they are few, and of them those that fit otherwise, in order."""
        parameters, column = Parameters(), self.order.column
        few = parameters.add(self.bounds.gathered, "bigint")
        named = f"task_search WHERE {self.chosen.named(parameters)} LIMIT {few} + 1"
        sought = self._sought(parameters)
        return (
            f"""
            WITH named AS (SELECT ARRAY(SELECT task_id FROM {named}) AS ids OFFSET 0)
            SELECT cardinality(ids) AS number, t.value, t.id FROM named LEFT JOIN LATERAL (
                SELECT t.{column} AS value, t.id FROM tasks t
                WHERE t.id = ANY(CASE WHEN cardinality(ids) <= {few} THEN ids END) AND {sought}
            ) t ON true
            {self._portion(parameters)}
            """,  # noqa: S608
            *parameters.values,
        )

    def by_facts(self) -> Statement:
        """Those that fit but for their words, if they are few, and of them those with the words, in order."""
        parameters, column = Parameters(), self.order.column
        few = parameters.add(self.bounds.gathered, "bigint")
        named = f"tasks t WHERE {self._sought(parameters)} LIMIT {few} + 1"
        words = self.chosen.words(parameters)
        return (
            f"""
            WITH named AS MATERIALIZED (SELECT {column} AS value, id FROM {named}),
            counted AS (SELECT count(*) AS number FROM named)
            SELECT number, t.value, t.id FROM counted LEFT JOIN named t
            ON CASE WHEN (SELECT number FROM counted) <= {few} THEN {words} END
            {self._portion(parameters)}
            """,  # noqa: S608
            *parameters.values,
        )

    def _sought(self, parameters: Parameters) -> str:
        after = self.portion.after
        later = [] if after is None else [self.order.after(after, parameters)]
        return " AND ".join([self.chosen.sought(parameters), *later])

    def _portion(self, parameters: Parameters) -> str:
        direction = "DESC" if self.order.descending else "ASC"
        limit = parameters.add(self.portion.size, "bigint")
        return f"ORDER BY t.value {direction} NULLS LAST, t.id {direction} LIMIT {limit}"
