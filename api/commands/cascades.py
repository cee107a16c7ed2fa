"""Commands on a task that also change other tasks of its tree, each with its own event.

Done ancestors are reopened first, topmost first, if the task is to be open below them. Sub-tasks follow,
deepest first, and the task itself is last. So repeating the command after a failure in the middle, with or
without an `Idempotency-Key`, ends in the same state as the first attempt. The other events name the task's
event as their cause, before it exists: undo finds them by it. All of it is done under the locks of the
command (`api.commands.lock_plan`).
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from pydantic_core import to_json

from api.commands.concurrently import concurrently
from api.commands.decisions import Decisions
from api.commands.execution import Execution
from api.commands.in_flight import NO_LINES
from api.commands.load_context import ContextQueries
from api.commands.lock_plan import MAX_LINE, LockPlan
from api.commands.requests import Applied, CommandRequest, CommandResult, Decision, Pending
from api.commands.side_effects import ADAPTING, SideEffect, adapted, effects_of, opened
from app.errors import Conflict, NotFound
from app.ids import derived_id
from app.log.fold import State
from app.log.records import Event
from app.positions import latest
from app.stream_ids import task_stream
from app.tasks.checks import MAX_SUB_TASKS
from app.tasks.commands import (
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditTask,
    MoveTask,
    ReopenTask,
    RestoreTask,
    RevertTask,
    TaskCommand,
    UndoChange,
)
from app.tasks.decision_context import Along, SubTask
from app.tasks.events import (
    TaskCompleted,
    TaskDeleted,
    TaskEdited,
    TaskMoved,
    TaskRestored,
    TaskReverted,
    TaskUndone,
)
from app.tasks.state import Task

AT_ONCE = 8
"""The most sub-tasks of a level that are changed concurrently."""


@dataclass(frozen=True, slots=True)
class Step:
    """Consecutive commands on one sub-task."""

    task_id: str
    depth: int
    commands: tuple[TaskCommand, ...]


class Cascades:
    """Executes commands on tasks, with their effects on other tasks of the tree."""

    def __init__(self, execution: Execution, decisions: Decisions, queries: ContextQueries) -> None:
        self._execution = execution
        self._decisions = decisions
        self._queries = queries

    async def execute(self, request: CommandRequest, plan: LockPlan, deadline: float) -> CommandResult:
        """Execute one command under its locks.

        Raise as `Execution.execute`, and `Conflict` for too many sub-tasks.
        """
        if not _may_spread(request.command) and not _may_open(request.command, plan):
            return await self._execution.execute(request)
        # The tasks that were read under the locks may have changed by edits, which take no locks.
        request = replace(request, lines=NO_LINES)
        decision = await self._execution.preview(request, deadline)
        if not isinstance(decision, Decision):
            return decision
        return await self._spread(request, decision, deadline)

    async def with_first_effects(self, request: CommandRequest, result: CommandResult) -> CommandResult:
        """Add the side effects of the first attempt to the response to a repeat."""
        if isinstance(result, Pending) or not (result.is_repeat and isinstance(request.command, ADAPTING)):
            return result
        effects = await effects_of(request.stream, result.version, self._decisions.state, self._queries)
        return _with_effects(result, effects)

    async def _spread(self, request: CommandRequest, decision: Decision, deadline: float) -> CommandResult:
        event = decision.event
        request = replace(request, event_id=_event_id(request, decision.state))
        if isinstance(event, TaskUndone):
            # The change to undo must not differ between the sub-tasks and the task.
            request = replace(request, command=UndoChange(version=event.version))
        others: list[CommandResult] = []
        to_open = await self._to_open(decision)
        for above in to_open:
            others += await self._change_level(request, [Step(above.id, 0, (ReopenTask(),))], deadline)
        steps = await self._steps(request.command, decision.state, event)
        for _, level in groupby((step for step in steps if step.depth > 0), key=lambda step: step.depth):
            others += await self._change_level(request, list(level), deadline)
        result = await self._execution.execute(_in_time(request, deadline), decision)
        for above_step in (step for step in steps if step.depth < 0):
            others += await self._change_level(request, [above_step], deadline)
        positions = latest(each for other in others for each in other.positions.items())
        result = replace(result, others=positions)
        if isinstance(result, Applied) and result.is_repeat:
            return result
        effects = [*opened([task.id for task in to_open]), *adapted(decision.state, decision.after)]
        return _with_effects(result, effects)

    async def _to_open(self, decision: Decision) -> Sequence[Task]:
        """Return the ancestors that are done and must be reopened, topmost first."""
        after = decision.after
        if not isinstance(after, Task) or after.status == "done" or after.deleted_at is not None:
            return ()
        done: list[Task] = []
        parent_id = after.parent_id
        for _ in range(MAX_LINE):
            above = await self._decisions.state(task_stream(parent_id)) if parent_id is not None else None
            if not isinstance(above, Task) or above.deleted_at is not None:
                break
            done += [above] if above.status == "done" else []
            parent_id = above.parent_id
        return done[::-1]

    # --- commands on sub-tasks ---------------------------------------------------------------------------

    async def _steps(self, command: object, task: State | None, event: Event | None) -> Sequence[Step]:
        """Return the commands on sub-tasks, deepest first, that follow from the decision on the task."""
        if event is None or not isinstance(task, Task):
            return ()
        if isinstance(event, TaskRestored):
            if not (isinstance(command, RestoreTask) and command.cascade):
                return ()
            # The newest event of a deleted task is the one that deleted it.
            along = await self._along(task, task.version)
            return [
                Step(each.id, each.depth, (RestoreTask(keep_parent=True),))
                for each in along
                if each.depth > 0
            ]
        if isinstance(event, TaskUndone):
            along = await self._along(task, event.version)
            return [Step(each.id, each.depth, _undo(each)) for each in along]
        below = await self._queries.sub_tasks(task.id)
        if len(below) > MAX_SUB_TASKS:
            raise Conflict(
                f"the task has more than {MAX_SUB_TASKS} sub-tasks; delete or move some of them first"
            )
        steps = [Step(each.id, each.depth, _commands_for(event, task, each)) for each in below]
        if isinstance(command, UndoChange):
            # Undoing the creation completes the ancestors again that it reopened.
            above = [each for each in await self._along(task, 1) if each.depth < 0]
            steps += [Step(each.id, each.depth, _undo(each)) for each in above]
        return [step for step in steps if step.commands]

    async def _along(self, task: Task, version: int) -> Sequence[Along]:
        change = await self._queries.change(task, version, "")
        return () if change is None else change.along

    async def _change_level(
        self, request: CommandRequest, steps: Sequence[Step], deadline: float
    ) -> Sequence[CommandResult]:
        """Change the sub-tasks of one level, some concurrently; all of them, even if one fails."""

        async def change(step: Step) -> list[CommandResult | None]:
            return [await self._change(request, step.task_id, each, deadline) for each in step.commands]

        changed = await concurrently(change, steps, AT_ONCE)
        return [result for each in changed for result in each if result is not None]

    async def _change(
        self, request: CommandRequest, task_id: str, command: TaskCommand, deadline: float
    ) -> CommandResult | None:
        own = replace(
            _in_time(request, deadline),
            command=command,
            stream=task_stream(task_id),
            if_match=None,
            key=None if request.key is None else request.key.part(f"{task_id} {command.model_dump_json()}"),
            event_id=None,
            causation_id=request.event_id,
        )
        try:
            return await self._execution.execute(own)
        except (NotFound, Conflict):
            return None  # Somebody has deleted or changed it meanwhile: that takes precedence.


def _event_id(request: CommandRequest, state: State | None) -> str:
    """Return the id of the event on the task; the same for the same command on the same version."""
    if request.key is not None:
        return request.key.event_id
    version = 0 if state is None else state.version
    kind, action = type(request.command).__name__, request.command.model_dump_json()
    return derived_id("event on", request.stream, str(version), request.user, kind, action)


def _may_spread(command: object) -> bool:
    """Return True if a command may change sub-tasks; `CompleteTask` without `cascade` does not."""
    match command:
        case DeleteTask() | UndoChange():
            return True
        case CompleteTask(cascade=cascade) | EditTask(cascade=cascade) | RestoreTask(cascade=cascade):
            return cascade
        case RevertTask(cascade=cascade):
            return cascade
        case MoveTask(cascade=cascade, list_id=list_id):
            return cascade or list_id is not None
        case _:
            return False


def _commands_for(event: Event, task: Task, sub_task: SubTask) -> tuple[TaskCommand, ...]:
    """Return the commands on a sub-task that an event of the task implies."""
    commands: list[TaskCommand] = []
    if isinstance(event, TaskDeleted):
        commands.append(DeleteTask(cascade=True))
    if _completes(event) and sub_task.status == "open":
        commands.append(CompleteTask(cascade=True))
    list_id = _list_after(event, task)
    if task.list_id != list_id != sub_task.list_id:
        commands.append(MoveTask(list_id=list_id, keep_parent=True))
    return tuple(commands)


def _list_after(event: Event, task: Task) -> str:
    """Return the list of a task after an event."""
    match event:
        case TaskMoved(list_id=list_id):
            return list_id
        case TaskReverted(fields={"list_id": str(list_id)}):
            return list_id
        case _:
            return task.list_id


def _completes(event: Event) -> bool:
    match event:
        case TaskCompleted() | TaskMoved(status="done"):
            return True
        case TaskEdited(fields=fields):
            return fields.get("status") == "done"
        case _:
            return False


def _undo(along: Along) -> tuple[TaskCommand, ...]:
    return tuple(UndoChange(version=version, keep_parent=True) for version in along.versions)


def _may_open(command: object, plan: LockPlan) -> bool:
    """Return True if a command may have to reopen ancestors, or to be adapted to their state."""
    if isinstance(command, RestoreTask):
        return True
    opens = isinstance(command, CreateTask | ReopenTask | EditTask | MoveTask | RevertTask)
    return opens and any(above.status == "done" for above in plan.above)


def _in_time(request: CommandRequest, deadline: float) -> CommandRequest:
    return replace(request, wait_s=max(0.0, deadline - time.monotonic()))


def _with_effects(result: CommandResult, effects: Sequence[SideEffect]) -> CommandResult:
    """Add side effects to the response."""
    if not effects or isinstance(result, Pending) or result.body == b"null":
        return result
    return replace(
        result, body=result.body[:-1] + b',"effects":' + to_json(effects, exclude_none=True) + b"}"
    )
