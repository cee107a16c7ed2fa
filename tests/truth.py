"""Invariants of a place after any events, derived from its log."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

from app.dates import due_at, format_time
from app.lists.state import TaskList
from app.log.fold import Folded, State, channels
from app.log.recipients import notified
from app.log.records import RawRecord, Record
from app.log.updates import decode, state_json
from app.merkle.hashes import root_of
from app.positions import Position
from app.search.facets import facets_of
from app.search.sorting import sort_value
from app.settings import Settings
from app.statistics.changes import flow_entries
from app.stream_ids import StreamId
from app.tasks.reminders import pending
from app.tasks.state import Task
from app.text.tokens import forms_of
from app.users import AllNotificationsRead, NotificationsRead, NotificationsUnread, User
from projections.generations.opening import open_database
from projections.postgres.database import Database
from projections.queries.trees import TreeQueries
from projections.read_models import lists, tasks
from projections.read_models.audit_rows import EVENT_COLUMNS, event_from_row, state_from_row
from projections.read_models.lists import list_from_row
from projections.read_models.notifications import READ
from projections.read_models.registry import READ_MODELS
from projections.read_models.search_index import FACTS
from projections.read_models.tasks import task_from_row
from projections.read_models.tree import record_hash
from streams.event_log import KafkaEventLog
from tests.folding import fold_log, update_of
from tests.waiting import eventually


async def read_whole_log(settings: Settings) -> list[RawRecord]:
    """Return every record of the log, partition by partition."""
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    try:
        return [
            raw
            for partition, end in (await log.ends()).items()
            async for batch in log.read(partition, 0, end)
            for raw in batch
        ]
    finally:
        await log.close()


async def wait_until_projected(settings: Settings, limit_s: float = 60) -> None:
    """Return when the checkpoints are at the end of the log and every update is known to be emitted."""
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)

    async def is_projected() -> bool:
        ends = await log.ends()
        rows = await database.pool.fetch("SELECT partition, next_offset, emitted_offset FROM checkpoints")
        return all(ends[row["partition"]] == row["next_offset"] == row["emitted_offset"] for row in rows)

    try:
        await eventually(is_projected, limit_s, "the read models did not reach the end of the log")
    finally:
        await log.close()
        await database.close()


async def check_place(settings: Settings) -> list[Folded]:
    """Check that read models, audit and updates equal the fold of the log, and return the fold."""
    records = await read_whole_log(settings)
    fold, outcome = fold_log(records)
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    try:
        await check_read_models(database, fold.states.values(), outcome)
    finally:
        await database.close()
    await _check_updates(settings, outcome)
    return outcome


async def check_read_models(
    database: Database, states: Iterable[State | None], outcome: list[Folded]
) -> None:
    """Check every table against the fold."""
    by_kind: dict[type, dict[str, Any]] = {Task: {}, TaskList: {}, User: {}}
    for state in states:
        if state is not None:
            by_kind[type(state)][state.id] = state
    rows = await database.pool.fetch(f"SELECT {', '.join(tasks.STATE_COLUMNS)} FROM tasks")
    assert {row["id"]: task_from_row(row) for row in rows} == by_kind[Task]
    rows = await database.pool.fetch(f"SELECT {', '.join(lists.STATE_COLUMNS)} FROM lists")
    assert {row["id"]: list_from_row(row) for row in rows} == by_kind[TaskList]
    members = await database.pool.fetch("SELECT list_id, user_id, role FROM list_members")
    assert {tuple(row) for row in members} == {
        (each.id, user, role)
        for each in by_kind[TaskList].values()
        if each.deleted_at is None
        for user, role in each.members.items()
    }
    found = await database.pool.fetch("SELECT id, version FROM users")
    assert {tuple(row) for row in found} == {(user.id, user.version) for user in by_kind[User].values()}
    await _check_reminders(database, by_kind[Task].values())
    await _check_comments(database, by_kind[Task].values())
    await _check_statistics(database, outcome)
    await _check_finding(database, by_kind[Task])
    await _check_notifications(database, outcome)
    await _check_audit(database, outcome)
    await _check_versions(database, outcome)
    await _check_trees(database, outcome)


async def _check_trees(database: Database, outcome: list[Folded]) -> None:
    """Check that the trees have exactly the records of the log, in their order."""
    queries = TreeQueries(database.pool)
    trees = await queries.trees(await queries.sizes())
    raws = sorted((each.raw for each in outcome), key=lambda raw: raw.position)
    for tree in trees:
        leaves = [record_hash(raw) for raw in raws if raw.position.partition == tree.partition]
        assert (tree.size, tree.root) == (len(leaves), root_of(leaves))


async def _check_versions(database: Database, outcome: list[Folded]) -> None:
    """Check the periods and the search keys of all versions of tasks, and their texts."""
    streams: dict[str, list[Folded]] = {}
    for each in sorted(outcome, key=lambda folded: folded.raw.position):
        if each.outcome == "accepted" and isinstance(each.after, Task) and each.after is not each.before:
            streams.setdefault(each.after.id, []).append(each)
    columns = "version, since, known_since, list_id, status_bucket, rank, title_order, facets"
    rows = await database.pool.fetch(f"SELECT id, {columns}, until, known_until FROM task_versions")
    newest = await database.pool.fetch(f"SELECT id, {columns}, NULL, NULL FROM tasks")
    found: dict[tuple[str, int], Any] = {(row[0], row[1]): tuple(row)[2:] for row in (*rows, *newest)}
    assert len(found) == len(rows) + len(newest)
    assert found == {
        (task_id, folded.after.version): (
            folded.record.time,
            folded.raw.recorded_at,
            folded.after.list_id,
            2 if folded.after.deleted_at else int(folded.after.status == "done"),
            folded.after.rank,
            sort_value(folded.after, "title"),
            list(facets_of(folded.after)),
            min((later.record.time for later in stream[at:] if later.record), default=None),
            min((later.raw.recorded_at for later in stream[at:]), default=None),
        )
        for task_id, stream in streams.items()
        for at, folded in enumerate(stream, 1)
        if isinstance(folded.after, Task) and folded.record is not None
    }
    texts = await database.pool.fetch(
        "SELECT task_id, place, tsvector_to_array(document) AS words FROM task_texts "
        "WHERE end_version IS NULL"
    )
    words = {(row["task_id"], row["place"]): set(row["words"]) for row in texts if ":" not in row["place"]}
    assert {key: {word for word in found if "-" not in word} for key, found in words.items()} == {
        (task_id, place): set(forms_of(getattr(stream[-1].after, place)))
        for task_id, stream in streams.items()
        for place in ("title", "notes")
        if getattr(stream[-1].after, place)
    }


async def _check_reminders(database: Database, states: Iterable[Task]) -> None:
    """Check that exactly the pending reminders are there, each at its time."""
    rows = await database.pool.fetch('SELECT task_id, instant, "at" FROM reminders')
    assert {(row["task_id"], row["instant"]) for row in rows} == {
        (task.id, instant) for task in states for instant in pending(task)
    }
    assert all(format_time(row["at"]) == row["instant"] for row in rows)


async def _check_statistics(database: Database, outcome: list[Folded]) -> None:
    """Check that there is a row for each change of a task that counts, and for each setting of a list."""
    rows = await database.pool.fetch(
        'SELECT list_id, task_id, version, place, counted, "at", recorded_at, due_at FROM task_flow'
    )
    accepted = [each for each in outcome if each.outcome == "accepted" and each.before is not each.after]
    assert sorted(map(tuple, rows), key=str) == sorted(
        (
            (
                entry.list_id,
                entry.task.id,
                record.version,
                entry.place,
                entry.counted,
                record.time,
                each.raw.recorded_at,
                None if entry.task.due is None else due_at(entry.task.due, entry.task.time_zone),
            )
            for each in accepted
            if isinstance(each.after, Task) and (record := each.record) is not None
            for entry in flow_entries(
                each.before if isinstance(each.before, Task) else None, each.after, record.time
            )
        ),
        key=str,
    )
    rows = await database.pool.fetch("SELECT list_id, version FROM list_settings")
    assert {tuple(row) for row in rows} == {
        (each.after.id, each.after.version)
        for each in accepted
        if isinstance(each.after, TaskList)
        and (
            not isinstance(each.before, TaskList)
            or (each.before.stages, each.before.time_zone) != (each.after.stages, each.after.time_zone)
        )
    }


async def _check_comments(database: Database, states: Iterable[Task]) -> None:
    """Check that there are as many comments as the task counts."""
    rows = await database.pool.fetch(
        "SELECT task_id, count(*) AS number FROM comments WHERE deleted_at IS NULL GROUP BY task_id"
    )
    assert {row["task_id"]: row["number"] for row in rows} == {
        task.id: task.comment_count for task in states if task.comment_count
    }


async def _check_finding(database: Database, by_id: dict[str, Task]) -> None:
    """Check the search fields of tasks, their words, and the words marked as of the title."""
    rows = await database.pool.fetch("SELECT id, due_at, priority_order, title_order, facets FROM tasks")
    assert {row["id"]: (*list(row.values())[1:4], tuple(row["facets"])) for row in rows} == {
        task.id: (*(sort_value(task, key) for key in ("due", "priority", "title")), facets_of(task))
        for task in by_id.values()
    }
    rows = await database.pool.fetch("SELECT id, status_bucket FROM tasks")
    assert {row["id"]: row["status_bucket"] for row in rows} == {
        task.id: 2 if task.deleted_at else int(task.status == "done") for task in by_id.values()
    }
    facts, same = (", ".join(f"{table}.{name}" for name in FACTS) for table in ("t", "s"))
    found_by = (
        f"SELECT t.id FROM tasks t JOIN task_search s ON s.task_id = t.id "
        f"WHERE ({facts}) IS DISTINCT FROM ({same})"
    )
    assert await database.pool.fetch(found_by) == []
    said: dict[str, list[str]] = {}
    for row in await database.pool.fetch("SELECT task_id, text FROM comments WHERE deleted_at IS NULL"):
        said.setdefault(row["task_id"], []).append(row["text"])
    rows = await database.pool.fetch("SELECT task_id, tsvector_to_array(document) AS words FROM task_search")
    words = {row["task_id"]: {word for word in row["words"] if "-" not in word} for row in rows}
    assert words == {
        task.id: {
            *(form for text in (task.title, task.notes, *said.get(task.id, ())) for form in forms_of(text)),
            *("=" + form for form in forms_of(task.title)),
        }
        for task in by_id.values()
    }


async def _check_notifications(database: Database, outcome: list[Folded]) -> None:
    """Check that each notified user of accepted events has one, read or unread by the user's last event."""
    rows = await database.pool.fetch(
        f'SELECT user_id, id, kind, partition, "offset", {READ} AS read '
        "FROM notifications n WHERE kind IS NOT NULL"
    )
    accepted = [each for each in outcome if each.outcome == "accepted" and each.record is not None]
    received: dict[tuple[str, str], tuple[Record, str, Position]] = {}
    for each in sorted(accepted, key=lambda folded: folded.raw.position):
        assert each.record is not None
        for user, kind in notified(each.record).items():
            received.setdefault((user, each.record.id), (each.record, kind, each.raw.position))
    said = [each.record for each in accepted if isinstance(each.after, User)]
    assert sorted(tuple(row) for row in rows) == sorted(
        (user, id_, kind, *position, _is_read(user, record, said))
        for (user, id_), (record, kind, position) in received.items()
    )


def _is_read(user: str, received: Record, said: Iterable[Record | None]) -> bool:
    """Return whether a notification is read after a user's events, in order."""
    read = False
    for record in said:
        if record is None or record.stream.key != user:
            continue
        match record.data:
            case NotificationsRead(ids=ids) if received.id in ids:
                read = True
            case NotificationsUnread(ids=ids) if received.id in ids:
                read = False
            case AllNotificationsRead(until=until) if received.time <= until:
                read = True
    return read


async def emptied(database: Database) -> Database:
    """Replace the read models by those of an empty log."""
    names = ", ".join(table.name for read_model in READ_MODELS for table in read_model.TABLES)
    await database.pool.execute(f"TRUNCATE {names}")
    await database.pool.execute("UPDATE checkpoints SET next_offset = 0, emitted_offset = 0")
    return database


async def _check_audit(database: Database, outcome: list[Folded]) -> None:
    found = await database.pool.fetch('SELECT user_id, partition, "offset" FROM audit_users')
    assert sorted(tuple(row) for row in found) == sorted(
        (channel.removeprefix("user:"), *each.raw.position)
        for each in outcome
        for channel in channels(each)
        if channel.startswith("user:")
    )
    rows = await database.pool.fetch(
        f'SELECT {EVENT_COLUMNS}, coalesce(effective_time, "time") AS at FROM audit '
        'ORDER BY partition, "offset"'
    )
    expected = sorted(outcome, key=lambda folded: folded.raw.position)
    assert [(row["partition"], row["offset"]) for row in rows] == [
        tuple(each.raw.position) for each in expected
    ]
    for row, folded in zip(rows, expected, strict=True):
        message = json.loads(update_of(folded).value)
        assert (row["outcome"], row["stream"] or "", row["event_id"]) == (
            folded.outcome,
            update_of(folded).stream,
            message["event"]["id"],
        )
        if folded.outcome == "accepted":
            assert json.loads(event_from_row(row).changes) == message["changes"]
            state = json.loads(state_from_row(row) or b"null")
            assert state == json.loads(state_json(folded.after))
    times: dict[StreamId, datetime] = {}
    for row, folded in zip(reversed(rows), reversed(expected), strict=True):
        if folded.outcome == "accepted" and folded.record is not None and folded.record.version:
            stream, time = folded.record.stream, folded.record.time
            times[stream] = min(time, times.get(stream, time))
            assert row["at"] == times[stream]


async def _check_updates(settings: Settings, outcome: list[Folded]) -> None:
    """Check that every record has a correct update; first ones are in order without a gap."""
    seen: dict[int, list[int]] = {}
    truth = {folded.raw.position: update_of(folded) for folded in outcome}
    async for update in read_updates(settings):
        offsets = seen.setdefault(update.position.partition, [])
        expected = truth[update.position]
        assert json.loads(update.value) == json.loads(expected.value)
        assert (update.channels, update.outcome, update.event_id) == (
            expected.channels,
            expected.outcome,
            expected.event_id,
        )
        if update.position.offset not in offsets[-5000:]:
            offsets.append(update.position.offset)
    total = 0
    for partition, offsets in seen.items():
        assert offsets == list(range(len(offsets))), f"updates of partition {partition} are out of order"
        total += len(offsets)
    assert total == len(outcome)


async def read_updates(settings: Settings) -> Any:
    """Return every update on task-updates, duplicates included, partition by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=list(settings.kafka_brokers), auto_offset_reset="earliest")
    await consumer.start()
    try:
        where = [TopicPartition(settings.updates_topic, part) for part in range(settings.partitions)]
        consumer.assign(where)
        ends = await consumer.end_offsets(where)
        await consumer.seek_to_beginning(*where)
        left = {tp for tp, end in ends.items() if end > 0}
        while left:
            for tp, messages in (await consumer.getmany(timeout_ms=500)).items():
                for message in messages:
                    yield decode(message.headers, message.value)
                    if message.offset + 1 >= ends[tp]:
                        left.discard(tp)
    finally:
        await consumer.stop()
