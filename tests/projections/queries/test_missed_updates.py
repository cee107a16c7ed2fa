"""Missed updates read from the audit: equal to the fold of the log, and fast."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID, uuid4

import pytest

from api.relay.channel_access import Visibility
from api.relay.context import History
from api.relay.feed import Audit
from app.channels import list_channel, task_channel, user_channel
from app.errors import Unavailable
from app.lists.events import ListCreated, ListDeleted, ListRenamed
from app.lists.state import TaskList
from app.log.records import RawRecord, StreamResumed
from app.log.updates import Update
from app.positions import Position, Positions
from app.stream_ids import task_stream
from app.tasks.events import TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskMoved, TaskRestored
from app.tasks.state import Task
from projections.generations.lifecycle import set_up
from projections.generations.log_identity import LogIdentity
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.projector import Projector
from projections.queries import missed_updates as missed_module
from projections.queries.missed_updates import AuditHistory
from projections.queries.visibility import MemberVisibility
from tests.api.relay_world import World
from tests.folding import fold_log, update_of
from tests.memory_log import MemoryEventLog
from tests.spec import START, record_of

PARTITIONS = 3
USERS = ("ann", "bob %")


def identifier(kind: int, number: int) -> str:
    """Return the id of one of the lists (1) or tasks (2) of this test."""
    return str(UUID(int=kind << 120 | number))


class AuditReads(History, Audit, Protocol):
    """The queries of the audit by sessions and by the feed."""


@asynccontextmanager
async def emptied_database(url: str) -> AsyncIterator[Database]:
    """Provide empty tables."""
    schema = f"m_{uuid4().hex[:12]}"
    await set_up(url, schema, LogIdentity("memory", "memory", PARTITIONS))
    database = await open_database(url, schema, pool_size=2)
    yield database
    await database.close()


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """Yield empty tables."""
    async with emptied_database(database_url) as database:
        yield database


async def eventful_log() -> MemoryEventLog:
    """Return two users with two lists each; tasks that are edited, moved, deleted, restored; strays and
    holds."""
    log, chance = MemoryEventLog(PARTITIONS, lambda: START), random.Random(3)
    versions: dict[str, int] = {}

    async def happen(stream: str, event: Any, actor: str = "ann", *, stale: bool = False) -> None:
        version = versions.get(stream, 0) + (not stale)
        versions[stream] = version
        await log.append([record_of(event, version, id=str(uuid4()), stream=stream, actor=actor)])

    lists = [identifier(1, number) for number in range(4)]
    for number, list_id in enumerate(lists):
        await happen(f"list:{list_id}", ListCreated(f"list {number}"), USERS[number % 2])
    for number in range(60):
        stream = f"task:{identifier(2, number)}"
        await happen(stream, TaskCreated(chance.choice(lists), f"task {number}"))
        for event in chance.sample(
            [TaskEdited({"title": "ü\u2028"}), TaskMoved(chance.choice(lists)), TaskCompleted()], k=2
        ):
            await happen(stream, event)
        await happen(stream, TaskEdited({"title": "too late"}), stale=True)
        if number % 5 == 0:
            await happen(stream, TaskDeleted())
        if number % 10 == 0:
            await happen(stream, TaskRestored())
    poison = f"task:{identifier(2, 99)}"
    await log.append_again(
        [RawRecord(Position(1, 0), START, poison.encode(), [("ce_type", b"junk")], b"junk")]
    )
    await happen(f"list:{lists[0]}", ListRenamed("renamed"))
    await happen(f"list:{lists[3]}", ListDeleted(), "bob %")
    control = StreamResumed((f"1:{(await log.ends())[1] - 1}",))
    await log.append([record_of(TaskEdited({"title": "x"}), 1, id="c", stream=poison, data=control)])
    return log


@dataclass(frozen=True, slots=True)
class Relayed:
    """One implementation of what the relay queries, over the eventful log, and the updates of that log."""

    audit: AuditReads
    visibility: Visibility
    updates: list[Update]

    @property
    def ends(self) -> dict[int, int]:
        """The last offset of each partition."""
        return {
            partition: max(u.position.offset for u in self.updates if u.position.partition == partition)
            for partition in range(PARTITIONS)
        }


@pytest.fixture(scope="module", params=["memory", "postgres"])
async def relayed(request: pytest.FixtureRequest, database_url: str) -> AsyncIterator[Relayed]:
    """Yield the fake and the queries on PostgreSQL, one after the other: they pass the same tests."""
    log = await eventful_log()
    fold, outcome = fold_log(log.records)
    updates = [update_of(folded) for folded in outcome]
    if request.param == "memory":
        states = list(fold.states.values())
        world = World(
            PARTITIONS,
            members={s.id: {*s.members} for s in states if isinstance(s, TaskList) and s.deleted_at is None},
            task_lists={s.id: s.list_id for s in states if isinstance(s, Task)},
        )
        for update in updates:
            world.commit(update)
        yield Relayed(world, world, updates)
        return
    async with emptied_database(database_url) as database:
        projector = Projector(database, log.read, None)
        for partition, end in (await log.ends()).items():
            await projector.catch_up(partition, end)
        yield Relayed(AuditHistory(database), MemberVisibility(database), updates)


def expected(
    updates: list[Update], channels: Collection[str], since: Positions, upto: Positions
) -> list[Any]:
    """Return the missed updates by definition."""
    found = [
        update
        for update in updates
        if since.get(update.position.partition, -1) < update.position.offset
        and update.position.offset <= upto.get(update.position.partition, -1)
        and set(update.channels) & set(channels)
    ]
    return [plain(update) for update in sorted(found, key=lambda update: update.position)]


def plain(update: Update) -> tuple[Any, ...]:
    """Return an update with parsed JSON."""
    return (update.position, update.stream, update.outcome, update.channels, json.loads(update.value))


async def test_missed_updates_equal_those_of_the_log(relayed: Relayed) -> None:
    """For any channels and any span."""
    updates, ends, chance = relayed.updates, relayed.ends, random.Random(5)
    channels = sorted({channel for update in updates for channel in update.channels})
    for _ in range(60):
        wanted = chance.sample(channels, k=chance.choice([1, 2, 5, len(channels)]))
        since = {p: chance.randint(-1, end) for p, end in ends.items() if chance.random() < 0.8}
        upto = {p: chance.randint(-1, end) for p, end in ends.items() if chance.random() < 0.9}
        found = await relayed.audit.missed(wanted, since, upto, 10_000)
        assert found is not None
        assert [plain(update) for update in found] == expected(updates, wanted, since, upto)
    assert await relayed.audit.missed([], {}, ends, 10) == []


async def test_bound_counts_updates(relayed: Relayed) -> None:
    """Too many return none, exactly enough return all; examined rows do not count."""
    history, upto = relayed.audit, relayed.ends
    for channel in (
        list_channel(identifier(1, 0)),
        task_channel(identifier(2, 0)),
        user_channel("ann"),
        user_channel("bob %"),
    ):
        everything = expected(relayed.updates, [channel], {}, upto)
        assert everything
        found = await history.missed([channel], {}, upto, len(everything))
        assert found is not None
        assert [plain(update) for update in found] == everything
        assert await history.missed([channel], {}, upto, len(everything) - 1) is None


async def test_late_audit_is_reported(relayed: Relayed) -> None:
    """Instead of leaving out lost rows."""
    with pytest.raises(Unavailable):
        await relayed.audit.missed([user_channel("ann")], {}, {0: relayed.ends[0] + 1}, 10)


async def test_reached_is_the_next_offset_of_each_partition(relayed: Relayed) -> None:
    assert await relayed.audit.reached() == {partition: end + 1 for partition, end in relayed.ends.items()}


async def test_between_has_every_update_of_a_span_in_order(relayed: Relayed) -> None:
    """Also those of events without recipients; at most as many as requested."""
    for partition, end in relayed.ends.items():
        mine = [plain(each) for each in relayed.updates if each.position.partition == partition]
        for first, last, limit in (
            (0, end + 1, 1_000),
            (3, 9, 1_000),
            (3, 9, 2),
            (end, end + 5, 9),
            (4, 4, 9),
        ):
            found = await relayed.audit.between(partition, first, last, limit)
            assert [plain(update) for update in found] == mine[first:last][:limit]


async def test_unavailable_database_is_reported(database: Database) -> None:
    """For every query."""
    await database.close()
    history, visibility = AuditHistory(database), MemberVisibility(database)
    for question in (
        history.reached(),
        history.missed([user_channel("ann")], {}, {0: 1}, 10),
        history.between(0, 0, 1, 1),
        visibility.lists_of("ann"),
        visibility.list_of_task_at("ann", "x"),
    ):
        with pytest.raises(Unavailable):
            await question


async def test_members_see_existing_lists_and_their_tasks(relayed: Relayed) -> None:
    """Deleted lists are seen by nobody; deleted tasks by the members of their list."""
    visibility, updates = relayed.visibility, relayed.updates
    reached = relayed.ends
    lists = {identifier(1, 0), identifier(1, 2)}
    assert await visibility.lists_at("ann") == (lists, reached)
    assert await visibility.lists_at("bob %") == ({identifier(1, 1)}, reached)
    assert await visibility.lists_at("nobody") == (set(), reached)
    last = {update.stream: update for update in updates if update.outcome == "accepted"}
    for number in range(60):
        task_id = identifier(2, number)
        at = last[task_stream(task_id)].channels[0].key
        assert await visibility.list_of_task_at("ann", task_id) == (at if at in lists else None, reached)
    assert await visibility.list_of_task_at("ann", "nothing") == (None, reached)


async def test_only_needed_rows_are_read(database: Database) -> None:
    """By index, also in a large audit: one list's last hundred of a hundred thousand.

    Also for a user who was notified of every third event.
    """
    await database.pool.execute("""
        INSERT INTO audit (partition, "offset", outcome, stream, version, type, event_id, time, recorded_at,
            actor, source, data, state, list_id, user_ids)
        SELECT n % 3, n / 3, 'accepted', 'task:' || (n % 5000), n / 5000 + 1, 'task.edited',
            lpad(n::text, 32, '0')::uuid, now(), now(), 'ann', '/', '{}', '\\x007b7d',
            lpad((n % 50)::text, 32, '0')::uuid,
            CASE n % 3 WHEN 1 THEN ARRAY['ann'] END
        FROM generate_series(0, 99999) n
    """)
    await database.pool.execute(
        "INSERT INTO audit_users SELECT 'ann', partition, \"offset\" FROM audit WHERE user_ids IS NOT NULL"
    )
    await database.pool.execute("UPDATE checkpoints SET next_offset = 100000")
    await database.pool.execute("ANALYZE audit, audit_users")
    since, upto = [33_000] * 3, [33_332] * 3
    plan = json.loads(
        await database.pool.fetchval(
            f"EXPLAIN (ANALYZE, FORMAT JSON) {missed_module._MISSED}",
            [0, 1, 2],
            since,
            upto,
            [str(UUID(int=0x7))],
            ["ann"],
            ["task:7"],
            10_001,
        )
    )
    nodes = list(_nodes(plan[0]["Plan"]))
    scans = [node for node in nodes if node.get("Relation Name") in {"audit", "audit_users"}]
    assert scans
    assert not [node for node in scans if node["Node Type"] == "Seq Scan"]
    assert sum(node["Actual Rows"] * node["Actual Loops"] for node in scans) < 1_000
    history = AuditHistory(database)
    found = await history.missed([list_channel(str(UUID(int=0x7)))], {0: 33_000}, {0: 33_332}, 10)
    numbers = [n for n in range(0, 100_000, 3) if n % 50 == 7 and 33_000 < n // 3 <= 33_332]
    assert [update.event_id for update in found or ()] == [str(UUID(f"{number:032}")) for number in numbers]


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    return [node, *(each for child in node.get("Plans", []) for each in _nodes(child))]
