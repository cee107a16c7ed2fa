"""Folding a log of records: accepted, superseded and parked records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

from hypothesis import assume
from hypothesis import given as for_all
from hypothesis import strategies as st

from app.errors import Conflict, Invalid, NotFound
from app.lists.events import ListCreated, ListDeleted, ListRenamed
from app.log.fold import Fold, Folded, State, changes, channels, decoded, evolve
from app.log.records import RawRecord, Record, StreamResumed
from app.positions import Position
from app.stream_ids import task_stream
from app.tasks import decide as task_decisions
from app.tasks.commands import (
    Comment,
    CompleteTask,
    CreateTask,
    DeleteComment,
    DeleteTask,
    EditTask,
    MoveTask,
    RemindOfTask,
    ReopenTask,
    RestoreTask,
    SkipOccurrence,
    TaskCommand,
    UndoChange,
)
from app.tasks.decision_context import Change, DecisionContext, Gap, PriorComment
from app.tasks.events import TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskMoved
from app.tasks.state import Task
from tests.folding import fold_log
from tests.spec import (
    LIST_ID,
    OTHER_LIST_ID,
    START,
    TASK_ID,
    list_after,
    raw_of,
    record_of,
    surroundings,
    task_after,
)

CREATED = TaskCreated(list_id=LIST_ID, title="T")
STREAM = task_stream(TASK_ID)


def poison(offset: int, *, stream: str | None = STREAM) -> RawRecord:
    """Return an unreadable record."""
    key = None if stream is None else stream.encode()
    return RawRecord(Position(0, offset), START, key, [], b"\xff")


def resumed(offset: int, *skipped: str) -> RawRecord:
    """Return the control record that skips a parked record."""
    record = replace(record_of(CREATED, 0, id=f"resume-{offset}"), data=StreamResumed(skipped))
    return raw_of(record, offset)


def retry(record: Record, of: str, offset: int) -> RawRecord:
    """Return a parked record, written again."""
    return raw_of(replace(record, retry_of=of), offset)


def outcomes(*raws: RawRecord) -> list[str]:
    """Return the outcomes of a log's records."""
    return [folded.outcome for folded in fold_log(raws)[1]]


# --- accepted and superseded -----------------------------------------------------------------------------


def test_records_are_accepted_in_the_order_of_versions() -> None:
    """Later, earlier and repeated versions are superseded, with a reason."""
    first, second, third = record_of(CREATED, 1), record_of(TaskCompleted(), 2), record_of(TaskDeleted(), 3)
    log = [
        raw_of(second, 0),
        raw_of(first, 1),
        raw_of(first, 2),
        raw_of(third, 3),
        raw_of(second, 4),
        raw_of(replace(second, id="other"), 5),
        raw_of(third, 6),
    ]
    fold, folded = fold_log(log)
    assert [(one.outcome, one.reason) for one in folded] == [
        ("superseded", "version 2, expected 1"),
        ("accepted", None),
        ("superseded", "duplicate"),
        ("superseded", "version 3, expected 2"),
        ("accepted", None),
        ("superseded", "version 2, expected 3"),
        ("accepted", None),
    ]
    assert fold.states[STREAM] == task_after(CREATED, TaskCompleted(), TaskDeleted())


def test_superseded_record_changes_nothing() -> None:
    """The states before and after are the same, so its update has no change."""
    _, folded = fold_log([raw_of(record_of(CREATED, 1), 0), raw_of(record_of(TaskDeleted(), 5), 1)])
    assert folded[1].before is folded[1].after
    assert folded[1].after == task_after(CREATED)
    assert changes(folded[1].before, folded[1].after) == {}


def test_event_ids_are_unique_per_stream() -> None:
    """The same id in two streams is two events."""
    one = record_of(CREATED, 1, id="same")
    other = record_of(CREATED, 1, id="same", stream="task:other")
    assert outcomes(raw_of(one, 0), raw_of(other, 1)) == ["accepted", "accepted"]


# --- parked ----------------------------------------------------------------------------------------------


def test_unreadable_record_holds_only_its_stream() -> None:
    """Later records of the stream are parked; other streams continue."""
    fold, folded = fold_log(
        [
            raw_of(record_of(CREATED, 1), 0),
            poison(1),
            raw_of(record_of(TaskCompleted(), 2), 2),
            raw_of(record_of(CREATED, 1, stream="task:other"), 3),
            poison(4),
        ]
    )
    assert [one.outcome for one in folded] == ["accepted", "parked", "parked", "accepted", "parked"]
    assert folded[2].reason == "behind 0:1"
    assert fold.held == {STREAM: "0:1"}
    assert fold.states[STREAM] == task_after(CREATED)


def test_unreadable_record_without_a_stream_holds_nothing() -> None:
    """Its key names no stream, and it is parked alone."""
    fold, folded = fold_log([poison(0, stream=None), raw_of(record_of(CREATED, 1), 1)])
    assert [one.outcome for one in folded] == ["parked", "accepted"]
    assert fold.held == {}


def test_impossible_event_is_parked() -> None:
    """With the right version it is kept for an operator, not lost."""
    fold, folded = fold_log([raw_of(record_of(CREATED, 1), 0), raw_of(record_of(CREATED, 2, id="again"), 1)])
    assert folded[1].outcome == "parked"
    assert folded[1].reason == "task.created on a task that exists"
    assert fold.held == {STREAM: "0:1"}


def test_skipping_releases_the_stream() -> None:
    """`stream.resumed` releases it; the parked records behind are accepted on retry."""
    behind = record_of(TaskCompleted(), 2)
    fold, folded = fold_log(
        [
            raw_of(record_of(CREATED, 1), 0),
            poison(1),
            raw_of(behind, 2),
            resumed(3, "0:1"),
            retry(behind, "0:2", 4),
            raw_of(record_of(TaskDeleted(), 3), 5),
        ]
    )
    assert [one.outcome for one in folded][2:] == ["parked", "accepted", "accepted", "accepted"]
    assert fold.held == {}
    assert fold.states[STREAM] == task_after(CREATED, TaskCompleted(), TaskDeleted())


def test_skipping_another_record_releases_nothing() -> None:
    """Such control records, and repeated ones, are superseded."""
    log = [
        raw_of(record_of(CREATED, 1), 0),
        poison(1),
        resumed(2, "0:0"),
        resumed(3, "0:1"),
        resumed(4, "0:1"),
    ]
    assert outcomes(*log) == ["accepted", "parked", "superseded", "accepted", "superseded"]


def test_control_record_changes_no_state() -> None:
    """It is no version of the stream."""
    _, folded = fold_log([raw_of(record_of(CREATED, 1), 0), poison(1), resumed(2, "0:1")])
    assert folded[2].before == folded[2].after == task_after(CREATED)
    assert channels(folded[2]) == [f"list:{LIST_ID}", STREAM]


def test_successful_retry_releases_the_stream() -> None:
    """For example of a record that a newer fold can read."""
    record = record_of(TaskCompleted(), 2)
    fold = Fold(states={STREAM: task_after(CREATED)}, held={STREAM: "0:1"})
    raw = retry(record, "0:1", 5)
    assert fold.apply(raw, raw.decode()).outcome == "accepted"
    assert fold.held == {}


def test_retry_of_a_superseded_record_releases_the_stream() -> None:
    """Nothing has to wait for it any more."""
    fold = Fold(states={STREAM: task_after(CREATED, TaskCompleted())}, held={STREAM: "0:1"})
    raw = retry(record_of(TaskDeleted(), 2), "0:1", 5)
    assert fold.apply(raw, raw.decode()).outcome == "superseded"
    assert fold.held == {}


def test_failing_retry_keeps_the_first_hold() -> None:
    """Retrying an unreadable record changes nothing; a parked record behind it does not overtake."""
    behind = record_of(TaskCompleted(), 2)
    impossible = record_of(CREATED, 2, id="again")
    log = [raw_of(record_of(CREATED, 1), 0), raw_of(impossible, 1), raw_of(behind, 2)]
    fold, folded = fold_log([*log, retry(impossible, "0:1", 3), retry(behind, "0:2", 4)])
    assert [one.outcome for one in folded][3:] == ["parked", "parked"]
    assert fold.held == {STREAM: "0:1"}


# --- properties ------------------------------------------------------------------------------------------

COMMENT_ID = "018f0000-0000-7000-8000-0000000000cc"
STREAMS = tuple(map(task_stream, "abc"))
COMMANDS: Sequence[TaskCommand] = (
    CreateTask(title="T", list_id=LIST_ID),
    EditTask(title="U", tags=("x",)),
    EditTask(title="V", stage="Doing"),
    CompleteTask(),
    ReopenTask(),
    MoveTask(list_id=OTHER_LIST_ID),
    MoveTask(list_id=LIST_ID),
    MoveTask(after=COMMENT_ID),
    DeleteTask(),
    RestoreTask(),
    EditTask(recurrence="FREQ=DAILY;COUNT=3", due="2026-03-02", reminders=({"before": "P1D"},)),
    EditTask(title="W", tags=("y",), scope="this"),
    EditTask(recurrence=None),
    SkipOccurrence(),
    Comment(comment_id=COMMENT_ID, text="Look"),
    DeleteComment(comment_id=COMMENT_ID),
    RemindOfTask(at="2026-03-01T00:00:00.000000Z"),
    UndoChange(version=2),
)


def _around(states: Sequence[Task | None]) -> DecisionContext:
    """Return a decision context: the task's second change, and a comment."""
    after = states[2] if len(states) > 2 else None
    change = None if after is None else Change("alice", states[1], after)
    return surroundings(change=change, comment=PriorComment("alice", "Look"), gap=Gap("m", None))


@st.composite
def histories(draw: st.DrawFn) -> list[Record]:
    """Generate records of streams, each decided on the newest or an older state."""
    states: dict[str, list[Task | None]] = {stream: [None] for stream in STREAMS}
    records: list[Record] = []
    for number in range(draw(st.integers(0, 25))):
        stream = draw(st.sampled_from(STREAMS))
        seen = states[stream][-draw(st.integers(1, min(3, len(states[stream])))) :][0]
        try:
            event = task_decisions.decide(draw(st.sampled_from(COMMANDS)), seen, _around(states[stream]))
        except (NotFound, Conflict, Invalid):
            continue
        if event is None:
            continue
        version = 1 if seen is None else seen.version + 1
        time = START + timedelta(seconds=number)
        record = record_of(event, version, stream=stream, id=f"e{number}", time=time)
        newest = states[stream][-1]
        if version == (1 if newest is None else newest.version + 1):
            after = evolve(newest, record)
            assert isinstance(after, Task)
            states[stream].append(after)
        records.append(record)
    return records


def as_log(records: Sequence[Record | None]) -> list[RawRecord]:
    """Return the records at consecutive offsets; None is an unreadable record of the first stream."""
    return [
        poison(offset, stream=STREAMS[0]) if record is None else raw_of(record, offset)
        for offset, record in enumerate(records)
    ]


@st.composite
def logs(draw: st.DrawFn) -> list[RawRecord]:
    """Generate interleavings of a history with duplicates and unreadable records."""
    records: list[Record | None] = list(draw(histories()))
    for _ in range(draw(st.integers(0, 8))):
        if records:
            records.insert(draw(st.integers(0, len(records))), draw(st.sampled_from(records)))
    if draw(st.booleans()):
        records.insert(draw(st.integers(0, len(records))), None)
    return as_log(draw(st.permutations(records)) if draw(st.booleans()) else records)


def accepted_of(folded: Sequence[Folded], stream: str) -> list[Record]:
    """Return the accepted records of a stream, in order."""
    return [
        one.record
        for one in folded
        if one.outcome == "accepted" and one.record is not None and one.record.stream == stream
    ]


@for_all(logs())
def test_versions_have_no_gaps(log: list[RawRecord]) -> None:
    """In any order of records each stream's history is 1, 2, 3 … and its state is their fold."""
    fold, folded = fold_log(log)
    assert [one.raw for one in folded] == log
    for stream in STREAMS:
        history = accepted_of(folded, stream)
        assert [record.version for record in history] == list(range(1, len(history) + 1))
        assert len({record.id for record in history}) == len(history)
        state: State | None = None
        for record in history:
            state = evolve(state, record)
        assert fold.states.get(stream) == state


@for_all(histories())
def test_late_deciders_lose_no_accepted_record(records: list[Record]) -> None:
    """The log's first of racing decisions wins, and every winner is in the history."""
    _, folded = fold_log(as_log(records))
    seen: set[tuple[str, int]] = set()
    for one in folded:
        assert one.record is not None
        place = (one.record.stream, one.record.version)
        assert one.outcome == ("superseded" if place in seen else "accepted")
        seen.add(place)


@for_all(logs(), st.data())
def test_retry_of_accepted_records_changes_nothing(log: list[RawRecord], data: st.DataObject) -> None:
    fold, folded = fold_log(log)
    assume(not fold.held)
    readable = [one.record for one in folded if one.record is not None and one.outcome == "accepted"]
    again = data.draw(st.lists(st.sampled_from(readable), max_size=10)) if readable else []
    more, refolded = fold_log([*log, *(raw_of(record, len(log) + n) for n, record in enumerate(again))])
    assert more.states == fold.states
    assert [one.outcome for one in refolded[len(log) :]] == ["superseded"] * len(again)


@for_all(logs(), st.data())
def test_fold_can_be_interrupted_anywhere(log: list[RawRecord], data: st.DataObject) -> None:
    """With its saved states it has the same outcomes."""
    whole, folded = fold_log(log)
    cut = data.draw(st.integers(0, len(log)))
    first, parts = fold_log(log[:cut])
    rest = Fold(dict(first.states), set(first.accepted), dict(first.held), began=dict(first.began))
    parts += [rest.apply(raw, decoded(raw)) for raw in log[cut:]]
    assert parts == folded
    assert (rest.states, rest.held) == (whole.states, whole.held)


@for_all(logs())
def test_streams_fold_independently(log: list[RawRecord]) -> None:
    """Alone and among others."""
    whole, folded = fold_log(log)
    for stream in STREAMS:
        alone, mine = fold_log([raw for raw in log if raw.stream == stream])
        assert mine == [one for one in folded if one.raw.stream == stream]
        assert alone.states.get(stream) == whole.states.get(stream)


# --- changes and channels --------------------------------------------------------------------------------


def folded_last(*events: Any) -> Folded:
    """Return the outcome of the last of these events of one stream."""
    return fold_log([raw_of(record_of(event, n), n - 1) for n, event in enumerate(events, start=1)])[1][-1]


def test_changes_of_a_creation_are_its_non_empty_values() -> None:
    """Each from null."""
    one = folded_last(CREATED)
    assert set(changes(one.before, one.after)) == {"list_id", "title", "status", "priority", "rank"}
    assert changes(one.before, one.after)["title"] == (None, "T")


def test_changes_are_the_fields_that_differ() -> None:
    """Before and after; fields of the envelope are no changes."""
    one = folded_last(CREATED, TaskEdited({"title": "U", "tags": ("x",), "notes": ""}))
    assert changes(one.before, one.after) == {"title": ("T", "U"), "tags": ((), ("x",))}
    done = folded_last(CREATED, TaskCompleted(stage="Closed"))
    assert changes(done.before, done.after) == {
        "status": ("open", "done"),
        "stage": (None, "Closed"),
        "completed_at": (None, START + timedelta(minutes=1)),
    }
    assert changes(None, None) == {}
    assert changes(list_after(ListCreated("A")), list_after(ListCreated("A"), ListRenamed("B"))) == {
        "name": ("A", "B")
    }


def test_task_update_has_channels_of_list_and_task() -> None:
    """A moved one has both lists."""
    assert channels(folded_last(CREATED)) == [f"list:{LIST_ID}", STREAM]
    moved = folded_last(CREATED, TaskMoved(OTHER_LIST_ID))
    assert channels(moved) == [f"list:{OTHER_LIST_ID}", f"list:{LIST_ID}", STREAM]
    assert channels(folded_last(CREATED, TaskMoved(LIST_ID))) == [f"list:{LIST_ID}", STREAM]


def test_list_update_has_channels_of_members_then_the_list() -> None:
    """Also on deletion."""
    for events in ([ListCreated("A")], [ListCreated("A"), ListDeleted()]):
        assert channels(folded_last(*events)) == ["user:alice", f"list:{LIST_ID}"]


def test_only_accepted_records_have_channels() -> None:
    _, folded = fold_log([raw_of(record_of(CREATED, 2), 0), poison(1)])
    assert [channels(one) for one in folded] == [[], []]
