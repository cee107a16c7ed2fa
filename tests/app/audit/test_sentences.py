"""Sentences of events: who did what, in the words of the domain."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.audit.sentences import lists_in, sentence_of
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
)
from app.log.event_json import RecordedEvent, changes_json, event_of
from app.log.fold import Folded, changes
from app.log.records import EVENT_CLASSES, RawRecord, StreamResumed, event_data_json
from app.positions import Position
from app.tasks.events import (
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
from tests.folding import fold_log
from tests.spec import LIST_ID, OTHER_LIST_ID, START, raw_of, record_of

GOLDEN = Path(__file__).parents[2] / "golden" / "records"
RENT = TaskCreated(LIST_ID, "Pay rent", stage="Doing")
HOME = ListCreated("Home", stages=({"name": "To do", "category": "open"},))
NAMES = {LIST_ID: "Home", OTHER_LIST_ID: "Work"}
POLICY, REPAIR = "/tasktape/policy/recurrence", "/tasktape/policy/structure"


def last_of(*events: Any, **given: Any) -> Folded:
    """Return the fold of the last of these events of one stream; `given` is of its record."""
    records = [record_of(event, version) for version, event in enumerate(events, start=1)]
    records[-1] = replace(records[-1], **given)
    raws = [raw_of(record, offset) for offset, record in enumerate(records)]
    _, folded = fold_log(raws)
    return folded[-1]


def event_in(folded: Folded) -> RecordedEvent:
    """Return the event of a folded record."""
    data = b"null" if folded.record is None else event_data_json(folded.record.data)
    return event_of(folded, data, changes_json(changes(folded.before, folded.after)))


def said_of(folded: Folded) -> str:
    """Return the sentence, with the names of all lists."""
    after = folded.after
    return sentence_of(event_in(folded), getattr(after, "title", getattr(after, "name", "")), NAMES)


CASES: list[tuple[tuple[Any, ...], str]] = [
    ((TaskCreated(LIST_ID, "Pay rent"),), "alice created “Pay rent”"),
    ((RENT,), "alice created “Pay rent” in Doing"),
    ((RENT, TaskMoved(LIST_ID, stage="Done")), "alice moved “Pay rent” from Doing to Done"),
    ((RENT, TaskMoved(LIST_ID, stage="Done", status="done")), "alice moved “Pay rent” from Doing to Done"),
    ((RENT, TaskMoved(LIST_ID, rank="a")), "alice moved “Pay rent” to another place in its list"),
    (
        (RENT, TaskMoved(OTHER_LIST_ID, stage="Inbox")),
        "alice moved “Pay rent” from the list “Home” to the list “Work”: stage from Doing to Inbox",
    ),
    ((RENT, TaskEdited({"stage": "Done"})), "alice moved “Pay rent” from Doing to Done"),
    ((RENT, TaskEdited({"stage": None})), "alice moved “Pay rent” out of Doing"),
    ((TaskCreated(LIST_ID, "Pay rent"), TaskEdited({"stage": "Done"})), "alice moved “Pay rent” to Done"),
    ((RENT, TaskEdited({"title": "Pay"})), "alice renamed “Pay rent” to “Pay”"),
    (
        (RENT, TaskEdited({"priority": "high"})),
        "alice changed the priority of “Pay rent” from none to high",
    ),
    ((RENT, TaskEdited({"notes": "Long text"})), "alice changed the notes of “Pay rent”"),
    (
        (RENT, TaskEdited({"due": "2026-12-01", "tags": ("home", "money"), "notes": "x"}, ("due",))),
        (
            "alice changed “Pay rent”: notes, due date from none to 2026-12-01, tags from none to home,"
            " money, for this occurrence only"
        ),
    ),
    (
        (RENT, TaskEdited({"recurrence": "FREQ=WEEKLY;BYDAY=MO"})),
        "alice changed the recurrence of “Pay rent” from none to every week on Mon",
    ),
    (
        (RENT, TaskEdited({"stage": "Done", "assignees": ("bob",)})),
        "alice moved “Pay rent” from Doing to Done: assignees from none to bob",
    ),
    ((RENT, TaskEdited({"priority": "none"})), "alice edited “Pay rent”, and nothing changed"),
    ((RENT, TaskEdited({})), "alice edited “Pay rent”, and nothing changed"),
    ((RENT, TaskCompleted()), "alice completed “Pay rent”"),
    (
        (RENT, TaskCompleted(stage="Done", assignees=("bob",))),
        "alice completed “Pay rent” and moved it from Doing to Done: assignees from none to bob",
    ),
    (
        (RENT, TaskCompleted(), TaskReopened(stage="To do")),
        "alice reopened “Pay rent” and moved it from Doing to To do",
    ),
    ((RENT, TaskDeleted()), "alice deleted “Pay rent”"),
    (
        (RENT, TaskDeleted(), TaskRestored(stage="To do")),
        "alice restored “Pay rent” and moved it from Doing to To do",
    ),
    (
        (
            TaskCreated(LIST_ID, "Walk", due="2026-12-01", recurrence="FREQ=DAILY"),
            TaskSkipped("2026-12-02", "FREQ=DAILY"),
        ),
        "alice skipped an occurrence of “Walk”: due date from 2026-12-01 to 2026-12-02",
    ),
    ((RENT, TaskCommented("c", "Hi")), "alice commented on “Pay rent”"),
    ((RENT, TaskCommentEdited("c", "Ho")), "alice edited a comment on “Pay rent”"),
    ((RENT, TaskCommentDeleted("c")), "alice deleted a comment on “Pay rent”"),
    ((RENT, TaskReminded("2026-12-01T09:00:00Z", ("bob", "ann"))), "alice reminded bob, ann of “Pay rent”"),
    (
        (RENT, TaskUndone(1, {"priority": "low"})),
        "alice undid a change to “Pay rent”: priority from none to low",
    ),
    (
        (RENT, TaskReverted(1, {"stage": "To do"})),
        "alice returned “Pay rent” to an earlier state and moved it from Doing to To do",
    ),
    ((HOME,), "alice created the list “Home”"),
    ((HOME, ListRenamed("House")), "alice renamed the list “Home” to “House”"),
    ((HOME, ListEdited({"name": "House"})), "alice renamed the list “Home” to “House”"),
    (
        (HOME, ListEdited({"stages": ({"name": "Done", "category": "done"},)})),
        "alice changed the stages of the list “Home” from To do to Done",
    ),
    (
        (HOME, ListEdited({"time_zone": "Europe/Berlin"})),
        "alice changed the time zone of the list “Home” from none to Europe/Berlin",
    ),
    ((HOME, ListDeleted()), "alice deleted the list “Home”"),
    ((HOME, ListDeleted(), ListRestored()), "alice restored the list “Home”"),
    ((HOME, MemberAdded("bob", "viewer")), "alice added bob to the list “Home” as viewer"),
    (
        (HOME, MemberAdded("bob", "viewer"), MemberRoleChanged("bob", "editor")),
        "alice changed the role of bob in the list “Home” from viewer to editor",
    ),
    ((HOME, MemberAdded("bob", "viewer"), MemberRemoved("bob")), "alice removed bob from the list “Home”"),
    ((HOME, MemberRemoved("alice")), "alice left the list “Home”"),
    ((HOME, MemberAdded("bob", "viewer"), ListHandedOver("bob")), "alice handed the list “Home” over to bob"),
    ((NotificationsRead(("a",)),), "alice marked 1 notification as read"),
    ((NotificationsUnread(("a", "b")),), "alice marked 2 notifications as unread"),
    ((AuditRead("query", "actor=bob"),), "alice read events of others, by query: actor=bob"),
    (
        (AllNotificationsRead(START),),
        "alice marked all notifications up to 2026-03-01T09:00:00Z as read",
    ),
]


@pytest.mark.parametrize(("events", "sentence"), CASES)
def test_event_is_described(events: tuple[Any, ...], sentence: str) -> None:
    assert said_of(last_of(*events)) == sentence


def test_each_event_type_has_a_tested_sentence() -> None:
    assert {type(events[-1]) for events, _ in CASES} | {StreamResumed} == set(EVENT_CLASSES)


def test_skipped_records_are_named() -> None:
    resumed = record_of(TaskDeleted(), 0, stream="task:a", data=StreamResumed(("0:3", "0:4")))
    assert said_of(fold_log([raw_of(resumed, 1)])[1][0]) == (
        "alice skipped the parked records 0:3, 0:4 of task:a (superseded: the stream is not held there)"
    )


@pytest.mark.parametrize(
    ("events", "given_", "sentence"),
    [
        (
            (RENT, TaskMoved(LIST_ID, stage="Done")),
            {"version": 7},
            "alice moved “Pay rent” to Done (superseded: version 7, expected 2)",
        ),
        (
            (RENT, TaskEdited({"priority": "high"})),
            {"version": 1},
            "alice edited “Pay rent”: priority to high (superseded: version 1, expected 2)",
        ),
        ((TaskDeleted(),), {}, "alice deleted “task:0f0e0d0c-0b0a-4908-8706-050403020100” (parked: "),
        ((TaskCreated(LIST_ID, "Walk"),), {"source": POLICY}, "The next occurrence of “Walk” was created"),
        ((RENT, TaskDeleted()), {"source": POLICY}, "The next occurrence of “Pay rent” was taken back"),
        (
            (RENT, TaskEdited({"stage": "To do"})),
            {"source": REPAIR, "reason": "its list lacks its stage"},
            "Tasktape moved “Pay rent” from Doing to To do, because its list lacks its stage",
        ),
        (
            (RENT, TaskReminded("2026-12-01T09:00:00Z", ("bob",))),
            {"source": "/tasktape/policy/reminders"},
            "Tasktape reminded bob of “Pay rent”",
        ),
        (
            (RENT, TaskCompleted()),
            {"source": "/tasktape/import/bob", "actor": "Siebel"},
            "Siebel completed “Pay rent”",
        ),
    ],
)
def test_outcome_and_source_are_stated(
    events: tuple[Any, ...], given_: dict[str, Any], sentence: str
) -> None:
    assert said_of(last_of(*events, **given_)).startswith(sentence)


def test_record_that_cannot_be_read_has_a_sentence() -> None:
    [folded] = fold_log([RawRecord(Position(0, 1), START, b"task:a", [], b"junk")])[1]
    assert said_of(folded) == "A record cannot be read: no attribute ce_id"


def test_lists_that_the_reader_does_not_see_have_no_names() -> None:
    event = event_in(last_of(RENT, TaskMoved(OTHER_LIST_ID)))
    assert lists_in([event, event_in(last_of(RENT))]) == {LIST_ID, OTHER_LIST_ID}
    names = [{LIST_ID: "Home"}, {OTHER_LIST_ID: "Work"}, {}]
    assert [sentence_of(event, "Pay rent", each) for each in names] == [
        "alice moved “Pay rent” from the list “Home” to another list",
        "alice moved “Pay rent” from another list to the list “Work”",
        "alice moved “Pay rent” from another list to another list",
    ]


def test_recorded_events_of_all_versions_have_sentences() -> None:
    """Each golden record, by itself or in its stream."""
    raws = []
    for number, path in enumerate(sorted(GOLDEN.glob("*.json"))):
        golden = json.loads(path.read_text())
        headers = [(name, value.encode()) for name, value in golden["headers"].items()]
        raws.append(
            RawRecord(Position(0, number), START, golden["key"].encode(), headers, golden["value"].encode())
        )
    sentences = [said_of(folded) for folded in fold_log(raws)[1]]
    assert all(" " in each and "{" not in each for each in sentences)


@pytest.mark.parametrize("events", [events for events, _ in CASES])
@given(name=st.text(min_size=1))
def test_names_are_inserted_verbatim(events: tuple[Any, ...], name: str) -> None:
    """Braces in a title or a name are braces."""
    event = event_in(last_of(*events))
    sentence = sentence_of(event._replace(actor=name), name, {})
    assert sentence.startswith(name)
