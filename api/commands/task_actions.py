"""Actions on tasks, alone or in bulk: from a name and a body to a command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pydantic import (
    BaseModel,
)

from api.commands.decisions import Decisions
from api.commands.idempotency import CommandKey
from api.commands.in_flight import ReadYourWritesReader
from app.authorisation import role_in
from app.deciders import AnyCommand
from app.ids import IdFactory, inbox_id
from app.lists.commands import RestoreList
from app.lists.state import TaskList
from app.stream_ids import StreamId, list_stream, task_stream
from app.tasks.commands import (
    ChangeToUndo,
    Comment,
    CompleteTask,
    CreateTask,
    DeleteTask,
    EditTask,
    MoveTask,
    NewPlace,
    ReopenTask,
    RestoreTask,
    SkipOccurrence,
    TaskCommand,
    TaskPatch,
    UndoChange,
)
from app.tasks.state import Task
from app.validation import validated
from app.values import (
    Command,
    CommentText,
    ListId,
    Scope,
)

ActionName = Literal[
    "create",
    "edit",
    "complete",
    "reopen",
    "move",
    "delete",
    "restore",
    "skip",
    "undo",
    "comment",
    "restore_list",
]


class NewTask(CreateTask):
    """A task to create; without `list_id` it is added to the caller's inbox."""

    list_id: ListId | None = None  # type: ignore[assignment]


class Nothing(Command):
    """An empty object; it may be left out."""


class NewComment(Command):
    """A comment on a task; `@name` mentions a member of its list."""

    text: CommentText


@dataclass(frozen=True, slots=True)
class Action:
    """A kind of action: its body, its command, and whether it can include sub-tasks."""

    body: type[BaseModel]
    command: type[TaskCommand | RestoreList]
    cascades: bool = False


ACTIONS: Mapping[ActionName, Action] = {
    "create": Action(NewTask, CreateTask),
    "edit": Action(TaskPatch, EditTask, cascades=True),
    "complete": Action(Nothing, CompleteTask, cascades=True),
    "reopen": Action(Nothing, ReopenTask),
    "move": Action(NewPlace, MoveTask, cascades=True),
    "delete": Action(Nothing, DeleteTask, cascades=True),
    "restore": Action(Nothing, RestoreTask, cascades=True),
    "skip": Action(Nothing, SkipOccurrence),
    "undo": Action(ChangeToUndo, UndoChange),
    "comment": Action(NewComment, Comment),
    "restore_list": Action(Nothing, RestoreList),
}


class TaskActions:
    """Makes commands from the names and bodies of actions on tasks."""

    def __init__(self, decisions: Decisions, new_id: IdFactory) -> None:
        self._decisions = decisions
        self._new_id = new_id

    async def command(
        self,
        name: ActionName,
        body: Mapping[str, Any],
        user: str,
        key: CommandKey | None,
        *,
        target_id: str | None = None,
        cascade: bool = False,
        scope: Scope | None = None,
    ) -> tuple[AnyCommand, StreamId]:
        """Return a command and its stream: of the task or list `target_id`, or of the task that it creates.

        Raise `Invalid` for an invalid body, and `Unavailable` if the list of a new task cannot be read.
        """
        action = ACTIONS[name]
        checked = validated(action.body, body)
        given = {name: getattr(checked, name) for name in checked.model_fields_set}
        stream_of = list_stream if action.command is RestoreList else task_stream
        match checked:
            case NewTask():
                given["list_id"] = await self.list_of(checked, user)
                target_id = key.created_id if key else self._new_id()
            case NewComment():
                given["comment_id"] = key.created_id if key else self._new_id()
            case TaskPatch():
                given["scope"] = scope
        if action.cascades:
            given["cascade"] = cascade
        return action.command(**given), stream_of(target_id or "")

    async def list_of(self, new_task: NewTask, user: str) -> str:
        """Return the list of a new task: the one it names, else its parent's, else the inbox."""
        if new_task.list_id is not None:
            return new_task.list_id
        home = None
        if new_task.parent_id is not None:
            home = await self._decisions.retry_refusal(partial(_list_of, new_task.parent_id, user))
        return home or inbox_id(user)


async def _list_of(task_id: str, user: str, reader: ReadYourWritesReader) -> str | None:
    """Return the list of a task, if the user may see it."""
    task = await reader.state(task_stream(task_id))
    home = await reader.state(list_stream(task.list_id)) if isinstance(task, Task) else None
    return home.id if isinstance(home, TaskList) and role_in(home, user) is not None else None
