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

from api.endpoints.import_target import ImportTarget, ListById, ListByName
from api.http.bodies import JSON, check_type, parse_object, read_body
from api.http.commands import preference_of, reach_end_of_log
from api.http.dependencies import caller_of, dependencies_of
from api.http.headers import wanted_positions
from api.http.problems import correlation_id_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from app.errors import FieldError, Invalid, Undecodable
from app.imported_history import Import, ImportedTask, missing, records_of
from app.imported_stages import ImportStages
from app.log.ports import EventLog
from app.log.records import Record
from app.positions import Position, latest, positions_to_json
from app.stream_ids import list_stream
from app.validation import validated

APPEND_AT_ONCE = 1_000


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
    positions = wanted_positions(request, deps.log.partitions) or await reach_end_of_log(request)
    await deps.commands.decisions.wait_until_recent()
    wait_s, correlation_id = preference_of(request).wait_s, correlation_id_of(request)
    target = ImportTarget(deps.commands, deps.lists, user, wait_s, correlation_id)
    list_id = await target.find(action.list)
    wanted = [each["events"] for each in action.tasks] if action.add_stages else []
    added_stages = await target.add_stages(list_id, wanted)
    # From here the list cannot be deleted or get other stages until the imported events are visible.
    async with deps.commands.sharing(list_stream(list_id)) as hold:
        stages = ImportStages(await target.locked_list(list_id))
        run = Import(list_id, user, correlation_id)
        histories = await asyncio.to_thread(_histories, run, action.tasks, stages)
        there = await deps.audit.event_ids([history[0].stream for history in histories]) if histories else {}
        plan = _plan(action.tasks, histories, there)
        for position in await _append(deps.log, plan.added):
            hold.until(position)
        positions = latest([*positions.items(), *hold.positions.items()])
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
