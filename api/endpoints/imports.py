"""Import of tasks with their histories over HTTP.

An import appends the missing events of each history. A request with `Tasktape-Position` waits until the read
models have reached that position. Any other request waits for the current end of the log, so that an
interrupted import sees its own events. Either way a repeated event changes nothing: its id is derived, and
the fold accepts each id once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict, Field
from starlette.requests import Request
from starlette.responses import Response

from api.commands.entity_tags import Precondition
from api.commands.requests import CommandRequest, Pending
from api.http.bodies import JSON, check_type, parse_object, read_body
from api.http.dependencies import Dependencies, caller_of, dependencies_of
from api.http.headers import preference, wanted_positions
from api.http.problems import correlation_id_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from app import authorisation
from app.errors import (
    Conflict,
    FieldError,
    Invalid,
    PreconditionFailed,
    Unavailable,
    Undecodable,
)
from app.imported_history import Import, ImportedTask, import_list_id, missing, records_of
from app.imported_stages import ImportStages, missing_stages
from app.lists.commands import CreateList, EditList
from app.lists.events import Stage
from app.lists.state import TaskList
from app.log.ports import EventLog
from app.log.records import Record
from app.positions import Position, positions_to_json
from app.tasks.commands import CreateTask
from app.validation import validated
from app.values import ListId, Title

APPEND_AT_ONCE = 1_000
MAX_DELETED_LISTS = 1_000
MAX_TRIES = 5
"""The most attempts to add stages while others do the same."""


class ListById(BaseModel):
    """An existing list."""

    model_config = ConfigDict(extra="forbid", strict=True)
    id: ListId


class ListByName(BaseModel):
    """The list that imports of this name go to: that of an earlier import, one of that name, or a new one."""

    model_config = ConfigDict(extra="forbid", strict=True)
    name: Title


class ImportRequest(BaseModel):
    """Tasks with their histories, and the list they go to. Without tasks it finds or creates the list."""

    model_config = ConfigDict(extra="forbid", strict=True)
    list: ListById | ListByName
    add_stages: bool = Field(
        False, description="Add missing stages to the list, instead of mapping to its own"
    )
    tasks: tuple[ImportedTask, ...] = Field((), strict=False)


class ImportOut(BaseModel):
    """The result of an import."""

    list_id: str
    tasks: int
    events: int = Field(description="Events in the histories of these tasks")
    added: int = Field(description="Events written by this request")
    present: int = Field(description="Events that existed before")
    diverged: list[str] = Field(
        description="Keys of tasks that have diverged since their import, and were not changed"
    )
    stages: dict[str, str] = Field(description="Stage of the source → stage of the list, by name or category")
    settled: int = Field(description="Edits that completed or reopened a task because of the list's stages")
    added_stages: list[str] = Field(description="Stages that were added to the list")
    positions: dict[str, int] = Field(description="Positions at which the read models contain the import")


@dataclass(frozen=True, slots=True)
class _Plan:
    """The events of some histories that must be written."""

    added: list[Record]
    events: int
    diverged: list[str]
    diverged_events: int


async def import_tasks(request: Request) -> Response:
    """POST /api/import."""
    deps, user = dependencies_of(request), caller_of(request).user
    check_type(request, JSON)
    body = await read_body(request, deps.settings.body_limit_bytes)
    # Parsing thousands of events takes long: a thread keeps the event loop free.
    action = await asyncio.to_thread(_read, body)
    positions = wanted_positions(request, deps.log.partitions) or await _catch_up(request, deps)
    await deps.commands.wait_until_recent()
    list_id = await _list_of(request, deps, action.list)
    _, added_stages = await _home(request, deps, list_id, action)
    # From here the list cannot be deleted or get other stages until the imported events are visible.
    async with deps.commands.sharing(f"list:{list_id}") as hold:
        stages = ImportStages(await _home_now(deps, list_id, user))
        run = Import(list_id, user, correlation_id_of(request))
        histories = await asyncio.to_thread(_histories, run, action.tasks, stages)
        there = await deps.audit.event_ids([history[0].stream for history in histories]) if histories else {}
        plan = _plan(action.tasks, histories, there)
        for position in await _append(deps.log, plan.added):
            hold.until(position)
        for partition, offset in hold.positions.items():
            positions[partition] = max(offset, positions.get(partition, -1))
    return object_answer(
        ImportOut(
            list_id=list_id,
            tasks=len(histories),
            events=plan.events,
            added=len(plan.added),
            present=plan.events - len(plan.added) - plan.diverged_events,
            diverged=plan.diverged,
            stages=stages.renamed,
            settled=stages.settled,
            added_stages=added_stages,
            positions=positions_to_json(positions),
        ),
        positions=positions,
    )


def _read(body: bytes) -> ImportRequest:
    return validated(ImportRequest, parse_object(body))


def _histories(run: Import, tasks: Sequence[ImportedTask], stages: ImportStages) -> list[list[Record]]:
    """Return the records of every task. Raise `Invalid`, also for a task that is repeated."""
    histories: list[list[Record]] = []
    seen: set[str] = set()
    for index, task in enumerate(tasks):
        try:
            history = records_of(run, task, stages)
        except Undecodable as error:
            raise Invalid([FieldError(f"tasks.{index}.events", error.detail)]) from None
        if history[0].stream in seen:
            raise Invalid([FieldError(f"tasks.{index}.key", "is repeated; distinguish the tasks by nth")])
        seen.add(history[0].stream)
        histories.append(history)
    return histories


def _plan(
    tasks: Sequence[ImportedTask], histories: Sequence[Sequence[Record]], there: dict[str, list[str]]
) -> _Plan:
    added: list[Record] = []
    diverged: list[str] = []
    events = diverged_events = 0
    for task, history in zip(tasks, histories, strict=True):
        events += len(history)
        rest = missing(history, there.get(history[0].stream, ()))
        if rest is None:
            diverged.append(task["key"])
            diverged_events += len(history)
        else:
            added.extend(rest)
    return _Plan(added, events, diverged, diverged_events)


async def _append(log: EventLog, records: Sequence[Record]) -> list[Position]:
    """Append records in order, in batches, so that other requests get their turn."""
    positions: list[Position] = []
    for first in range(0, len(records), APPEND_AT_ONCE):
        positions += await log.append(records[first : first + APPEND_AT_ONCE])
    return positions


async def _catch_up(request: Request, deps: Dependencies) -> dict[int, int]:
    """Wait until the read models have reached the current end of the log. Raise `Unavailable`."""
    ends = {partition: end - 1 for partition, end in (await deps.log.ends()).items() if end > 0}
    wait_s = preference(request, deps.settings.command_wait_ms / 1000).wait_s
    if not await deps.outcomes.wait_reached(ends, wait_s):
        raise Unavailable("the read models have not reached the end of the log yet; try again")
    return ends


async def _home(
    request: Request, deps: Dependencies, list_id: str, action: ImportRequest
) -> tuple[TaskList | None, list[str]]:
    """Return the list, with its missing stages added if requested, and their names.

    Raise the errors of `CommandHandler.handle`.
    """
    for _ in range(MAX_TRIES):
        home = await deps.commands.state(f"list:{list_id}")
        if not isinstance(home, TaskList):
            return None, []
        # A list without its own stages accepts any stage.
        new = (
            missing_stages(home, [each["events"] for each in action.tasks])
            if action.add_stages and home.stages
            else []
        )
        if not new:
            return home, []
        try:
            await _edit_stages(request, home, [*home.stages, *new])
        except PreconditionFailed:
            continue  # another part of the same import added stages concurrently
        made = await deps.commands.state(f"list:{list_id}")
        return made if isinstance(made, TaskList) else None, [each["name"] for each in new]
    raise Conflict("the list's stages are being changed; try again")


async def _home_now(deps: Dependencies, list_id: str, user: str) -> TaskList | None:
    """Return the list as it is under its lock. Raise `NotFound` or `Forbidden` if it is gone."""
    home = await deps.commands.state(f"list:{list_id}")
    if not isinstance(home, TaskList):
        return None
    authorisation.check(CreateTask, authorisation.role_in(home, user), "no such list")
    return home


async def _edit_stages(request: Request, home: TaskList, stages: Sequence[Stage]) -> None:
    deps = dependencies_of(request)
    command_request = CommandRequest(
        command=validated(EditList, {"stages": list(stages)}),
        stream=f"list:{home.id}",
        user=caller_of(request).user,
        wait_s=preference(request, deps.settings.command_wait_ms / 1000).wait_s,
        if_match=Precondition(frozenset({home.version}), strict=True),
        correlation_id=correlation_id_of(request),
    )
    if isinstance(await deps.commands.handle(command_request), Pending):
        raise Unavailable("the list's stages are written and not visible yet; try again")


async def _list_of(request: Request, deps: Dependencies, wanted: ListById | ListByName) -> str:
    """Return the id of the list that an import goes to. Raise `NotFound`, `Forbidden` or `Unavailable`."""
    user = caller_of(request).user
    if isinstance(wanted, ListByName):
        return await _list_by_name(request, deps, wanted.name)
    state = await deps.commands.state(f"list:{wanted.id}")
    home = state if isinstance(state, TaskList) else None
    authorisation.check_in(home, CreateTask, user, "no such list")
    return wanted.id


async def _list_by_name(request: Request, deps: Dependencies, name: str) -> str:
    user = caller_of(request).user
    for nth in range(MAX_DELETED_LISTS):
        list_id = import_list_id(user, name, nth)
        state = await deps.commands.state(f"list:{list_id}")
        if state is None:
            named = await deps.lists.named(user, name)
            return named.id if named else await _create_list(request, deps, list_id, name)
        # It is deleted or transferred: try the next id. A renamed imported list is still the same.
        role = authorisation.role_in(state, user) if isinstance(state, TaskList) else None
        if authorisation.may(CreateTask, role):
            return list_id
    raise Conflict("too many lists of this name were deleted; import under another name")


async def _create_list(request: Request, deps: Dependencies, list_id: str, name: str) -> str:
    command_request = CommandRequest(
        command=CreateList(name=name),
        stream=f"list:{list_id}",
        user=caller_of(request).user,
        wait_s=preference(request, deps.settings.command_wait_ms / 1000).wait_s,
        correlation_id=correlation_id_of(request),
    )
    try:
        made = await deps.commands.handle(command_request)
    except Conflict:
        return list_id  # another import created it concurrently
    if isinstance(made, Pending):
        raise Unavailable("the list is written and not visible yet; try again")
    return list_id


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "POST",
        "/api/import",
        import_tasks,
        "Import tasks with their histories; existing events are not written again",
        "import",
        body=ImportRequest,
        answers={200: ImportOut},
    ),
)
