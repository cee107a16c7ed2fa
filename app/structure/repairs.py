"""The events that repair violations of the rules that span streams (`app.structure.rules`).

No task or list stays unreachable: one that has lost its place returns to its previous place, or to the next
best.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

from app.ids import derived_id, inbox_id
from app.lists.events import INBOX_NAME, ListCreated, ListRestored, MemberAdded, MemberRoleChanged
from app.lists.members import OWNER, names_of, next_owner
from app.lists.state import TaskList, category_of, first_stage
from app.log.fold import State
from app.log.records import Event, source_of
from app.structure.rules import Rule, StructureState, Violation
from app.tasks.checks import MAX_DEPTH, stage_in
from app.tasks.events import TaskEdited, TaskMoved, TaskReopened
from app.tasks.state import Task

SOURCE = source_of("policy", "structure")

REASONS: Mapping[Rule, str] = {
    "list_missing": "its list does not exist",
    "list_deleted": "its list was deleted before the task came there",
    "parent_ring": "it was a sub-task of itself",
    "parent_missing": "its parent was deleted",
    "parent_in_another_list": "its parent is in another list",
    "too_deep": f"sub-tasks go {MAX_DEPTH} levels deep at most",
    "stage_missing": "its list does not have its stage any longer",
    "open_in_done_stage": "its stage is for tasks that are done",
    "open_below_done": "a task below it is open",
    "no_owner": "the list had no owner",
    "inbox_deleted": "an inbox is always there",
    "occurrence_twice": "its series has this occurrence already",
}
"""The reason of each repair, as its event states it."""


@dataclass(frozen=True, slots=True)
class Repair:
    """An event that repairs a violation, and the user whose inbox must be created for it, if any."""

    violation: Violation
    event: Event
    event_id: str
    inbox_of: str | None = None


def repair_of(violation: Violation, states: StructureState) -> Repair | None:
    """Return the event that repairs a violation, or None if there is none for these states.

    The event's id is derived from its cause, so that two workers make the same event.
    """
    stream = violation.stream
    state: State | None = (
        states.lists.get(stream.key) if stream.kind == "list" else states.tasks.get(stream.key)
    )
    if state is None:
        return None
    event_id = derived_id("structure", violation.rule, stream, str(state.version + 1))
    if isinstance(state, TaskList):
        event = ListRestored() if violation.rule == "inbox_deleted" else _with_owner(state)
        return Repair(violation, event, event_id)
    assert isinstance(state, Task)
    if violation.rule in ("list_missing", "list_deleted"):
        return _return_to_origin(violation, state, event_id, states)
    return Repair(violation, _event(violation.rule, state, states), event_id)


def _event(rule: Rule, task: Task, states: StructureState) -> Event:
    home = states.lists.get(task.list_id)
    match rule:
        case "parent_ring" | "parent_missing" | "too_deep":
            return TaskEdited({"parent_id": None})
        case "parent_in_another_list":
            parent = states.tasks[task.parent_id or ""]
            target = states.lists.get(parent.list_id)
            stage = stage_in(target, task, home)
            return TaskMoved(parent.list_id, stage=stage, parent_id=task.parent_id)
        case "stage_missing" | "open_in_done_stage":
            return TaskEdited({"stage": _stage_for(task, home, states)})
        case "open_below_done":
            is_open = category_of(home, task.stage) in ("open", "active")
            return TaskReopened(stage=None if is_open else first_stage(home, "open", "active"))
        case "occurrence_twice":
            return TaskEdited({"recurrence": None})
        case "list_missing" | "list_deleted" | "no_owner" | "inbox_deleted":
            raise AssertionError(f"{rule} is repaired elsewhere")
        case _:
            assert_never(rule)


def _stage_for(task: Task, home: TaskList | None, states: StructureState) -> str | None:
    """Return the first stage of the former category of the task; of its status, if that is unknown."""
    if task.status == "done":
        return first_stage(home, "done", "active", "open")
    former = states.former_categories.get((task.list_id, task.stage or ""), "open")
    return first_stage(home, "active" if former == "active" else "open", "open", "active")


def _return_to_origin(
    violation: Violation, task: Task, event_id: str, states: StructureState
) -> Repair | None:
    """Move a task to the list that it came from, otherwise to the inbox of the user who moved it.

    Return None if it is in that inbox and the inbox is deleted: then the inbox must be restored.
    """
    placed = states.placements.get(task.id)
    origin = states.lists.get(placed.from_list_id or "") if placed is not None else None
    user = task.created_by if placed is None else placed.actor
    is_there = origin is not None and origin.deleted_at is None
    target = origin if is_there else states.lists.get(inbox_id(user))
    list_id = target.id if target is not None else inbox_id(user)
    if list_id == task.list_id:
        return None
    stage = stage_in(target, task, states.lists.get(task.list_id))
    moved = TaskMoved(list_id, stage=stage, parent_id=task.parent_id)
    return Repair(violation, moved, event_id, inbox_of=user if target is None else None)


def _with_owner(home: TaskList) -> Event:
    user = next_owner(home)
    return MemberRoleChanged(user, OWNER) if user in names_of(home) else MemberAdded(user, OWNER)


def inbox_created() -> ListCreated:
    """Return the event that creates a user's inbox."""
    return ListCreated(name=INBOX_NAME, inbox=True)
