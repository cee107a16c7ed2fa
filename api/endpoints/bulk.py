"""Many commands in one request, each with its own outcome: `POST /api/bulk`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.commands.concurrently import concurrently
from api.commands.idempotency import command_key
from api.commands.requests import CommandRequest, CommandResult, Pending
from api.endpoints.bulk_commands import Bulk, Entry, entry_of
from api.endpoints.bulk_order import families, runs
from api.http.bodies import read_object
from api.http.commands import OUTCOMES_PATH, location_of, preference_of, status_of
from api.http.dependencies import caller_of, dependencies_of
from api.http.headers import traceparent
from api.http.problems import Problem, correlation_id_of, on_error
from api.http.query import Query
from api.http.requests import query_of
from api.http.responses import json_answer
from api.http.routing import Endpoint, command
from app.errors import Invalid, Malformed, TaskError
from app.lists.state import TaskList
from app.positions import Positions, latest
from app.tasks.state import Task
from app.validation import validated

AT_ONCE = 8
"""The most independent commands of a request that are carried out concurrently."""


class BulkOutcome(BaseModel):
    """The outcome of one command: the response that it would have had on its own."""

    status: int = Field(examples=[200])
    position: str | None = Field(None, description="Position of its event, if one was written")
    location: str | None = Field(None, description="Address of what was created, or of the pending outcome")
    task: Task | None = Field(None, description="The task after the command; absent if deleted")
    list: TaskList | None = Field(None, description="The list after a command on a list")
    problem: Problem | None = None


class BulkOut(BaseModel):
    """The outcome of each command, in their order."""

    outcomes: list[BulkOutcome]


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a command as JSON, and the positions of its events."""

    body: bytes
    positions: Positions


async def bulk(request: Request) -> Response:
    """POST /api/bulk."""
    query_of(request, Query)
    deps = dependencies_of(request)
    body = await read_object(request, deps.settings.body_limit_bytes)
    given: Sequence[Any] = validated(Bulk, body).commands
    wanted = preference_of(request)
    deadline = time.monotonic() + wanted.wait_s
    outcomes: dict[int, Outcome] = {}
    entries: list[Entry] = []
    # An invalid header fails the whole request.
    command_key("", request.headers.get("idempotency-key"), method="", path="", body=None)
    for index, raw in enumerate(given):
        try:
            entries.append(entry_of(request, index, raw, strict=wanted.strict))
        except (Invalid, Malformed) as error:
            outcomes[index] = await _failure(request, error)

    async def serve(family: Sequence[Entry]) -> None:
        for run in runs(family):
            outcomes.update(await _outcomes(request, run, deadline))

    await concurrently(serve, await families(entries, deps.commands.tops), AT_ONCE)
    return _answer([outcomes[index] for index in range(len(given))], wanted.applied)


async def _outcomes(request: Request, run: Sequence[Entry], deadline: float) -> dict[int, Outcome]:
    """Carry out a command, or creations together; an error of one is its outcome."""
    deps = dependencies_of(request)
    found: dict[int, Outcome] = {}
    requests: dict[int, CommandRequest] = {}
    for entry in run:
        try:
            requests[entry.index] = await _request_of(request, entry, deadline)
        except Exception as error:  # noqa: BLE001
            found[entry.index] = await _failure(request, error)
    results: Sequence[CommandResult | TaskError] = ()
    try:
        if len(run) > 1 and requests:
            results = await deps.commands.create_together(list(requests.values()))
        elif requests:
            results = [await deps.commands.handle(each) for each in requests.values()]
    except Exception as error:  # noqa: BLE001
        return found | {index: await _failure(request, error) for index in requests}
    for (index, command_request), result in zip(requests.items(), results, strict=True):
        if isinstance(result, TaskError):
            found[index] = await _failure(request, result)
        else:
            found[index] = _success(command_request, result)
    return found


async def _request_of(request: Request, entry: Entry, deadline: float) -> CommandRequest:
    """Return the request of one of the commands. Raise as `TaskActions.command`."""
    each, user = entry.command, caller_of(request).user
    command, stream = await dependencies_of(request).task_actions.command(
        each.command,
        each.body,
        user,
        entry.key,
        target_id=each.task_id or each.list_id,
        cascade=each.cascade,
        scope=each.scope,
    )
    return CommandRequest(
        command=command,
        stream=stream,
        user=user,
        wait_s=max(0.0, deadline - time.monotonic()),
        if_match=entry.if_match,
        key=entry.key,
        correlation_id=correlation_id_of(request),
        traceparent=traceparent(request),
    )


def _success(request: CommandRequest, result: CommandResult) -> Outcome:
    status, location = status_of(request.command), location_of(request)
    summary: dict[str, Any] = {"status": status}
    if result.position is not None:
        summary["position"] = str(result.position)
    if location is not None:
        summary["location"] = location
    if isinstance(result, Pending):
        summary |= {"status": 202, "location": f"{OUTCOMES_PATH}/{result.position}"}
        return Outcome(to_json(summary), result.positions)
    kind = request.stream.kind.encode()
    shown = b"" if status == 204 else b',"%s":%s' % (kind, result.body)
    return Outcome(to_json(summary)[:-1] + shown + b"}", result.positions)


async def _failure(request: Request, error: Exception) -> Outcome:
    problem = await on_error(request, error)
    return Outcome(b'{"status":%d,"problem":%s}' % (problem.status_code, bytes(problem.body)), {})


def _answer(outcomes: Sequence[Outcome], applied: str | None) -> Response:
    positions = latest(each for outcome in outcomes for each in outcome.positions.items())
    headers = {} if applied is None else {"Preference-Applied": applied}
    body = b'{"outcomes":[%s]}' % b",".join(outcome.body for outcome in outcomes)
    return json_answer(body, positions=positions, headers=headers)


_ID = "0190f3c0-0000-7000-8000-000000000000"

ENDPOINTS: tuple[Endpoint, ...] = (
    command(
        "POST",
        "/api/bulk",
        bulk,
        "Carry out many commands on tasks; each has its own outcome",
        body=Bulk,
        example={
            "commands": [
                {"command": "create", "body": {"title": "Buy milk"}},
                {"command": "edit", "task_id": _ID, "body": {"priority": "high"}, "if_match": 3},
                {"command": "complete", "task_id": _ID, "cascade": True},
            ]
        },
        query=Query,
        versioned=False,
        many=True,
        answers={200: BulkOut},
    ),
)
