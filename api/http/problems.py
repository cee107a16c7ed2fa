"""Errors as HTTP sees them: the one map from `TaskError` to problem+json (RFC 9457)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import structlog
from pydantic import (
    BaseModel,
    Field,
)
from pydantic_core import to_json
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from app import errors
from app.errors import FieldError, TaskError
from app.validation import MAX_FIELD_ERRORS
from projections.postgres.database import AWAY


class FieldProblem(BaseModel):
    """What is wrong with one field."""

    field: str
    message: str
    at: int | None = Field(None, description="The character of a text where it is wrong, from 0")
    length: int | None = Field(None, description="For so many characters")


class Problem(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    correlation_id: str | None = None
    errors: list[FieldProblem] | None = None
    base: dict[str, Any] | None = None
    theirs: dict[str, Any] | None = None
    yours: dict[str, Any] | None = None


PROBLEM_TYPE = "application/problem+json"
TYPE_PREFIX = "urn:tasktape:problem:"
TOO_MANY_RETRY_S = 10

_log = structlog.get_logger()


class BodyTooLarge(TaskError):
    """The body is larger than this server reads."""

    code = "body_too_large"


class UnsupportedType(TaskError):
    """The body has another content type than this resource reads."""

    code = "unsupported_media_type"


class MethodNotAllowed(TaskError):
    """The resource does not know this method."""

    code = "method_not_allowed"


class OriginRefused(TaskError):
    """A page of another origin may not do this here (CORS)."""

    code = "cors_refused"


class TooMany(TaskError):
    """The caller has as much open as it may have."""

    code = "too_many"


class Unexpected(TaskError):
    """Our own mistake; what went wrong is in the log, under the correlation id."""

    code: ClassVar[str] = "internal"


@dataclass(frozen=True, slots=True)
class Kind:
    """How one class of errors is answered."""

    status: int
    title: str


KINDS: Mapping[type[TaskError], Kind] = {
    errors.Malformed: Kind(400, "The request can't be read"),
    errors.Unauthenticated: Kind(401, "Who are you?"),
    errors.Forbidden: Kind(403, "Not allowed"),
    OriginRefused: Kind(403, "Not allowed from this origin"),
    errors.NotFound: Kind(404, "Not found"),
    MethodNotAllowed: Kind(405, "Method not allowed"),
    errors.Conflict: Kind(409, "Conflict"),
    errors.PreconditionFailed: Kind(412, "The precondition does not hold"),
    BodyTooLarge: Kind(413, "The body is too large"),
    UnsupportedType: Kind(415, "Unsupported content type"),
    errors.Invalid: Kind(422, "Invalid"),
    errors.KeyReused: Kind(422, "The idempotency key was used for another command"),
    TooMany: Kind(429, "Too many at a time"),
    Unexpected: Kind(500, "Something went wrong on our side"),
    errors.Unavailable: Kind(503, "Not available right now"),
    errors.WrongLog: Kind(503, "Not available right now"),
}
"""Every error that may reach a caller; what is not listed is answered as `Unexpected`."""


def problem(error: TaskError, correlation_id: str | None = None) -> Response:
    """The answer that tells of `error`."""
    kind = KINDS.get(type(error))
    if kind is None:
        return problem(Unexpected(_UNEXPECTED), correlation_id)
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + error.code,
        "title": kind.title,
        "status": kind.status,
        # It may quote what was sent, in which a lone surrogate is no text.
        "detail": error.detail.encode(errors="backslashreplace").decode(),
        "code": error.code,
        **_extensions(error),
    }
    if correlation_id:
        body["correlation_id"] = correlation_id
    return Response(
        to_json(body, inf_nan_mode="null"),
        status_code=kind.status,
        headers=_headers(error),
        media_type=PROBLEM_TYPE,
    )


_UNEXPECTED = "the error was recorded; name the correlation id when you report it"


def _extensions(error: TaskError) -> dict[str, Any]:
    match error:
        case errors.Invalid():
            return {"errors": [_field_error(one) for one in error.errors[:MAX_FIELD_ERRORS]]}
        case errors.Conflict() if error.yours or error.theirs:
            return {"base": error.base, "theirs": error.theirs, "yours": error.yours}
        case _:
            return {}


def _field_error(error: FieldError) -> dict[str, Any]:
    place = {} if error.at is None else {"at": error.at, "length": error.length}
    return {"field": error.field, "message": error.message, **place}


def _headers(error: TaskError) -> dict[str, str]:
    match error:
        case errors.Unauthenticated():
            return {"WWW-Authenticate": 'Bearer realm="tasktape"'}
        case TooMany():
            return {"Retry-After": str(TOO_MANY_RETRY_S)}
        case errors.Unavailable():
            return {"Retry-After": str(error.retry_after_s)}
        case _:
            return {}


async def on_error(request: Request, error: Exception) -> Response:
    """The answer to whatever went wrong with a request."""
    if isinstance(error, TaskError):
        return await on_task_error(request, error)
    # asyncpg also says so of values that it can't send, and that is our mistake.
    if isinstance(error, AWAY) and not isinstance(error, ValueError):
        # The traceback is worth nothing: a dependency stopped answering, and the caller may come back.
        away = errors.Unavailable(f"the database is away ({type(error).__name__})")
        return await on_task_error(request, away)
    return await on_unexpected(request, error)


async def on_task_error(request: Request, error: Exception) -> Response:
    """Starlette's handler of our own errors."""
    assert isinstance(error, TaskError)
    if type(error) not in KINDS:
        return await on_unexpected(request, error)
    return problem(error, correlation_id_of(request))


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Starlette's handler of what its router refuses."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405 and request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": _allowed(error), "Cache-Control": "no-cache"})
    known: dict[int, TaskError] = {
        404: errors.NotFound("there is nothing at this address"),
        405: MethodNotAllowed(f"{request.method} is not possible here"),
        413: BodyTooLarge(error.detail),
    }
    answer = problem(known.get(error.status_code, errors.Malformed(error.detail)), correlation_id_of(request))
    answer.headers.update(error.headers or {})
    if error.status_code == 405:
        answer.headers["Allow"] = _allowed(error)
    return answer


def _allowed(error: HTTPException) -> str:
    """Return the methods of an address in order, of which routes do not know OPTIONS."""
    methods = (error.headers or {}).get("Allow", "")
    return ", ".join(sorted({*methods.replace(" ", "").split(","), "OPTIONS"} - {""}))


async def on_unexpected(request: Request, error: Exception) -> Response:
    """The last resort: log the mistake with its traceback, and tell the caller nothing but an id."""
    _log.error(
        "request failed",
        exc_info=error,
        method=request.method,
        path=request.url.path,
        correlation_id=correlation_id_of(request),
    )
    return problem(Unexpected(_UNEXPECTED), correlation_id_of(request))


def correlation_id_of(request: HTTPConnection) -> str | None:
    """The id that ties the answer, the events and the log lines of a request together."""
    found: str | None = request.scope.get("state", {}).get("correlation_id")
    return found


async def deny(socket: WebSocket, error: TaskError) -> None:
    """Answer a handshake with a problem instead of a socket."""
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(problem(error))
    else:
        await socket.close()
