"""Commands on a task that change its sub-tasks too, each with an event of its own.

The sub-tasks come first, the deepest before all others, and the task itself last. So whoever gives the
command again after a failure in the middle, with or without an `Idempotency-Key`, ends where the first
attempt would have. The events of sub-tasks name the task's event as their cause, before there is one: that is
how they are found when it is undone.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from api.commands import Call, CommandHandler, Decision, Effect, NotYetVisible
from api.surroundings import Around
from app.errors import Conflict, NotFound, TaskError
from app.fold import State
from app.ids import derived_id
from app.records import Event
from app.surroundings import Along, SubTask
from app.task_commands import (
    CompleteTask,
    DeleteTask,
    EditTask,
    MoveTask,
    RestoreTask,
    TaskCommand,
    UndoChange,
)
from app.task_rules import MAX_SUB_TASKS
from app.tasks import Task, TaskCompleted, TaskDeleted, TaskEdited, TaskMoved, TaskRestored, TaskUndone

AT_ONCE = 8
"""So many sub-tasks of a level are changed at the same time."""


@dataclass(frozen=True, slots=True)
class Done:
    """What became of the command on the task, and the positions of all the events that were written."""

    result: Effect | NotYetVisible
    positions: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Step:
    """What a sub-task is to be told, one command after the other."""

    task_id: str
    depth: int
    commands: tuple[TaskCommand, ...]


class Cascades:
    """Carries out commands on tasks, with what they mean for sub-tasks."""

    def __init__(self, commands: CommandHandler, around: Around) -> None:
        self._commands = commands
        self._around = around

    async def handle(self, call: Call) -> Done:
        """Carry out one command. Raises as `CommandHandler.handle`, and `Conflict` for too many sub-tasks."""
        if not _may_spread(call.command):
            return _done([await self._commands.handle(call)])
        deadline = time.monotonic() + call.wait_s
        answered = await self._answered(call)
        if answered is not None:
            return _done([answered])
        # What it means for sub-tasks is made out once: what old rows don't have would stay as it is.
        await self._commands.recent()
        try:
            decision = await self._commands.preview(call)
        except TaskError:
            # A repeat that came before its first attempt was visible finds that attempt's work.
            answered = await self._answered(call)
            if answered is None:
                raise
            return _done([answered])
        return await self._spread(call, decision, deadline)

    async def _answered(self, call: Call) -> Effect | NotYetVisible | None:
        return None if call.key is None else await self._commands.answer_of(call.key, call.wait_s)

    async def _spread(self, call: Call, decision: Decision, deadline: float) -> Done:
        event = decision.event
        call = replace(call, event_id=_event_id(call, decision.state))
        if isinstance(event, TaskUndone):
            # What is undone must not change between the sub-tasks and the task.
            call = replace(call, command=UndoChange(version=event.version))
        results: list[Effect | NotYetVisible] = []
        steps = await self._steps(decision.state, event)
        for _, level in groupby(steps, key=lambda step: step.depth):
            results += await self._level(call, list(level), deadline)
        results.append(await self._commands.handle(_in_time(call, deadline)))
        return _done(results)

    # --- what sub-tasks are told -------------------------------------------------------------------------

    async def _steps(self, task: State | None, event: Event | None) -> Sequence[Step]:
        """What the sub-tasks are to be told, the deepest first, given what is decided on the task."""
        if event is None or not isinstance(task, Task):
            return ()
        if isinstance(event, TaskRestored):
            # The newest event of a deleted task is the one that deleted it.
            along = await self._along(task, task.version)
            return [Step(each.id, each.depth, (RestoreTask(),)) for each in along]
        if isinstance(event, TaskUndone):
            along = await self._along(task, event.version)
            return [Step(each.id, each.depth, _undo(each)) for each in along]
        below = await self._around.sub_tasks(task.id)
        if len(below) > MAX_SUB_TASKS:
            raise Conflict(f"the task has more than {MAX_SUB_TASKS} sub-tasks; see to some of them first")
        steps = [Step(each.id, each.depth, _told(event, task, each)) for each in below]
        return [step for step in steps if step.commands]

    async def _along(self, task: Task, version: int) -> Sequence[Along]:
        change = await self._around.change(task, version, "")
        return () if change is None else change.along

    async def _level(
        self, call: Call, steps: Sequence[Step], deadline: float
    ) -> Sequence[Effect | NotYetVisible]:
        """Tell the sub-tasks of one level, some of them at a time; all of them, whatever one says to it."""
        room = asyncio.Semaphore(AT_ONCE)

        async def tell(step: Step) -> list[Effect | NotYetVisible | None]:
            async with room:
                return [await self._tell(call, step.task_id, each, deadline) for each in step.commands]

        told = await asyncio.gather(*(tell(step) for step in steps), return_exceptions=True)
        results: list[Effect | NotYetVisible] = []
        for each in told:
            if isinstance(each, BaseException):
                raise each
            results += [result for result in each if result is not None]
        return results

    async def _tell(
        self, call: Call, task_id: str, command: TaskCommand, deadline: float
    ) -> Effect | NotYetVisible | None:
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


def _event_id(call: Call, state: State | None) -> str:
    """The id of the event on the task; the same for the same command on the same version."""
    if call.key is not None:
        return call.key.event_id
    version = 0 if state is None else state.version
    kind, wish = type(call.command).__name__, call.command.model_dump_json()
    return derived_id("event on", call.stream, str(version), call.user, kind, wish)


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
    return tuple(UndoChange(version=version) for version in along.versions)


def _in_time(call: Call, deadline: float) -> Call:
    return replace(call, wait_s=max(0.0, deadline - time.monotonic()))


def _done(results: Sequence[Effect | NotYetVisible]) -> Done:
    positions: dict[int, int] = {}
    for result in results:
        if result.position is not None:
            partition, offset = result.position
            positions[partition] = max(offset, positions.get(partition, -1))
    return Done(results[-1], positions)
