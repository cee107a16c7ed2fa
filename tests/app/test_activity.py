"""Activity feed: types of events, grouping, and texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json

from app.activity import (
    PHRASES,
    WINDOW_S,
    Entry,
    Group,
    activity_type,
    actor_of,
    grouped,
    summary,
    whole_windows,
    window_of,
)
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
from app.log.fold import Folded
from app.log.records import EVENT_CLASSES, Record, StreamResumed, event_data_json
from app.stream_ids import task_stream
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
from tests.folding import fold_log
from tests.spec import LIST_ID, OTHER_LIST_ID, START, raw_of, record_of

CREATED = TaskCreated(list_id=LIST_ID, title="Buy milk")
LIST = ListCreated("Home")
IMPORTED = "/tasktape/import/ann%20%25"
POLICY = "/tasktape/policy/recurrence"


def last_of(*events: Any, **given_: Any) -> Folded:
    """Return the outcome of the last of these events of one stream."""
    records = [record_of(event, version) for version, event in enumerate(events[:-1], start=1)]
    records.append(record_of(events[-1], len(events), **given_))
    return fold_log([raw_of(record, offset) for offset, record in enumerate(records)])[1][-1]


CASES: list[tuple[tuple[Any, ...], str | None]] = [
    ((CREATED,), "task.created"),
    ((CREATED, TaskEdited({"title": "Buy oat milk"})), "task.edited"),
    ((CREATED, TaskEdited({"stage": "Doing"})), "task.edited"),
    ((CREATED, TaskEdited({"stage": "Done", "status": "done"})), "task.completed"),
    ((CREATED, TaskCompleted()), "task.completed"),
    ((CREATED, TaskCompleted(), TaskReopened()), "task.reopened"),
    ((CREATED, TaskMoved(OTHER_LIST_ID)), "task.moved_in"),
    ((CREATED, TaskMoved(OTHER_LIST_ID, status="done", stage="Done")), "task.moved_in"),
    ((CREATED, TaskMoved(LIST_ID, rank="0123456789abcd")), None),
    ((CREATED, TaskMoved(LIST_ID, rank="0123456789abcd", stage="Doing")), "task.staged"),
    ((CREATED, TaskMoved(LIST_ID, stage="Done", status="done")), "task.completed"),
    ((CREATED, TaskCompleted(), TaskMoved(LIST_ID, stage="To do", status="open")), "task.reopened"),
    ((CREATED, TaskDeleted()), "task.deleted"),
    ((CREATED, TaskDeleted(), TaskRestored()), "task.restored"),
    ((CREATED, TaskCommented("c", "Which one?")), "task.commented"),
    ((CREATED, TaskCommented("c", "Which?"), TaskCommentEdited("c", "Where?")), "task.comment_edited"),
    ((CREATED, TaskCommented("c", "Which?"), TaskCommentDeleted("c")), "task.comment_deleted"),
    ((CREATED, TaskReminded("2026-03-01T09:00:00Z")), None),
    ((CREATED, TaskEdited({"title": "x"}), TaskUndone(2, {"title": "Buy milk"})), "task.undone"),
    ((CREATED, TaskEdited({"title": "x"}), TaskReverted(1, {"title": "Buy milk"})), "task.reverted"),
    ((LIST,), "list.created"),
    ((ListCreated("Inbox", inbox=True),), None),
    ((LIST, ListRenamed("Flat")), "list.renamed"),
    ((LIST, ListEdited({"stages": ({"name": "Done", "category": "done"},)})), "list.edited"),
    ((LIST, ListEdited({"time_zone": "Europe/Madrid"})), "list.time_zone_changed"),
    ((LIST, ListEdited({"time_zone": None, "stages": ()})), "list.edited"),
    ((LIST, ListDeleted()), "list.deleted"),
    ((LIST, ListDeleted(), ListRestored()), "list.restored"),
    ((LIST, MemberAdded("bob", "editor")), "list.member_added"),
    ((LIST, MemberAdded("bob", "editor"), MemberRoleChanged("bob", "viewer")), "list.member_role_changed"),
    ((LIST, MemberAdded("bob", "editor"), MemberRemoved("bob")), "list.member_removed"),
    ((LIST, MemberAdded("bob", "editor"), ListHandedOver("bob")), "list.handed_over"),
]


@pytest.mark.parametrize(("events", "expected"), CASES)
def test_activity_type_follows_the_effect(events: tuple[Any, ...], expected: str | None) -> None:
    """None is not shown."""
    assert activity_type(last_of(*events)) == expected


def test_skipping_is_shown() -> None:
    """For recurring tasks."""
    recurring = TaskCreated(LIST_ID, "Water the plants", due="2026-03-01", recurrence="FREQ=DAILY")
    skipped = TaskSkipped("2026-03-02", "FREQ=DAILY")
    assert activity_type(last_of(recurring, skipped)) == "task.skipped"


def test_leaving_differs_from_being_removed() -> None:
    """By the actor."""
    left = last_of(LIST, MemberAdded("bob", "viewer"), MemberRemoved("bob"), actor="bob")
    assert activity_type(left) == "list.left"


def test_imported_history_is_one_activity() -> None:
    """By the importing user, regardless of the actor in the source."""
    first = last_of(CREATED, source=IMPORTED, actor="someone else")
    assert activity_type(first) == "task.imported"
    assert actor_of("task.imported", "someone else", IMPORTED) == "ann %"
    assert activity_type(last_of(CREATED, TaskCompleted(), source=IMPORTED)) is None
    assert actor_of("task.completed", "bob", "/tasktape/api") == "bob"


def test_tasks_created_by_a_policy_are_shown_as_such() -> None:
    """Neither their creation nor their deletion is attributed to a user."""
    assert activity_type(last_of(CREATED, source=POLICY)) == "task.recurred"
    assert activity_type(last_of(CREATED, TaskDeleted(), source=POLICY)) == "task.withdrawn"
    assert activity_type(last_of(CREATED, TaskDeleted(), TaskRestored(), source=POLICY)) == "task.recurred"
    assert activity_type(last_of(CREATED, TaskEdited({"title": "x"}), source=POLICY)) is None


def test_only_accepted_events_are_activity() -> None:
    """No superseded or parked records, no control records."""
    late = record_of(TaskCompleted(), 1, id="late")
    superseded = fold_log([raw_of(record_of(CREATED, 1), 0), raw_of(late, 1)])[1][-1]
    assert (superseded.outcome, activity_type(superseded)) == ("superseded", None)
    poison = raw_of(record_of(CREATED, 2), 1)
    parked = fold_log([raw_of(record_of(CREATED, 1), 0), poison])[1][-1]
    assert (parked.outcome, activity_type(parked)) == ("parked", None)
    control = Record("c", late.stream, 0, START, "root", "/tasktape/api", StreamResumed(("0:1",)))
    resumed = fold_log([raw_of(record_of(CREATED, 1), 0), poison, raw_of(control, 2)])[1][-1]
    assert (resumed.outcome, activity_type(resumed)) == ("accepted", None)


# --- groups ----------------------------------------------------------------------------------------------

entries = st.builds(
    Entry,
    at=st.integers(0, 5 * WINDOW_S).map(lambda seconds: START + timedelta(seconds=seconds)),
    partition=st.integers(0, 2),
    offset=st.just(0),
    type=st.sampled_from(["task.completed", "task.created", "list.renamed"]),
    actor=st.sampled_from(["alice", "bob"]),
    list_id=st.sampled_from([LIST_ID, OTHER_LIST_ID]),
    stream=st.integers(0, 4).map(lambda number: task_stream(str(number))),
)


@st.composite
def feeds(draw: st.DrawFn) -> list[Entry]:
    """Generate feeds: entries in order, with positions."""
    drawn = sorted(draw(st.lists(entries, max_size=60)), key=lambda each: each.at)
    return in_order([each._replace(offset=offset) for offset, each in enumerate(drawn)])


def in_order(feed: Sequence[Entry]) -> list[Entry]:
    """Return the entries in the order of the feed: newest first."""
    return sorted(feed, key=place, reverse=True)


def place(entry: Entry) -> tuple[datetime, int, int]:
    return entry.at, -entry.partition, entry.offset


@given(feeds())
def test_every_event_is_in_exactly_one_group(feed: list[Entry]) -> None:
    """With those of the same actor, type, list and hour, and with no others."""
    groups = grouped(feed)
    assert in_order([entry for group in groups for entry in group.entries]) == feed
    for group in groups:
        keys = {(window_of(each), each.actor, each.type, each.list_id) for each in group.entries}
        assert keys == {group_key(group)}
    assert len({group_key(group) for group in groups}) == len(groups)


@given(feeds())
def test_newest_events_come_first(feed: list[Entry]) -> None:
    """In each group, and the groups by their newest event."""
    groups = grouped(feed)
    assert all(list(group.entries) == in_order(list(group.entries)) for group in groups)
    newest = [group.entries[0] for group in groups]
    assert newest == in_order(newest)


@given(feeds(), st.randoms(use_true_random=False), st.data())
def test_live_events_join_as_if_read(feed: list[Entry], chance: Any, data: st.DataObject) -> None:
    """In any order: the group exists or is created, and is sorted by its newest event."""
    known = data.draw(st.integers(0, len(feed)))
    news, read = feed[:known], feed[known:]
    chance.shuffle(news)
    live = grouped(read)
    for entry in news:
        live = joined(live, entry)
    assert live == grouped(feed)


def joined(groups: list[Group], entry: Entry) -> list[Group]:
    """Return the groups after joining an entry by the rule of live clients."""
    [alone] = grouped([entry])
    same = [group for group in groups if group_key(group) == group_key(alone)]
    others = [group for group in groups if group not in same]
    together = replace(alone, entries=in_order([entry, *(each for group in same for each in group.entries)]))
    return sorted([*others, together], key=lambda group: place(group.entries[0]), reverse=True)


def group_key(group: Group) -> tuple[int, str, str, str]:
    return window_of(group.entries[0]), group.actor, group.type, group.list_id


@given(feeds())
def test_only_complete_windows_are_kept(feed: list[Entry]) -> None:
    """The last window may have more entries."""
    kept = whole_windows(feed)
    assert list(kept) == [entry for entry in feed if window_of(entry) != window_of(feed[-1])]


@given(feeds())
def test_group_has_each_task_once(feed: list[Entry]) -> None:
    """By its newest event first."""
    for group in grouped(feed):
        places = [[e.stream for e in group.entries].index(task_stream(task)) for task in group.task_ids]
        assert places == sorted(places)
        assert set(map(task_stream, group.task_ids)) == {entry.stream for entry in group.entries}


# --- phrases ---------------------------------------------------------------------------------------------

SAID = [
    ("task.created", {}, "alice created “Buy milk”", "alice created 5 tasks"),
    ("task.imported", {}, "alice imported “Buy milk”", "alice imported 5 tasks"),
    (
        "task.recurred",
        {},
        "The next occurrence of “Buy milk” was created",
        "The next occurrences of 5 tasks were created",
    ),
    (
        "task.withdrawn",
        {},
        "The next occurrence of “Buy milk” was taken back",
        "The next occurrences of 5 tasks were taken back",
    ),
    ("task.edited", {}, "alice edited “Buy milk”", "alice edited 5 tasks"),
    ("task.completed", {}, "alice completed “Buy milk”", "alice completed 5 tasks"),
    ("task.reopened", {}, "alice reopened “Buy milk”", "alice reopened 5 tasks"),
    (
        "task.staged",
        {"stage": "Doing"},
        "alice moved “Buy milk” to Doing",
        "alice moved 5 tasks to other stages",
    ),
    (
        "task.moved_in",
        {"list_id": "x"},
        "alice moved “Buy milk” here from another list",
        "alice moved 5 tasks here from other lists",
    ),
    (
        "task.moved_out",
        {"list_id": "x"},
        "alice moved “Buy milk” to another list",
        "alice moved 5 tasks to other lists",
    ),
    ("task.deleted", {}, "alice deleted “Buy milk”", "alice deleted 5 tasks"),
    ("task.restored", {}, "alice restored “Buy milk”", "alice restored 5 tasks"),
    (
        "task.skipped",
        {"due": "2026-03-01"},
        "alice skipped an occurrence of “Buy milk”",
        "alice skipped occurrences of 5 tasks",
    ),
    ("task.commented", {"text": "{0}"}, "alice commented on “Buy milk”", "alice commented on 5 tasks"),
    ("task.comment_edited", {}, "alice edited a comment on “Buy milk”", "alice edited comments on 5 tasks"),
    (
        "task.comment_deleted",
        {},
        "alice deleted a comment on “Buy milk”",
        "alice deleted comments on 5 tasks",
    ),
    ("task.undone", {"version": 3}, "alice undid a change to “Buy milk”", "alice undid changes to 5 tasks"),
    (
        "task.reverted",
        {"version": 3},
        "alice returned “Buy milk” to an earlier state",
        "alice returned 5 tasks to an earlier state",
    ),
    ("list.created", {"name": "Home"}, "alice created the list “Home”", "alice created 5 lists"),
    ("list.renamed", {"name": "Home"}, "alice renamed the list to “Home”", "alice renamed the list 5 times"),
    ("list.edited", {}, "alice changed the list's stages", "alice changed the list's stages 5 times"),
    (
        "list.time_zone_changed",
        {},
        "alice changed the list's time zone",
        "alice changed the list's time zone 5 times",
    ),
    ("list.restored", {}, "alice restored the list", "alice restored the list 5 times"),
    ("list.deleted", {}, "alice deleted the list", "alice deleted 5 lists"),
    (
        "list.member_added",
        {"user": "bob", "role": "editor"},
        "alice added bob as editor",
        "alice added 5 people",
    ),
    (
        "list.member_role_changed",
        {"user": "bob", "role": "viewer"},
        "alice made bob viewer",
        "alice changed 5 roles",
    ),
    ("list.member_removed", {"user": "bob"}, "alice removed bob", "alice removed 5 people"),
    ("list.left", {"user": "alice"}, "alice left the list", "alice left the list 5 times"),
    (
        "list.handed_over",
        {"to": "bob"},
        "alice handed the list over to bob",
        "alice handed the list over 5 times",
    ),
]


@pytest.mark.parametrize(("type_", "data", "one", "five"), SAID)
def test_each_type_has_a_text(type_: str, data: dict[str, Any], one: str, five: str) -> None:
    """For one task, and for several."""
    assert summary(type_, "alice", n=1, title="Buy milk", data=data) == one
    assert summary(type_, "alice", n=5, title="Buy milk", data=data) == five


def test_every_shown_type_has_a_tested_text() -> None:
    """Each event type is a case above, or is not shown."""
    assert {case[0] for case in SAID} == set(PHRASES)
    shown = {type_ for _, type_ in CASES} | {"task.skipped", "task.imported", "list.left", "task.moved_out"}
    assert {*shown, "task.recurred", "task.withdrawn"} - {None} == set(PHRASES)
    cased = {type(events[-1]) for events, _ in CASES} | {TaskSkipped, StreamResumed}
    assert {each for each in EVENT_CLASSES if not each.type.startswith("user.")} == cased


def test_large_numbers_are_readable() -> None:
    """As an import has them."""
    assert summary("task.imported", "alice", n=7554, title="x", data={}) == "alice imported 7,554 tasks"


@pytest.mark.parametrize("events", [events for events, shown in CASES if shown])
@given(name=st.text(min_size=1))
def test_names_are_inserted_verbatim(events: tuple[Any, ...], name: str) -> None:
    """Braces in a title or a name are braces; the data of each event suffices for its text."""
    folded = last_of(*events)
    assert folded.record is not None
    data = from_json(event_data_json(folded.record.data))
    type_ = activity_type(folded)
    assert type_ is not None
    line = summary(type_, name, n=1, title=name, data=data)
    assert line.startswith(name)
    assert (f"“{name}”" in line) == ("{title}" in PHRASES[type_][0])
