"""Schema versions of events: all earlier ones are read, and newer ones are parked until an upgrade."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from app.errors import MAX_REASON_CHARS, Undecodable
from app.log.event_types import EventTypes, dataschema_of, event_types
from app.log.fold import Fold, Folded
from app.log.records import EVENT_CLASSES, EVENT_TYPES, Event, RawRecord, Record, decode, encode
from app.log.upcasters import UPCASTERS, Upcaster
from app.positions import Position
from app.tasks.events import TaskCompleted, TaskCreated
from tests.spec import LIST_ID, raw_of, record_of

CREATED = TaskCreated.type


def renamed(data: dict[str, Any]) -> dict[str, Any]:
    """Version 2 calls the list `list_id`."""
    return {"list_id": data["list"], **{name: value for name, value in data.items() if name != "list"}}


def retitled(data: dict[str, Any]) -> dict[str, Any]:
    """Version 3 calls the name `title`."""
    return {"title": data["name"], **{name: value for name, value in data.items() if name != "name"}}


def types_with(*upcasters: Upcaster) -> EventTypes[Event]:
    """Return the event types of a Tasktape that has these upcasters for `task.created`."""
    return event_types(EVENT_CLASSES, {CREATED: upcasters})


NEWER = types_with(renamed, retitled)
DATA: dict[int, dict[str, Any]] = {
    1: {"list": LIST_ID, "name": "Old", "tags": ["a"]},
    2: {"list_id": LIST_ID, "name": "Old", "tags": ["a"]},
    3: {"list_id": LIST_ID, "title": "Old", "tags": ["a"]},
}


def stored(version: object, value: Any, stream: str = "task:a", offset: int = 0) -> RawRecord:
    """Return a creation as stored in a schema version."""
    made = raw_of(record_of(TaskCreated(LIST_ID, "t"), 1, stream=stream), offset)
    headers = [each for each in made.headers if each[0] != "ce_dataschema"]
    schema = f"urn:tasktape:{CREATED}:{version}".encode()
    held = value if isinstance(value, bytes) else json.dumps(value).encode()
    return replace(made, headers=[*headers, ("ce_dataschema", schema)], value=held)


def read(raw: RawRecord, types: EventTypes[Event]) -> Record | Undecodable:
    """Decode a record as a Tasktape with these types does."""
    try:
        return decode(raw.key, raw.headers, raw.value, types)
    except Undecodable as error:
        return error


def reason(raw: RawRecord, types: EventTypes[Event]) -> str:
    """Return why a record is parked."""
    found = read(raw, types)
    assert isinstance(found, Undecodable)
    assert "\n" not in found.detail
    assert len(found.detail) <= MAX_REASON_CHARS + 100
    return found.detail


def folded(fold: Fold, raws: Sequence[RawRecord], types: EventTypes[Event]) -> list[Folded]:
    """Fold records as a Tasktape with these types does."""
    return [fold.apply(raw, read(raw, types)) for raw in raws]


def test_upcasters_belong_to_event_types() -> None:
    assert UPCASTERS.keys() <= EVENT_TYPES.keys()


def test_version_is_one_more_than_the_upcasters() -> None:
    assert {name: each.version for name, each in EVENT_TYPES.items()} == {
        name: 1 + len(UPCASTERS.get(name, ())) for name in EVENT_TYPES
    }
    assert NEWER[CREATED].version == 3
    assert NEWER[TaskCompleted.type].version == 1


def test_log_with_every_earlier_version_is_read_whole() -> None:
    """In any order, each through all upcasters from its version on."""
    versions = [3, 1, 2, 3, 2, 1]
    log = [stored(version, DATA[version], f"task:{at}", at) for at, version in enumerate(versions)]
    fold = Fold()
    assert [each.outcome for each in folded(fold, log, NEWER)] == ["accepted"] * len(log)
    states = list(fold.states.values())
    assert [(each.list_id, each.title, each.tags) for each in states] == [(LIST_ID, "Old", ("a",))] * 6  # type: ignore[union-attr]


def test_events_are_written_in_the_latest_version() -> None:
    record = record_of(TaskCreated(LIST_ID, "New"), 1)
    key, value, headers = encode(record, NEWER)
    assert dict(headers)["ce_dataschema"] == dataschema_of(CREATED, 3).encode()
    assert decode(key, headers, value, NEWER) == record


def test_record_of_a_newer_version_is_parked_until_an_upgrade() -> None:
    """It and the records behind it take effect when they are retried afterwards; the reason says so."""
    newer = stored(3, DATA[3])
    behind = raw_of(record_of(TaskCompleted(), 2, stream="task:a"), 1)
    older = types_with(renamed)
    fold = Fold()
    first, second = folded(fold, [newer, behind], older)
    assert (first.outcome, second.outcome, second.reason) == ("parked", "parked", "behind 0:0")
    assert first.reason == (
        "unknown data schema 'urn:tasktape:task.created:3': the newest known version of task.created is 2, "
        "so a newer Tasktape wrote the record; upgrade this one, then retry"
    )
    retried = [
        replace(raw, position=Position(0, at), headers=[*raw.headers, ("ce_retryof", origin)])
        for at, (raw, origin) in enumerate([(newer, b"0:0"), (behind, b"0:1")], start=2)
    ]
    assert [each.outcome for each in folded(fold, retried, older)] == ["parked", "parked"]
    retried = [replace(raw, position=Position(0, at)) for at, raw in enumerate(retried, start=4)]
    assert [each.outcome for each in folded(fold, retried, NEWER)] == ["accepted", "accepted"]
    # A rebuild by the upgraded one needs no retry.
    assert [each.outcome for each in folded(Fold(), [newer, behind], NEWER)] == ["accepted", "accepted"]


@pytest.mark.parametrize(
    "version",
    [0, -1, "abc", "", "1.0", "1e0", "²", "0x1", "9" * 400, 2**53 + 1, "1:2", "\udcff"],
)
def test_version_that_is_none_is_unknown(version: object) -> None:
    """And an upgrade would not help."""
    raw = stored("1", DATA[1])
    held = f"urn:tasktape:{CREATED}:{version}".encode(errors="replace")
    raw = replace(raw, headers=[*raw.headers, ("ce_dataschema", held)])
    found = reason(raw, NEWER)
    assert found.startswith("unknown data schema")
    assert "upgrade" not in found


@pytest.mark.parametrize(
    "schema", ["", "1", "urn:tasktape:task.created", "urn:tasktape:task.edited:1", "urn:other:task.created:1"]
)
def test_schema_of_something_else_is_unknown(schema: str) -> None:
    raw = stored("1", DATA[1])
    raw = replace(raw, headers=[*raw.headers, ("ce_dataschema", schema.encode())])
    assert reason(raw, NEWER) == f"unknown data schema {schema!r}"


def test_record_without_a_schema_is_parked() -> None:
    raw = stored("1", DATA[1])
    raw = replace(raw, headers=[each for each in raw.headers if each[0] != "ce_dataschema"])
    assert reason(raw, NEWER) == "no attribute ce_dataschema"


@pytest.mark.parametrize("version", [4, 2**53])
def test_reason_names_the_version_found_and_the_newest_known(version: int) -> None:
    found = reason(stored(version, DATA[3]), NEWER)
    assert f"{CREATED}:{version}'" in found
    assert f"the newest known version of {CREATED} is 3" in found
    assert "upgrade this one, then retry" in found


def test_unknown_event_type_may_be_of_a_newer_release() -> None:
    raw = stored("1", DATA[1])
    raw = replace(raw, headers=[*raw.headers, ("ce_type", b"task.painted")])
    assert reason(raw, NEWER).endswith("if a newer Tasktape wrote the record, upgrade this one, then retry")


def raising(error: BaseException) -> Upcaster:
    def upcaster(data: dict[str, Any]) -> dict[str, Any]:
        raise error

    return upcaster


def returning(result: Any) -> Upcaster:
    return lambda _: result


@pytest.mark.parametrize(
    ("upcaster", "expected"),
    [
        (raising(KeyError("list")), "the upcaster from version 1 of task.created failed: KeyError: 'list'"),
        (raising(RecursionError("too deep")), "the upcaster from version 1 .* RecursionError"),
        (raising(ValueError("a\x00" + "x" * 5000)), "the upcaster from version 1 .* ValueError: a\ufffdx"),
        (raising(ValueError("\ud800")), "the upcaster from version 1 .* ValueError: "),
        (raising(Undecodable("no list")), "the upcaster from version 1 .* no list"),
        (returning(None), "value: .*after upcasting from version 1"),
        (returning([]), "value: .*after upcasting from version 1"),
        (returning({"list_id": "l"}), "title: Field required, after upcasting from version 1"),
        (returning({"list_id": "l", "title": 3}), "title: .*after upcasting from version 1"),
        (returning({"list_id": "l", "title": object()}), "PydanticSerializationError"),
        (returning({"list_id": "l", "title": "\ud800"}), "UnicodeEncodeError|surrogates"),
        (returning({"list_id": "l", "title": "t", "estimate": float("nan")}), "estimate|NaN"),
    ],
)
def test_record_whose_upcaster_fails_is_parked_with_the_reason(upcaster: Upcaster, expected: str) -> None:
    assert re.search(expected, reason(stored(1, DATA[1]), types_with(upcaster)))


def test_upcaster_without_memory_is_not_the_records_fault() -> None:
    raw = stored(1, DATA[1])
    with pytest.raises(MemoryError):
        decode(raw.key, raw.headers, raw.value, types_with(raising(MemoryError())))


@pytest.mark.parametrize(
    "value", [b"", b"{", b"[]", b"null", b"3", b'"x"', b'{"a":"\\ud800"}', b"[" * 100_000]
)
def test_upcasters_get_objects_only(value: bytes) -> None:
    called: list[Any] = []

    def upcaster(data: dict[str, Any]) -> dict[str, Any]:
        called.append(data)
        return data

    assert re.match("value: (Invalid JSON|Input should be)", reason(stored(1, value), types_with(upcaster)))
    assert not called


@pytest.mark.parametrize(
    "value", ["NaN", "-Infinity", "1e999", "1" + "0" * 400, "[" * 100 + "]" * 100, '{"":[]}']
)
def test_unknown_fields_of_every_version_are_ignored(value: str) -> None:
    for version, data in DATA.items():
        held = json.dumps(data)[:-1] + f',"colour":{value}}}'
        assert isinstance(read(stored(version, held.encode()), NEWER), Record)


def test_every_step_is_a_version_of_its_own() -> None:
    """A record of version 2 does not pass the upcaster from version 1."""
    steps: list[int] = []

    def counted(step: int) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return lambda data: steps.append(step) or data  # type: ignore[func-returns-value]

    types = types_with(*map(counted, (1, 2, 3)))
    for version in (1, 2, 3, 4):
        steps.clear()
        assert not isinstance(read(stored(version, DATA[3]), types), Undecodable)
        assert steps == list(range(version, 4))
