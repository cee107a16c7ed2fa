"""The decider of commands on tasks."""

from __future__ import annotations

from typing import Any, assert_never

from app.errors import Conflict, FieldError, Invalid, NotFound
from app.lists.members import kept
from app.lists.state import category_of, first_stage
from app.tasks.checks import (
    check_children,
    check_parent,
    check_recurrence,
    check_stage,
    parent_fits,
    stage_in,
    stage_left,
    status_in,
)
from app.tasks.commands import (
    Comment,
    CompleteTask,
    CreateTask,
    DeleteComment,
    DeleteTask,
    EditComment,
    EditTask,
    MoveTask,
    RemindOfTask,
    ReopenTask,
    RestoreTask,
    RevertTask,
    SkipOccurrence,
    TaskCommand,
    UndoChange,
    wanted_fields,
)
from app.tasks.comments import comment, delete_comment, edit_comment
from app.tasks.decision_context import DecisionContext, Gap
from app.tasks.events import (
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskMoved,
    TaskReminded,
    TaskReopened,
    TaskRestored,
    TaskSkipped,
)
from app.tasks.fields import SERIES_FIELDS
from app.tasks.ranks import rank_between
from app.tasks.reminders import pending
from app.tasks.revert import revert
from app.tasks.series import skipped
from app.tasks.state import Task, series_values
from app.tasks.undo import undo
from app.values import Status

_DATING = frozenset({"recurrence", "recurrence_from", "due", "time_zone"})
"""The fields that determine the dates of a series."""
_COMPLETE_TOO = "complete them too with ?cascade=true"


def decide(command: TaskCommand, task: Task | None, context: DecisionContext) -> TaskEvent | None:
    """Return the event that `command` produces on `task`, or None if it changes nothing.

    Raise `NotFound` for a task that does not exist, `Conflict` for an id that is taken and for commands that
    the state forbids, `Invalid` for values that do not fit the list, and `Forbidden` for changes by another
    user.
    """
    if isinstance(command, CreateTask):
        if task is not None:
            raise Conflict("a task with this id exists already")
        return _create(command, context)
    if task is None:
        raise NotFound("no such task")
    match command:
        case RestoreTask():
            return _restore(command, task, context)
        case DeleteTask():
            return _delete(command, task, context)
        case UndoChange():
            return undo(command, task, context)
        case RevertTask():
            return revert(command, task, context)
        case _:
            if task.deleted_at:
                raise NotFound("this task was deleted; restore it first")
            return _decide_living(command, task, context)


def _decide_living(
    command: EditTask
    | CompleteTask
    | ReopenTask
    | MoveTask
    | SkipOccurrence
    | Comment
    | EditComment
    | DeleteComment
    | RemindOfTask,
    task: Task,
    context: DecisionContext,
) -> TaskEvent | None:
    match command:
        case EditTask():
            return _edit(command, task, context)
        case CompleteTask():
            return _complete(command, task, context)
        case ReopenTask():
            return _reopen(task, context)
        case MoveTask():
            return _move(command, task, context)
        case SkipOccurrence():
            return _skip(task, context)
        case Comment():
            return comment(command, task, context)
        case EditComment():
            return edit_comment(command, context)
        case DeleteComment():
            return delete_comment(command, context)
        case RemindOfTask(at=at):
            return _remind(at, task, context)
        case _:
            assert_never(command)


def _create(command: CreateTask, context: DecisionContext) -> TaskCreated:
    check_parent(command.parent_id, command.list_id, None, context)
    check_recurrence(command.recurrence, command.recurrence_from, command.due, command.time_zone)
    stage = command.stage or first_stage(context.home, "open", "active")
    check_stage(stage, context.home)
    if category_of(context.home, stage) == "done":
        raise Invalid([FieldError("stage", "a new task cannot be done already")])
    given = {**dict(command), "stage": stage}
    return TaskCreated(**given, notify=context.members(command.assignees))


def _edit(command: EditTask, task: Task, context: DecisionContext) -> TaskEdited | None:
    changed = changed_fields(command, task)
    if "parent_id" in changed:
        check_parent(changed["parent_id"], task.list_id, task, context)
    if "stage" in changed:
        check_stage(changed["stage"], context.home)
        changed |= _status_after(
            status_in(changed["stage"], context.home), task, context, cascade=command.cascade
        )
    if not changed:
        return None
    if _DATING.intersection(changed):
        after = {name: getattr(task, name) for name in _DATING} | changed
        check_recurrence(after["recurrence"], after["recurrence_from"], after["due"], after["time_zone"])
    assigned = set(changed.get("assignees", ())) - set(task.assignees)
    return TaskEdited(
        changed,
        this_only=_this_only(command, task, changed),
        notify=context.members(assigned),
    )


def changed_fields(command: EditTask, task: Task) -> dict[str, Any]:
    """Return the fields of an edit that would change the task or, for following occurrences, its series."""
    own = {}
    if command.scope == "following" and task.series is not None:
        own = {**series_values(task.series), "due": task.series.scheduled}
    return {
        name: value
        for name, value in wanted_fields(command).items()
        if getattr(task, name) != value or own.get(name, value) != value
    }


def _this_only(command: EditTask, task: Task, changed: dict[str, Any]) -> tuple[str, ...]:
    """Return the fields of an edit that apply to this occurrence only."""
    if task.series is None or "recurrence" in changed or command.scope == "following":
        return ()
    own = SERIES_FIELDS | {"due"} if command.scope == "this" else {"due"}
    return tuple(sorted(own.intersection(changed)))


def _complete(command: CompleteTask, task: Task, context: DecisionContext) -> TaskCompleted | None:
    if task.status == "done":
        return None
    check_children(context, _COMPLETE_TOO, cascade=command.cascade)
    if category_of(context.home, task.stage) == "done":
        return TaskCompleted()
    return TaskCompleted(stage=first_stage(context.home, "done"))


def _reopen(task: Task, context: DecisionContext) -> TaskReopened | None:
    if task.status == "open":
        return None
    if category_of(context.home, task.stage) in ("open", "active"):
        return TaskReopened()
    return TaskReopened(stage=first_stage(context.home, "open", "active"))


def _restore(command: RestoreTask, task: Task, context: DecisionContext) -> TaskRestored | None:
    """Restore a task; adapt fields that no longer fit."""
    if task.deleted_at is None:
        return None
    fits = command.keep_parent or parent_fits(task, context)
    return TaskRestored(stage_left(context.home, task), top_level=not fits)


def _skip(task: Task, context: DecisionContext) -> TaskSkipped:
    if context.next_occurrence is not None and context.next_occurrence.deleted_at is None:
        raise Conflict("the next occurrence is there already: complete this one, or delete it")
    return skipped(task, context.now)


def _move(command: MoveTask, task: Task, context: DecisionContext) -> TaskMoved | None:
    target = context.target or context.home
    list_id = command.list_id or task.list_id
    stage = command.stage
    if stage is not None:
        check_stage(stage, target)
    elif list_id != task.list_id:
        stage = stage_in(target, task, context.home)
    changed: dict[str, Any] = {}
    if stage is not None and stage != task.stage:
        changed = {"stage": stage}
    if changed and command.stage is not None:
        changed |= _status_after(status_in(stage, target), task, context, cascade=command.cascade)
    if list_id != task.list_id and command.keep_parent:
        changed["parent_id"] = task.parent_id
    moved = TaskMoved(list_id, rank=_rank_in(context.gap, task), **changed)
    return None if moved == TaskMoved(task.list_id) else moved


def _rank_in(gap: Gap | None, task: Task) -> str | None:
    """Return the rank that puts a task into a gap, or None if it is there already."""
    if gap is None or ((gap.low or "") < task.rank and (gap.high is None or task.rank < gap.high)):
        return None
    try:
        return rank_between(gap.low, gap.high, task.id)
    except ValueError:
        raise Conflict("there is no room between these two; move the task to another place") from None


def _status_after(
    status: Status | None, task: Task, context: DecisionContext, *, cascade: bool
) -> dict[str, Status]:
    """Return the status that a stage sets, if it differs from the present one."""
    if status is None or status == task.status:
        return {}
    if status == "done":
        check_children(context, _COMPLETE_TOO, cascade=cascade)
    return {"status": status}


def _delete(command: DeleteTask, task: Task, context: DecisionContext) -> TaskDeleted | None:
    if task.deleted_at:
        return None
    check_children(context, "delete them too with ?cascade=true", cascade=command.cascade)
    return TaskDeleted()


def _remind(at: str, task: Task, context: DecisionContext) -> TaskReminded | None:
    if at not in pending(task):
        return None
    # A reminder of a user who has left goes to the task's creator instead.
    assigned = kept(task.assignees, context.home)
    users = assigned or kept((task.created_by,), context.home)
    return TaskReminded(at, notify=tuple(sorted(users)))
