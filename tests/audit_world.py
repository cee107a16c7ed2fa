"""A log of every kind of event, and the naive answer to any question to its audit."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

from pydantic_core import from_json

from app.audit.access import Reader
from app.audit.query import AuditQuery, Sort
from app.lists.events import ListCreated, ListDeleted, ListRenamed, MemberAdded
from app.lists.state import TaskList
from app.log.event_json import RecordedEvent
from app.log.fold import Folded
from app.log.records import RawRecord
from app.tasks.events import (
    TaskCommented,
    TaskCommentEdited,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
    TaskReopened,
)
from app.tasks.state import Task
from app.text.tokens import forms_of
from app.users import NotificationsRead
from projections.read_models.projected import project
from tests.folding import fold_log
from tests.memory_log import MemoryEventLog
from tests.spec import START, record_of

PARTITIONS = 2
LISTS = [str(UUID(int=1 << 120 | number)) for number in range(6)]
"""The first four are alice's, the last of these deleted; bob sees the even ones; the others are carol's."""
TASKS = [str(UUID(int=2 << 120 | number)) for number in range(24)]
PEOPLE = ["alice", "bob", "carol"]
WORDS = ["milk", "bread", "mild", "follow", "up"]
STAGES, TAGS = [None, "Doing", "Done"], ["a", "b", "c"]
SOURCES = ["/tasktape/api", "/tasktape/policy/structure", "/other"]
IDS = [str(UUID(int=3 << 120 | number)) for number in range(5)] + ["order 17"]


@dataclass(frozen=True, slots=True, repr=False)
class Outcome:
    """The outcome of a record: its event, and the lists that it is of."""

    folded: Folded
    event: RecordedEvent
    lists: tuple[str, ...]

    @property
    def time(self) -> Any:
        return self.event.time or self.event.recorded_at


class AuditWorld:
    """A log whose records are accepted, superseded, or parked; many values and times are equal."""

    def __init__(self, seed: int = 5) -> None:
        self.chance = random.Random(seed)
        self.log = MemoryEventLog(PARTITIONS, self._recorded_at)
        self._time = START
        self._versions: dict[str, int] = {}

    def _recorded_at(self) -> Any:
        return self._time + timedelta(days=1, minutes=-self.chance.choice([0, 0, 0, 0, 25]))

    async def begin(self) -> None:
        """Append the lists and the creations of the tasks."""
        for number, list_id in enumerate(LISTS):
            owner = "alice" if number < 4 else "carol"
            await self.happen(f"list:{list_id}", ListCreated(f"List {number}"), actor=owner)
            if number % 2 == 0:
                await self.happen(f"list:{list_id}", MemberAdded("bob", "viewer"), actor=owner)
        await self.happen(f"list:{LISTS[3]}", ListDeleted())
        for task_id in TASKS:
            event = TaskCreated(self.chance.choice(LISTS), f"Task {self._text()}", **self._fields())
            await self.happen(f"task:{task_id}", event)

    async def go_on(self, events: int) -> None:
        """Append some events, a few of them twice, with a wrong version, or unreadable."""
        for _ in range(events):
            stream = f"task:{self.chance.choice(TASKS)}"
            kind = self.chance.randrange(12)
            if kind == 0:
                await self.happen(f"user:{self.chance.choice(PEOPLE)}", NotificationsRead((str(uuid4()),)))
            elif kind == 1:
                list_id = self.chance.choice(LISTS[:3])
                await self.happen(f"list:{list_id}", ListRenamed(f"Named {self._text()}"))
            else:
                await self.happen(stream, self._task_event(stream))

    async def park(self) -> None:
        """Append records that cannot be decoded, and one behind such a record."""
        await self._spoil(f"task:{TASKS[0]}")
        await self.happen(f"task:{TASKS[0]}", TaskEdited({"title": "Behind milk"}))
        await self._spoil("task:unknown")

    async def _spoil(self, stream: str) -> None:
        [position] = await self.log.append([record_of(TaskDeleted(), 1, stream=stream)])
        of_partition = self.log._logs[position.partition]
        raw = of_partition[position.offset]
        of_partition[position.offset] = RawRecord(
            raw.position, raw.recorded_at, raw.key, raw.headers, b"not JSON"
        )

    async def happen(self, stream: str, event: Any, actor: str | None = None) -> None:
        chance = self.chance
        self._time += timedelta(minutes=chance.choice([0, 0, 7]))
        version = self._versions.get(stream, 0) + 1
        time = self._time - timedelta(minutes=chance.choice([*[0] * 9, 90, 1_000]))
        record = record_of(
            event,
            version,
            id=str(uuid4()),
            stream=stream,
            actor=actor or chance.choice(PEOPLE),
            time=time,
            source=chance.choice(SOURCES),
            correlation_id=chance.choice([None, *IDS]),
            causation_id=chance.choice([None, None, *IDS]),
        )
        self._versions[stream] = version
        await self.log.append([record] * (2 if chance.randrange(15) == 0 else 1))

    def _text(self) -> str:
        return " ".join(self.chance.choices(WORDS, k=self.chance.randrange(1, 4)))

    def _fields(self) -> dict[str, Any]:
        return {
            "notes": self.chance.choice(["", self._text()]),
            "stage": self.chance.choice(STAGES),
            "tags": tuple(self.chance.sample(TAGS, self.chance.randrange(3))),
            "estimate": self.chance.choice([None, 30, 60]),
        }

    def _task_event(self, stream: str) -> Any:
        comment = f"{stream}-{self._versions.get(stream)}"
        name, value = self.chance.choice(list(self._fields().items()))
        return self.chance.choice(
            [
                TaskEdited({name: value}),
                TaskEdited({name: value}),
                TaskEdited({"title": self._text()}),
                TaskMoved(self.chance.choice(LISTS)),
                TaskMoved(self.chance.choice(LISTS), stage=self.chance.choice(STAGES)),
                TaskCompleted(),
                TaskReopened(),
                TaskCommented(comment, self._text()),
                TaskCommentEdited(comment, self._text()),
            ]
        )

    def outcomes(self, records: Sequence[RawRecord] | None = None) -> list[Outcome]:
        """Return the outcomes of the records."""
        folded = fold_log(self.log.records if records is None else records)[1]
        return [_outcome(each) for each in folded]


def _outcome(folded: Folded) -> Outcome:
    lists: list[str] = []
    if isinstance(folded.after, Task):
        lists.append(folded.after.list_id)
        if folded.outcome == "accepted" and isinstance(folded.before, Task):
            lists.append(folded.before.list_id)
    elif isinstance(folded.after, TaskList):
        lists.append(folded.after.id)
    return Outcome(folded, project(folded, tells=False).event, tuple(lists))


# --- the naive answer ------------------------------------------------------------------------------------


def naive(world: Sequence[Outcome], query: AuditQuery, reader: Reader, sort: Sort) -> list[Outcome]:
    """Return the outcomes that pass the filters and that the reader sees, in order."""
    seen = seen_by(world, reader, query)
    found = [each for each in world if seen(each) and passes(each, query)]
    name = sort.removeprefix("-")

    def key(each: Outcome) -> Any:
        value = {"time": each.time, "recorded_at": each.event.recorded_at, "position": 0}[name]
        return value, each.event.position

    return sorted(found, key=key, reverse=sort.startswith("-"))


def seen_by(world: Sequence[Outcome], reader: Reader, query: AuditQuery) -> Any:
    """Return the check whether a reader sees an outcome."""
    newest = {each.folded.raw.key: each.folded.after for each in world if each.folded.outcome == "accepted"}
    lists = {
        state.id
        for state in newest.values()
        if isinstance(state, TaskList) and state.deleted_at is None and reader.user in state.members
    }
    tasks = {
        f"task:{state.id}" for state in newest.values() if isinstance(state, Task) and state.list_id in lists
    }
    streams = {f"user:{reader.user}", *tasks.intersection(query.streams)}
    return lambda each: reader.sees_all or each.event.stream in streams or not lists.isdisjoint(each.lists)


def passes(each: Outcome, query: AuditQuery) -> bool:
    """Return whether an outcome passes all filters."""
    event = each.event
    given: list[tuple[Sequence[Any], Any]] = [
        (query.streams, event.stream),
        (query.actors, event.actor),
        (query.event_types, event.type),
        (query.outcomes, event.outcome),
        (query.correlation_ids, event.correlation_id),
        (query.causation_ids, event.causation_id),
        (query.sources, event.source),
        (query.positions, event.position),
    ]
    spans = [
        (query.time_from, each.time, query.time_to),
        (query.recorded_from, event.recorded_at, query.recorded_to),
        (query.position_from, event.position, query.position_to),
    ]
    return (
        all(value in values for values, value in given if values)
        and (not query.list_ids or not set(query.list_ids).isdisjoint(each.lists))
        and all(_within(*span) for span in spans)
        and _changed_so(from_json(event.changes), query)
        and _says(each, query)
    )


def _within(first: Any, value: Any, end: Any) -> bool:
    return (first is None or value >= first) and (end is None or value < end)


def _changed_so(changes: dict[str, Any], query: AuditQuery) -> bool:
    if query.fields and changes.keys().isdisjoint(query.fields):
        return False
    for values, at in ((query.from_values, 0), (query.to_values, 1)):
        if values:
            here, there = (_texts(changes[query.fields[0]][which]) for which in (at, 1 - at))
            if not set(values) & ((here - there) if here != {""} else {""}):
                return False
    return True


def _texts(value: Any) -> set[str]:
    if value in (None, "", [], {}):
        return {""}
    return {str(each) for each in value} if isinstance(value, list) else {str(value)}


def _says(each: Outcome, query: AuditQuery) -> bool:
    if not query.q:
        return True
    texts = list(_said(each))
    return all(
        any(any(True for _ in needle.found_at(forms_of(text))) for text in texts) != needle.negated
        for needle in query.needles
    )


def _said(each: Outcome) -> Iterator[str]:
    for name, values in from_json(each.event.changes).items():
        if name in ("title", "notes", "name", "stage", "tags"):
            for value in values:
                yield from value if isinstance(value, list) else [value or ""]
    record = each.folded.record
    if record is not None and isinstance(record.data, TaskCommented | TaskCommentEdited):
        yield record.data.text
