"""Bounds of events: every part has one, and commands stay within them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from pydantic import TypeAdapter

from app.bounds import MAX_EVENT_BYTES, MAX_MEMBERS, MAX_UPDATE_BYTES, MAX_USER_NAME_CHARS
from app.lists.events import ListCreated, MemberAdded
from app.lists.state import TaskList
from app.log.fold import Fold
from app.log.records import EVENT_CLASSES, Record, decode, encode
from app.stream_ids import list_stream
from app.tasks.commands import CreateTask
from app.tasks.events import TaskCreated, TaskEdited
from app.text.names import MAX_USER_CHARS
from app.values import MAX_REMINDERS
from tests.folding import fold_log, update_of
from tests.spec import LIST_ID, list_after, raw_of, record_of

WIDEST = "\U0001f600"


def unbounded(schema: Any, path: str = "") -> Iterator[str]:
    """Return the places of a JSON schema where texts, lists or numbers have no bound."""
    match schema:
        case {"type": "string"} if not schema.keys() & {"maxLength", "enum", "const", "pattern", "format"}:
            yield path
        case {"type": "array"} if "maxItems" not in schema:
            yield path
        case {"type": "integer"} if not {"minimum", "maximum"} <= schema.keys():
            yield path
    if isinstance(schema, dict):
        if schema.get("additionalProperties") is True:
            yield path
        for name, inner in schema.items():
            yield from unbounded(inner, f"{path}.{name}")
    elif isinstance(schema, list):
        for place, inner in enumerate(schema):
            yield from unbounded(inner, f"{path}.{place}")


@pytest.mark.parametrize("event", EVENT_CLASSES, ids=lambda event: event.type)
def test_every_part_of_an_event_is_bounded(event: type[Any]) -> None:
    assert list(unbounded(TypeAdapter(event).json_schema())) == []


def test_largest_task_of_commands_can_be_decoded() -> None:
    command = CreateTask(
        title=WIDEST * 500,
        notes=WIDEST * 20_000,
        tags=tuple(f"{number:02}{WIDEST * 98}" for number in range(50)),
        assignees=tuple(f"{number:03}{'x' * (MAX_USER_CHARS - 3)}" for number in range(50)),
        reminders=tuple({"before": f"PT{number}M"} for number in range(MAX_REMINDERS)),
        list_id=LIST_ID,
    )
    fields = command.model_dump(include={"title", "notes", "tags", "assignees", "reminders"})
    record = record_of(TaskCreated(LIST_ID, **fields), 1)
    assert decode(*_parts(record)) == record


def test_largest_task_of_events_fits_an_update() -> None:
    """Also if each field came in an event of its own, and all change back at once."""
    texts = {"title": WIDEST * 2_000, "notes": WIDEST * 100_000}
    names = {"tags": tuple(f"{n:03}{WIDEST * 250}" for n in range(200))}
    people = {"assignees": tuple(f"{n:03}{WIDEST * 190}" for n in range(200))}
    edits: list[Any] = [texts, names, people, {"recurrence": "FREQ=DAILY"}]
    records = [record_of(TaskCreated(LIST_ID, "t"), 1)]
    records += [record_of(TaskEdited(fields), version) for version, fields in enumerate(edits, start=2)]
    small: Any = {"title": "t", "notes": "", "tags": (), "assignees": ()}
    records.append(record_of(TaskEdited(small, this_only=tuple(small)), len(records) + 1))
    raws = [raw_of(record, offset) for offset, record in enumerate(records)]
    outcome = fold_log(raws)[1]
    assert [each.outcome for each in outcome] == ["accepted"] * len(records)
    assert max(len(raw.value or b"") for raw in raws) > MAX_EVENT_BYTES * 3 / 4
    assert max(len(update_of(each).value) for each in outcome) < MAX_UPDATE_BYTES


def test_last_member_is_accepted_and_the_next_parked() -> None:
    """The update with the last one fits, with the channels of all."""
    names = [f"{number:04}{WIDEST * (MAX_USER_NAME_CHARS - 4)}" for number in range(MAX_MEMBERS)]
    home = list_after(ListCreated("Home"))
    assert isinstance(home, TaskList)
    full = replace(home, members={"alice": "owner", **dict.fromkeys(names[2:], "viewer")})
    stream = list_stream(LIST_ID)
    fold = Fold(states={stream: full})
    last, beyond = (
        fold.apply(raw_of(record, offset), record)
        for offset, record in enumerate(
            record_of(MemberAdded(name, "editor"), offset + 2) for offset, name in enumerate(names[:2])
        )
    )
    assert (last.outcome, beyond.outcome) == ("accepted", "parked")
    assert beyond.reason == f"a list has at most {MAX_MEMBERS} members"
    update = update_of(last)
    assert len(update.value) + len(" ".join(update.channels).encode()) < MAX_UPDATE_BYTES + 2**20


@pytest.mark.parametrize(
    ("data", "where"),
    [
        ({"title": 5}, "title"),
        ({"title": "t", "series": {"id": "s", "occurrence": "1", "scheduled": None}}, "series.occurrence"),
        ({"title": "t", "series": {"id": "s", "occurrence": -1, "scheduled": None}}, "series.occurrence"),
        ({"title": "t", "series": {"id": "s", "occurrence": 1, "scheduled": 3}}, "series.scheduled"),
        ({"title": "t", "reminders": [{"at": 5}]}, "reminders.0.at"),
        ({"title": "t", "tags": [None]}, "tags.0"),
        ({"title": "t", "notes": "x" * 100_001}, "notes"),
        ({"title": "t", "rank": "é"}, "rank"),
    ],
)
def test_record_above_a_bound_is_parked_with_the_place_as_reason(data: Any, where: str) -> None:
    value = json.dumps({"list_id": LIST_ID, **data}).encode()
    raw = replace(raw_of(record_of(TaskCreated(LIST_ID, "t"), 1), 0), value=value)
    [folded] = fold_log([raw])[1]
    assert (folded.outcome, (folded.reason or "").partition(":")[0]) == ("parked", where)


def _parts(record: Record) -> tuple[bytes, list[tuple[str, bytes]], bytes]:
    key, value, headers = encode(record)
    return key, headers, value
