"""Imported histories in a list with stages: the list's rules apply to them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import TypeAdapter

from app.imported_history import Import, ImportedTask, records_of
from app.imported_stages import ImportStages, missing_stages
from app.lists.events import Stage
from app.lists.state import TaskList
from app.log.fold import State, evolve
from app.tasks.state import Task
from tests.spec import LIST_ID

TASK = TypeAdapter(ImportedTask)
STAGES: tuple[Stage, ...] = (
    {"name": "Ideas", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Waiting", "category": "active"},
    {"name": "Live", "category": "done"},
    {"name": "Dropped", "category": "done"},
)


def home(stages: tuple[Stage, ...] = STAGES) -> TaskList:
    """Return the list."""
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return TaskList(
        id=LIST_ID, name="L", inbox=False, members={"alice": "owner"}, stages=stages, version=1,
        created_at=now, created_by="alice", updated_at=now, deleted_at=None,
    )  # fmt: skip


def history(*events: tuple[str, dict[str, Any]]) -> ImportedTask:
    """Return a task's history, a minute between its events."""
    first = datetime(2026, 1, 1, tzinfo=UTC)
    return TASK.validate_python(
        {
            "key": "k",
            "events": [
                {
                    "type": f"task.{kind}",
                    "time": (first + timedelta(minutes=minute)).isoformat(),
                    "actor": "Ann",
                    "data": data,
                }
                for minute, (kind, data) in enumerate(events)
            ],
        }
    )


def states(task: ImportedTask, stages: ImportStages) -> list[tuple[str | None, str]]:
    """Return stage and status after each event."""
    found: list[tuple[str | None, str]] = []
    state: State | None = None
    for record in records_of(Import(LIST_ID, "alice", None), task, stages):
        state = evolve(state, record)
        assert isinstance(state, Task)
        found.append((state.stage, state.status))
    return found


def created(stage: str | None = None) -> tuple[str, dict[str, Any]]:
    return "created", {"title": "T"} if stage is None else {"title": "T", "stage": stage}


@pytest.mark.parametrize(
    ("events", "expected", "renamed"),
    [
        # By name, in capitals or not.
        ([created("ideas"), ("edited", {"stage": "WAITING"})], [("Ideas", "open"), ("Waiting", "open")], 2),
        # By category: what it begins with is open, what it gets to is active, what ends it is done.
        (
            [created("Queued"), ("edited", {"stage": "Accepted"}), ("completed", {"stage": "Closed"})],
            [("Ideas", "open"), ("Doing", "open"), ("Live", "done")],
            3,
        ),
        # Without a stage, as when it is created, completed and reopened here.
        (
            [created(), ("completed", {}), ("reopened", {})],
            [("Ideas", "open"), ("Live", "done"), ("Ideas", "open")],
            0,
        ),
        # An edit to a stage for what is done completes, and one to another stage reopens.
        (
            [created("Ideas"), ("edited", {"stage": "Dropped"}), ("edited", {"stage": "Doing"})],
            [("Ideas", "open"), ("Dropped", "done"), ("Doing", "open")],
            0,
        ),
        # What is done stays so in a stage that the list does not know.
        (
            [created("Ideas"), ("completed", {"stage": "Dropped"}), ("edited", {"stage": "Archive"})],
            [("Ideas", "open"), ("Dropped", "done"), ("Live", "done")],
            1,
        ),
        # None is created done, completed where it is open, or reopened where it is done.
        (
            [created("Live"), ("completed", {"stage": "Doing"}), ("reopened", {"stage": "Live"})],
            [("Ideas", "open"), ("Live", "done"), ("Ideas", "open")],
            2,
        ),
        # What says nothing of stages changes none.
        ([created("Ideas"), ("edited", {"title": "U"})], [("Ideas", "open"), ("Ideas", "open")], 0),
    ],
)
def test_stages_are_mapped_to_those_of_the_list(events: Any, expected: Any, renamed: int) -> None:
    """By name, else by category; tasks in a done stage are done."""
    stages = ImportStages(home())
    assert states(history(*events), stages) == expected
    assert len(stages.renamed) == renamed


def test_mapping_of_stages_is_reported() -> None:
    """With the number of edits that changed the status."""
    stages = ImportStages(home())
    task = history(created("Queued"), ("edited", {"stage": "live"}), ("completed", {"stage": "Closed"}))
    assert states(task, stages)[1] == ("Live", "done")
    assert (stages.renamed, stages.settled) == ({"Queued": "Ideas", "live": "Live", "Closed": "Live"}, 1)


def test_list_without_stages_accepts_any() -> None:
    """As for created tasks."""
    task = history(created("Queued"), ("edited", {"stage": "Accepted"}))
    expected = [("Queued", "open"), ("Accepted", "open")]
    assert states(task, ImportStages(home(()))) == states(task, ImportStages(None)) == expected


def test_ids_depend_on_the_source_only() -> None:
    """Importing again adds nothing, also when the list's stages have changed."""
    task, run = history(created("Queued"), ("edited", {"stage": "Accepted"})), Import(LIST_ID, "alice", None)
    before = [record.id for record in records_of(run, task)]
    assert [record.id for record in records_of(run, task, ImportStages(home()))] == before


def test_missing_stages_are_listed_once() -> None:
    """In order, with the category of their tasks."""
    one = history(created("Queued"), ("edited", {"stage": "Accepted"}), ("completed", {"stage": "Closed"}))
    other = history(created("doing"), ("edited", {"stage": "queued"}))
    assert missing_stages(home(), [one["events"], other["events"]]) == [
        {"name": "Queued", "category": "active"},
        {"name": "Accepted", "category": "active"},
        {"name": "Closed", "category": "done"},
    ]
