"""The rules that every task keeps: about parents, stages, sub-tasks and recurrence."""

from __future__ import annotations

from contextlib import suppress

from app.errors import Conflict, FieldError, Invalid
from app.lists.state import TaskList, category_of, first_stage
from app.recurrence.next_date import occurs
from app.tasks.decision_context import DecisionContext
from app.tasks.state import Task
from app.text.graphemes import shortened
from app.values import RecurrenceFrom, Status

MAX_DEPTH = 5
"""Levels of sub-tasks, including the top one."""
MAX_SUB_TASKS = 500
"""The number of sub-tasks, on all levels together, that one command may change."""


def check_parent(parent_id: str | None, list_id: str, task: Task | None, context: DecisionContext) -> None:
    """Check that a task may become a sub-task of another. Raise `Invalid`."""
    if parent_id is None:
        return
    parent = context.ancestors[0] if context.ancestors else None
    problem = None
    if parent is None or parent.deleted_at or parent.list_id != list_id:
        problem = "must be a task of the same list"
    elif task is not None and any(each.id == task.id for each in context.ancestors):
        problem = "must not be the task itself, nor one of its sub-tasks"
    elif len(context.ancestors) + context.levels_below >= MAX_DEPTH:
        problem = f"sub-tasks go {MAX_DEPTH} levels deep at most"
    if problem is not None:
        raise Invalid([FieldError("parent_id", problem)])


def parent_fits(task: Task, context: DecisionContext) -> bool:
    """Return whether a restored task may return to its parent."""
    try:
        check_parent(task.parent_id, task.list_id, task, context)
    except Invalid:
        return False
    return True


def check_recurrence(
    rule: str | None, counted_from: RecurrenceFrom, due: str | None, time_zone: str | None
) -> None:
    """Check that there is a date to count from, and a date that follows it. Raise `Invalid`."""
    if rule is None or counted_from == "completion":
        return
    if due is None:
        raise Invalid([FieldError("due", "a task that recurs from its due date needs one")])
    with suppress(ValueError):  # An unreadable rule, which only foreign records contain, stays.
        if not occurs(rule, due, time_zone):
            raise Invalid([FieldError("recurrence", "never occurs after the due date")])


def check_stage(stage: str | None, task_list: TaskList | None) -> None:
    """Check that the list has the stage; a list without stages accepts any. Raise `Invalid`."""
    if stage is None or task_list is None or not task_list.stages:
        return
    if category_of(task_list, stage) is None:
        names = ", ".join(each["name"] for each in task_list.stages)
        raise Invalid([FieldError("stage", shortened(f"must be one of this list's: {names}", 500))])


def check_children(context: DecisionContext, what: str, *, cascade: bool = False) -> None:
    """Check that no sub-task is open, unless `cascade` includes them. Raise `Conflict`."""
    if context.open_children and not cascade:
        count = f"{context.open_children} open sub-task{'s' if context.open_children > 1 else ''}"
        raise Conflict(f"the task has {count}; {what}")


def status_in(stage: str | None, task_list: TaskList | None) -> Status | None:
    """Return the status that a stage of the list gives to its tasks."""
    category = category_of(task_list, stage)
    if category is None:
        return None
    return "done" if category == "done" else "open"


def stage_left(task_list: TaskList | None, task: Task) -> str | None:
    """Return a stage for a task whose own was removed while it was deleted; None if it was not removed."""
    lost = task.stage is not None and category_of(task_list, task.stage) is None
    return stage_in(task_list, task, None) if lost else None


def stage_in(target: TaskList | None, task: Task, home: TaskList | None) -> str | None:
    """Return the stage of another list that matches the task's present one; None if that stays."""
    if target is None or not target.stages or status_in(task.stage, target) == task.status:
        return None
    if task.status == "done":
        return first_stage(target, "done", "active", "open")
    return first_stage(target, category_of(home, task.stage) or "open", "open", "active")
