"""Pages of the audit: the ways to find the next events in an order, and the choice among them.

A walk reads the index of the order and checks each row: it finds frequent matches soon. A lookup reads the
index of keys and words, and sorts what it finds: it suits rare matches. Matches that are frequent, but far
away, are looked up window by window: each window is a part of the order with four times as many rows as the
one before it. So nothing is read whole, and the estimates of the database only save time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pydantic_core import from_json

from projections.audit_search.conditions import AuditFilter
from projections.audit_search.orders import Order, Place
from projections.postgres.connections import Connection
from projections.postgres.sql_parameters import Parameters

WALKING = """
    SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_seqscan = off;
    SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on;
    SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL max_parallel_workers_per_gather = 0
"""
LOOKING_UP = """
    SET LOCAL enable_sort = on; SET LOCAL enable_bitmapscan = on; SET LOCAL enable_seqscan = off;
    SET LOCAL enable_indexscan = off; SET LOCAL enable_indexonlyscan = off;
    SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL max_parallel_workers_per_gather = 0;
    SET LOCAL seq_page_cost = 0.1; SET LOCAL random_page_cost = 0.1
"""
"""Settings of the transaction: no index is read for its order. Costs assume pages in memory."""
_BOUNDARIES = """
    SELECT histogram_bounds::text::bigint[] AS bounds FROM pg_stats
    WHERE schemaname = current_schema AND tablename = 'audit_search' AND attname = $1
"""
"""Values of a column that divide its rows into equal shares, as of the last analysis."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Numbers of rows."""

    expected: int = 2_000
    """Matches that are looked up at once, if the database expects no more."""
    walked: int = 4_000
    """Rows that a walk examines at first."""
    gathered: int = 12_000
    """Matches that one lookup may sort."""
    growth: int = 4
    """The growth of windows, and of walks."""


DEFAULT_BOUNDS = Bounds()


@dataclass(frozen=True, slots=True)
class Walked:
    """The result of a walk: the matches, and the last row that was examined, unless it reached the end."""

    found: list[Place]
    last: Place | None


@dataclass(frozen=True, slots=True)
class Finder:
    """The search for the next `size` events of an order after a place."""

    connection: Connection
    chosen: AuditFilter
    order: Order
    size: int
    bounds: Bounds = DEFAULT_BOUNDS

    async def find(self, after: Place | None) -> list[Place]:
        """Return the places of the events, in order. The transaction may have any settings."""
        if (
            self.chosen.can_be_looked_up(self.order.column)
            and await self._expected(after) <= self.bounds.expected
        ):
            gathered = await self._look_up(after, None)
            if gathered is not None:
                return gathered
        walked = await self._walk(after, self.bounds.walked)
        if walked.last is None or len(walked.found) >= self.size:
            return walked.found[: self.size]
        rest = replace(self, size=self.size - len(walked.found))
        return walked.found + await rest._far_away(walked.last)  # noqa: SLF001  # its own class

    async def _far_away(self, after: Place) -> list[Place]:
        """Return the places after one before which few rows match."""
        found: list[Place] = []
        step, examined = 1, self.bounds.walked
        ahead = await self._boundaries(after)
        while len(found) < self.size:
            until = ahead[step - 1] if step <= len(ahead) else None
            rest = replace(self, size=self.size - len(found))
            places = await rest._look_up(after, until)  # noqa: SLF001
            if places is not None:
                found += places
                if until is None:
                    break
                after, ahead = self.order.end_of(until), ahead[step:]
                step *= self.bounds.growth
                continue
            # There are many in the window, so a walk finds some soon, unless they are at its end.
            examined *= self.bounds.growth
            walked = await rest._walk(after, examined)  # noqa: SLF001
            found += walked.found
            if walked.last is None:
                break
            after = walked.last
            ahead = [each for each in ahead if self.order.precedes(after.value, each)]
            step = max(1, min(step, len(ahead)) // self.bounds.growth)
        return found[: self.size]

    # --- statements ------------------------------------------------------------------------------------

    async def _walk(self, after: Place | None, most: int) -> Walked:
        """Examine at most so many rows after a place."""
        order, parameters = self.order, Parameters()
        places = [*self.chosen.bounds(order.column, parameters), *self._after(after, parameters)]
        checked = self.chosen.checked(order.column, parameters)
        await self.connection.execute(WALKING)
        rows = await self.connection.fetch(
            f"""
            SELECT value, place, number, fits FROM (
                SELECT {order.column} AS value, place, row_number() OVER () AS number,
                    ({" AND ".join(checked) or "true"}) AS fits
                FROM audit_search WHERE {" AND ".join(places) or "true"}
                ORDER BY {order.by} LIMIT {parameters.add(most, "bigint")}
            ) AS examined
            WHERE fits OR number = {parameters.add(most, "bigint")}
            LIMIT {parameters.add(self.size, "bigint")}
            """,  # noqa: S608
            *parameters.values,
        )
        found = [Place(row["value"], row["place"]) for row in rows if row["fits"]]
        is_over = len(found) < self.size and (not rows or rows[-1]["number"] < most)
        return Walked(found, None if is_over else Place(rows[-1]["value"], rows[-1]["place"]))

    async def _look_up(self, after: Place | None, until: int | None) -> list[Place] | None:
        """Return the first matches after a place, up to a value; None if there are too many to sort."""
        order, parameters = self.order, Parameters()
        conditions = [*self.chosen.sought(parameters), *self._after(after, parameters)]
        if until is not None:
            conditions.append(order.up_to(until, parameters))
        await self.connection.execute(LOOKING_UP)
        rows = await self.connection.fetch(
            f"""
            SELECT value, place, is_end FROM (
                SELECT {order.column} AS value, place, false AS is_end FROM audit_search
                WHERE {" AND ".join(conditions) or "true"}
                UNION ALL SELECT NULL, NULL, true LIMIT {parameters.add(self.bounds.gathered + 1, "bigint")}
            ) AS found
            ORDER BY is_end DESC, {order.by_value}
            LIMIT {parameters.add(self.size + 1, "bigint")}
            """,  # noqa: S608
            *parameters.values,
        )
        if not rows[0]["is_end"]:
            return None
        return [Place(row["value"], row["place"]) for row in rows[1:]]

    async def _expected(self, after: Place | None) -> int:
        parameters = Parameters()
        conditions = [*self.chosen.sought(parameters), *self._after(after, parameters)]
        return await expected(self.connection, conditions, parameters)

    async def _boundaries(self, after: Place) -> list[int]:
        """Return values in order after a place, between which there are equal shares of the rows."""
        rows = await self.connection.fetch(_BOUNDARIES, self.order.column)
        bounds = {each for row in rows for each in row["bounds"] or ()}
        ahead = sorted(bounds, reverse=self.order.descending)
        return [each for each in ahead if self.order.precedes(after.value, each)]

    def _after(self, after: Place | None, parameters: Parameters) -> list[str]:
        return [] if after is None else [self.order.after(after, parameters)]


async def expected(connection: Connection, conditions: Sequence[str], parameters: Parameters) -> int:
    """Return the number of rows that the database expects to meet the conditions; it may be wrong."""
    await connection.execute(LOOKING_UP)
    explained = await connection.fetchval(
        f"EXPLAIN (FORMAT JSON) SELECT FROM audit_search WHERE {' AND '.join(conditions)}",
        *parameters.values,
    )
    return int(from_json(explained)[0]["Plan"]["Plan Rows"])
