"""Commands on a task that change other tasks of its tree too, each with an event of its own.

Tasks above that are done are opened first, the topmost before all others, if the task is to be open below
them. Sub-tasks come next, the deepest before all others, and the task itself last. So whoever gives the
command again after a failure in the middle, with or without an `Idempotency-Key`, ends where the first
attempt would have. The other events name the task's event as their cause, before there is one: that is how
they are found when it is undone. All of it is done under the locks of the command (`api.commands.lock_plan`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from pydantic_core import to_json

from api.commands.handler import CommandHandler
from api.commands.in_flight import NO_LINES
from api.commands.load_context import ContextQueries
from api.commands.lock_plan import MAX_LINE, LockPlan
from api.commands.requests import Applied, CommandRequest, Decision, Pending
from api.commands.side_effects import ADAPTING, SideEffect, adapted, effects_of, opened
from app.errors import Conflict, NotFound, TaskError
from app.ids import derived_id
from app.log.fold import State
from app.log.records import Event
from app.tasks.checks import MAX_SUB_TASKS
from app.tasks.commands import (
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditTask,
    MoveTask,
    ReopenTask,
    RestoreTask,
    TaskCommand,
    UndoChange,
)
from app.tasks.decision_context import Along, SubTask
from app.tasks.events import TaskCompleted, TaskDeleted, TaskEdited, TaskMoved, TaskRestored, TaskUndone
from app.tasks.state import Task

AT_ONCE = 8
"""So many sub-tasks of a level are changed at the same time."""


@dataclass(frozen=True, slots=True)
class CascadeResult:
    """What became of the command on the task, and the positions of all the events that were written."""

    result: Applied | Pending
    positions: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """What a sub-task is to be told, one command after the other."""

    task_id: str
    depth: int
    commands: tuple[TaskCommand, ...]


class Cascades:
    """Carries out commands on tasks, with what they mean for sub-tasks."""

    def __init__(self, commands: CommandHandler, around: ContextQueries) -> None:
        self._commands = commands
        self._around = around

    async def handle(self, call: CommandRequest) -> CascadeResult:
        """Carry out one command. Raises as `CommandHandler.handle`, and `Conflict` for too many sub-tasks."""
        deadline = time.monotonic() + call.wait_s
        async with self._commands.locked(call) as (locked, plan):
            if not _may_spread(call.command) and not _may_open(call.command, plan):
                done = _done([await self._commands.handle(locked)])
            else:
                done = await self._decide_and_spread(locked, deadline)
        return await self._as_first_told(call, done)

    async def _as_first_told(self, call: CommandRequest, done: CascadeResult) -> CascadeResult:
        """Add to the answer of a repeat what the first attempt has done beside what was asked for."""
        result = done.result
        if not isinstance(result, Applied) or not result.is_repeat or not isinstance(call.command, ADAPTING):
            return done
        effects = await effects_of(call.stream, result.version, self._commands.state, self._around)
        return replace(done, result=_telling(result, effects))

    async def _decide_and_spread(self, call: CommandRequest, deadline: float) -> CascadeResult:
        answered = await self._answered(call)
        if answered is not None:
            return _done([answered])
        # What it means for other tasks is made out once: what old rows don't have would stay as it is.
        await self._commands.wait_until_recent()
        call = replace(call, lines=NO_LINES)
        try:
            decision = await self._commands.preview(call)
        except TaskError:
            # A repeat that came before its first attempt was visible finds that attempt's work.
            answered = await self._answered(call)
            if answered is None:
                raise
            return _done([answered])
        return await self._spread(call, decision, deadline)

    async def _answered(self, call: CommandRequest) -> Applied | Pending | None:
        return None if call.key is None else await self._commands.answer_of(call.key, call.wait_s)

    async def _spread(self, call: CommandRequest, decision: Decision, deadline: float) -> CascadeResult:
        event = decision.event
        call = replace(call, event_id=_event_id(call, decision.state))
        if isinstance(event, TaskUndone):
            # What is undone must not change between the sub-tasks and the task.
            call = replace(call, command=UndoChange(version=event.version))
        results: list[Applied | Pending] = []
        to_open = await self._to_open(decision)
        for above in to_open:
            results += await self._level(call, [Step(above.id, 0, (ReopenTask(),))], deadline)
        steps = await self._steps(call.command, decision.state, event)
        for _, level in groupby((step for step in steps if step.depth > 0), key=lambda step: step.depth):
            results += await self._level(call, list(level), deadline)
        result = await self._commands.handle(_in_time(call, deadline))
        for above_step in (step for step in steps if step.depth < 0):
            results += await self._level(call, [above_step], deadline)
        if isinstance(result, Applied) and result.is_repeat:
            return _done([*results, result])
        effects = opened([task.id for task in to_open])
        return _done([*results, result], [*effects, *adapted(decision.state, decision.after)])

    async def _to_open(self, decision: Decision) -> Sequence[Task]:
        """Return the tasks above that are done and must not be, the topmost first."""
        after = decision.after
        if not isinstance(after, Task) or after.status == "done" or after.deleted_at is not None:
            return ()
        done: list[Task] = []
        parent_id = after.parent_id
        for _ in range(MAX_LINE):
            above = await self._commands.state(f"task:{parent_id}") if parent_id is not None else None
            if not isinstance(above, Task) or above.deleted_at is not None:
                break
            done += [above] if above.status == "done" else []
            parent_id = above.parent_id
        return done[::-1]

    # --- what sub-tasks are told -------------------------------------------------------------------------

    async def _steps(self, command: object, task: State | None, event: Event | None) -> Sequence[Step]:
        """What the sub-tasks are to be told, the deepest first, given what is decided on the task."""
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
        below = await self._around.sub_tasks(task.id)
        if len(below) > MAX_SUB_TASKS:
            raise Conflict(f"the task has more than {MAX_SUB_TASKS} sub-tasks; see to some of them first")
        steps = [Step(each.id, each.depth, _told(event, task, each)) for each in below]
        if isinstance(command, UndoChange):
            # Its creation is undone: what was opened above it for that is completed again.
            above = [each for each in await self._along(task, 1) if each.depth < 0]
            steps += [Step(each.id, each.depth, _undo(each)) for each in above]
        return [step for step in steps if step.commands]

    async def _along(self, task: Task, version: int) -> Sequence[Along]:
        change = await self._around.change(task, version, "")
        return () if change is None else change.along

    async def _level(
        self, call: CommandRequest, steps: Sequence[Step], deadline: float
    ) -> Sequence[Applied | Pending]:
        """Tell the sub-tasks of one level, some of them at a time; all of them, whatever one says to it."""
        room = asyncio.Semaphore(AT_ONCE)

        async def tell(step: Step) -> list[Applied | Pending | None]:
            async with room:
                return [await self._tell(call, step.task_id, each, deadline) for each in step.commands]

        told = await asyncio.gather(*(tell(step) for step in steps), return_exceptions=True)
        results: list[Applied | Pending] = []
        for each in told:
            if isinstance(each, BaseException):
                raise each
            results += [result for result in each if result is not None]
        return results

    async def _tell(
        self, call: CommandRequest, task_id: str, command: TaskCommand, deadline: float
    ) -> Applied | Pending | None:
        own = replace(
            _in_time(call, deadline),
            command=command,
            stream=f"task:{task_id}",
            if_match=None,
            key=None if call.key is None else call.key.part(f"{task_id} {command.model_dump_json()}"),
            event_id=None,
            causation_id=call.event_id,
        )
        try:
            return await self._commands.handle(own)
        except (NotFound, Conflict):
            return None  # Somebody has deleted it meanwhile, or changed it again: that stands.


def _event_id(call: CommandRequest, state: State | None) -> str:
    """The id of the event on the task; the same for the same command on the same version."""
    if call.key is not None:
        return call.key.event_id
    version = 0 if state is None else state.version
    kind, action = type(call.command).__name__, call.command.model_dump_json()
    return derived_id("event on", call.stream, str(version), call.user, kind, action)


def _may_spread(command: object) -> bool:
    """Whether a command may be one for sub-tasks too; `CompleteTask` without `cascade` isn't, for one."""
    match command:
        case DeleteTask() | UndoChange():
            return True
        case CompleteTask(cascade=cascade) | EditTask(cascade=cascade) | RestoreTask(cascade=cascade):
            return cascade
        case MoveTask(cascade=cascade, list_id=list_id):
            return cascade or list_id is not None
        case _:
            return False


def _told(event: Event, task: Task, sub_task: SubTask) -> tuple[TaskCommand, ...]:
    """What an event of the task means for a sub-task."""
    told: list[TaskCommand] = []
    if isinstance(event, TaskDeleted):
        told.append(DeleteTask(cascade=True))
    if _completes(event) and sub_task.status == "open":
        told.append(CompleteTask(cascade=True))
    if isinstance(event, TaskMoved) and task.list_id != event.list_id != sub_task.list_id:
        told.append(MoveTask(list_id=event.list_id, keep_parent=True))
    return tuple(told)


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
    """Tell if a command may have to open tasks above, or to be adapted to what has become of them."""
    if isinstance(command, RestoreTask):
        return True
    opens = isinstance(command, CreateTask | ReopenTask | EditTask | MoveTask)
    return opens and any(above.status == "done" for above in plan.above)


def _in_time(call: CommandRequest, deadline: float) -> CommandRequest:
    return replace(call, wait_s=max(0.0, deadline - time.monotonic()))


def _done(results: Sequence[Applied | Pending], effects: Sequence[SideEffect] = ()) -> CascadeResult:
    positions: dict[int, int] = {}
    for result in results:
        if result.position is not None:
            partition, offset = result.position
            positions[partition] = max(offset, positions.get(partition, -1))
    return CascadeResult(_telling(results[-1], effects), positions)


def _telling(result: Applied | Pending, effects: Sequence[SideEffect]) -> Applied | Pending:
    """Add what else was done to the answer."""
    if not effects or isinstance(result, Pending) or result.body == b"null":
        return result
    return replace(
        result, body=result.body[:-1] + b',"effects":' + to_json(effects, exclude_none=True) + b"}"
    )
