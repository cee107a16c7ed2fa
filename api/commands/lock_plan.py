"""Planning of locks: the lists and tasks that a command's decision relies on, or whose structure it changes.

A list is locked for the effect of its stages, its members and its existence on tasks; a task for its effect
on its descendants. A command that relies on it shares the lock; one that changes it holds the lock
exclusively. So nobody moves, completes or deletes a task while another adds something below it, and no cycle
can form: each move shares the locks of all future ancestors. Edits of plain fields, and moves in the manual
order, need no lock.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from api.commands.load_context import LoadState
from app.lists.commands import CreateInbox, CreateList, EditList, ListCommand
from app.stream_ids import StreamId, list_stream, task_stream
from app.tasks.checks import MAX_DEPTH
from app.tasks.commands import (
    Comment,
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditComment,
    EditTask,
    MoveTask,
    ReopenTask,
    RestoreTask,
    RevertTask,
    TaskCommand,
    UndoChange,
)
from app.tasks.decision_context import Change
from app.tasks.state import Task
from app.users import UserCommand

LoadLines = Callable[[Collection[str]], Awaitable[LoadState]]
"""Loads tasks and all their ancestors at once, and returns a loader of those states."""
LoadChange = Callable[[Task, int | None], Awaitable[Change | None]]
MAX_LINE = 2 * MAX_DEPTH
"""The most ancestors to look at: racing commands may have made too many levels, or a cycle."""


@dataclass(slots=True)
class LockPlan:
    """Locks: name → True if exclusive. `is_certain` means that they follow from the command alone.

    `above` contains the current and the future ancestors of the command's task.
    """

    modes: dict[str, bool] = field(default_factory=dict)
    above: list[Task] = field(default_factory=list)
    is_certain: bool = True

    def share(self, *streams: StreamId) -> None:
        """Add shared locks."""
        for stream in streams:
            self.modes.setdefault(stream, False)

    def hold_alone(self, *streams: StreamId) -> None:
        """Add exclusive locks."""
        self.modes.update(dict.fromkeys(streams, True))

    def covers(self, other: LockPlan) -> bool:
        """Return True if these locks are enough for another plan."""
        return all(
            stream in self.modes and self.modes[stream] >= exclusive
            for stream, exclusive in other.modes.items()
        )


async def lock_plan(
    command: TaskCommand | ListCommand | UserCommand, stream: StreamId, lines: LoadLines, change: LoadChange
) -> LockPlan:
    """Return the locks that a command on a stream needs, in the current structure."""
    plan = LockPlan()
    if isinstance(command, ListCommand):
        if not isinstance(command, CreateList | CreateInbox) and not _only_renames(command):
            plan.hold_alone(stream)
        return plan
    if isinstance(command, CreateTask):
        plan.share(list_stream(command.list_id))
        if command.parent_id is not None:
            await _share_line(plan, command.parent_id, await lines([command.parent_id]))
        return plan
    if isinstance(command, DeleteTask):
        plan.hold_alone(stream)
        return plan
    if not isinstance(command, TaskCommand) or not _spans(command):
        return plan
    plan.is_certain = False
    wanted = [command.parent_id] if isinstance(command, EditTask) and command.parent_id is not None else []
    load = await lines([stream.key, *wanted])
    task = await load(stream)
    if isinstance(task, Task):
        await _plan_for(plan, command, task, load, change)
    return plan


async def _plan_return(plan: LockPlan, change: Change, load: LoadState, *, undoes: bool) -> None:
    """Add the locks for returning a task to its state before a change, or to its state after it."""
    then = change.before if undoes else change.after
    if then is not None:
        plan.share(list_stream(then.list_id))
        await _share_line(plan, then.parent_id, load)
    if undoes:
        # The reopened ancestors may be completed again: nobody else may rely on their being open.
        plan.hold_alone(*(task_stream(each.id) for each in change.along if each.depth < 0))


def _only_renames(command: ListCommand) -> bool:
    return isinstance(command, EditList) and "stages" not in command.model_fields_set


def _spans(command: TaskCommand) -> bool:
    """Return True if a command on a task reads or changes more than the task and the user's role."""
    match command:
        case EditTask():
            return not {"parent_id", "stage", "assignees"}.isdisjoint(command.model_fields_set)
        case MoveTask(list_id=list_id, stage=stage):
            return list_id is not None or stage is not None
        case CompleteTask() | ReopenTask() | RestoreTask() | UndoChange() | RevertTask():
            return True
        case Comment() | EditComment():
            return True
        case _:
            return False


async def _plan_for(
    plan: LockPlan, command: TaskCommand, task: Task, load: LoadState, change: LoadChange
) -> None:
    own = task_stream(task.id)
    plan.share(list_stream(task.list_id))
    match command:
        case CompleteTask():
            plan.hold_alone(own)
        case ReopenTask():
            await _share_line(plan, task.parent_id, load)
        case RestoreTask():
            plan.hold_alone(own)
            await _share_line(plan, task.parent_id, load)
        case EditTask() if not {"parent_id", "stage"}.isdisjoint(command.model_fields_set):
            plan.hold_alone(own)
            await _share_line(plan, task.parent_id, load)
            if "parent_id" in command.model_fields_set:
                await _share_line(plan, command.parent_id, load)
        case MoveTask(list_id=list_id):
            plan.hold_alone(own)
            await _share_line(plan, task.parent_id, load)
            if list_id is not None:
                plan.share(list_stream(list_id))
        case UndoChange(version=version) | RevertTask(version=version):
            plan.hold_alone(own)
            await _share_line(plan, task.parent_id, load)
            found = await change(task, version)
            if found is not None:
                await _plan_return(plan, found, load, undoes=isinstance(command, UndoChange))
        case _:
            pass  # Its notifications go to members of the list, whose lock it shares.


async def _share_line(plan: LockPlan, parent_id: str | None, load: LoadState) -> None:
    """Share the locks of a task and of all its ancestors."""
    for _ in range(MAX_LINE):
        if parent_id is None:
            return
        plan.share(task_stream(parent_id))
        plan.is_certain = False
        state = await load(task_stream(parent_id))
        if not isinstance(state, Task):
            return
        plan.above.append(state)
        parent_id = state.parent_id
