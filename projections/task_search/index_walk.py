"""Index walk: read tasks in order, along an index, and keep those that match.

An index has an order for each status bucket of each list, so many buckets are walked at once. First the start
of each is looked up. Then the buckets that start first are walked up to the start of the next one, and so on.
A walk therefore reads little more than what precedes the end of the page, for any number of lists.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from projections.postgres.connections import Connection
from projections.postgres.sql_parameters import Parameters, Statement
from projections.task_search.cost_limits import Bounds
from projections.task_search.filters import TaskFilter
from projections.task_search.ordering import Order, Place, Portion

LEAST_AT_ONCE = 2
"""The minimal number of tasks of a bucket that one statement examines."""
WORTH_A_STATEMENT = 256
"""The number of tasks that are examined in the time of another statement: few buckets need only one."""
GROWTH = 4
"""The growth of the number of buckets, or of tasks if none matched, in the next statement."""
MARGIN = 1.3
"""The factor by which more tasks are examined than are expected to be needed."""

SETTINGS = """
    SET LOCAL enable_sort = off; SET LOCAL enable_bitmapscan = off;
    SET LOCAL enable_indexscan = on; SET LOCAL enable_indexonlyscan = on;
    SET LOCAL plan_cache_mode = force_generic_plan
"""
"""Settings of a walk's transaction: indexes are read in order, whatever size Postgres expects of a list.

So a statement has only one plan. Planning it anew for the number of buckets takes longer than running it.
"""


@dataclass(slots=True)
class StatusBucket:
    """A status bucket of a list, walked up to `place`; its remaining tasks do not precede `head`."""

    list_id: str
    number: int
    place: Place | None
    head: Place | None = None


@dataclass(frozen=True, slots=True)
class Steps:
    """The statements of walks through one band of an order."""

    chosen: TaskFilter
    order: Order
    with_value: bool

    def heads(self, buckets: Sequence[StatusBucket]) -> Statement:
        """Return the statement for the next task of each bucket, matching or not."""
        parameters = Parameters()
        source, conditions = self._source(buckets, parameters)
        return (
            f"""
            SELECT s.number, t.value, t.id FROM {source} CROSS JOIN LATERAL (
                SELECT t.{self.order.column} AS value, t.id FROM {self.chosen.source.walked}
                WHERE {" AND ".join(conditions)} ORDER BY {self.order.by} LIMIT 1
            ) t
            """,  # noqa: S608
            *parameters.values,
        )

    def steps(self, buckets: Sequence[StatusBucket], at_once: int, until: Place | None) -> Statement:
        """Return the statement for the matches among the next tasks per bucket, and the last one examined.

        All versions of the last task that have the same place are examined with it.
        """
        parameters = Parameters()
        source, conditions = self._source(buckets, parameters)
        if until is not None:
            conditions.append(self.order.up_to(until, parameters))
        fits = self.chosen.checked(parameters)
        return (
            f"""
            SELECT s.number, t.value, t.id, t.fits, t.row FROM {source} CROSS JOIN LATERAL (
                SELECT t.*, row_number() OVER () AS row, count(*) OVER () AS rows FROM (
                    SELECT t.{self.order.column} AS value, t.id, {fits} AS fits
                    FROM {self.chosen.source.walked}
                    WHERE {" AND ".join(conditions)} ORDER BY {self.order.by}
                    FETCH FIRST ({parameters.add(at_once, "bigint")}) ROWS WITH TIES
                ) t
            ) t
            WHERE t.fits OR t.row = t.rows
            """,  # noqa: S608
            *parameters.values,
        )

    def _source(self, buckets: Sequence[StatusBucket], parameters: Parameters) -> tuple[str, list[str]]:
        """Return the buckets as rows `s`, and the conditions on rows `t` that remain to be examined."""
        order = self.order
        columns = {
            "list_id": parameters.add([bucket.list_id for bucket in buckets], "text[]"),
            "status_bucket": parameters.add([bucket.number for bucket in buckets], "smallint[]"),
        }
        conditions = [
            "t.list_id = s.list_id",
            "t.status_bucket = s.status_bucket",
            *order.band(with_value=self.with_value),
            *self.chosen.bounds(order.key, parameters),
            *self.chosen.source.skipped(parameters),
        ]
        places = [bucket.place for bucket in buckets if bucket.place is not None]
        if places:
            if self.with_value:
                columns["value"] = parameters.add([place.value for place in places], f"{order.kind}[]")
            columns["id"] = parameters.add([place.id for place in places], "text[]")
            conditions.append(order.beyond("s.value", "s.id", with_value=self.with_value))
        rows = f"unnest({', '.join(columns.values())}) WITH ORDINALITY AS s({', '.join(columns)}, number)"
        return rows, conditions


class Walk:
    """A walk through a portion of the matching tasks."""

    def __init__(self, steps: Steps, portion: Portion, bounds: Bounds) -> None:
        self.found: list[Place] = []
        self.examined = 0
        """The number of tasks examined."""
        self._steps, self._bounds, self._wanted = steps, bounds, portion.size
        self._order, chosen = steps.order, steps.chosen
        self._open = [
            StatusBucket(list_id, bucket, portion.after)
            for list_id in chosen.lists
            for bucket in chosen.buckets
        ]
        self._abreast = bounds.abreast

    async def go(self, connection: Connection, most: int | None = None) -> bool:
        """Walk until everything wanted is found, or until about `most` tasks were examined.

        Return whether it is done; otherwise it can be continued.
        """
        while self._open and (most is None or self.examined < most):
            if len(self._open) > self._abreast and self._open[0].head is None:
                await self._look_ahead(connection)
            else:
                left = self._promising() if most is None else min(most - self.examined, self._promising())
                sufficient = self._wanted * len(self._open)
                if sufficient <= WORTH_A_STATEMENT:
                    left = max(left, sufficient)
                await self._step(connection, min(left, self._bounds.at_once))
        return not self._open

    @property
    def is_half_done(self) -> bool:
        """Return whether at least half of the wanted tasks were found."""
        return 2 * len(self.found) >= self._wanted

    def _promising(self) -> int:
        """Return the number of tasks to examine next, by the share that matched before."""
        missing = self._wanted - len(self.found)
        if not missing:
            return self._bounds.at_once
        if not self.found:
            return max(self._wanted, GROWTH * self.examined)
        return max(self._wanted, int(missing * self.examined / len(self.found) * MARGIN))

    async def _look_ahead(self, connection: Connection) -> None:
        for number, value, identifier in await connection.fetch(*self._steps.heads(self._open)):
            bucket, head = self._open[number - 1], Place(value, identifier)
            place = self._order.just_before(head)
            # What was seen on previous pages precedes the head, too.
            seen = bucket.place is not None and not self._order.precedes(bucket.place, place)
            bucket.head, bucket.place = head, bucket.place if seen else place
        self._open = [bucket for bucket in self._open if bucket.head is not None]

    async def _step(self, connection: Connection, most: int) -> None:
        buckets, until = self._front()
        at_once = max(LEAST_AT_ONCE, most // len(buckets))
        ends: dict[int, tuple[Place, int]] = {}
        rows = await connection.fetch(*self._steps.steps(buckets, at_once, until))
        for number, value, identifier, fits, row in rows:
            place = Place(value, identifier)
            ends[number] = place, row
            if fits:
                self.found.append(place)
        self.examined += sum(row for _, row in ends.values())
        self._abreast *= GROWTH
        self._narrow(buckets, at_once, until, ends)

    def _front(self) -> tuple[list[StatusBucket], Place | None]:
        """Return the buckets to walk now, and the end: all of them up to the last task, if they are few."""
        if len(self._open) <= self._abreast:
            return self._open, self._last()
        heads = self._order.sorted(bucket.head for bucket in self._open if bucket.head is not None)
        until = heads[self._abreast - 1]
        return [
            bucket for bucket in self._open if bucket.head and not self._order.precedes(until, bucket.head)
        ], until

    def _last(self) -> Place | None:
        """Return the place of the last task that may be wanted, once there are enough."""
        return self.found[-1] if len(self.found) == self._wanted else None

    def _narrow(
        self,
        walked: Sequence[StatusBucket],
        at_once: int,
        until: Place | None,
        ends: Mapping[int, tuple[Place, int]],
    ) -> None:
        """Record how far the buckets were walked; keep the best tasks, and buckets that may have better."""
        for number, bucket in enumerate(walked, start=1):
            place, rows = ends.get(number, (None, 0))
            bucket.place = bucket.head = place if rows >= at_once else until
        order = self._order
        self.found = order.sorted(self.found)[: self._wanted]
        last = self._last()
        self._open = [
            bucket
            for bucket in self._open
            if bucket.head is not None and (last is None or order.precedes(bucket.head, last))
        ]
