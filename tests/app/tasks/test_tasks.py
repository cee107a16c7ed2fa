"""Decisions of commands on a task, and the effects of its events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from app.errors import Conflict, NotFound, Undecodable
from app.log import fold
from app.tasks import decide as task_decisions
from app.tasks.commands import (
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditTask,
    MoveTask,
    ReopenTask,
    RestoreTask,
    TaskCommand,
)
from app.tasks.events import (
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskMoved,
    TaskReopened,
    TaskRestored,
)
from app.tasks.ranks import rank_at
from app.tasks.state import Task
from tests.spec import LIST_ID, OTHER_LIST_ID, START, TASK_ID, given, record_of, surroundings, task_after

CREATED = TaskCreated(list_id=LIST_ID, title="Write the report")


def test_created_event_has_exactly_the_given_fields() -> None:
    given().when(CreateTask(list_id=LIST_ID, title="  Write the report ")).then(CREATED)
    given().when(
        CreateTask(
            list_id=LIST_ID,
            title="Pay",
            notes="by bank",
            priority="high",
            due="2026-12-01",
            time_zone="Europe/Madrid",
            tags=("home", "money", "home"),
            assignees=("bob",),
            stage="Doing",
        )
    ).then(
        TaskCreated(
            list_id=LIST_ID,
            title="Pay",
            notes="by bank",
            priority="high",
            due="2026-12-01",
            time_zone="Europe/Madrid",
            tags=("home", "money"),
            assignees=("bob",),
            stage="Doing",
        )
    )


def test_creating_an_existing_id_conflicts() -> None:
    """Also if the task was deleted."""
    command = CreateTask(list_id=LIST_ID, title="Another")
    given(CREATED).when(command).then_refused(Conflict)
    given(CREATED, TaskDeleted()).when(command).then_refused(Conflict)


def test_edited_event_has_only_changed_fields() -> None:
    given(CREATED).when(EditTask(title="Write the report", notes="today", tags=())).then(
        TaskEdited({"notes": "today"})
    )
    given(CREATED).when(EditTask(title="Write the report")).then_nothing()
    given(CREATED).when(EditTask()).then_nothing()


def test_null_clears_a_field() -> None:
    """To its empty value."""
    full = TaskCreated(
        list_id=LIST_ID,
        title="Pay",
        notes="n",
        priority="low",
        due="2026-12-01",
        time_zone="UTC",
        tags=("a",),
        assignees=("bob",),
        stage="Doing",
    )
    cleared = EditTask(
        notes=None, priority=None, due=None, time_zone=None, tags=None, assignees=None, stage=None
    )
    event = (
        given(full)
        .when(cleared)
        .then(
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
            )
        )
    )
    assert isinstance(event, TaskEdited)
    task = task_after(full, event)
    assert (task.notes, task.priority, task.due, task.tags, task.stage) == ("", "none", None, (), None)
    given(CREATED).when(cleared).then_nothing()


def test_completing_or_reopening_twice_does_nothing() -> None:
    given(CREATED).when(CompleteTask()).then(TaskCompleted())
    given(CREATED, TaskCompleted()).when(CompleteTask()).then_nothing()
    given(CREATED, TaskCompleted()).when(ReopenTask()).then(TaskReopened())
    given(CREATED).when(ReopenTask()).then_nothing()


def test_completed_at_is_the_time_of_the_event() -> None:
    """Removed on reopening."""
    done = task_after(CREATED, TaskCompleted())
    assert (done.status, done.completed_at) == ("done", START + timedelta(minutes=1))
    reopened = task_after(CREATED, TaskCompleted(), TaskReopened())
    assert (reopened.status, reopened.completed_at) == ("open", None)


def test_completion_may_set_stage_and_owner() -> None:
    """In the same event; otherwise they stay."""
    staged = TaskCreated(list_id=LIST_ID, title="T", stage="Queued", assignees=("bob",))
    done = task_after(staged, TaskCompleted(stage="Closed", assignees=("carol",)))
    assert (done.status, done.stage, done.assignees) == ("done", "Closed", ("carol",))
    again = task_after(staged, TaskCompleted(stage="Closed"), TaskReopened())
    assert (again.status, again.stage, again.assignees) == ("open", "Closed", ("bob",))
    assert task_after(staged, TaskCompleted(assignees=())).assignees == ()


def test_moving_to_the_same_place_does_nothing() -> None:
    given(CREATED).when(MoveTask(list_id=OTHER_LIST_ID)).then(TaskMoved(OTHER_LIST_ID))
    given(CREATED).when(MoveTask(list_id=LIST_ID)).then_nothing()
    assert task_after(CREATED, TaskMoved(OTHER_LIST_ID)).list_id == OTHER_LIST_ID


def test_deleted_task_can_only_be_restored() -> None:
    """Unchanged."""
    given(CREATED).when(DeleteTask()).then(TaskDeleted())
    given(CREATED, TaskDeleted()).when(DeleteTask()).then_nothing()
    given(CREATED, TaskDeleted()).when(RestoreTask()).then(TaskRestored())
    given(CREATED).when(RestoreTask()).then_nothing()
    restored = task_after(CREATED, TaskCompleted(), TaskDeleted(), TaskRestored())
    assert (restored.deleted_at, restored.status) == (None, "done")
    assert task_after(CREATED, TaskDeleted()).deleted_at == START + timedelta(minutes=1)


COMMANDS: Sequence[TaskCommand] = (
    EditTask(title="x"),
    CompleteTask(),
    ReopenTask(),
    MoveTask(list_id=OTHER_LIST_ID),
)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: type(command).__name__)
def test_deleted_task_refuses_other_commands(command: TaskCommand) -> None:
    given(CREATED, TaskDeleted()).when(command).then_refused(NotFound, "restore")


@pytest.mark.parametrize("command", [*COMMANDS, DeleteTask(), RestoreTask()])
def test_missing_task_is_not_found(command: TaskCommand) -> None:
    given().when(command).then_refused(NotFound)


EVENTS: Sequence[TaskEvent] = (
    TaskEdited({"title": "x"}),
    TaskCompleted(),
    TaskReopened(),
    TaskMoved(OTHER_LIST_ID),
    TaskDeleted(),
    TaskRestored(),
)


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_every_event_increments_the_version_and_sets_the_time(event: TaskEvent) -> None:
    """The creator stays."""
    task = fold.evolve(task_after(CREATED), record_of(event, 2, actor="bob"))
    assert isinstance(task, Task)
    assert task.version == 2
    assert task.updated_at == START + timedelta(minutes=1)
    assert (task.created_at, task.created_by) == (START, "alice")


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.type)
def test_first_event_must_be_created(event: TaskEvent) -> None:
    with pytest.raises(Undecodable, match=r"before task\.created"):
        fold.evolve(None, record_of(event, 1))
    with pytest.raises(Undecodable, match="exists"):
        fold.evolve(task_after(CREATED), record_of(CREATED, 2))


def test_ranks_sort_by_time() -> None:
    """For every time that a datetime can have."""
    moments = [START.replace(year=year) for year in (1, 1969, 1970, 2026, 9999)]
    ranks = [rank_at(moment, TASK_ID) for moment in moments]
    assert ranks == sorted(ranks)
    assert len(set(map(len, ranks))) == 1
    assert task_after(CREATED).rank == rank_at(START, TASK_ID)
    assert task_after(TaskCreated(list_id=LIST_ID, title="t", rank="m")).rank == "m"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""),
        ("title", "   "),
        ("title", None),
        ("title", "x" * 501),
        ("title", "a\x00b"),
        ("title", 7),
        ("notes", "x" * 20_001),
        ("priority", "huge"),
        ("due", "tomorrow"),
        ("due", "2026-02-30"),
        ("due", "2026-12-01T09:00:00"),
        ("due", "0001-01-01T00:00:00+14:00"),
        ("time_zone", "Mars/Olympus"),
        ("time_zone", "../../etc/passwd"),
        ("time_zone", ""),
        ("tags", ["x"] * 51),
        ("tags", [""]),
        ("tags", ["x" * 101]),
        ("assignees", ["x" * 129]),
        ("stage", ""),
        ("colour", "red"),
    ],
)
def test_invalid_fields_are_named(field: str, value: Any) -> None:
    """By creating and by editing."""
    for command, base in ((CreateTask, {"title": "t", "list_id": LIST_ID}), (EditTask, {})):
        with pytest.raises(ValidationError) as caught:
            command.model_validate({**base, field: value})
        assert {error["loc"][0] for error in caught.value.errors()} == {field}


@pytest.mark.parametrize("list_id", ["", "inbox", "10000000-0000-4000-8000-00000000000G", LIST_ID + "0"])
def test_list_ids_are_checked(list_id: str) -> None:
    """They have one form, since they name a stream and a channel."""
    with pytest.raises(ValidationError):
        MoveTask(list_id=list_id)


def test_due_has_a_canonical_form() -> None:
    """Dates stay dates; date-times keep their offset."""
    for text, kept in (
        ("2026-12-01", "2026-12-01"),
        ("2026-12-01T09:00:00+01:00", "2026-12-01T09:00:00+01:00"),
        ("2026-12-01T09:00:00Z", "2026-12-01T09:00:00+00:00"),
    ):
        assert CreateTask(title="t", list_id=LIST_ID, due=text).due == kept


def test_repeated_command_decides_nothing() -> None:
    """Once its event is folded (except creating)."""
    past: list[TaskEvent] = [CREATED, TaskCompleted()]
    for command in (
        EditTask(title="New", priority="urgent", tags=("a", "b")),
        ReopenTask(),
        CompleteTask(),
        MoveTask(list_id=OTHER_LIST_ID),
        DeleteTask(),
        RestoreTask(),
    ):
        event = task_decisions.decide(command, task_after(*past), surroundings())
        assert event is not None
        past.append(event)
        given(*past).when(command).then_nothing()
