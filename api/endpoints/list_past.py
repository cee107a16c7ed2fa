"""The past of a list: returning its tasks to how they were, and copying how they were."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, Field
from pydantic_core import from_json, to_json
from starlette.requests import Request
from starlette.responses import Response

from api.commands.list_reverts import Refusal
from api.commands.past_moments import TIME_FIELDS, past_moment
from api.commands.requests import Applied, CommandRequest
from api.http.bodies import read_object
from api.http.commands import command_answer, command_request_of, key_of, reach_end_of_log
from api.http.dependencies import caller_of, dependencies_of
from api.http.query import Query
from api.http.requests import path_id, query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint, command
from app.dates import format_time
from app.errors import FieldError, Invalid
from app.lists.commands import CreateList, RestoreList
from app.lists.state import TaskList
from app.log.updates import state_json
from app.stream_ids import list_stream
from app.tasks.list_revert import PlannedChange
from app.validation import validated
from app.values import Command, ListName, instant
from app.values import Moment as Time
from projections.postgres.periods import Moment


class PastTime(Command):
    """A past time of one of the two clocks."""

    as_of: Time | None = Field(None, description="The time, RFC 3339; required without `as_recorded_at`")
    as_recorded_at: Time | None = Field(
        None, description="The time, RFC 3339, as the log knew the list then; instead of `as_of`"
    )


class Revert(PastTime):
    """The time to return the tasks of a list to."""

    dry_run: bool = Field(False, description="Only report what would change")


class Copy(PastTime):
    """The time of which to copy a list, and the name of the copy."""

    name: ListName | None = Field(None, description="By default the name then, and the time")


class RevertedTask(BaseModel):
    """A task that changes, with each field's value before and after."""

    task_id: str
    title: str
    action: Literal["edited", "restored", "moved", "deleted"] = Field(description="The kind of the change")
    changes: dict[str, tuple[Any, Any]] = Field(description="Field → its value before and after")


class Adapted(BaseModel):
    """A field that does not get its former value."""

    task_id: str
    field: str
    detail: str


class Refused(BaseModel):
    """A task that cannot be as it was."""

    task_id: str
    title: str
    code: str
    detail: str


class RevertOut(BaseModel):
    """The result of a revert; with `dry_run`, what it would be."""

    as_of: str | None = Field(description="The time, in UTC")
    as_recorded_at: str | None = Field(description="The time instead, as the log knew the list then, in UTC")
    dry_run: bool = Field(description="True if nothing was changed")
    changes: list[RevertedTask] = Field(description="The tasks that change")
    adapted: list[Adapted] = Field(description="Fields that do not get their former values")
    conflicts: list[Refused] = Field(description="Tasks that stay as they are")
    undo_as_of: str | None = Field(None, description="The time to revert to, to undo this revert")


@dataclass(frozen=True, slots=True)
class CopiedList(TaskList):
    """A new list, with the number of its tasks and the tasks that could not be copied."""

    tasks: int = 0
    conflicts: tuple[Refused, ...] = ()


async def revert_list(request: Request) -> Response:
    """POST /api/lists/{id}/revert."""
    query_of(request, Query)
    deps, user = dependencies_of(request), caller_of(request).user
    body = await read_object(request, deps.settings.body_limit_bytes)
    wanted, list_id = validated(Revert, body), path_id(request, "list")
    moment = _moment_of(wanted)
    await reach_end_of_log(request)
    plan = await deps.list_reverts.plan(user, list_id, moment)
    if wanted.dry_run:
        return object_answer(_reverted(moment, plan.changes, plan.refusals, None))
    began = format_time(deps.clock())
    done = await deps.list_reverts.carry_out(plan, _template(request, list_id, body))
    return object_answer(_reverted(moment, done.changes, done.refusals, began), positions=done.positions)


async def copy_list(request: Request) -> Response:
    """POST /api/lists/{id}/copies."""
    query_of(request, Query)
    deps, user = dependencies_of(request), caller_of(request).user
    body = await read_object(request, deps.settings.body_limit_bytes)
    wanted, list_id = validated(Copy, body), path_id(request, "list")
    moment = _moment_of(wanted)
    await reach_end_of_log(request)
    plan = await deps.list_copies.plan(user, list_id, moment, wanted.name)
    template = _template(request, list_id, body)
    copied = await deps.list_copies.carry_out(plan, template)
    result = copied.list_result
    if isinstance(result, Applied):
        extra = {"tasks": len(copied.ids), "conflicts": [_refused(each) for each in copied.refusals]}
        result = replace(result, body=result.body[:-1] + b"," + to_json(extra)[1:], others=copied.positions)
    create = replace(template, command=CreateList(name=plan.name), stream=list_stream(copied.list_id))
    return command_answer(request, create, result)


def _template(request: Request, list_id: str, body: dict[str, Any]) -> CommandRequest:
    """Return the request from whose user, wait and ids those of the commands are made."""
    return command_request_of(request, RestoreList(), list_stream(list_id), key_of(request, body))


def _moment_of(wanted: PastTime) -> Moment:
    """Return the moment of a body. Raise `Invalid` unless there is exactly one."""
    times = (None if each is None else instant(each) for each in (wanted.as_of, wanted.as_recorded_at))
    moment = past_moment(*times)
    if moment is None:
        raise Invalid([FieldError("as_of", "is required, or as_recorded_at")])
    return moment


def _reverted(
    moment: Moment, changes: Sequence[PlannedChange], refusals: Sequence[Refusal], began: str | None
) -> RevertOut:
    times = dict.fromkeys(TIME_FIELDS.values())
    return RevertOut(
        **times | {TIME_FIELDS[moment.clock]: format_time(moment.time)},
        dry_run=began is None,
        changes=[_changed(each) for each in changes],
        adapted=[
            Adapted(task_id=each.task.id, field=name, detail=why)
            for each in changes
            for name, why in each.adapted.items()
        ],
        conflicts=[_refused(each) for each in refusals],
        undo_as_of=began,
    )


def _changed(change: PlannedChange) -> RevertedTask:
    before = from_json(state_json(change.task))
    after = from_json(state_json(replace(change.task, **change.fields)))
    return RevertedTask(
        task_id=change.task.id,
        title=change.task.title,
        action=change.action,
        changes={name: (before[name], after[name]) for name in change.fields},
    )


def _refused(refusal: Refusal) -> Refused:
    error = refusal.error
    return Refused(task_id=refusal.task_id, title=refusal.title, code=error.code, detail=error.detail)


_LIST = "/api/lists/{id}"
_TIME = "2026-11-29T09:00:00Z"

ENDPOINTS: tuple[Endpoint, ...] = (
    command(
        "POST",
        f"{_LIST}/revert",
        revert_list,
        "Return the tasks of a list to how they were at a time, by new events",
        body=Revert,
        example={"as_of": _TIME, "dry_run": True},
        query=Query,
        versioned=False,
        many=True,
        answers={200: RevertOut},
    ),
    command(
        "POST",
        f"{_LIST}/copies",
        copy_list,
        "Copy a list as it was at a time into a new list that you own",
        body=Copy,
        example={"as_of": _TIME, "name": "Last week"},
        query=Query,
        versioned=False,
        answers={201: CopiedList},
    ),
)
