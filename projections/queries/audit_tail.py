"""The tail of the audit: events that match a question, in the order of the log from some positions on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from app.audit.access import Reader
from app.audit.query import AuditQuery
from app.errors import Unavailable
from app.positions import Positions
from projections.audit_search.conditions import AuditFilter
from projections.audit_search.finding import WALKING
from projections.postgres.connections import Connection
from projections.postgres.database import DATABASE_UNAVAILABLE, Database
from projections.postgres.snapshots import positions_at, snapshot
from projections.postgres.sql_parameters import Parameters
from projections.queries.audit_events import events_at, seen
from projections.queries.descriptions import Described
from projections.read_models.audit import PLACE_BITS
from projections.read_models.audit_search import place_number

MOST_EXAMINED = 20_000
"""Records of a partition that one read looks at."""
MOST_FOUND = 200
"""Events of a partition that one read returns."""
_OFFSET = (1 << PLACE_BITS) - 1


@dataclass(frozen=True, slots=True)
class TailPage:
    """Events, each partition in its order, and the positions up to which nothing else matches.

    `more` if the read models have further records.
    """

    events: Sequence[Described]
    reached: Mapping[int, int]
    more: bool


class AuditTail:
    """The queries, on the live generation. They raise `Unavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def positions(self) -> dict[int, int]:
        """Return the positions that the read models have reached."""
        try:
            return await positions_at(self._database.pool)
        except DATABASE_UNAVAILABLE as error:
            raise Unavailable("the database is unavailable") from error

    async def after(self, query: AuditQuery, reader: Reader, since: Positions) -> TailPage:
        """Return the next events after some positions that the reader sees now."""
        try:
            async with snapshot(self._database.pool) as connection:
                scope, positions = await seen(connection, query, reader)
                spans = _spans(since, positions)
                if not spans:
                    return TailPage((), since, more=False)
                places = await _places(connection, AuditFilter.of(query, scope), spans)
                reached = {**since, **_reached(spans, places)}
                events = await events_at(connection, places, reader) if places else []
        except DATABASE_UNAVAILABLE as error:
            raise Unavailable("the database is unavailable") from error
        return TailPage(events, reached, more=bool(_spans(reached, positions)))


def _spans(since: Positions, positions: Positions) -> dict[int, tuple[int, int]]:
    """Return the offsets to look at, the first and the last of each partition that has new records."""
    spans = {}
    for partition, last in positions.items():
        first = since.get(partition, -1) + 1
        if first <= last:
            spans[partition] = first, min(last, first + MOST_EXAMINED - 1)
    return spans


async def _places(
    connection: Connection, chosen: AuditFilter, spans: Mapping[int, tuple[int, int]]
) -> list[int]:
    parameters = Parameters()
    first = parameters.add([place_number(p, first) for p, (first, _) in spans.items()], "bigint[]")
    last = parameters.add([place_number(p, last) for p, (_, last) in spans.items()], "bigint[]")
    conditions = ["place BETWEEN span.first AND span.last", *chosen.checked_all(parameters)]
    await connection.execute(WALKING)
    rows = await connection.fetch(
        f"""
        SELECT found.place FROM unnest({first}, {last}) AS span(first, last) CROSS JOIN LATERAL (
            SELECT place FROM audit_search WHERE {" AND ".join(conditions)}
            ORDER BY place LIMIT {MOST_FOUND}
        ) AS found
        """,  # noqa: S608
        *parameters.values,
    )
    return [row["place"] for row in rows]


def _reached(spans: Mapping[int, tuple[int, int]], places: Sequence[int]) -> dict[int, int]:
    """Return the offset of each partition up to which all matches were found."""
    found: dict[int, list[int]] = {partition: [] for partition in spans}
    for place in places:
        found[place >> PLACE_BITS].append(place & _OFFSET)
    return {
        partition: offsets[-1] if len(offsets) == MOST_FOUND else spans[partition][1]
        for partition, offsets in found.items()
    }
