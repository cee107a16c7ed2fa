"""Calls on tasks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal, Unpack

from typing_extensions import TypedDict  # the base of those of the models

from tasktape_client.calls import Calls, Creation, Items, Options, path_of, typed
from tasktape_client.models import AuditEvent, BulkOutcome, Priority, Status, Task, TaskNames
from tasktape_client.models.tasks import NewTask, TaskChanges

Scope = Literal["this", "following"]


class _Creating(NewTask, Creation, total=False):
    """The fields of a new task, and the options of the command."""


class TaskFilter(TypedDict, total=False):
    """The filters and the order of a search for tasks.

    `q` is a query in the language of the search box. `sort` is a field; `-due` sorts the latest first.
    Days are days in `time_zone`, by default UTC. `as_of` is a time: the result is as of then.
    `as_recorded_at` is one too: the result is what the log knew then.
    """

    q: str | None
    list_id: str | None
    status: Status | None
    stage: str | None
    tag: str | Sequence[str] | None
    assignee: str | None
    priority: Priority | None
    due_before: date | str | None
    due_after: date | str | None
    parent_id: str | None
    time_zone: str | None
    sort: str | None
    as_of: datetime | str | None
    as_recorded_at: datetime | str | None
    at_most: int | None


class TaskCalls(Calls):
    """The calls on tasks. They raise `TasktapeError`, and commands also `Pending`."""

    async def create_task(self, title: str, **fields: Unpack[_Creating]) -> Task:
        """Create a task."""
        body: dict[str, Any] = {"title": title, **fields}
        options: Any = {name: body.pop(name) for name in Creation.__annotations__ if name in body}
        return typed(Task, (await self.command("POST", path_of("tasks"), body, **options)).body)

    async def quick_add(self, text: str, *, zone: str | None = None, **fields: Unpack[_Creating]) -> Task:
        """Create a task from a line such as `call bob #home !high tomorrow 5pm`. Given fields override it.

        Times are in `zone`, else in the field `time_zone`, else in UTC. The task's `quick` lists the
        recognised parts.
        """
        body: dict[str, Any] = {"title": text, **fields}
        options: Any = {name: body.pop(name) for name in Creation.__annotations__ if name in body}
        params = {"quick": "1", "time_zone": zone}
        return typed(
            Task, (await self.command("POST", path_of("tasks"), body, params=params, **options)).body
        )

    async def task(
        self,
        task_id: str,
        *,
        version: int | None = None,
        as_of: datetime | str | None = None,
        as_recorded_at: datetime | str | None = None,
    ) -> Task:
        """Return a task: now, at a version, at a time, or as the log knew it at a time."""
        params = {"version": version, "as_of": as_of, "as_recorded_at": as_recorded_at}
        return typed(Task, (await self.read(path_of("tasks", task_id), params)).body)

    def tasks(self, **filters: Unpack[TaskFilter]) -> Items[Task]:
        """Return the tasks that match all filters, at most `at_most` of them."""
        params = dict(filters)
        at_most = params.pop("at_most", None)
        assert at_most is None or isinstance(at_most, int)
        return self._items(Task, path_of("tasks"), params, at_most)

    async def task_ids(self, part: str) -> TaskNames:
        """Return the tasks whose ids begin or end with `part`, four hexadecimal digits at least."""
        return typed(TaskNames, (await self.read(path_of("task-ids"), {"part": part})).body)

    async def edit_task(
        self,
        task_id: str,
        fields: TaskChanges,
        *,
        scope: Scope | None = None,
        cascade: bool = False,
        **options: Unpack[Options],
    ) -> Task:
        """Set fields. For a recurring task, `scope` selects this occurrence, or this and all following ones.

        A stage can complete the task; `cascade` completes its open sub-tasks first.
        """
        path, params = path_of("tasks", task_id), {"scope": scope, **_cascade(on=cascade)}
        return typed(Task, (await self.command("PATCH", path, fields, params=params, **options)).body)

    async def delete_task(self, task_id: str, *, cascade: bool = False, **options: Unpack[Options]) -> None:
        """Delete a task; `cascade` deletes its sub-tasks first. Deleted tasks can be restored."""
        await self.command("DELETE", path_of("tasks", task_id), params=_cascade(on=cascade), **options)

    async def complete_task(self, task_id: str, *, cascade: bool = False, **options: Unpack[Options]) -> Task:
        """Complete a task; `cascade` completes its open sub-tasks first."""
        return await self._act(task_id, "complete", params=_cascade(on=cascade), **options)

    async def reopen_task(self, task_id: str, **options: Unpack[Options]) -> Task:
        """Reopen a task."""
        return await self._act(task_id, "reopen", **options)

    async def restore_task(self, task_id: str, *, cascade: bool = False, **options: Unpack[Options]) -> Task:
        """Restore a deleted task; `cascade` also restores the sub-tasks that were deleted with it."""
        return await self._act(task_id, "restore", params=_cascade(on=cascade), **options)

    async def move_task(
        self,
        task_id: str,
        *,
        list_id: str | None = None,
        before: str | None = None,
        after: str | None = None,
        stage: str | None = None,
        cascade: bool = False,
        **options: Unpack[Options],
    ) -> Task:
        """Move a task to another list or stage, or before or after another task in the manual order.

        A stage can complete the task; `cascade` completes its open sub-tasks first.
        """
        places = {"list_id": list_id, "before": before, "after": after, "stage": stage}
        body = {name: place for name, place in places.items() if place is not None}
        return await self._act(task_id, "move", body, params=_cascade(on=cascade), **options)

    async def skip_task(self, task_id: str, **options: Unpack[Options]) -> Task:
        """Skip this occurrence of a recurring task."""
        return await self._act(task_id, "skip", **options)

    async def undo(self, task_id: str, version: int | None = None, **options: Unpack[Options]) -> Task | None:
        """Undo a change of the caller: that of event `version`, by default the last one not undone yet.

        Return None if there is no task afterwards, because its creation was undone.
        """
        body = None if version is None else {"version": version}
        answer = await self.command("POST", path_of("tasks", task_id, "undo"), body, **options)
        return None if answer.body is None else typed(Task, answer.body)

    def history(
        self, task_id: str, *, outcome: Literal["accepted", "all"] = "accepted", at_most: int | None = None
    ) -> Items[AuditEvent]:
        """Return the events of a task, deleted or not; `all` includes superseded ones."""
        return self._items(AuditEvent, path_of("tasks", task_id, "history"), {"outcome": outcome}, at_most)

    async def bulk(
        self, commands: Iterable[Mapping[str, Any]], **options: Unpack[Options]
    ) -> list[BulkOutcome]:
        """Send up to 1,000 commands in one request. Return their outcomes.

        A command is {"command": "complete", "task_id": …}, with `body`, `if_match`, `cascade` and `scope`
        as needed. For lists there is {"command": "restore_list", "list_id": …}.
        """
        answer = await self.command("POST", path_of("bulk"), {"commands": list(commands)}, **options)
        return [typed(BulkOutcome, outcome) for outcome in answer.body["outcomes"]]

    async def _act(
        self,
        task_id: str,
        action: str,
        body: object = None,
        *,
        params: Mapping[str, Any] | None = None,
        **options: Unpack[Options],
    ) -> Task:
        path = path_of("tasks", task_id, action)
        return typed(Task, (await self.command("POST", path, body, params=params, **options)).body)


def _cascade(*, on: bool) -> dict[str, Any]:
    return {"cascade": "true"} if on else {}
