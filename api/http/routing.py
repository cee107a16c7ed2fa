"""Endpoints as data: the router and the OpenAPI document are made from the same table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from api.auth import Identity, bearer_token
from api.http.bodies import JSON
from api.http.dependencies import Dependencies, dependencies_of
from api.http.headers import preference, wanted_positions
from api.http.problems import UnsupportedType, on_error, on_http_exception
from api.http.representations import finished
from app.errors import Forbidden, Malformed, PreconditionFailed, TaskError, Unavailable

_NO_VERSION = (
    "this resource has no version to compare; in bulk, each command has its own `if_match`, and an"
    " Idempotency-Key makes creations safe to repeat"
)

Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path. `answers` maps each status of success to the type of its body, or None."""

    method: str
    path: str
    handler: Handler
    summary: str
    tag: str
    answers: Mapping[int, Any] = field(default_factory=dict)
    query: type[BaseModel] | None = None
    body: Any = None
    body_types: tuple[str, ...] = JSON
    body_optional: bool = False
    example: Any = None
    """An example of a request body."""
    public: bool = False
    admin: bool = False
    audit: bool = False
    """True if it is for administrators and auditors."""
    command: bool = False
    """True if it writes to the log; then it accepts the headers of commands."""
    versioned: bool = True
    """True if the command's target has a version, which `If-Match` can name."""
    many: bool = False
    """True if it carries out many commands and reports the outcome of each."""
    problems: tuple[type[TaskError], ...] = ()
    """The errors that it may answer with, besides those that follow from its other fields."""
    as_text: bool = False
    """True if it answers with plain text, unless the caller prefers JSON."""
    content_types: tuple[str, ...] = ()
    """The content types of an answer that is a file, which is made while it is sent."""
    stream: bool = False
    """True if it answers with an event stream, for which the token may be sent as `access_token`."""


def command(method: str, path: str, handler: Handler, summary: str, **rest: Any) -> Endpoint:
    """Return an endpoint that writes to the log; its tag is the resource in its path."""
    return Endpoint(method, path, handler, summary, path.split("/")[2], command=True, **rest)


def routes(endpoints: Iterable[Endpoint]) -> list[Route]:
    """Return one route for each path, so that a 405 lists all methods of the path."""
    by_path: dict[str, dict[str, Endpoint]] = defaultdict(dict)
    for endpoint in endpoints:
        by_path[endpoint.path][endpoint.method] = endpoint
    return [_route(path, methods) for path, methods in by_path.items()]


def _route(path: str, methods: Mapping[str, Endpoint]) -> Route:
    # A user's name may contain a slash, which is `%2F` in the request and decoded here.
    return Route(path.replace("{user}", "{user:path}"), _Resource(methods), methods=list(methods))


@dataclass(frozen=True, slots=True)
class _Resource:
    """The methods of one path, as an ASGI application: Starlette adds no layers for errors to those."""

    methods: Mapping[str, Endpoint]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        request, method = Request(scope, receive, send), scope["method"]
        response = await _serve(request, self.methods["GET" if method == "HEAD" else method])
        await response(scope, receive, send)


async def _serve(request: Request, endpoint: Endpoint) -> Response:
    """Authenticate the caller, wait for the requested positions, and answer; errors become problems."""
    try:
        deps = dependencies_of(request)
        if not endpoint.public:
            await _admit(request, deps, endpoint)
        if not endpoint.command:
            await _wait_visible(request, deps)
        elif not endpoint.versioned:
            _refuse_conditions(request)
        response = await endpoint.handler(request)
        if endpoint.stream or endpoint.content_types:
            return response
        return await finished(request, response, private=not endpoint.public)
    except HTTPException as error:
        return await on_http_exception(request, error)
    except ClientDisconnect:
        return Response(status_code=400)  # the client has disconnected
    except UnsupportedType as error:
        answer = await on_error(request, error)
        answer.headers.update(_accepted(endpoint))
        return answer
    except Exception as error:  # noqa: BLE001
        return await on_error(request, error)


def _accepted(endpoint: Endpoint) -> dict[str, str]:
    """Return headers that list the accepted content types (RFC 5789, 2.2 and RFC 9110, 15.5.16)."""
    name = "Accept-Patch" if endpoint.method == "PATCH" else "Accept-Post"
    return {name: ", ".join(endpoint.body_types), "Accept-Encoding": "identity"}


async def _admit(request: Request, deps: Dependencies, endpoint: Endpoint) -> None:
    header = request.headers.get("authorization")
    # `EventSource` in browsers cannot set headers.
    in_query = request.query_params.get("access_token") if endpoint.stream and header is None else None
    token = bearer_token(header) if in_query is None else in_query
    identity = await deps.verifier.verify(token)
    _check_role(identity, endpoint)
    request.state.identity, request.state.token = identity, token
    # Administrators operate the service and leave no events in it; auditors change nothing.
    if not (endpoint.admin or endpoint.audit or identity.auditor):
        await deps.inboxes.ensure(identity.user)


def _check_role(identity: Identity, endpoint: Endpoint) -> None:
    """Check that the caller's role admits to an endpoint. Raise `Forbidden`."""
    if endpoint.admin and not identity.admin:
        raise Forbidden("this is for administrators")
    if endpoint.audit and not identity.sees_all:
        raise Forbidden("this is for administrators and auditors")
    if identity.auditor and endpoint.method != "GET" and not endpoint.audit:
        raise Forbidden("an auditor reads, and changes nothing")


def _refuse_conditions(request: Request) -> None:
    """Refuse conditions where there is no version. Raise `PreconditionFailed`."""
    if "if-match" in request.headers or "if-none-match" in request.headers:
        raise PreconditionFailed(_NO_VERSION)


async def _wait_visible(request: Request, deps: Dependencies) -> None:
    positions = wanted_positions(request, deps.log.partitions)
    if not positions:
        return
    wait_s = preference(request, deps.settings.command_wait_ms / 1000).wait_s
    if await deps.outcomes.wait_visible(positions, wait_s, deps.audit.positions):
        return
    ends = await deps.log.ends()
    if any(offset >= ends.get(partition, 0) for partition, offset in positions.items()):
        raise Malformed(
            "Tasktape-Position: beyond the end of the log; it is of another log, or records were lost"
        )
    raise Unavailable("not yet visible: the read models have not reached that position")
