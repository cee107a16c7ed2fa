"""Questions to the audit, by every way of finding, equal a naive filter over the folded log."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic_core import from_json

from app.audit.access import Reader
from app.audit.groups import GROUPS, PERIODS
from app.audit.query import SORTS, AuditQuery, Sort
from app.log.event_json import RecordedEvent
from app.positions import Position
from app.stream_ids import StreamId
from projections.audit_search.finding import Bounds
from projections.audit_search.orders import Place
from projections.batches import by_partition
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.queries.audit_events import AuditEvents
from tests.audit_world import (
    IDS,
    LISTS,
    PARTITIONS,
    PEOPLE,
    SOURCES,
    TASKS,
    AuditWorld,
    Outcome,
    naive,
)
from tests.spec import START
from tests.thoroughness import examples


class Projected:
    """A world whose records are projected up to some moment."""

    def __init__(self, database: Database, world: AuditWorld) -> None:
        self.database = database
        self.world = world
        self._projector = Projector(database, world.log.read, None)
        self._ends = [0] * PARTITIONS

    async def project(self, size: int = 100) -> None:
        """Project what is new."""
        for partition, records in by_partition(self.world.log.records).items():
            new = records[self._ends[partition] :]
            for first in range(0, len(new), size):
                await self._projector.project({partition: new[first : first + size]})
            self._ends[partition] = len(records)


async def projected(database_url: str, events: int, seed: int = 5) -> Projected:
    """Return a world, of which so many events are projected."""
    schema = f"s_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    database = await open_database(database_url, schema, pool_size=2)
    made = Projected(database, AuditWorld(seed))
    await made.world.begin()
    await made.world.go_on(events)
    await made.world.park()
    await made.project()
    return made


@pytest.fixture(scope="module")
async def place(database_url: str) -> AsyncIterator[Projected]:
    """Yield a projected world."""
    made = await projected(database_url, 500)
    await made.database.pool.execute("ANALYZE audit_search")
    yield made
    await made.database.close()


@pytest.fixture(scope="module")
def outcomes(place: Projected) -> Sequence[Outcome]:
    """Return what the fold made of its records."""
    return place.world.outcomes()


times = st.integers(-60, 4_000).map(lambda minutes: START + timedelta(minutes=minutes))
recorded = times.map(lambda time: time + timedelta(days=1))
positions = st.builds(Position, st.integers(0, PARTITIONS), st.integers(0, 400))


def some(values: Sequence[Any]) -> Any:
    """Return a strategy for no value or a few of these."""
    return st.lists(st.sampled_from(values), max_size=2, unique=True).map(tuple)


def maybe(strategy: Any) -> Any:
    """Return a strategy for no value in most cases."""
    return st.none() | st.none() | strategy


@st.composite
def questions(draw: Any) -> AuditQuery:
    """Return a question, of which most filters are empty."""
    filters = {
        "streams": some([StreamId(f"task:{TASKS[n]}") for n in (0, 1, 2)] + [StreamId("user:alice")]),
        "list_ids": some(LISTS),
        "actors": some([*PEOPLE, "nobody"]),
        "types": some(["task.*", "task.edited", "*.created", "list.*", "task.com*", "user.audit_read"]),
        "outcomes": some(["accepted", "superseded", "parked"]),
        "correlation_ids": some(IDS),
        "causation_ids": some(IDS),
        "sources": some(SOURCES),
        "positions": st.lists(positions, max_size=2, unique=True).map(tuple),
        "position_from": maybe(positions),
        "position_to": maybe(positions),
        "time_from": maybe(times),
        "time_to": maybe(times),
        "recorded_from": maybe(recorded),
        "recorded_to": maybe(recorded),
        "q": st.sampled_from(["", "milk", "mil*", '"follow up"', "-bread", "milk -mild", "nowhere", "doing"]),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(filters)), max_size=3, unique=True))
    given_ = {name: draw(filters[name]) for name in chosen}
    if draw(st.booleans()):
        given_["fields"] = (draw(st.sampled_from(["title", "stage", "tags", "estimate", "list_id", "name"])),)
        values = ["", "Doing", "Done", "a", "30", LISTS[0], "nothing"]
        given_["from_values"], given_["to_values"] = draw(some(values)), draw(some(values))
    return AuditQuery(**given_)


readers = st.sampled_from(
    [
        Reader("alice"),
        Reader("bob"),
        Reader("dora"),
        Reader("root", sees_all=True),
        Reader("bob", sees_all=True),
    ]
)
bounds = st.builds(
    Bounds,
    expected=st.sampled_from([0, 10, 1_000_000]),
    walked=st.sampled_from([1, 7, 40, 4_000]),
    gathered=st.sampled_from([1, 5, 40, 12_000]),
    growth=st.sampled_from([2, 4]),
)
LOADED = settings(
    max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


async def pages(
    events: AuditEvents, query: AuditQuery, reader: Reader, sort: Sort, limit: int
) -> list[Position]:
    """Return the positions of all events that a question finds, page by page."""
    found: list[Position] = []
    after: Place | None = None
    for _ in range(1_000):
        page = await events.page(query, reader, sort, after=after, limit=limit)
        found += [each.event.position for each in page.items]
        assert page.end is None or len(page.items) == limit
        if page.end is None:
            return found
        after = page.end
    raise AssertionError("the pages do not end")


@LOADED
@given(
    query=questions(),
    reader=readers,
    sort=st.sampled_from(SORTS),
    limit=st.sampled_from([7, 60]),
    limits=bounds,
)
async def test_pages_equal_a_naive_filter(
    place: Projected,
    outcomes: Sequence[Outcome],
    query: AuditQuery,
    reader: Reader,
    sort: Sort,
    limit: int,
    limits: Bounds,
) -> None:
    found = await pages(AuditEvents(place.database.pool, limits), query, reader, sort, limit)
    assert found == [each.event.position for each in naive(outcomes, query, reader, sort)]


async def test_events_are_as_in_the_fold(place: Projected, outcomes: Sequence[Outcome]) -> None:
    """Superseded and parked records too, each with its outcome and reason."""
    everything = Reader("root", sees_all=True)
    page = await AuditEvents(place.database.pool).page(
        AuditQuery(), everything, "position", after=None, limit=1_000
    )
    in_order = sorted(outcomes, key=lambda each: each.event.position)
    assert [_decoded(each.event) for each in page.items] == [_decoded(each.event) for each in in_order]
    assert {each.event.outcome for each in page.items} == {"accepted", "superseded", "parked"}


def _decoded(event: RecordedEvent) -> Sequence[Any]:
    """Return the fields of an event, with its JSON decoded."""
    return *event[:-2], from_json(event.data), from_json(event.changes)


ZONE = ZoneInfo("Asia/Kathmandu")
GROUPED: dict[str, Any] = {
    "stream": lambda each: [each.event.stream],
    "list_id": lambda each: list(each.lists[:1]) or [None],
    "actor": lambda each: [each.event.actor],
    "type": lambda each: [each.event.type],
    "outcome": lambda each: [each.event.outcome],
    "field": lambda each: list(from_json(each.event.changes)) or [None],
    "correlation_id": lambda each: [each.event.correlation_id],
    "causation_id": lambda each: [each.event.causation_id],
    "source": lambda each: [each.event.source],
    "partition": lambda each: [str(each.event.position.partition)],
    "day": lambda each: [each.time.astimezone(ZONE).date().isoformat()],
    "hour": lambda each: [each.time.astimezone(ZONE).replace(minute=0, second=0).isoformat()],
    "week": lambda each: [_monday(each.time)],
    "recorded_day": lambda each: [each.event.recorded_at.astimezone(ZONE).date().isoformat()],
    "recorded_hour": lambda each: [
        each.event.recorded_at.astimezone(ZONE).replace(minute=0, second=0).isoformat()
    ],
    "recorded_week": lambda each: [_monday(each.event.recorded_at)],
    "from": lambda each: [from_json(each.event.changes)["stage"][0] or ""],
    "to": lambda each: [from_json(each.event.changes)["stage"][1] or ""],
}
"""The groups that an outcome is in."""


def _monday(time: datetime) -> str:
    day = time.astimezone(ZONE).date()
    return (day - timedelta(days=day.weekday())).isoformat()


def test_every_group_is_tested() -> None:
    assert GROUPED.keys() == GROUPS.keys()


@LOADED
@given(query=questions(), reader=readers, group=st.sampled_from(sorted(GROUPED)))
async def test_counts_equal_a_naive_count(
    place: Projected, outcomes: Sequence[Outcome], query: AuditQuery, reader: Reader, group: str
) -> None:
    """By any value, and by hours, days and weeks in a time zone of another quarter of an hour."""
    if group in ("from", "to"):
        query = replace(query, fields=("stage",))
    found = await AuditEvents(place.database.pool).counts(query, reader, group, ZONE)
    wanted = Counter(
        key for each in naive(outcomes, query, reader, "position") for key in GROUPED[group](each)
    )
    assert {each.key: each.count for each in found.groups} == wanted
    assert len(found.groups) == len(wanted)
    keys = [each.key or "" for each in found.groups]
    sizes = [each.count for each in found.groups]
    assert keys == sorted(keys) if group in PERIODS else sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("sort", SORTS)
async def test_pages_join_while_events_arrive(database_url: str, sort: Sort) -> None:
    """Each event that was there at first is on one page; those that arrive may be on later ones."""
    made = await projected(database_url, 60, seed=SORTS.index(sort))
    query, reader = AuditQuery(types=("task.*",)), Reader("root", sees_all=True)
    events = AuditEvents(made.database.pool)
    first = {each.event.position for each in naive(made.world.outcomes(), query, reader, sort)}
    found: list[Position] = []
    after: Place | None = None
    for _ in range(100):
        page = await events.page(query, reader, sort, after=after, limit=9)
        found += [each.event.position for each in page.items]
        if page.end is None:
            break
        after = page.end
        if len(made.world.log.records) < 300:
            await made.world.go_on(10)
            await made.project()
    assert page.end is None
    assert len(found) == len(set(found))
    assert first <= set(found)
    every = [each.event.position for each in naive(made.world.outcomes(), query, reader, sort)]
    assert [each for each in every if each in set(found)] == found
    await made.database.close()
