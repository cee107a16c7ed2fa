"""Random histories of lists whose clocks go back, as logs: for tests of replays."""

from __future__ import annotations

from datetime import timedelta
from random import Random
from uuid import UUID
from zlib import crc32

from app.lists.events import ListCreated, ListDeleted, ListRenamed, ListRestored
from app.log.records import RawRecord
from app.tasks.events import TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskMoved, TaskRestored
from tests.spec import START, DomainEvent, raw_of, record_of

PARTITIONS = 3
LISTS = [str(UUID(int=1 << 120 | number)) for number in range(2)]
TASKS = [str(UUID(int=2 << 120 | number)) for number in range(5)]
MINUTES = 40
"""Times of events are within these minutes after `START`."""


def history(chance: Random, count: int) -> list[RawRecord]:
    """Return a log of two lists and of tasks that move between them, in several partitions, as recorded.

    Most times ascend, and some do not; some are the same.
    """
    versions: dict[str, int] = {}
    ends = [0] * PARTITIONS
    records: list[RawRecord] = []

    def happen(stream: str, event: DomainEvent, minutes: int) -> None:
        versions[stream] = versions.get(stream, 0) + 1
        record = record_of(
            event,
            versions[stream],
            stream=stream,
            id=f"{stream}-{len(records)}",
            time=START + timedelta(minutes=minutes),
        )
        partition = crc32(stream.encode()) % PARTITIONS
        records.append(raw_of(record, ends[partition], partition))
        ends[partition] += 1

    for list_id in LISTS:
        happen(f"list:{list_id}", ListCreated("Home"), chance.randrange(MINUTES))
    for number in range(count):
        usual = number * MINUTES // count
        minutes = usual if chance.random() < 0.7 else chance.randrange(MINUTES)
        if chance.random() < 0.1:
            stream = f"list:{chance.choice(LISTS)}"
            happen(stream, chance.choice(_list_events(number)), minutes)
            continue
        stream = f"task:{chance.choice(TASKS)}"
        happen(stream, _task_event(chance, versions.get(stream, 0), number), minutes)
    return records


def _list_events(number: int) -> list[DomainEvent]:
    return [ListRenamed(f"{number}"), ListDeleted(), ListRestored()]


def _task_event(chance: Random, version: int, number: int) -> DomainEvent:
    if version == 0:
        return TaskCreated(chance.choice(LISTS), f"task {number}")
    events: list[DomainEvent] = [
        TaskEdited({"title": f"title {number}"}),
        TaskMoved(chance.choice(LISTS)),
        TaskCompleted(),
        TaskDeleted(),
        TaskRestored(),
    ]
    return chance.choice(events)
