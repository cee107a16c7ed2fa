"""Histories of tasks, lists, comments and users, for tests that compare ways to project them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import timedelta
from uuid import UUID

from app.lists.events import ListCreated, ListRenamed, MemberAdded
from app.log.records import Record
from app.tasks.events import (
    TaskCommentDeleted,
    TaskCommented,
    TaskCommentEdited,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
)
from app.users import AllNotificationsRead, NotificationsRead
from tests.memory_log import MemoryEventLog
from tests.spec import LIST_ID, START, DomainEvent, record_of

PEOPLE = ("alice", "bob", "carol")
REMINDERS = ({"at": "2026-03-09T09:00:00Z"},)


async def write_history(log: MemoryEventLog, draw: random.Random, *, tasks: int) -> None:
    """Append streams of every kind, interleaved; some records are duplicates, or superseded."""
    names = [(f"task:{_id(draw)}", _task(draw)) for _ in range(tasks)]
    names += [(f"list:{LIST_ID}", _list()), *((f"user:{user}", _user(draw)) for user in PEOPLE)]
    versions = dict.fromkeys((stream for stream, _ in names), 0)
    while names:
        place = draw.randrange(len(names))
        stream, events = names[place]
        event = next(events, None)
        if event is None:
            del names[place]
            continue
        versions[stream] += 1
        record = record_of(event, versions[stream], id=_id(draw), stream=stream, actor=draw.choice(PEOPLE))
        await log.append(draw.choice(([record], [record], [record, record], [record, _stale(record, draw)])))


def _stale(record: Record, draw: random.Random) -> Record:
    return record_of(TaskDeleted(), 1, id=_id(draw), stream=record.stream)


def _id(draw: random.Random) -> str:
    return str(UUID(int=draw.getrandbits(128), version=4))


def _task(draw: random.Random) -> Iterator[DomainEvent]:
    yield TaskCreated(LIST_ID, f"Title {draw.randrange(9)}", assignees=("bob",), notify=("bob",))
    comments: list[str] = []
    for _ in range(draw.randrange(8)):
        match draw.randrange(6):
            case 0 | 1:
                comments.append(_id(draw))
                yield TaskCommented(comments[-1], f"Word {draw.randrange(9)} @carol", ("carol",), ("carol",))
            case 2 if comments:
                yield TaskCommentEdited(draw.choice(comments), f"Other {draw.randrange(9)}")
            case 3 if comments:
                yield TaskCommentDeleted(draw.choice(comments))
            case 4:
                yield TaskEdited({"reminders": draw.choice((REMINDERS, ())), "tags": ("red",)})
            case _:
                yield TaskEdited({"title": f"Title {draw.randrange(9)}"})
    if draw.random() < 0.5:
        yield draw.choice((TaskCompleted(), TaskDeleted()))


def _list() -> Iterator[DomainEvent]:
    yield ListCreated("Home")
    for user in PEOPLE[1:]:
        yield MemberAdded(user, "editor")
        yield ListRenamed(f"Home of {user}")


def _user(draw: random.Random) -> Iterator[DomainEvent]:
    for minutes in range(4):
        yield NotificationsRead((_id(draw),))
        yield AllNotificationsRead(START + timedelta(minutes=minutes))
