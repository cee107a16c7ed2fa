"""The rules that span streams, as one pure function that returns every violation.

A task is in a list that exists, and in one of its stages. A sub-task is in its parent's list, below a task
that exists, in no cycle, at most `MAX_DEPTH` levels deep, and not open below a completed task. A list has an
owner. An inbox exists, and its user owns it. A series has one task for each of its occurrences.

Commands keep these rules under locks (`api.commands.lock_plan`). A lock can be lost, and the log accepts any
record. The worker therefore looks for violations after each commit, and repairs them
(`app.structure.repairs`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, TypeAlias

from app.ids import inbox_id
from app.lists.members import is_same_membership, owners_of
from app.lists.state import TaskList, category_of
from app.log.fold import State
from app.stream_ids import StreamId, list_stream, task_stream
from app.tasks.checks import MAX_DEPTH
from app.tasks.state import Task
from app.values import Category

Rule: TypeAlias = Literal[
    "list_missing",
    "list_deleted",
    "parent_ring",
    "parent_missing",
    "parent_in_another_list",
    "too_deep",
    "stage_missing",
    "open_in_done_stage",
    "open_below_done",
    "no_owner",
    "inbox_deleted",
    "occurrence_twice",
]


@dataclass(frozen=True, slots=True)
class Placement:
    """The event that brought a task to its list: when it was recorded, by whom, and from which list."""

    recorded_at: datetime
    actor: str
    from_list_id: str | None


@dataclass(frozen=True, slots=True)
class StructureState:
    """The input of the rules: states by id, and facts that only the audit has.

    `placements` says how tasks of deleted lists got there; a task without one counts as there since before.
    `list_deleted_at` is the time at which the deletion of a list was recorded, `parent_set_at` the time at
    which a task's parent was. `former_categories` has the category that a stage had before it was removed
    from its list.
    """

    tasks: Mapping[str, Task] = field(default_factory=dict)
    lists: Mapping[str, TaskList] = field(default_factory=dict)
    placements: Mapping[str, Placement] = field(default_factory=dict)
    list_deleted_at: Mapping[str, datetime] = field(default_factory=dict)
    parent_set_at: Mapping[str, datetime] = field(default_factory=dict)
    former_categories: Mapping[tuple[str, str], Category] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken rule, and the stream whose event repairs it; `involved` are all streams that it spans."""

    rule: Rule
    stream: StreamId
    involved: frozenset[StreamId]


# --- the rules ---------------------------------------------------------------------------------------------


def violations(states: StructureState) -> list[Violation]:
    """Return every violation among these states, at most one for a stream: repairs are made in rounds."""
    found: dict[str, Violation] = {}
    for violation in (*_of_tasks(states), *_of_lists(states), *_of_series(states)):
        found.setdefault(violation.stream, violation)
    return list(found.values())


def _of_tasks(states: StructureState) -> Iterator[Violation]:
    for task in states.tasks.values():
        if task.deleted_at is not None:
            continue
        own = task_stream(task.id)
        home, parent = states.lists.get(task.list_id), states.tasks.get(task.parent_id or "")
        place = _place_rule(task, home, states) or _parent_rule(task, parent, states)
        if place is not None:
            involved = {own, list_stream(task.list_id)} | (
                {task_stream(task.parent_id)} if task.parent_id else set()
            )
            yield Violation(place, own, frozenset(involved))
            continue
        stage = _stage_rule(task, home)
        if stage is not None:
            yield Violation(stage, own, frozenset({own, list_stream(task.list_id)}))
        if task.status == "open":
            for above in ancestors(task, states.tasks):
                if above.status == "done" and above.deleted_at is None:
                    yield Violation(
                        "open_below_done", task_stream(above.id), frozenset({own, task_stream(above.id)})
                    )


def _place_rule(task: Task, home: TaskList | None, states: StructureState) -> Rule | None:
    if home is None:
        # Everyone's inbox belongs to them, even before it is created.
        return None if task.list_id == inbox_id(task.created_by) else "list_missing"
    placed, deleted_at = states.placements.get(task.id), states.list_deleted_at.get(home.id)
    if home.deleted_at is None or placed is None or deleted_at is None:
        return None
    # Tasks that were in the list when it was deleted are restored with it; equal times count as in it.
    return "list_deleted" if placed.recorded_at > deleted_at else None


def _parent_rule(task: Task, parent: Task | None, states: StructureState) -> Rule | None:
    if task.parent_id is None:
        return None
    if parent is None or parent.deleted_at is not None:
        return "parent_missing"
    there = states.lists.get(parent.list_id)
    # A parent that must leave its list takes its sub-tasks along, or returns to them.
    is_elsewhere = parent.list_id != task.list_id and _place_rule(parent, there, states) is None
    if is_elsewhere and there is not None and there.deleted_at is not None:
        return "parent_missing"
    above = ancestors(task, states.tasks)
    if any(each.id == task.id for each in above):
        cycle = [task, *above[: next(place for place, each in enumerate(above) if each.id == task.id)]]
        last = max(cycle, key=lambda each: (_parent_set(each, states), each.id))
        # One cut opens the cycle: at the task whose parent was set last.
        return "parent_ring" if last.id == task.id else None
    if is_elsewhere:
        return "parent_in_another_list"
    return "too_deep" if len(above) == MAX_DEPTH else None


def _parent_set(task: Task, states: StructureState) -> datetime:
    return states.parent_set_at.get(task.id, task.created_at)


def ancestors(task: Task, tasks: Mapping[str, Task]) -> list[Task]:
    """Return the ancestors of a task, the parent first. In a cycle they end with the first repeated one."""
    found: list[Task] = []
    seen: set[str] = set()
    parent = tasks.get(task.parent_id or "")
    while parent is not None and parent.id not in seen:
        seen.add(parent.id)
        found.append(parent)
        parent = tasks.get(parent.parent_id or "")
    return found


def _stage_rule(task: Task, home: TaskList | None) -> Rule | None:
    if task.stage is None or home is None or not home.stages or home.deleted_at is not None:
        return None
    category = category_of(home, task.stage)
    if category is None:
        return "stage_missing"
    return "open_in_done_stage" if category == "done" and task.status == "open" else None


def _of_lists(states: StructureState) -> Iterator[Violation]:
    for home in states.lists.values():
        rule = _list_rule(home)
        if rule is not None:
            yield Violation(rule, list_stream(home.id), frozenset({list_stream(home.id)}))


def _list_rule(home: TaskList) -> Rule | None:
    if home.inbox and home.deleted_at is not None:
        return "inbox_deleted"
    owners = owners_of(home)
    is_owned = home.created_by in owners if home.inbox else bool(owners)
    return None if is_owned else "no_owner"


def _of_series(states: StructureState) -> Iterator[Violation]:
    first: dict[tuple[str, int], Task] = {}
    alive = (task for task in states.tasks.values() if task.series is not None and task.deleted_at is None)
    for task in sorted(alive, key=lambda each: (each.created_at, each.id)):
        assert task.series is not None
        known = first.setdefault((task.series.id, task.series.occurrence), task)
        if known is not task:
            own = task_stream(task.id)
            yield Violation("occurrence_twice", own, frozenset({own, task_stream(known.id)}))


# --- the events to check -----------------------------------------------------------------------------------


def touches_structure(before: State | None, after: State | None) -> bool:
    """Return whether an event may have broken a rule that spans streams, by the states around it."""
    if isinstance(after, Task):
        return not isinstance(before, Task) or _spanning(before) != _spanning(after)
    if isinstance(after, TaskList):
        return isinstance(before, TaskList) and (
            before.stages is not after.stages
            or before.deleted_at != after.deleted_at
            or not is_same_membership(before, after)
        )
    return False


def _spanning(task: Task) -> tuple[object, ...]:
    series = task.series
    occurrence = None if series is None else (series.id, series.occurrence)
    return task.list_id, task.parent_id, task.status, task.stage, task.deleted_at, occurrence
