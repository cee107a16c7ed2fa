"""Copies of lists: a new list with the tasks of another one, as they were at some time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from api.commands.concurrently import concurrently
from api.commands.handler import CommandHandler
from api.commands.list_reverts import AT_ONCE, NOTHING_THEN, REFUSALS, Refusal
from api.commands.load_context import NO_LIST
from api.commands.past_moments import invalid_time
from api.commands.requests import CommandRequest, CommandResult
from app.authorisation import ReadList, check_in
from app.dates import zone_of
from app.errors import TaskError
from app.ids import IdFactory
from app.lists.commands import CreateList
from app.lists.state import TaskList
from app.positions import Positions, latest
from app.stream_ids import StreamId, list_stream, task_stream
from app.tasks.commands import CreateTask
from app.tasks.list_copy import copied_fields, finishing, levels
from app.tasks.state import Task
from app.text.graphemes import shortened
from app.validation import validated
from app.values import MAX_TITLE_CHARS
from projections.postgres.periods import Moment
from projections.queries.list_contents import TooManyTasks

MAX_COPIED_TASKS = 5_000
CREATED_AT_ONCE = 500
"""The most tasks that are created with one append."""
VISIBLE_S = 30.0
"""The longest wait for the new tasks to be in the read models, before they are completed."""
TOO_MANY = f"the list had more than {MAX_COPIED_TASKS} tasks; export and import it instead"


class ContentsAsOf(Protocol):
    """Queries of a list and its tasks at a past moment."""

    async def tasks_at(self, list_id: str, moment: Moment, *, at_most: int) -> Mapping[str, Task]:
        """Return the tasks that were in a list at a moment, by id. Raise `TooManyTasks`."""

    async def list_at(self, list_id: str, moment: Moment) -> TaskList | None:
        """Return the state of a list at a moment, or None if it did not exist."""


@dataclass(frozen=True, slots=True)
class CopyPlan:
    """The name and the stages of a copy are those of `like`; `tasks` are its tasks."""

    like: TaskList
    name: str
    tasks: Mapping[str, Task]


@dataclass(slots=True)
class Copied:
    """The result of a copy: the new list, the new ids by the old ones, and the tasks that were refused."""

    list_result: CommandResult
    list_id: str
    ids: dict[str, str] = field(default_factory=dict)
    refusals: list[Refusal] = field(default_factory=list)
    written: list[Positions] = field(default_factory=list)

    @property
    def positions(self) -> Positions:
        """The positions of all events of the copy."""
        return latest(each for positions in self.written for each in positions.items())


class ListCopies:
    """Copies lists. With an `Idempotency-Key`, a repeat finishes a copy that was interrupted."""

    def __init__(self, commands: CommandHandler, contents: ContentsAsOf, new_id: IdFactory) -> None:
        self._commands = commands
        self._contents = contents
        self._new_id = new_id

    async def plan(self, user: str, list_id: str, moment: Moment, name: str | None) -> CopyPlan:
        """Return the content of a copy. Raise `NotFound` if the user may not see the list, and `Invalid`."""
        decisions = self._commands.decisions
        state = await decisions.state(list_stream(list_id))
        task_list = state if isinstance(state, TaskList) else None
        check_in(task_list, ReadList, user, NO_LIST)
        assert task_list is not None
        await decisions.wait_until_recent()
        try:
            tasks = await self._contents.tasks_at(list_id, moment, at_most=MAX_COPIED_TASKS)
        except TooManyTasks:
            raise invalid_time(moment, TOO_MANY) from None
        then = await self._contents.list_at(list_id, moment)
        if then is None and not tasks:
            raise invalid_time(moment, NOTHING_THEN)
        # Imported tasks may be older than their list.
        like = then or task_list
        return CopyPlan(like, name or default_name(like.name, moment.time), tasks)

    async def carry_out(self, plan: CopyPlan, request: CommandRequest) -> Copied:
        """Create the list and its tasks; each command has the user, the wait and the ids of `request`.

        Raise `Unavailable`.
        """
        list_id = self._new_id() if request.key is None else request.key.created_id
        time_zone = plan.like.time_zone and zone_of(plan.like.time_zone).key
        create = CreateList(name=plan.name, stages=plan.like.stages, time_zone=time_zone)
        made = await self._commands.handle(replace(request, command=create, stream=list_stream(list_id)))
        copied = Copied(made, list_id, written=[made.positions])
        for level, tasks in enumerate(levels(plan.tasks)):
            requests = [self._creation(task, plan, copied, request) for task in tasks]
            if level == 0:
                await self._create_together(tasks, requests, copied)
            else:
                await self._create_in_order(tasks, requests, copied)
        await self._finish(plan, request, copied)
        return copied

    def _creation(
        self, task: Task, plan: CopyPlan, copied: Copied, request: CommandRequest
    ) -> CommandRequest:
        key = None if request.key is None else request.key.part(f"create {task.id}")
        new_id = self._new_id() if key is None else key.created_id
        fields = copied_fields(task, plan.like.stages, request.user)
        # A task whose parent was not in the list, or could not be copied, is a top-level task.
        parent_id = copied.ids.get(task.parent_id or "")
        # Old records may have values that no command accepts any longer.
        fields |= {"list_id": copied.list_id, "parent_id": parent_id}
        command = validated(CreateTask, fields)
        return replace(request, command=command, stream=task_stream(new_id), key=key)

    async def _create_together(
        self, tasks: Sequence[Task], requests: Sequence[CommandRequest], copied: Copied
    ) -> None:
        for first in range(0, len(requests), CREATED_AT_ONCE):
            part = requests[first : first + CREATED_AT_ONCE]
            results = await self._commands.create_together(part)
            for task, request, result in zip(tasks[first:], part, results, strict=False):
                _record(copied, task, request.stream, result)

    async def _create_in_order(
        self, tasks: Sequence[Task], requests: Sequence[CommandRequest], copied: Copied
    ) -> None:
        """Create sub-tasks one after the other, which keeps their order, without waiting for outcomes."""
        for task, request in zip(tasks, requests, strict=True):
            _record(copied, task, request.stream, await self._try(replace(request, wait_s=0.0)))

    async def _finish(self, plan: CopyPlan, request: CommandRequest, copied: Copied) -> None:
        """Complete the copies of tasks that were done, sub-tasks first."""
        await self._commands.decisions.wait_for_own_writes(VISIBLE_S)

        async def finish(task: Task) -> None:
            command, new_id = finishing(task, plan.like.stages), copied.ids.get(task.id)
            if command is None or new_id is None:
                return
            key = None if request.key is None else request.key.part(f"finish {task.id}")
            own = replace(request, command=command, stream=task_stream(new_id), key=key)
            _record(copied, task, None, await self._try(own))

        for level in reversed(list(levels(plan.tasks))):
            await concurrently(finish, level, AT_ONCE)

    async def _try(self, request: CommandRequest) -> CommandResult | TaskError:
        try:
            return await self._commands.handle(request)
        except REFUSALS as error:
            return error


def _record(copied: Copied, task: Task, stream: StreamId | None, result: CommandResult | TaskError) -> None:
    """Record the result of a command for the copy of a task, which `stream` is the new id of."""
    if isinstance(result, TaskError):
        if not isinstance(result, REFUSALS):
            raise result
        copied.refusals.append(Refusal(task.id, task.title, result))
        return
    copied.written.append(result.positions)
    if stream is not None:
        copied.ids[task.id] = stream.key


def default_name(name: str, time: datetime) -> str:
    """Return the name of a copy: that of the list, and the time."""
    when = f" ({time:%Y-%m-%d %H:%M} UTC)"
    return shortened(name, MAX_TITLE_CHARS - len(when)) + when
