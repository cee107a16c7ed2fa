"""The index of the audit with many events, like that of a company after a year.

Values are distributed unevenly: one list has two fifths of the events, a few people do much, some words are
in every tenth text. A fifth of the events are imported and have times of earlier years. Ida left after the
first third, so her many events are at one end of each order; Dora joined recently. Few events were
superseded.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import asyncpg

from app.audit.changed_values import replaced_texts
from app.audit.keys import field_key, from_key, key_of, to_key
from app.stream_ids import list_stream, task_stream
from projections.read_models.audit_search import (
    KINDS,
    audit_search,
    fields_mask,
    microseconds,
    place_number,
    type_number,
)
from projections.read_models.search_index import document_of

EVENTS = 1_000_000
PARTITIONS = 4
LISTS = 400
PEOPLE = 1_400
WORDS = 20_000
DOCUMENTS = 20_000
EVENTS_OF_A_TASK = 9
AT_ONCE = 20_000
BEGIN = datetime(2025, 11, 1, tzinfo=UTC)
END = BEGIN + timedelta(days=365)
STAGES = ("Accepted", "Queued", "In Progress", "Waiting", "Resolved", "Closed")
TYPES = (
    ("task.edited", 35),
    ("task.moved", 25),
    ("task.created", 11),
    ("task.commented", 12),
    ("task.completed", 10),
    ("task.reopened", 4),
    ("task.deleted", 2),
    ("list.edited", 1),
)
SOURCES = (("/tasktape/api", 70), ("/tasktape/import/ida", 20), ("/tasktape/policy/structure", 10))
_COLUMNS = [column.name for column in audit_search.columns]


def list_id(number: int) -> str:
    """Return the id of a list: of the big one, 0, or of one from 1 to `LISTS`."""
    return f"10000000-0000-4000-8000-{number:012d}"


def task_id(number: int) -> str:
    """Return the id of a task."""
    return f"20000000-0000-4000-8000-{number:012d}"


def request_id(number: int) -> str:
    """Return the id of a request, which up to three events have."""
    return f"30000000-0000-4000-8000-{number:012d}"


async def fill(connection: asyncpg.Connection[asyncpg.Record], events: int = EVENTS) -> None:
    """Fill the empty table of the search path; make its indexes last, and analyse it."""
    await connection.execute("SET maintenance_work_mem = '256MB'")
    indexes = await connection.fetch(
        "SELECT indexname AS name, indexdef AS definition FROM pg_indexes "
        "WHERE schemaname = current_schema AND tablename = 'audit_search' AND indexname NOT LIKE '%pkey'"
    )
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    kinds = ", ".join(f"{name} {kind}" for name, kind in zip(_COLUMNS, KINDS, strict=True))
    await connection.execute(f"CREATE TEMPORARY TABLE drawn ({kinds})")
    rows = drawn(events)
    while part := list(islice(rows, AT_ONCE)):
        await connection.copy_records_to_table("drawn", records=part)
        await connection.execute(
            f"INSERT INTO audit_search SELECT {', '.join(_COLUMNS[:-2])}, changes::bigint[],"
            " document::tsvector FROM drawn"
        )
        await connection.execute("TRUNCATE drawn")
    await connection.execute("DROP TABLE drawn")
    for index in indexes:
        await connection.execute(index["definition"])
    await connection.execute("VACUUM (ANALYZE) audit_search")


def drawn(events: int) -> Iterator[Sequence[Any]]:
    """Yield the rows of a log of so many events, in the order of recorded times."""
    draw = random.Random(17)
    tasks = events // EVENTS_OF_A_TASK
    changes = {name: [_change(draw, name) for _ in range(200)] for name, _ in TYPES}
    documents = [document_of([("", _text(draw, draw.randrange(3, 15)))]) for _ in range(DOCUMENTS)]
    types = draw.choices([name for name, _ in TYPES], [share for _, share in TYPES], k=events)
    sources = draw.choices([name for name, _ in SOURCES], [share for _, share in SOURCES], k=events)
    ends = [0] * PARTITIONS
    begin, step = microseconds(BEGIN), (microseconds(END) - microseconds(BEGIN)) // events
    for number in range(events):
        kind, source = types[number], sources[number]
        task = draw.randrange(max(1, tasks * number // events - 2_000), tasks * number // events + 2)
        of_list = 0 if task % 5 < 2 else 1 + int(LISTS * draw.random() ** 2 if task % 3 else task % LISTS)
        stream = list_stream(list_id(of_list)) if kind.startswith("list.") else task_stream(task_id(task))
        partition = task % PARTITIONS
        recorded_at = begin + number * step
        imported = source.startswith("/tasktape/import")
        time = recorded_at - (draw.randrange(10**14) if imported else 1_000)
        fields, keys = changes[kind][draw.randrange(200)]
        superseded = draw.random() < 0.004
        yield (
            place_number(partition, ends[partition]),
            time,
            recorded_at,
            key_of("stream", stream),
            key_of("list_id", list_id(of_list)),
            key_of("list_id", list_id(0)) if kind == "task.moved" and draw.random() < 0.05 else None,
            key_of("actor", _actor(draw, number / events)),
            key_of("source", source),
            key_of("correlation_id", request_id(number // 3)),
            key_of("causation_id", request_id(number - 1)) if source.endswith("structure") else None,
            None if superseded else fields,
            type_number(kind),
            int(superseded) + int(draw.random() < 0.0001),
            None if superseded else keys,
            draw.choice(documents) if kind in ("task.created", "task.commented") else None,
        )
        ends[partition] += 1


def _actor(draw: random.Random, share: float) -> str:
    if share < 0.3 and draw.random() < 0.4:
        return "ida"
    if share > 0.95 and draw.random() < 0.3:
        return "dora"
    return f"person{int(PEOPLE * draw.random() ** 4)}"


def _text(draw: random.Random, words: int) -> str:
    return " ".join(f"w{int(WORDS * draw.random() ** 3)}" for _ in range(words))


def _change(draw: random.Random, kind: str) -> tuple[int, str]:
    """Return the columns `fields` and `changes` of an event of this type."""
    before, after = draw.sample(STAGES[:-2], 2)
    made: dict[str, tuple[Any, Any]] = {
        "task.edited": {
            "priority": (draw.choice(["low", "medium"]), draw.choice(["high", "urgent"])),
            "tags": ([f"tag{draw.randrange(50)}"], [f"tag{draw.randrange(50, 90)}"]),
        },
        "task.moved": {"stage": draw.choice([(before, after), (before, "Closed"), ("Resolved", after)])},
        "task.created": {"title": (None, "T"), "stage": (None, after), "list_id": (None, list_id(0))},
        "task.commented": {"comment_count": (draw.randrange(9), 10)},
        "task.completed": {"status": ("open", "done"), "stage": (before, "Resolved")},
        "task.reopened": {"status": ("done", "open"), "stage": ("Resolved", after)},
        "task.deleted": {"deleted_at": (None, "2026-01-01T00:00:00Z")},
        "list.edited": {"name": ("A", "B")},
    }[kind]  # type: ignore[assignment]
    keys: list[int] = []
    for name, (former, new) in made.items():
        removed, added = replaced_texts(former, new)
        keys += [field_key(name), from_key(name, removed[0]), to_key(name, added[0])]
    return fields_mask(list(made)), f"{{{','.join(map(str, keys))}}}"
