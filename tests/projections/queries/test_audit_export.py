"""The pages of exports on PostgreSQL, compared with the fold of random histories."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import Any
from uuid import uuid4

import pytest
from pydantic_core import from_json

from api.export.encoders import ExportedEvent, Page
from app.audit.access import Reader
from app.audit.query import EVERYTHING, AuditQuery
from app.log.event_json import RecordedEvent, event_json
from app.log.records import RawRecord
from app.positions import Position
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.queries import audit_export
from projections.queries.audit_export import AuditExport, EventRows
from tests.exported import EventPage, by_stream, in_log_order
from tests.memory_log import MemoryEventLog
from tests.past_histories import PARTITIONS, history
from tests.spec import START
from tests.thoroughness import examples
from tests.truth import emptied

SELECTIONS: list[tuple[AuditQuery, Callable[[RecordedEvent], bool]]] = [
    (EVERYTHING, lambda _: True),
    (AuditQuery(types=("task.edited",)), lambda event: event.type == "task.edited"),
    (AuditQuery(outcomes=("accepted",), fields=("title",)), lambda event: b'"title":' in event.changes),
    (AuditQuery(actors=("bob",)), lambda _: False),
]
AUDITOR = Reader("bob", sees_all=True)


@pytest.fixture(scope="module")
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield tables that each test fills by itself."""
    schema = f"p_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", PARTITIONS))
    found = await open_database(database_url, schema, pool_size=2)
    yield found
    await found.close()


async def projected(database: Database, records: Sequence[RawRecord]) -> None:
    await emptied(database)
    projector = Projector(database, MemoryEventLog(PARTITIONS, lambda: START).read, None)
    batch = defaultdict[int, list[RawRecord]](list)
    for raw in records:
        batch[raw.position.partition].append(raw)
    await projector.project(batch)


def with_trouble(records: Sequence[RawRecord]) -> list[RawRecord]:
    """Return the records, then in each partition one again, which is superseded, and one that is parked."""
    more = list(records)
    for partition in range(PARTITIONS):
        there = [raw for raw in records if raw.position.partition == partition]
        for offset, raw in enumerate(there[:1], start=len(there)):
            more.append(replace(raw, position=Position(partition, offset)))
            more.append(replace(raw, position=Position(partition, offset + 1), headers=()))
    return more


def shown(events: Iterable[ExportedEvent]) -> list[Any]:
    """Return events without regard to white space in their data."""
    return [(from_json(event_json(event)), list_id) for event, list_id in events]


@pytest.mark.parametrize("seed", range(examples(6)))
async def test_pages_are_the_fold_in_both_orders(
    database: Database, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Whatever is selected, between whatever positions, however large the pages are."""
    chance = Random(seed)
    records = with_trouble(history(chance, 60))
    await projected(database, records)
    export, everything = AuditExport(database), in_log_order(records)
    assert {each.event.outcome for each in everything} == {"accepted", "superseded", "parked"}
    reached = await export.reached()
    for query, is_selected in SELECTIONS:
        monkeypatch.setattr(audit_export, "PAGE_OFFSETS", chance.choice([1, 3, 20, 500]))
        monkeypatch.setattr(audit_export, "PAGE_BYTES", chance.choice([1, 1_000, 1_000_000]))
        until = {partition: chance.randint(last // 2, last) for partition, last in reached.items()}
        after = {partition: chance.randint(-1, last) for partition, last in until.items()}
        wanted = [
            each
            for each in everything
            if after[each.event.position.partition] < each.event.position.offset
            and each.event.position.offset <= until[each.event.position.partition]
            and is_selected(each.event)
        ]
        assert await found(export.by_position(query, AUDITOR, after, until)) == shown(wanted)
        assert await found(export.by_stream(query, AUDITOR, after, until)) == shown(by_stream(wanted))


async def found(pages: AsyncGenerator[EventRows]) -> list[Any]:
    """Return the events of all pages, none of which is empty."""
    events: list[Any] = []
    async for page in pages:
        there = [ExportedEvent(*each) for each in page.events()]
        assert len(page) == len(there) > 0
        assert values_of(page) == values_of(EventPage(there))
        events += shown(there)
    return events


def values_of(page: Page) -> list[list[Any]]:
    """Return the values of a page by column, those in JSON decoded."""
    *others, data, changes = page.columns()
    return [list(column) for column in others] + [
        [from_json(each) for each in texts] for texts in (data, changes)
    ]
