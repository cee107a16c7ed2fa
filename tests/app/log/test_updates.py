"""Updates: messages that a relay forwards without parsing, and their encoding for Kafka."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cloudevents.core.bindings import kafka as cloudevents_kafka

from app.channels import user_channel
from app.errors import Malformed
from app.lists.events import ListCreated, ListDeleted, ListRestored, MemberAdded
from app.log.event_json import shown_json
from app.log.fold import Folded
from app.log.records import RawRecord, Record
from app.log.updates import decode, encode, frame, state_from_json, state_json
from app.positions import Position
from app.stream_ids import list_stream, user_stream
from app.tasks.events import TaskCompleted, TaskCreated, TaskDeleted
from app.users import NotificationsRead
from tests.folding import fold_log, update_of
from tests.spec import LIST_ID, START, TASK_ID, list_after, raw_of, record_of, task_after

CREATED = TaskCreated(list_id=LIST_ID, title='Tïtle "x"', tags=("a",), due="2026-12-01")


def folded_last(*records: Record) -> Folded:
    """Return the outcome of the last of these records."""
    return fold_log([raw_of(record, offset) for offset, record in enumerate(records)])[1][-1]


def message_of(folded: Folded) -> Any:
    """Return the message of the outcome's update."""
    return json.loads(update_of(folded).value)


def test_task_message_has_position_event_changes_and_state() -> None:
    """A receiver never needs to fetch."""
    first = record_of(CREATED, 1, correlation_id="c", causation_id="b")
    message = message_of(folded_last(first, record_of(TaskCompleted(stage="Closed"), 2, actor="bob")))
    assert list(message) == ["type", "position", "event", "changes", "task", "list"]
    assert (message["type"], message["position"], message["list"]) == ("update", "0:1", None)
    assert message["event"] == {
        "id": f"task:{TASK_ID}-2",
        "type": "task.completed",
        "stream": f"task:{TASK_ID}",
        "version": 2,
        "position": "0:1",
        "outcome": "accepted",
        "reason": None,
        "time": "2026-03-01T09:01:00Z",
        "recorded_at": "2026-03-02T09:00:00Z",
        "actor": "bob",
        "source": "/tasktape/api",
        "correlation_id": None,
        "causation_id": None,
        "data": {"stage": "Closed"},
    }
    assert message["changes"]["status"] == ["open", "done"]
    assert message["task"]["title"] == 'Tïtle "x"'
    assert message["task"]["version"] == 2
    assert message["task"]["due"] == "2026-12-01"
    assert message_of(folded_last(first))["event"]["correlation_id"] == "c"


def test_deleted_task_is_not_in_its_update() -> None:
    """The update says that it was deleted."""
    message = message_of(folded_last(record_of(CREATED, 1), record_of(TaskDeleted(), 2)))
    assert message["task"] is None
    assert message["changes"]["deleted_at"][0] is None
    gone = message_of(folded_last(record_of(ListCreated("A"), 1), record_of(ListDeleted(), 2)))
    assert (gone["list"], gone["task"]) == (None, None)


def test_update_of_a_restored_list_is_complete() -> None:
    """All members get the whole list, and that it was deleted before."""
    update = update_of(
        folded_last(
            record_of(ListCreated("A"), 1),
            record_of(MemberAdded("bob", "viewer"), 2),
            record_of(ListDeleted(), 3),
            record_of(ListRestored(), 4),
        )
    )
    message = json.loads(update.value)
    assert update.channels == ("user:alice", "user:bob", f"list:{LIST_ID}")
    assert message["list"]["members"] == {"alice": "owner", "bob": "viewer"}
    assert message["changes"] == {"deleted_at": ["2026-03-01T09:02:00Z", None]}


def test_list_message_has_the_list() -> None:
    message = message_of(folded_last(record_of(ListCreated("A"), 1)))
    assert message["task"] is None
    assert (message["list"]["name"], message["list"]["members"]) == ("A", {"alice": "owner"})


def test_superseded_and_parked_records_have_updates() -> None:
    """One for every record, so positions are contiguous; these have no recipients."""
    superseded = update_of(folded_last(record_of(CREATED, 1), record_of(CREATED, 7, id="x")))
    assert (superseded.outcome, superseded.channels, superseded.event_id) == ("superseded", (), "x")
    assert json.loads(superseded.value)["changes"] == {}
    assert json.loads(superseded.value)["event"]["reason"] == "version 7, expected 2"
    for key in (None, f"task:{TASK_ID}".encode()):
        raw = RawRecord(Position(2, 9), START, key, [], b"\xff")
        parked = update_of(fold_log([raw])[1][0])
        assert (parked.outcome, parked.channels, str(parked.position)) == ("parked", (), "2:9")
        message = json.loads(parked.value)
        assert (message["event"]["stream"], message["event"]["data"]) == (raw.stream, None)


@pytest.mark.parametrize("after", [(), (Position(1, 12),), (Position(3, 0), Position(2, 7))])
@pytest.mark.parametrize("stream_user", ["alice", "a b", "100%", "%20", "élan vital", "a\u2028b"])
def test_updates_round_trip_over_kafka(stream_user: str, after: tuple[Position, ...]) -> None:
    """With any user names."""
    for record in (
        record_of(CREATED, 1, actor=stream_user),
        record_of(ListCreated("A"), 1, actor=stream_user),
    ):
        update = replace(update_of(folded_last(record)), after=after)
        key, value, headers = encode(update)
        assert key == record.stream.encode()
        assert decode(headers, value) == update
        event = cloudevents_kafka.from_binary_event(
            cloudevents_kafka.KafkaMessage(headers=dict(headers), key=key, value=value)
        )
        assert event.get_type() == f"{record.stream.partition(':')[0]}.update"
        assert event.get_id() == event.get_extension("position") == "0:0"
        assert event.get_extension("outcome") == "accepted"
        data = event.get_data()
        assert isinstance(data, dict)
        assert data["event"]["actor"] == stream_user


def test_malformed_update_is_refused() -> None:
    """With one of the named errors."""
    _, value, headers = encode(update_of(folded_last(record_of(CREATED, 1))))
    for name, bad in (("ce_position", b"x"), ("ce_outcome", b"maybe"), ("ce_subject", b"\xff")):
        broken = [(header, bad if header == name else good) for header, good in headers]
        with pytest.raises((KeyError, ValueError, Malformed)):
            decode(broken, value)
    with pytest.raises(KeyError):
        decode([], value)


def test_frame_is_the_message_with_its_channel() -> None:
    """The channel is spliced in front; names are escaped as JSON."""
    update = update_of(folded_last(record_of(CREATED, 1)))
    framed = json.loads(frame(user_channel('"x"\\'), update.value))
    assert framed.pop("channel") == 'user:"x"\\'
    assert framed == json.loads(update.value)


def test_states_round_trip_as_json() -> None:
    task = task_after(CREATED, TaskCompleted())
    assert state_from_json("task", state_json(task)) == task
    task_list = list_after(ListCreated("A"))
    assert state_from_json("list", state_json(task_list)) == task_list
    assert state_json(None) == b"null"


@pytest.mark.parametrize(
    "records",
    [
        [record_of(replace(CREATED, notes='"task":null,"list":1,"list":null}', tags=("task", "list")), 1)],
        [record_of(CREATED, 1), record_of(TaskDeleted(), 2)],
        [record_of(ListCreated("L"), 1, stream=list_stream(LIST_ID))],
        [
            record_of(ListCreated('"task":null,"list":'), 1, stream=list_stream(LIST_ID), actor="task"),
            record_of(MemberAdded("list", "editor"), 2, stream=list_stream(LIST_ID), actor="task"),
        ],
        [
            record_of(ListCreated("L"), 1, stream=list_stream(LIST_ID)),
            record_of(ListDeleted(), 2, stream=list_stream(LIST_ID)),
        ],
        [record_of(NotificationsRead(("n",)), 1, stream=user_stream("alice"))],
    ],
)
def test_shown_state_is_read_without_decoding_the_update(records: list[Record]) -> None:
    """Also if texts and names look like the members that surround it."""
    update = update_of(folded_last(*records))
    message = json.loads(update.value)
    assert json.loads(shown_json(update.value)) == (message["task"] or message["list"])
