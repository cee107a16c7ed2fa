"""Reverts of lists: the commands that return the tasks of a list to how they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from api.commands.concurrently import concurrently
from api.commands.handler import CommandHandler
from api.commands.load_context import NO_LIST
from api.commands.past_moments import invalid_time
from api.commands.requests import CommandRequest
from app.authorisation import check_in, may, role_in
from app.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, TaskError
from app.lists.state import TaskList
from app.positions import Positions, latest
from app.stream_ids import list_stream, task_stream
from app.tasks.checks import MAX_DEPTH
from app.tasks.commands import RevertTask
from app.tasks.list_revert import PlannedChange, in_order, planned_changes
from app.tasks.state import Task
from projections.postgres.periods import Moment
from projections.queries.list_contents import ListChanges, TooManyTasks

MAX_CHANGED_TASKS = 5_000
"""The most tasks that may have changed since, for one revert."""
AT_ONCE = 8
"""The most independent commands of a revert that are carried out concurrently."""
MAX_PASSES = MAX_DEPTH + 1
"""The most attempts at tasks that are refused until others are in their places."""
TOO_MANY = f"more than {MAX_CHANGED_TASKS} tasks have changed since; choose a later time"
NOTHING_THEN = "neither the list nor any task of it existed then"
REFUSALS = (Conflict, Forbidden, Invalid, NotFound, PreconditionFailed)
"""The errors of a task that leave the others unaffected."""


class ChangesSince(Protocol):
    """Queries of a list's tasks at a past moment."""

    async def changes_since(self, list_id: str, moment: Moment, *, at_most: int) -> ListChanges:
        """Return the tasks that are in a list, or were then, and have changed since."""

    async def existed(self, list_id: str, moment: Moment) -> bool:
        """Return whether a list existed at a moment, or any task of it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """A task that cannot be returned to its earlier state, with the reason."""

    task_id: str
    title: str
    error: TaskError


@dataclass(frozen=True, slots=True)
class RevertPlan:
    """The changes of a revert, and the tasks that cannot be changed."""

    found: ListChanges
    changes: Sequence[PlannedChange]
    refusals: Sequence[Refusal]


@dataclass(frozen=True, slots=True)
class Reverted:
    """The result of a revert: the changes that took effect, the refusals, and the positions of its events."""

    changes: Sequence[PlannedChange]
    refusals: Sequence[Refusal]
    positions: Positions


class ListReverts:
    """Plans reverts of lists, and carries them out with one command for each task.

    A revert that was interrupted is finished by repeating it: a task that is as it was needs no command.
    """

    def __init__(self, commands: CommandHandler, contents: ChangesSince) -> None:
        self._commands = commands
        self._contents = contents

    async def plan(self, user: str, list_id: str, moment: Moment) -> RevertPlan:
        """Return the changes that return the tasks of a list to how they were at a moment.

        Raise `NotFound` or `Forbidden` if the user may not change the list, and `Invalid` for a time at which
        nothing existed, or after which too much has changed.
        """
        decisions = self._commands.decisions
        state = await decisions.state(list_stream(list_id))
        check_in(state if isinstance(state, TaskList) else None, RevertTask, user, NO_LIST)
        await decisions.wait_until_recent()
        try:
            found = await self._contents.changes_since(list_id, moment, at_most=MAX_CHANGED_TASKS)
        except TooManyTasks:
            raise invalid_time(moment, TOO_MANY) from None
        if not found.then and not await self._contents.existed(list_id, moment):
            raise invalid_time(moment, NOTHING_THEN)
        changes, refusals = list[PlannedChange](), list[Refusal]()
        for change in planned_changes(found.now, found.then, found.lists):
            error = _forbidden(change, list_id, found.lists, user)
            if error is None:
                changes.append(change)
            else:
                refusals.append(Refusal(change.task.id, _title_in(list_id, change), error))
        return RevertPlan(found, changes, refusals)

    async def carry_out(self, plan: RevertPlan, request: CommandRequest) -> Reverted:
        """Carry out a plan; each command has the user, the wait and the ids of `request`.

        Raise `Unavailable`; then the revert can be repeated.
        """
        now, then = plan.found.now, plan.found.then
        left, positions = list(plan.changes), list[Positions]()
        refused: dict[str, TaskError] = {}
        for _ in range(MAX_PASSES):
            refused = {}
            for group in in_order(left, now, then):
                refused |= await self._carry_out_all(group, request, positions)
            is_stuck = len(refused) == len(left)
            left = [change for change in left if change.task.id in refused]
            if is_stuck or not left:
                break
        return Reverted(
            [change for change in plan.changes if change.task.id not in refused],
            [
                *plan.refusals,
                *(Refusal(each.task.id, each.task.title, refused[each.task.id]) for each in left),
            ],
            latest(each for written in positions for each in written.items()),
        )

    async def _carry_out_all(
        self, changes: Sequence[PlannedChange], request: CommandRequest, positions: list[Positions]
    ) -> dict[str, TaskError]:
        """Carry out independent changes; return the errors of those that are refused."""
        refused: dict[str, TaskError] = {}

        async def carry_out(change: PlannedChange) -> None:
            task_id = change.task.id
            own = replace(
                request,
                command=change.command,
                stream=task_stream(task_id),
                key=None if request.key is None else request.key.part(f"revert {task_id}"),
            )
            try:
                positions.append((await self._commands.handle(own)).positions)
            except REFUSALS as error:
                refused[task_id] = error

        await concurrently(carry_out, changes, AT_ONCE)
        return refused


def _forbidden(
    change: PlannedChange, list_id: str, lists: Mapping[str, TaskList], user: str
) -> TaskError | None:
    """Return the error if the task is, or was, in another list that the user may not change."""
    places = {change.task.list_id, *([] if change.then is None else [change.then.list_id])} - {list_id}
    for place in places:
        if not may(RevertTask, role_in(lists.get(place), user)):
            is_there = change.task.list_id == place
            what = "it is in another list now" if is_there else "it came from another list"
            return Forbidden(f"{what}, which you may not change")
    return None


def _title_in(list_id: str, change: PlannedChange) -> str:
    """Return the title that the members of a list know: a task in another list may have a new one."""
    shown: Task = change.task
    if change.then is not None and change.task.list_id != list_id:
        shown = change.then
    return shown.title
