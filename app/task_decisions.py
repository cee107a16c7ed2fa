"""What the commands on a task decide."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, assert_never

from app.errors import Conflict, FieldError, Forbidden, Invalid, NotFound
from app.lists import Occupied, TaskList, category_of, first_stage
from app.mentions import mentions_in
from app.reminders import pending
from app.series import skipped
from app.task_commands import (
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
    SkipOccurrence,
    TaskCommand,
    UndoChange,
    wanted_fields,
)
from app.tasks import (
    SERIES_FIELDS,
    TASK_FIELDS,
    Task,
    TaskCommentDeleted,
    TaskCommented,
    TaskCommentEdited,
    TaskCompleted,
    TaskCreated,
    TaskDeleted,
    TaskEdited,
    TaskEvent,
    TaskFields,
    TaskMoved,
    TaskReminded,
    TaskReopened,
    TaskRestored,
    TaskUndone,
    UndoneFields,
    series_values,
)

MAX_DEPTH = 5
"""Levels of sub-tasks, the top one included."""
NOT_UNDONE = frozenset({"comment_count", "reminded"})


@dataclass(frozen=True, slots=True)
class CommentThen:
    """A comment as it is before the command."""

    author: str
    text: str


@dataclass(frozen=True, slots=True)
class Change:
    """An event that somebody wants undone: who did it, and the states around it."""

    actor: str
    before: Task | None
    after: Task


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a decision may look at beside the task: who decides, when, and what lies around.

    `home` is the task's list, and `target` the one it is wanted in. `ancestors` are those of the parent that
    is wanted, itself first. `open_children` counts the sub-tasks that are not done. `occupied` says which
    stages of a list its tasks are in.
    """

    user: str
    now: datetime
    home: TaskList | None = None
    target: TaskList | None = None
    ancestors: tuple[Task, ...] = ()
    open_children: int = 0
    comment: CommentThen | None = None
    commenters: frozenset[str] = frozenset()
    change: Change | None = None
    occupied: Occupied = field(default_factory=dict)

    def members(self, users: set[str] | tuple[str, ...]) -> tuple[str, ...]:
        """Those of `users` who see the list and did not do this themselves."""
        seeing = self.home.members if self.home is not None else {}
        return tuple(sorted(user for user in set(users) if user in seeing and user != self.user))


def decide(command: TaskCommand, task: Task | None, around: Surroundings) -> TaskEvent | None:
    """The event that `command` makes of `task`, or None if there is nothing left to do.

    Raises `NotFound` for a task that is not there, `Conflict` for an id that is taken and for what the state
    forbids, `Invalid` for values that do not fit the list, `Forbidden` for what is another user's.
    """
    if isinstance(command, CreateTask):
        if task is not None:
            raise Conflict("a task with this id exists already")
        return _create(command, around)
    if task is None:
        raise NotFound("no such task")
    match command:
        case RestoreTask():
            return TaskRestored() if task.deleted_at else None
        case DeleteTask():
            return _delete(command, task, around)
        case UndoChange():
            return _undo(command, task, around)
        case _:
            if task.deleted_at:
                raise NotFound("this task was deleted; restore it first")
            return _decide_living(command, task, around)


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
    around: Surroundings,
) -> TaskEvent | None:
    match command:
        case EditTask():
            return _edit(command, task, around)
        case CompleteTask():
            return _complete(command, task, around)
        case ReopenTask():
            return _reopen(task, around)
        case MoveTask():
            return _move(command, task, around)
        case SkipOccurrence():
            return skipped(task, around.now)
        case Comment():
            return _comment(command, task, around)
        case EditComment():
            return _edit_comment(command, around)
        case DeleteComment():
            return _delete_comment(command, around)
        case RemindOfTask(at=at):
            return _remind(at, task, around)
        case _:
            assert_never(command)


# --- tasks -----------------------------------------------------------------------------------------------


def _create(command: CreateTask, around: Surroundings) -> TaskCreated:
    _check_parent(command.parent_id, command.list_id, None, around)
    _check_recurrence(command.recurrence, command.recurrence_from, command.due)
    stage = command.stage or first_stage(around.home, "open", "active")
    _check_stage(stage, around.home)
    if category_of(around.home, stage) == "done":
        raise Invalid([FieldError("stage", "a new task can't be done already")])
    given = {**dict(command), "stage": stage}
    return TaskCreated(**given, notify=around.members(command.assignees))


def _edit(command: EditTask, task: Task, around: Surroundings) -> TaskEdited | None:
    changed = changed_fields(command, task)
    if "parent_id" in changed:
        _check_parent(changed["parent_id"], task.list_id, task, around)
    if "stage" in changed:
        _check_stage(changed["stage"], around.home)
        changed |= _status_in(changed["stage"], task, around)
    after = {
        "recurrence": task.recurrence,
        "recurrence_from": task.recurrence_from,
        "due": task.due,
        **changed,
    }
    _check_recurrence(after["recurrence"], after["recurrence_from"], after["due"])
    if not changed:
        return None
    assigned = set(changed.get("assignees", ())) - set(task.assignees)
    return TaskEdited(
        TaskFields(**changed),  # type: ignore[typeddict-item]
        this_only=_this_only(command, task, changed),
        notify=around.members(assigned),
    )


def changed_fields(command: EditTask, task: Task) -> dict[str, Any]:
    """The fields of an edit whose value would change, in the task or in its series if all to come are meant."""
    own = {}
    if command.scope == "following" and task.series is not None:
        own = {**series_values(task.series), "due": task.series.scheduled}
    return {
        name: value
        for name, value in wanted_fields(command).items()
        if getattr(task, name) != value or own.get(name, value) != value
    }


def _this_only(command: EditTask, task: Task, changed: dict[str, Any]) -> tuple[str, ...]:
    """The fields of an edit that are for this occurrence only."""
    if task.series is None or "recurrence" in changed or command.scope == "following":
        return ()
    own = SERIES_FIELDS | {"due"} if command.scope == "this" else {"due"}
    return tuple(sorted(own.intersection(changed)))


def _complete(command: CompleteTask, task: Task, around: Surroundings) -> TaskCompleted | None:
    if task.status == "done":
        return None
    _check_children(around, "complete", cascade=command.cascade)
    if category_of(around.home, task.stage) == "done":
        return TaskCompleted()
    return TaskCompleted(stage=first_stage(around.home, "done"))


def _reopen(task: Task, around: Surroundings) -> TaskReopened | None:
    if task.status == "open":
        return None
    if category_of(around.home, task.stage) in ("open", "active"):
        return TaskReopened()
    return TaskReopened(stage=first_stage(around.home, "open", "active"))


def _move(command: MoveTask, task: Task, around: Surroundings) -> TaskMoved | None:
    target = around.target or around.home
    list_id = command.list_id or task.list_id
    stage = command.stage
    if stage is not None:
        _check_stage(stage, target)
    elif list_id != task.list_id:
        stage = _stage_in(target, task, around.home)
    status = _status_in(stage, task, around, target).get("status") if stage != task.stage else None
    moved = TaskMoved(
        list_id,
        rank=command.rank if command.rank != task.rank else None,
        stage=stage if stage != task.stage else None,
        status=status,
        parent_id=task.parent_id if command.keep_parent and list_id != task.list_id else None,
    )
    return None if moved == TaskMoved(task.list_id) else moved


def _stage_in(target: TaskList | None, task: Task, home: TaskList | None) -> str | None:
    """The stage of another list that says the same of the task as its present one."""
    if target is None or not target.stages or category_of(target, task.stage) is not None:
        return None
    category = category_of(home, task.stage)
    if task.status == "done":
        return first_stage(target, "done")
    return first_stage(target, category or "open", "open", "active")


def _delete(command: DeleteTask, task: Task, around: Surroundings) -> TaskDeleted | None:
    if task.deleted_at:
        return None
    _check_children(around, "delete", cascade=command.cascade)
    return TaskDeleted()


def _remind(at: str, task: Task, around: Surroundings) -> TaskReminded | None:
    if at not in pending(task):
        return None
    members = around.home.members if around.home is not None else {}
    wanted = task.assignees or (task.created_by,)
    return TaskReminded(at, notify=tuple(sorted(user for user in set(wanted) if user in members)))


# --- undo ------------------------------------------------------------------------------------------------


def _undo(command: UndoChange, task: Task, around: Surroundings) -> TaskUndone | TaskDeleted | None:
    change = around.change
    if change is None or command.version > task.version:
        raise NotFound(f"the task has no version {command.version}")
    if change.actor != around.user:
        raise Forbidden(f"this change is {change.actor}'s; one undoes one's own")
    if change.before is None:
        return None if task.deleted_at else TaskDeleted()
    before, after = change.before, change.after
    changed = [
        name
        for name in TASK_FIELDS
        if name not in NOT_UNDONE and getattr(before, name) != getattr(after, name)
    ]
    if not changed:
        raise Conflict("this change can't be undone; a comment can be deleted")
    since = [name for name in changed if getattr(task, name) != getattr(after, name)]
    if since:
        raise Conflict(
            f"{', '.join(since)} changed again since version {command.version}",
            base={name: getattr(after, name) for name in since},
            theirs={name: getattr(task, name) for name in since},
            yours={name: getattr(before, name) for name in since},
        )
    fields = {name: getattr(before, name) for name in changed}
    return TaskUndone(command.version, UndoneFields(**fields))  # type: ignore[typeddict-item]


# --- comments --------------------------------------------------------------------------------------------


def _comment(command: Comment, task: Task, around: Surroundings) -> TaskCommented:
    mentioned = around.members(_mentions(command.text, around))
    concerned = {*task.assignees, task.created_by, *around.commenters}.difference(mentioned)
    return TaskCommented(command.comment_id, command.text, mentioned, around.members(concerned))


def _edit_comment(command: EditComment, around: Surroundings) -> TaskCommentEdited | None:
    comment = _own_comment(around)
    if comment.text == command.text:
        return None
    known = set(_mentions(comment.text, around))
    mentioned = around.members(set(_mentions(command.text, around)) - known)
    return TaskCommentEdited(command.comment_id, command.text, mentioned)


def _delete_comment(command: DeleteComment, around: Surroundings) -> TaskCommentDeleted:
    role = around.home.members.get(around.user) if around.home is not None else None
    if role != "owner":
        _own_comment(around)
    elif around.comment is None:
        raise NotFound("no such comment")
    return TaskCommentDeleted(command.comment_id)


def _own_comment(around: Surroundings) -> CommentThen:
    if around.comment is None:
        raise NotFound("no such comment")
    if around.comment.author != around.user:
        raise Forbidden(f"this comment is {around.comment.author}'s")
    return around.comment


def _mentions(text: str, around: Surroundings) -> tuple[str, ...]:
    return mentions_in(text, around.home.members if around.home is not None else ())


# --- rules -----------------------------------------------------------------------------------------------


def _check_parent(parent_id: str | None, list_id: str, task: Task | None, around: Surroundings) -> None:
    """Check that a task may be a sub-task of another. Raises `Invalid`."""
    if parent_id is None:
        return
    parent = around.ancestors[0] if around.ancestors else None
    problem = None
    if parent is None or parent.deleted_at or parent.list_id != list_id:
        problem = "must be a task of the same list"
    elif task is not None and any(each.id == task.id for each in around.ancestors):
        problem = "must not be the task itself, nor one of its sub-tasks"
    elif len(around.ancestors) >= MAX_DEPTH:
        problem = f"sub-tasks go {MAX_DEPTH} levels deep at most"
    if problem is not None:
        raise Invalid([FieldError("parent_id", problem)])


def _check_recurrence(rule: str | None, counted_from: str, due: str | None) -> None:
    if rule is not None and counted_from == "due" and due is None:
        raise Invalid([FieldError("due", "a task that recurs from its due date needs one")])


def _check_stage(stage: str | None, task_list: TaskList | None) -> None:
    """Check that the list has the stage; a list without stages takes any. Raises `Invalid`."""
    if stage is None or task_list is None or not task_list.stages:
        return
    if category_of(task_list, stage) is None:
        names = ", ".join(each["name"] for each in task_list.stages)
        raise Invalid([FieldError("stage", f"must be one of this list's: {names}"[:500])])


def _check_children(around: Surroundings, what: str, *, cascade: bool) -> None:
    if around.open_children and not cascade:
        count = f"{around.open_children} open sub-task{'s' if around.open_children > 1 else ''}"
        raise Conflict(f"the task has {count}; {what} them too with ?cascade=true")


def _status_in(
    stage: str | None, task: Task, around: Surroundings, task_list: TaskList | None = None
) -> dict[str, Any]:
    """What being in a stage says of whether the task is done, if that is news."""
    category = category_of(task_list or around.home, stage)
    if category is None:
        return {}
    status = "done" if category == "done" else "open"
    if status == "done" and task.status == "open":
        _check_children(around, "complete", cascade=False)
    return {"status": status} if status != task.status else {}
