"""The formats of exports: each event is there once, with all its values, however the pages are cut."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime
from io import BytesIO, StringIO
from pathlib import Path
from random import Random
from typing import Any
from xml.etree import ElementTree as ET

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft7Validator

from api.export import parquet
from api.export.encoders import ExportedEvent
from api.export.formats import FORMATS, FormatName
from app.log.event_json import event_json
from app.stream_ids import StreamId
from app.tasks.events import TaskCommented, TaskCompleted, TaskCreated, TaskEdited, TaskMoved
from tests.exported import by_stream, in_log_order, written
from tests.past_histories import history
from tests.spec import LIST_ID, OTHER_LIST_ID, DomainEvent, raw_of, record_of
from tests.thoroughness import examples

OCEL_SCHEMA = json.loads((Path(__file__).parent / "ocel_schema.json").read_text())
"""That of the standard's site, with its repeated parts under `definitions`."""
XES = "{http://www.xes-standard.org/}"
ODD = '"a" <&> b\nc\td\re\u0001 \ufffe 𝄞 \' ='


def some_log(count: int = 120) -> Any:
    return history(Random(count), count)


def of_task(*events: DomainEvent, actor: str = "alice") -> list[ExportedEvent]:
    """Return the events of one task."""
    records = (record_of(event, nth, actor=actor) for nth, event in enumerate(events, start=1))
    return in_log_order(raw_of(record, offset) for offset, record in enumerate(records))


@settings(max_examples=examples(20))
@given(st.randoms(use_true_random=False), st.integers(1, 50))
def test_every_format_is_the_same_in_pages_of_any_size(chance: Random, page: int) -> None:
    """A page may end anywhere, also in the events of one task."""
    records = history(chance, 40)
    for name, each in FORMATS.items():
        events = by_stream(in_log_order(records)) if each.by_stream else in_log_order(records)
        if name != "parquet":  # its row groups end with pages
            assert written(name, events, page) == written(name, events, len(events))


@pytest.mark.parametrize("name", FORMATS)
def test_export_without_events_is_a_valid_file(name: FormatName) -> None:
    content = written(name, [])
    match name:
        case "csv":
            assert content.decode().splitlines() == [",".join(in_log_order(some_log())[0].event._fields)]
        case "jsonl":
            assert content == b""
        case "parquet":
            assert pq.read_table(BytesIO(content)).num_rows == 0
        case "xes":
            assert ET.fromstring(content).tag == f"{XES}log"
        case "ocel":
            Draft7Validator(OCEL_SCHEMA).validate(json.loads(content))


def test_json_lines_are_events_as_the_api_shows_them() -> None:
    events = in_log_order(some_log())
    assert written("jsonl", events).splitlines() == [event_json(event) for event, _ in events]


def test_csv_has_the_values_of_every_event() -> None:
    events = in_log_order(some_log()) + of_task(TaskCreated(LIST_ID, ODD), actor='a "quoted", name')
    rows = list(csv.DictReader(StringIO(written("csv", events).decode(), newline="")))
    for row, (event, _) in zip(rows, events, strict=True):
        found, wanted = dict(row), json.loads(event_json(event))
        assert json.loads(found.pop("data")) == wanted.pop("data")
        assert json.loads(found.pop("changes")) == wanted.pop("changes")
        for name in ("time", "recorded_at"):
            assert instant(found.pop(name)) == instant(wanted.pop(name))
        assert found == {name: "" if value is None else str(value) for name, value in wanted.items()}


def test_parquet_is_read_by_pandas_with_exact_types(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "GROUP_EVENTS", 50)
    events = in_log_order(some_log()) + of_task(TaskCreated(LIST_ID, ODD))
    content = written("parquet", events)
    assert pq.ParquetFile(BytesIO(content)).num_row_groups > 1
    frame = pd.read_parquet(BytesIO(content))
    assert str(frame["time"].dtype) == str(frame["recorded_at"].dtype) == "datetime64[us, UTC]"
    for row, (event, _) in zip(frame.itertuples(index=False), events, strict=True):
        assert (row.partition, row.offset) == event.position
        assert (row.id, row.type, row.stream, row.version) == event[:4]
        assert (row.time, row.recorded_at) == (event.time, event.recorded_at)
        assert (row.data, row.changes) == (event.data.decode(), event.changes.decode())


# --- XES ---------------------------------------------------------------------------------------------------


def traces_of(content: bytes) -> dict[str, list[dict[str, str]]]:
    """Return the events of each trace, by its name."""
    traces: dict[str, list[dict[str, str]]] = {}
    for trace in ET.fromstring(content).iter(f"{XES}trace"):
        name = values_of(trace)["concept:name"]
        assert name not in traces
        traces[name] = [values_of(event) for event in trace.iter(f"{XES}event")]
    return traces


def values_of(element: ET.Element) -> dict[str, str]:
    return {child.attrib["key"]: child.attrib["value"] for child in element if "key" in child.attrib}


def test_xes_has_a_trace_for_each_task_with_its_accepted_events() -> None:
    events = by_stream(in_log_order(some_log()))
    wanted: dict[str, list[tuple[str, str | None]]] = {}
    for event, _ in events:
        if event.stream is not None and event.stream.kind == "task":
            wanted.setdefault(event.stream.key, []).append((str(event.position), event.type))
    found = {
        name: [(each["tasktape:position"], each["tasktape:type"]) for each in trace]
        for name, trace in traces_of(written("xes", events)).items()
    }
    assert found == wanted


def test_activity_is_the_stage_that_the_work_is_in() -> None:
    events = of_task(
        TaskCreated(LIST_ID, "Task", stage="Queued"),
        TaskEdited({"title": "Another"}),
        TaskEdited({"assignees": ("bob",)}),
        TaskEdited({"stage": "Doing"}),
        TaskCommented("c", "text"),
        TaskMoved(OTHER_LIST_ID, stage="Next"),
        TaskCompleted(stage="Closed"),
    )
    [trace] = traces_of(written("xes", events)).values()
    assert [event["concept:name"] for event in trace] == [
        "Queued",
        "task.edited",
        "Queued",
        "Doing",
        "task.commented",
        "Next",
        "Closed",
    ]


def test_activity_of_a_task_without_a_stage_is_the_type_of_the_event() -> None:
    [trace] = traces_of(written("xes", of_task(TaskCreated(LIST_ID, "Task"), TaskCompleted()))).values()
    assert [event["concept:name"] for event in trace] == ["task.created", "task.completed"]


def test_xes_keeps_every_character_that_xml_can_contain() -> None:
    content = written("xes", of_task(TaskCreated(LIST_ID, ODD), actor="<bob> & 'co'"))
    [trace] = ET.fromstring(content).iter(f"{XES}trace")
    assert values_of(trace)["tasktape:title"] == ODD.replace("\u0001", "\ufffd").replace("\ufffe", "\ufffd")
    assert next(iter(trace.iter(f"{XES}event")))[2].attrib["value"] == "<bob> & 'co'"


# --- OCEL --------------------------------------------------------------------------------------------------


def test_ocel_passes_the_schema_of_the_standard() -> None:
    log = json.loads(written("ocel", by_stream(in_log_order(some_log()))))
    Draft7Validator(OCEL_SCHEMA).validate(log)
    declared = {kind["name"]: {each["name"] for each in kind["attributes"]} for kind in log["objectTypes"]}
    for each in log["objects"]:
        assert {attribute["name"] for attribute in each["attributes"]} <= declared[each["type"]]
    assert {event["type"] for event in log["events"]} <= {kind["name"] for kind in log["eventTypes"]}


def test_ocel_has_every_accepted_event_and_every_object_once() -> None:
    events = by_stream(in_log_order(some_log()))
    log = json.loads(written("ocel", events))
    assert [each["id"] for each in log["events"]] == [str(event.position) for event, _ in events]
    objects = [each["id"] for each in log["objects"]]
    named = {each["objectId"] for event in log["events"] for each in event["relationships"]}
    assert len(objects) == len(set(objects))
    assert set(objects) == named == {event.stream for event, _ in events} | {StreamId("user:alice")}


def test_ocel_has_the_values_of_a_task_over_time_and_the_lists_it_was_in() -> None:
    events = of_task(
        TaskCreated(LIST_ID, "Task", assignees=("bob",)),
        TaskEdited({"title": "Better"}),
        TaskMoved(OTHER_LIST_ID),
    )
    log = json.loads(written("ocel", events))
    task = next(each for each in log["objects"] if each["type"] == "task")
    titles = [each["value"] for each in task["attributes"] if each["name"] == "title"]
    assert titles == ["Task", "Better"]
    assert {each["objectId"] for each in task["relationships"]} == {
        f"list:{LIST_ID}",
        f"list:{OTHER_LIST_ID}",
    }
    created, _, moved = (
        {(each["objectId"], each["qualifier"]) for each in event["relationships"]} for event in log["events"]
    )
    assert ("user:bob", "assignee") in created
    assert {(f"list:{LIST_ID}", "left list"), (f"list:{OTHER_LIST_ID}", "list")} <= moved


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
