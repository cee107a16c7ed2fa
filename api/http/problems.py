"""HTTP representation of errors: the only mapping from `TaskError` to problem+json (RFC 9457)."""

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
from projections.postgres.database import DATABASE_UNAVAILABLE


class FieldProblem(BaseModel):
    """An error in one field."""

    field: str
    message: str
    at: int | None = Field(None, description="Index of the first wrong character in a text, from 0")
    length: int | None = Field(None, description="Number of wrong characters")


class Problem(BaseModel):
    """An error response in the format of RFC 9457."""

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
    """The body is larger than this server accepts."""

    code = "body_too_large"


class UnsupportedType(TaskError):
    """The body has a content type that this resource does not accept."""

    code = "unsupported_media_type"


class MethodNotAllowed(TaskError):
    """The resource does not support this method."""

    code = "method_not_allowed"


class OriginRefused(TaskError):
    """The origin of the page is not allowed to send this request (CORS)."""

    code = "cors_refused"


class TooMany(TaskError):
    """The caller has reached the limit of what it may have open."""

    code = "too_many"


class Unexpected(TaskError):
    """An internal error; the log has its details under the correlation id."""

    code: ClassVar[str] = "internal"


@dataclass(frozen=True, slots=True)
class Kind:
    """The status and the title of one class of errors."""

    status: int
    title: str


KINDS: Mapping[type[TaskError], Kind] = {
    errors.Malformed: Kind(400, "Bad Request"),
    errors.Unauthenticated: Kind(401, "Unauthorized"),
    errors.Forbidden: Kind(403, "Forbidden"),
    OriginRefused: Kind(403, "Origin not allowed"),
    errors.NotFound: Kind(404, "Not Found"),
    MethodNotAllowed: Kind(405, "Method Not Allowed"),
    errors.Conflict: Kind(409, "Conflict"),
    errors.Gone: Kind(410, "Gone"),
    errors.PreconditionFailed: Kind(412, "Precondition Failed"),
    BodyTooLarge: Kind(413, "Content Too Large"),
    UnsupportedType: Kind(415, "Unsupported Media Type"),
    errors.Invalid: Kind(422, "Unprocessable Content"),
    errors.KeyReused: Kind(422, "Idempotency key reused"),
    TooMany: Kind(429, "Too Many Requests"),
    Unexpected: Kind(500, "Internal Server Error"),
    errors.Unavailable: Kind(503, "Service Unavailable"),
    errors.WrongLog: Kind(503, "Service Unavailable"),
}
"""Every error that may reach a caller; an error that is not listed is answered as `Unexpected`."""


def problem(error: TaskError, correlation_id: str | None = None) -> Response:
    """Return the problem response for `error`."""
    kind = KINDS.get(type(error))
    if kind is None:
        return problem(Unexpected(_UNEXPECTED), correlation_id)
    body: dict[str, Any] = {
        "type": TYPE_PREFIX + error.code,
        "title": kind.title,
        "status": kind.status,
        # It may quote the request, and a lone surrogate cannot be encoded.
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


_UNEXPECTED = "the error was logged; include the correlation id when you report it"


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
    """Return the response for any error of a request."""
    if isinstance(error, TaskError):
        return await on_task_error(request, error)
    # asyncpg raises the same class for values that it cannot send, which is an error of the server.
    if isinstance(error, DATABASE_UNAVAILABLE) and not isinstance(error, ValueError):
        # The traceback has no value: a dependency stopped answering, and the caller may retry.
        unavailable = errors.Unavailable(f"the database is unavailable ({type(error).__name__})")
        return await on_task_error(request, unavailable)
    return await on_unexpected(request, error)


async def on_task_error(request: Request, error: Exception) -> Response:
    """Answer a `TaskError`; an exception handler of Starlette."""
    assert isinstance(error, TaskError)
    if type(error) not in KINDS:
        return await on_unexpected(request, error)
    return problem(error, correlation_id_of(request))


async def on_http_exception(request: Request, error: Exception) -> Response:
    """Answer what Starlette's router refuses; an exception handler of Starlette."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405 and request.method == "OPTIONS":
        return Response(status_code=204, headers={"Allow": _allowed(error), "Cache-Control": "no-cache"})
    known: dict[int, TaskError] = {
        404: errors.NotFound("there is no resource at this address"),
        405: MethodNotAllowed(f"{request.method} is not possible here"),
        413: BodyTooLarge(error.detail),
    }
    answer = problem(known.get(error.status_code, errors.Malformed(error.detail)), correlation_id_of(request))
    answer.headers.update(error.headers or {})
    if error.status_code == 405:
        answer.headers["Allow"] = _allowed(error)
    return answer


def _allowed(error: HTTPException) -> str:
    """Return the allowed methods in order, with OPTIONS, which routes do not list."""
    methods = (error.headers or {}).get("Allow", "")
    return ", ".join(sorted({*methods.replace(" ", "").split(","), "OPTIONS"} - {""}))


async def on_unexpected(request: Request, error: Exception) -> Response:
    """Log an unexpected error with its traceback, and send the caller only its correlation id."""
    _log.error(
        "request failed",
        exc_info=error,
        method=request.method,
        path=request.url.path,
        correlation_id=correlation_id_of(request),
    )
    return problem(Unexpected(_UNEXPECTED), correlation_id_of(request))


def correlation_id_of(request: HTTPConnection) -> str | None:
    """Return the id that links the response, the events and the log lines of a request."""
    found: str | None = request.scope.get("state", {}).get("correlation_id")
    return found


async def deny(socket: WebSocket, error: TaskError) -> None:
    """Answer a handshake with a problem instead of accepting it."""
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(problem(error))
    else:
        await socket.close()
