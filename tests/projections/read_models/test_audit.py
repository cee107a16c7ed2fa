"""The audit: what a record costs, and records of other programs."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from app.lists.events import ListCreated
from app.log.records import Record
from app.positions import Position
from app.stream_ids import list_stream, task_stream
from app.tasks.events import TaskCreated, TaskMoved
from benchmarks import audit_sizes, incidents
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.queries.audit import AuditQueries
from projections.queries.decisions import CommandRows
from projections.queries.lost_records import kept_records
from projections.read_models.audit import accepted_ids
from tests.spec import START

PART = incidents.TASKS // 5, incidents.EVENTS // 5


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield empty tables."""
    schema = f"a_{uuid4().hex[:12]}"
    await set_up(database_url, schema, LogIdentity("memory", "memory", audit_sizes.PARTITIONS))
    opened = await open_database(database_url, schema, pool_size=1)
    yield opened
    await opened.close()


async def test_record_costs_at_most_the_bytes_of_the_target(database: Database) -> None:
    """With its share of the indexes, for a part of an incident log."""
    await audit_sizes.fill(database, audit_sizes.imported(incidents.traces(*PART), 0))
    sizes = await audit_sizes.sizes_of(database.pool)
    assert sizes.events > PART[1]
    assert sizes.total <= audit_sizes.TARGET_BYTES, sizes


async def test_ids_of_other_programs_are_kept(database: Database) -> None:
    """Ids that are not UUIDs, in any column: no text is lost, and each is found."""
    odd = {"correlation_id": "order 17", "causation_id": "", "command_hash": "ABC"}
    usual = {"correlation_id": str(uuid4()), "causation_id": str(uuid4()), "command_hash": "0f" * 16}
    streams = list_stream("home"), task_stream("milk")
    records = [
        Record("e1", streams[0], 1, START, "ann", "/other", ListCreated("Home"), **odd),
        Record("e2", streams[1], 1, START, "ann", "/other", TaskCreated("home", "Milk"), **usual),
        Record("E3", streams[1], 2, START, "ann", "/other", TaskMoved("away"), **odd),
    ]
    await audit_sizes.fill(database, records)
    async with database.pool.acquire() as connection:
        found = await accepted_ids(connection, ["e1", "e2", "e3", "E3"])
    assert found == {(each.stream, each.id) for each in records}
    rows = CommandRows(database.pool)
    assert await rows.accepted_among(["e1", "x", "E3"]) == {"e1", "E3"}
    queries = AuditQueries(database.pool)
    assert await queries.event_ids(streams) == {streams[0]: ["e1"], streams[1]: ["e2", "E3"]}
    kept = {}
    for partition in range(audit_sizes.PARTITIONS):
        for each in await kept_records(database, partition, 0, 10, 10):
            assert each.record is not None
            kept[each.record.id] = each.record
    assert kept == {record.id: record for record in records}
    for record in records:
        accepted = await rows.accepted(record.id)
        assert accepted is not None
        assert (accepted.stream, accepted.command_hash) == (record.stream, record.command_hash)
        written = await queries.at(accepted.position)
        assert written is not None
        assert written.event.correlation_id == record.correlation_id
        assert written.event.causation_id == record.causation_id
    assert await queries.at(Position(0, 99)) is None
