"""Actions on tasks, alone or in bulk: from a name and a body to a command that is carried out."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Literal

from pydantic import (
    BaseModel,
)

from api.commands.cascades import CascadeResult, Cascades
from api.commands.entity_tags import Precondition, Tags
from api.commands.handler import CommandHandler
from api.commands.idempotency import CommandKey
from api.commands.in_flight import ReadYourWritesReader
from api.commands.load_context import ContextQueries
from api.commands.requests import Applied, CommandRequest, Pending
from app.authorisation import role_in
from app.deciders import AnyCommand
from app.errors import TaskError
from app.ids import IdFactory, inbox_id
from app.lists.commands import RestoreList
from app.lists.state import TaskList
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
class Kind:
    """A kind of action: its body, its command, its success status, and whether it can include sub-tasks."""

    body: type[BaseModel]
    command: type[TaskCommand | RestoreList]
    status: int = 200
    cascades: bool = False


KINDS: Mapping[ActionName, Kind] = {
    "create": Kind(NewTask, CreateTask, 201),
    "edit": Kind(TaskPatch, EditTask, cascades=True),
    "complete": Kind(Nothing, CompleteTask, cascades=True),
    "reopen": Kind(Nothing, ReopenTask),
    "move": Kind(NewPlace, MoveTask, cascades=True),
    "delete": Kind(Nothing, DeleteTask, 204, cascades=True),
    "restore": Kind(Nothing, RestoreTask, cascades=True),
    "skip": Kind(Nothing, SkipOccurrence),
    "undo": Kind(ChangeToUndo, UndoChange),
    "comment": Kind(NewComment, Comment, 201),
    "restore_list": Kind(Nothing, RestoreList),
}


@dataclass(frozen=True, slots=True)
class Terms:
    """The user and the conditions of a request; see `CommandRequest`."""

    user: str
    wait_s: float
    if_match: Precondition | None = None
    if_none_match: Tags | None = None
    key: CommandKey | None = None
    correlation_id: str | None = None
    traceparent: str | None = None

    def to_request(self, command: AnyCommand, stream: str) -> CommandRequest:
        """Return the request of a command on these terms."""
        return CommandRequest(
            command=command,
            stream=stream,
            user=self.user,
            wait_s=self.wait_s,
            if_match=self.if_match,
            if_none_match=self.if_none_match,
            key=self.key,
            correlation_id=self.correlation_id,
            traceparent=self.traceparent,
        )


@dataclass(frozen=True, slots=True)
class TaskAction:
    """A command by its name: on the task `task_id`, unless it creates one, or on the list `list_id`."""

    name: ActionName
    task_id: str | None = None
    body: Mapping[str, Any] = field(default_factory=dict)
    cascade: bool = False
    scope: Scope | None = None
    list_id: str | None = None


@dataclass(frozen=True, slots=True)
class ActionResult:
    """The result of an action, and how to answer it."""

    done: CascadeResult
    status: int
    location: str | None


class TaskActions:
    """Carries out actions on tasks."""

    def __init__(self, commands: CommandHandler, queries: ContextQueries, new_id: IdFactory) -> None:
        self._commands = commands
        self._cascades = Cascades(commands, queries)
        self._queries = queries
        self._new_id = new_id

    async def execute(self, action: TaskAction, terms: Terms) -> ActionResult:
        """Carry out an action. Raise `Invalid` for an invalid body, and as `Cascades.handle`."""
        kind = KINDS[action.name]
        body = validated(kind.body, action.body)
        given = {name: getattr(body, name) for name in body.model_fields_set}
        task_id, location = action.task_id, None
        new_id = terms.key.created_id if terms.key else self._new_id()
        match body:
            case NewTask():
                given["list_id"] = await self.list_for(body, terms.user)
                task_id, location = new_id, f"/api/tasks/{new_id}"
            case NewComment():
                given["comment_id"] = new_id
                location = f"/api/tasks/{task_id}/comments/{new_id}"
            case TaskPatch():
                given["scope"] = action.scope
        if kind.cascades:
            given["cascade"] = action.cascade
        stream = f"task:{task_id}" if action.list_id is None else f"list:{action.list_id}"
        done = await self._cascades.handle(terms.to_request(kind.command(**given), stream))
        return ActionResult(done, kind.status, location)

    async def create_together(
        self, wanted: Sequence[tuple[TaskAction, Terms]]
    ) -> list[ActionResult | TaskError]:
        """Create tasks of one list, in order: as `execute` for each, but faster. None has a parent."""
        found: list[ActionResult | TaskError | None] = []
        requests: dict[int, CommandRequest] = {}
        for index, (action, terms) in enumerate(wanted):
            try:
                body = validated(NewTask, action.body)
            except TaskError as error:
                found.append(error)
                continue
            given = {name: getattr(body, name) for name in body.model_fields_set}
            given["list_id"] = body.list_id or inbox_id(terms.user)
            new_id = terms.key.created_id if terms.key else self._new_id()
            requests[index] = terms.to_request(CreateTask(**given), f"task:{new_id}")
            found.append(None)
        results = await self._commands.create_together(list(requests.values())) if requests else []
        for (index, request), result in zip(requests.items(), results, strict=True):
            found[index] = result if isinstance(result, TaskError) else _created(request, result)
        return [each for each in found if each is not None]

    async def tops(self, task_ids: Collection[str]) -> Mapping[str, str]:
        """Map each task to its topmost ancestor; tasks that do not exist are left out."""
        return await self._queries.tops(task_ids)

    async def list_for(self, wanted: NewTask, user: str) -> str:
        """Return the list of a new task: the one it names, else its parent's, else the inbox."""
        if wanted.list_id is not None:
            return wanted.list_id
        home = None
        if wanted.parent_id is not None:
            home = await self._commands.retry_refusal_on_recent_rows(
                partial(_list_of, wanted.parent_id, user)
            )
        return home or inbox_id(user)


def _created(request: CommandRequest, result: Applied | Pending) -> ActionResult:
    location = f"/api/tasks/{request.stream.removeprefix('task:')}"
    position = result.position
    return ActionResult(
        CascadeResult(result, {} if position is None else {position.partition: position.offset}),
        201,
        location,
    )


async def _list_of(task_id: str, user: str, reader: ReadYourWritesReader) -> str | None:
    """Return the list of a task, if the user may see it."""
    task = await reader.state(f"task:{task_id}")
    home = await reader.state(f"list:{task.list_id}") if isinstance(task, Task) else None
    return home.id if isinstance(home, TaskList) and role_in(home, user) is not None else None
