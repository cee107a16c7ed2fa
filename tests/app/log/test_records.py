"""Records of the log: golden files that all later versions must read, and refused records."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
from cloudevents.core.bindings import kafka as cloudevents_kafka
from hypothesis import given
from hypothesis import strategies as st

from app.dates import format_time
from app.errors import Undecodable
from app.lists.events import (
    ListCreated,
    ListDeleted,
    ListEdited,
    ListHandedOver,
    ListRenamed,
    ListRestored,
    MemberAdded,
    MemberRemoved,
    MemberRoleChanged,
    Stage,
)
from app.log.event_types import dataschema_of
from app.log.records import (
    EVENT_TYPES,
    RawRecord,
    Record,
    StreamResumed,
    decode,
    encode,
    event_data_json,
    source_of,
)
from app.positions import Position
from app.stream_ids import task_stream
from app.tasks.events import (
    Series,
    TaskCommentDeleted,
    TaskCommented,
    TaskCommentEdited,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
    TaskReminded,
    TaskReopened,
    TaskRestored,
    TaskReverted,
    TaskSkipped,
    TaskUndone,
)
from app.users import AllNotificationsRead, AuditRead, NotificationsRead, NotificationsUnread
from tests.spec import LIST_ID, OTHER_LIST_ID, TASK_ID, record_of

GOLDEN = Path(__file__).parents[2] / "golden" / "records"
TIME = datetime(2026, 3, 1, 9, 30, 0, 250_000, UTC)
PARENT_ID = "0f0e0d0c-0b0a-4908-8706-050403020199"
COMMENT_ID = "018f0000-0000-7000-8000-0000000000cc"
STAGES: tuple[Stage, ...] = ({"name": "To do", "category": "open"}, {"name": "Done", "category": "done"})

EXPECTED: dict[str, Record] = {
    "task.created": Record(
        id="018f0000-0000-7000-8000-000000000001",
        stream=task_stream(TASK_ID),
        version=1,
        time=TIME,
        actor="alice",
        source="/tasktape/api",
        data=TaskCreated(list_id=LIST_ID, title="Write the report"),
        correlation_id="018f0000-0000-7000-8000-00000000000c",
    ),
    "task.created-in-full": Record(
        id="018f0000-0000-7000-8000-000000000002",
        stream=task_stream(TASK_ID),
        version=1,
        time=TIME,
        actor="José 🦊",
        source="/tasktape/import/mar%C3%ADa%2Fx",
        data=TaskCreated(
            list_id=LIST_ID,
            title='Ünï "quoted" \\u0000 </script>',
            notes="two\nlines",
            priority="urgent",
            due="2026-12-01T09:00:00+01:00",
            time_zone="Europe/Madrid",
            tags=("home", "💶"),
            assignees=("bob", "carol"),
            stage="Accepted/In Progress",
            rank="0m",
        ),
        correlation_id="corr",
        causation_id="018f0000-0000-7000-8000-000000000001",
        traceparent="00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        command_hash="9f86d081884c7d65",
        retry_of="0:41",
    ),
    "task.edited": record_of(TaskEdited({"title": "Send it", "priority": "high", "tags": ("a", "b")}), 2),
    "task.edited-estimate": record_of(TaskEdited({"estimate": 45}), 5, time=TIME),
    "task.edited-to-nothing": record_of(
        TaskEdited(
            {
                "notes": "",
                "priority": "none",
                "due": None,
                "time_zone": None,
                "tags": (),
                "assignees": (),
                "stage": None,
            }
        ),
        3,
    ),
    "task.completed": record_of(TaskCompleted(), 4),
    "task.completed-with-stage": record_of(TaskCompleted(stage="Closed", assignees=("bob",)), 5),
    "task.reopened": record_of(TaskReopened(), 6),
    "task.reopened-with-stage": record_of(TaskReopened(stage="Queued", assignees=()), 7),
    "task.moved": record_of(TaskMoved(OTHER_LIST_ID), 8),
    "task.deleted": record_of(TaskDeleted(), 9),
    "task.restored": record_of(TaskRestored(), 10),
    "task.restored-to-a-stage": record_of(TaskRestored(stage="To do"), 10),
    "task.restored-without-its-parent": record_of(TaskRestored(top_level=True), 10),
    "task.edited-by-a-policy": record_of(
        TaskEdited({"parent_id": None}),
        2,
        source="/tasktape/policy/structure",
        causation_id="018f0000-0000-7000-8000-000000000009",
        reason="its parent was deleted",
    ),
    "task.created-in-a-series": record_of(
        TaskCreated(
            list_id=LIST_ID,
            title="Water the plants",
            due="2026-12-07T09:00:00+01:00",
            time_zone="Europe/Madrid",
            assignees=("bob",),
            parent_id=PARENT_ID,
            recurrence="FREQ=WEEKLY;BYDAY=MO;COUNT=4",
            recurrence_from="completion",
            reminders=({"at": "2026-12-07T08:00:00+01:00"}, {"before": "PT30M"}),
            series=Series(TASK_ID, 2, "2026-12-07T09:00:00+01:00", {"title": "Water", "tags": ["home"]}),
            notify=("bob",),
        ),
        1,
    ),
    "task.created-for-another": record_of(
        TaskCreated(list_id=LIST_ID, title="Water the plants", due="2026-12-14", created_by="bob"), 1
    ),
    "task.edited-once": record_of(
        TaskEdited(
            {
                "due": "2026-12-08",
                "assignees": ("bob",),
                "status": "done",
                "stage": "Done",
                "parent_id": None,
                "recurrence": None,
                "recurrence_from": "due",
                "reminders": ({"before": "P1D"},),
            },
            this_only=("due",),
            notify=("bob",),
        ),
        2,
    ),
    "task.moved-in-order": record_of(
        TaskMoved(LIST_ID, rank="0dVi", stage="Done", status="done", parent_id=PARENT_ID), 3
    ),
    "task.skipped": record_of(TaskSkipped("2026-12-14", "FREQ=WEEKLY;COUNT=3"), 4),
    "task.skipped-with-reminders": record_of(
        TaskSkipped("2026-12-14", "FREQ=WEEKLY", reminders=({"at": "2026-12-13T18:00:00+01:00"},)), 10
    ),
    "task.commented": record_of(TaskCommented(COMMENT_ID, "@bob, look: ñ", ("bob",), ("carol",)), 6),
    "task.comment_edited": record_of(TaskCommentEdited(COMMENT_ID, "@dan too", ("dan",)), 7),
    "task.comment_deleted": record_of(TaskCommentDeleted(COMMENT_ID), 8),
    "task.reminded": record_of(TaskReminded("2026-12-07T08:00:00.000000Z", ("bob",)), 9),
    "task.undone": record_of(
        TaskUndone(
            3,
            {
                "status": "open",
                "completed_at": None,
                "deleted_at": TIME,
                "list_id": OTHER_LIST_ID,
                "rank": "0dVi",
                "tags": ("a",),
                "series": Series(TASK_ID, 2, None),
                "reminders": ({"before": "PT30M"},),
            },
        ),
        10,
    ),
    "task.reverted": record_of(TaskReverted(3, {"title": "T", "parent_id": None, "rank": "0dVi"}), 11),
    "list.created": record_of(ListCreated(name="Home"), 1),
    "list.created-with-stages": record_of(ListCreated(name="Home", stages=STAGES), 1),
    "list.edited": record_of(ListEdited({"name": "House", "stages": STAGES}), 2),
    "list.edited-time-zone": record_of(ListEdited({"time_zone": "Europe/Madrid"}), 4),
    "list.created-with-time-zone": record_of(ListCreated(name="Home", time_zone="Asia/Kathmandu"), 1),
    "list.edited-to-nothing": record_of(ListEdited({"stages": ()}), 3),
    "list.member_added": record_of(MemberAdded("bob", "editor"), 4),
    "list.member_role_changed": record_of(MemberRoleChanged("bob", "viewer"), 5),
    "list.member_removed": record_of(MemberRemoved("bob"), 6),
    "list.handed_over": record_of(ListHandedOver("carol"), 7),
    "user.notifications_read": record_of(NotificationsRead((COMMENT_ID,)), 1, stream="user:alice"),
    "user.notifications_unread": record_of(NotificationsUnread((COMMENT_ID,)), 2, stream="user:alice"),
    "user.notifications_all_read": record_of(AllNotificationsRead(TIME), 3, stream="user:alice"),
    "user.audit_read": record_of(AuditRead("query", "actor=bob&type=task.*"), 1, stream="user:alice"),
    "list.created-inbox": record_of(ListCreated(name="Inbox", inbox=True), 1),
    "list.renamed": record_of(ListRenamed("House"), 2),
    "list.deleted": record_of(ListDeleted(), 3),
    "list.restored": record_of(ListRestored(), 4),
    "stream.resumed": Record(
        id="018f0000-0000-7000-8000-000000000003",
        stream=task_stream(TASK_ID),
        version=0,
        time=TIME,
        actor="root",
        source="/tasktape/api",
        data=StreamResumed(("0:90", "0:93")),
    ),
}


def golden(name: str) -> tuple[bytes, bytes, list[tuple[str, bytes]]]:
    """Return key, value and headers of a golden file."""
    held = json.loads((GOLDEN / f"{name}.json").read_text())
    headers = [(header, text.encode()) for header, text in held["headers"].items()]
    return held["key"].encode(), held["value"].encode(), headers


def golden_schema(name: str) -> str:
    """Return the `ce_dataschema` of a golden file."""
    return dict(golden(name)[2])["ce_dataschema"].decode()


def test_every_event_type_has_a_golden_file() -> None:
    """And every schema version."""
    assert {path.stem for path in GOLDEN.glob("*.json")} >= set(EXPECTED)
    schemas = {json.loads(path.read_text())["headers"]["ce_dataschema"] for path in GOLDEN.glob("*.json")}
    assert schemas == {
        dataschema_of(each.name, version)
        for each in EVENT_TYPES.values()
        for version in range(1, each.version + 1)
    }


@pytest.mark.parametrize("name", EXPECTED)
def test_golden_files_are_decoded_unchanged(name: str) -> None:
    key, value, headers = golden(name)
    assert decode(key, headers, value) == EXPECTED[name]


LATEST = [name for name in EXPECTED if golden_schema(name) == EVENT_TYPES[EXPECTED[name].type].dataschema]
"""The golden files of the latest version of their event type, which alone is written."""


@pytest.mark.parametrize("name", LATEST)
def test_golden_files_are_encoded_unchanged(name: str) -> None:
    """Byte for byte, header order included."""
    assert encode(EXPECTED[name]) == golden(name)


@pytest.mark.parametrize("name", LATEST)
def test_cloudevents_package_reads_records(name: str) -> None:
    """Third parties can read the log with the CNCF's library."""
    key, value, headers = golden(name)
    record = EXPECTED[name]
    event = cloudevents_kafka.from_binary_event(
        cloudevents_kafka.KafkaMessage(headers=dict(headers), key=key, value=value)
    )
    assert event.get_id() == record.id
    assert event.get_type() == record.type
    assert event.get_source() == record.source
    assert event.get_subject() == record.stream
    assert event.get_time() == record.time
    assert event.get_data() == json.loads(event_data_json(record.data))
    assert event.get_extension("streamversion") == str(record.version)
    assert event.get_extension("actor") == record.actor


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40)
TEXTS = st.lists(TEXT, max_size=3).map(tuple)


@given(title=TEXT, notes=TEXT, tags=TEXTS, stage=st.none() | TEXT, actor=TEXT)
def test_any_text_round_trips(
    title: str, notes: str, tags: tuple[str, ...], stage: str | None, actor: str
) -> None:
    created = TaskCreated(list_id=LIST_ID, title=title, notes=notes, tags=tags, stage=stage)
    record = record_of(created, 1, actor=actor)
    key, value, headers = encode(record)
    assert decode(key, headers, value) == record
    edited = record_of(TaskEdited({"title": title, "tags": tags, "stage": stage}), 2)
    key, value, headers = encode(edited)
    assert decode(key, headers, value) == edited


@given(st.datetimes(timezones=st.timezones(), min_value=datetime(2, 1, 1), max_value=datetime(9998, 1, 1)))  # noqa: DTZ001
def test_times_round_trip_in_utc(time: datetime) -> None:
    """To the microsecond, in one form."""
    key, value, headers = encode(record_of(TaskCompleted(), 2, time=time))
    back = decode(key, headers, value).time
    assert back == time.astimezone(UTC)
    assert back.tzinfo is UTC
    assert len(format_time(time)) == len("2026-03-01T09:30:00.250000Z")


def test_widest_record_that_was_ever_allowed_is_read() -> None:
    """Old records may be that wide, so these numbers of released versions never become smaller."""
    record = record_of(
        TaskCreated("l" * 128, "t" * 2_000, "n" * 100_000),
        1,
        id="i" * 256,
        actor="a" * 200,
        stream=f"task:{'s' * 128}",
        source="/" + "s" * 2_047,
        reason="r" * 2_048,
    )
    record = replace(record, version=2**53)
    key, value, headers = encode(record)
    assert decode(key, headers, value) == record
    padded = value + b" " * (512 * 1024 - len(value))
    assert decode(key, headers, padded) == record


@pytest.mark.parametrize("text", ["\\u0000", "a\\\\u0000b", "\\\\\\u0000", "u0000", "\\"])
def test_escaped_nul_in_a_text_is_accepted(text: str) -> None:
    """Only the character U+0000 itself is refused."""
    record = record_of(TaskCreated(list_id=LIST_ID, title=text), 1)
    key, value, headers = encode(record)
    assert decode(key, headers, value) == record


def _with(**headers: bytes | None) -> list[tuple[str, bytes]]:
    """Return the headers of a valid record, with some replaced or (None) left out."""
    _, _, good = encode(record_of(TaskCreated(list_id=LIST_ID, title="t"), 1))
    kept = [(name, value) for name, value in good if name not in headers]
    return kept + [(name, value) for name, value in headers.items() if value is not None]


KEY = f"task:{TASK_ID}".encode()
VALUE = b'{"list_id":"l","title":"t"}'


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        (_with(ce_id=None), "no attribute ce_id"),
        (_with(ce_type=None), "no attribute ce_type"),
        (_with(ce_subject=None), "no attribute ce_subject"),
        (_with(ce_actor=None), "no attribute ce_actor"),
        (_with(ce_time=None), "no attribute ce_time"),
        (_with(ce_streamversion=None), "no attribute ce_streamversion"),
        (_with(ce_specversion=b"0.3"), "CloudEvents 1.0"),
        (_with(ce_type=b"task.exploded"), "unknown event type"),
        (_with(ce_type=b"list.deleted"), "does not belong"),
        (_with(ce_subject=b"task:another"), "the key is not the stream"),
        (_with(ce_streamversion=b"0"), "out of range"),
        (_with(ce_streamversion=b"-1"), "out of range"),
        (_with(ce_streamversion=b"9" * 30), "out of range"),
        (_with(ce_streamversion=b"9" * 4000), "ValueError|out of range|too long"),
        (_with(ce_streamversion=b"one"), "ValueError"),
        (_with(ce_time=b"yesterday"), "ValueError"),
        (_with(ce_time=b"2026-03-01T09:00:00"), "no offset"),
        (_with(ce_time=b"0001-01-01T00:00:00+14:00"), "OverflowError"),
        (
            _with(ce_dataschema=b"urn:tasktape:task.created:2"),
            "newest known version .* is 1.* upgrade",
        ),
        (_with(ce_dataschema=b"urn:tasktape:task.created:0"), "unknown data schema"),
        (_with(ce_dataschema=b"urn:other:1"), "unknown data schema"),
        (_with(ce_dataschema=b""), "ValueError|unknown data schema"),
        (_with(ce_actor=b"\xff\xfe"), "UnicodeDecodeError"),
        (_with(ce_actor=b"a\x00b"), "an attribute (contains U.0000|is too long)"),
        (_with(ce_actor=b"x" * 5000), "an attribute (contains U.0000|is too long)"),
        ([], "no attribute"),
        ([*_with(ce_id=None), ("ce_id", None)], "no attribute ce_id"),
    ],
)
def test_invalid_envelope_is_refused(headers: list[tuple[str, bytes | None]], reason: str) -> None:
    """With a reason of one line."""
    with pytest.raises(Undecodable, match=reason) as caught:
        decode(KEY, headers, VALUE)
    assert "\n" not in caught.value.detail


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no value"),
        (b"", "Invalid JSON"),
        (b"{", "Invalid JSON"),
        (b"\xff", "Invalid JSON"),
        (b"[]", "value: "),
        (b"null", "value: "),
        (b'{"list_id":"l"}', "title: "),
        (b'{"list_id":"l","title":7}', "title: "),
        (b'{"list_id":"l","title":"t","priority":"huge"}', "priority: "),
        (b'{"list_id":"l","title":"a\\u0000b"}', r"U\+0000"),
        (b'{"list_id":"l","title":"\\\\\\u0000"}', r"U\+0000"),
        (b'{"list_id":"l","title":"\\ud800"}', "Invalid JSON"),
        (b"[" * 100_000, "Invalid JSON|recursion"),
    ],
)
def test_invalid_value_is_refused(value: bytes | None, reason: str) -> None:
    """With a reason; the reader continues."""
    with pytest.raises(Undecodable, match=reason):
        decode(KEY, _with(), value)


@given(st.binary(max_size=200), st.lists(st.tuples(st.text(max_size=12), st.binary(max_size=40)), max_size=8))
def test_only_undecodable_is_raised(value: bytes, headers: list[tuple[str, bytes]]) -> None:
    """For any bytes."""
    for key in (None, b"", b"\xff", KEY, value):
        with pytest.raises(Undecodable):
            decode(key, headers, value)
        with pytest.raises(Undecodable):
            decode(key, [*_with(), *headers, ("ce_id", b"\x00")], value)


def test_unknown_fields_are_ignored() -> None:
    """Those of later versions."""
    record = decode(KEY, _with(ce_future=b"x"), b'{"list_id":"l","title":"t","colour":"red"}')
    assert record.data == TaskCreated(list_id="l", title="t")


@pytest.mark.parametrize(
    ("key", "stream"),
    [
        (KEY, KEY.decode()),
        (b"list:x", "list:x"),
        (b"user:x y", "user:x y"),
        (None, None),
        (b"", None),
        (b"task:", None),
        (b"cat:x", None),
        (b"\xff", None),
        (b"task:a\nb", None),
        (b"task:" + b"x" * 257, None),
    ],
)
def test_stream_of_an_unreadable_record_is_that_of_its_key(key: bytes | None, stream: str | None) -> None:
    assert RawRecord(Position(0, 0), TIME, key, [], b"").stream == stream


@pytest.mark.parametrize(
    ("parts", "source"),
    [
        (("api",), "/tasktape/api"),
        (("import", "alice"), "/tasktape/import/alice"),
        (("import", "a/b c?#é"), "/tasktape/import/a%2Fb%20c%3F%23%C3%A9"),
    ],
)
def test_sources_are_uri_references(parts: tuple[str, ...], source: str) -> None:
    """User names are escaped."""
    assert source_of(*parts) == source


def test_offsets_are_written_in_utc() -> None:
    cest = timezone(timedelta(hours=2))
    assert format_time(datetime(2012, 5, 5, 14, 54, 27, tzinfo=cest)) == "2012-05-05T12:54:27.000000Z"
