"""Commands over HTTP: their requests from headers and bodies, and the responses to their results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal
from urllib.parse import urlencode

from pydantic import BaseModel
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.commands.idempotency import CommandKey, command_key
from api.commands.requests import Applied, CommandRequest, CommandResult, Pending
from api.http.dependencies import caller_of, dependencies_of
from api.http.headers import Preference, if_match, if_none_match, preference, traceparent
from api.http.problems import correlation_id_of
from api.http.responses import json_answer
from app.deciders import AnyCommand
from app.errors import Unavailable
from app.lists.commands import CreateList, DeleteList, LeaveList, RemoveMember
from app.positions import format_positions
from app.stream_ids import StreamId
from app.tasks.commands import Comment, CreateTask, DeleteComment, DeleteTask

OUTCOMES_PATH = "/api/outcomes"
_STATUSES: Mapping[type[AnyCommand], int] = {
    CreateTask: 201,
    CreateList: 201,
    Comment: 201,
    DeleteTask: 204,
    DeleteComment: 204,
    DeleteList: 204,
    RemoveMember: 204,
    LeaveList: 204,
}


class WrittenOut(BaseModel):
    """An event that is written and not yet visible; `Location` is the address of its outcome."""

    position: str
    outcome: Literal["pending"] = "pending"


async def carry_out(
    request: Request, command: AnyCommand, stream: StreamId, key: CommandKey | None
) -> Response:
    """Carry out a command as the request's headers specify, and answer."""
    command_request = command_request_of(request, command, stream, key)
    result = await dependencies_of(request).commands.handle(command_request)
    return command_answer(request, command_request, result)


# --- requests --------------------------------------------------------------------------------------------


def key_of(request: Request, body: Mapping[str, Any]) -> CommandKey | None:
    """Return the key of the command from `Idempotency-Key`, if present. Raise `Malformed`."""
    header = request.headers.get("idempotency-key")
    if header is None:
        return None
    path, parameters = request.url.path, sorted(request.query_params.multi_items())
    return command_key(
        caller_of(request).user,
        header,
        method=request.method,
        path=f"{path}?{urlencode(parameters)}" if parameters else path,
        body=body,
    )


def command_request_of(
    request: Request, command: AnyCommand, stream: StreamId, key: CommandKey | None
) -> CommandRequest:
    """Return the request of a command: its user and the conditions in the headers."""
    wanted = preference_of(request)
    return CommandRequest(
        command=command,
        stream=stream,
        user=caller_of(request).user,
        wait_s=wanted.wait_s,
        if_match=if_match(request, strict=wanted.strict),
        if_none_match=if_none_match(request),
        key=key,
        correlation_id=correlation_id_of(request),
        traceparent=traceparent(request),
    )


def preference_of(request: Request) -> Preference:
    """Return the caller's preferences, such as how long to wait for an outcome."""
    return preference(request, dependencies_of(request).settings.command_wait_ms / 1000)


async def reach_end_of_log(request: Request) -> dict[int, int]:
    """Wait until the read models have reached the current end of the log; return its positions.

    Raise `Unavailable`.
    """
    deps = dependencies_of(request)
    ends = {partition: end - 1 for partition, end in (await deps.log.ends()).items() if end > 0}
    if not await deps.outcomes.wait_reached(ends, preference_of(request).wait_s):
        raise Unavailable("the read models have not reached the end of the log yet; try again")
    return ends


# --- responses -------------------------------------------------------------------------------------------


def status_of(command: AnyCommand) -> int:
    """Return the status of success of a command."""
    return _STATUSES.get(type(command), 200)


def location_of(request: CommandRequest) -> str | None:
    """Return the address of what a command creates, None if it creates nothing."""
    stream = request.stream
    match request.command:
        case CreateTask() | CreateList():
            return f"/api/{stream.kind}s/{stream.key}"
        case Comment(comment_id=comment_id):
            return f"/api/{stream.kind}s/{stream.key}/comments/{comment_id}"
        case _:
            return None


def command_answer(request: Request, command_request: CommandRequest, result: CommandResult) -> Response:
    """Return the response to a command; 202 if its outcome is not known yet, or was not to be waited for."""
    match result:
        case Applied(position=position, is_repeat=False) if position and command_request.wait_s <= 0:
            # The worker was quicker than the broker's answer: clients need not expect that.
            return command_answer(request, command_request, Pending(position, result.others))
        case Applied():
            answer = _applied(request, command_request, result)
        case Pending(position=position):
            answer = json_answer(
                to_json({"position": str(position), "outcome": "pending"}),
                status=202,
                positions=result.positions,
                headers={"Location": f"{OUTCOMES_PATH}/{position}"},
            )
    applied = preference_of(request).applied
    if applied is not None:
        answer.headers["Preference-Applied"] = applied
    return answer


def _applied(request: Request, command_request: CommandRequest, result: Applied) -> Response:
    # A command that had nothing left to do wrote nothing: answer with the positions visible before it.
    is_written = result.position is not None
    positions = result.positions if is_written else dependencies_of(request).outcomes.reached
    status, location = status_of(command_request.command), location_of(command_request)
    if status == 204:
        answer = Response(status_code=204)
        if positions:
            answer.headers["Tasktape-Position"] = format_positions(positions)
        return answer
    answer = json_answer(result.body, status=status, version=result.version, positions=positions)
    if location is not None:
        answer.headers["Location"] = location
    if result.body != b"null":
        shown_at = request.scope["path"] if location is None else location
        # The address of the task or list, without what follows its id.
        answer.headers["Content-Location"] = "/".join(shown_at.split("/")[:4])
    return answer
