"""The OpenAPI 3.1 document, generated from the table of endpoints and the types they use."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from api.contract.generated_files import keep
from api.contract.openapi_checks import faults
from api.contract.openapi_headers import (
    REQUEST_HEADERS,
    header_components,
    problem_headers,
    request_headers,
    response_headers,
)
from api.contract.openapi_schemas import Schemas, query_schemas
from api.endpoints.table import ENDPOINTS
from api.http.commands import WrittenOut
from api.http.problems import KINDS, PROBLEM_TYPE, Problem, TooMany, Unexpected
from api.http.routing import Endpoint
from app import errors

COPY = Path("docs/reference/openapi.json")

_PATH_PARAMETERS = {
    "id": ("The id, a UUID", "0190f3c0-0000-7000-8000-000000000000"),
    "comment_id": ("The comment's id, a UUID", "0190f3c0-0000-7000-8000-000000000001"),
    "user": ("The user's name, percent-encoded", "bob"),
    "position": ("partition:offset, such as 0:121", "0:121"),
}
_TAGS = {
    "tasks": "Tasks, their histories and comments",
    "bulk": "Many commands in one request",
    "lists": "Lists, their stages and members",
    "statistics": "Statistics of lists",
    "import": "Import of tasks with their histories",
    "activity": "Activity in the caller's lists",
    "notifications": "Notifications of the caller",
    "live": "Updates as they happen",
    "presence": "Connected users",
    "caller": "The caller, and the outcomes of the caller's commands",
    "audit": "The audit, and proofs that nobody changed it",
    "operation": "Health, metrics and parked records",
}


def document(endpoints: Sequence[Endpoint] = ENDPOINTS) -> dict[str, Any]:
    """Return the document, as JSON values."""
    schemas = Schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tasktape",
            "version": version("tasktape"),
            "summary": "An event-sourced task service: every change is an event you can watch and replay.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "This server"}],
        "tags": [
            {"name": tag, "description": _TAGS.get(tag, "")}
            for tag in dict.fromkeys(endpoint.tag for endpoint in endpoints)
        ],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": _problem_responses(schemas),
            "parameters": {
                name: _parameter(name, "header", description, {"type": "string"}, example=example)
                for name, (description, example) in REQUEST_HEADERS.items()
            },
            "headers": header_components(),
            "securitySchemes": {
                "bearer": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "A token, as `tasktape token --user NAME` prints one",
                },
                "access_token": {
                    "type": "apiKey",
                    "in": "query",
                    "name": "access_token",
                    "description": "The token, for clients that cannot set headers, such as `EventSource`",
                },
            },
        },
        "security": [{"bearer": []}],
    }


def _operation(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": [
            *_path_parameters(endpoint),
            *_query_parameters(endpoint),
            *request_headers(endpoint),
        ],
        "responses": _responses(endpoint, schemas),
    }
    if endpoint.body is not None:
        content: dict[str, Any] = {"schema": schemas.of(endpoint.body, "validation")}
        if endpoint.example is not None:
            content["example"] = endpoint.example
        operation["requestBody"] = {
            "required": not endpoint.body_optional,
            "content": dict.fromkeys(endpoint.body_types, content),
        }
    if endpoint.public:
        operation["security"] = []
    if endpoint.stream:
        operation["security"] = [{"bearer": []}, {"access_token": []}]
    return operation


def _path_parameters(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    for name, (description, example) in _PATH_PARAMETERS.items():
        if f"{{{name}}}" in endpoint.path:
            yield _parameter(name, "path", description, {"type": "string"}, required=True, example=example)


def _query_parameters(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    for name, schema in query_schemas(endpoint.query).items() if endpoint.query else ():
        yield _parameter(name, "query", schema.pop("description", ""), schema)


def _parameter(
    name: str,
    location: str,
    description: str,
    schema: dict[str, Any],
    *,
    required: bool = False,
    example: str | None = None,
) -> dict[str, Any]:
    found = {"name": name, "in": location, "description": description, "required": required, "schema": schema}
    return found if example is None else found | {"example": example}


def _responses(endpoint: Endpoint, schemas: Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    pending = {202: WrittenOut} if endpoint.command and not endpoint.many else {}
    for status, body in sorted({**endpoint.answers, **pending}.items()):
        headers = response_headers(endpoint, status)
        responses[str(status)] = {"description": _STATUS_WORDS[status], "headers": headers}
        if body is bytes:
            responses[str(status)]["content"] = {name: {"schema": _FILE} for name in endpoint.content_types}
        elif body is not None:
            schema = schemas.of(body, "serialization")
            content = {_content_type(endpoint, body): {"schema": schema}}
            text = {"text/plain": {"schema": {"type": "string"}}} if endpoint.as_text else {}
            responses[str(status)]["content"] = {**text, **content}
    if endpoint.method == "GET" and not endpoint.stream and not endpoint.content_types:
        responses["304"] = {"description": _STATUS_WORDS[304], "headers": response_headers(endpoint, 304)}
    for status in _problem_statuses(endpoint):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
    return dict(sorted(responses.items()))


def _content_type(endpoint: Endpoint, body: Any) -> str:
    if endpoint.stream:
        return "text/event-stream"
    return "text/plain" if body is str else "application/json"


def _problem_responses(schemas: Schemas) -> dict[str, Any]:
    content = {PROBLEM_TYPE: {"schema": schemas.of(Problem, "serialization")}}
    return {
        f"Problem{status}": {
            "description": _title(status),
            "headers": problem_headers(status),
            "content": content,
        }
        for status in sorted({kind.status for kind in KINDS.values()})
    }


_FILE = {"type": "string", "format": "binary"}
_STATUS_WORDS = {
    200: "OK",
    201: "Created",
    202: "Written, not yet visible",
    204: "Done, and there is nothing to show",
    304: "Unchanged: what the caller has is still right",
    503: "Not ready",
}


def _problem_statuses(endpoint: Endpoint) -> list[int]:
    kinds = [errors.Malformed, errors.Unavailable, Unexpected, *endpoint.problems]
    if not endpoint.public:
        kinds.append(errors.Unauthenticated)
    if endpoint.admin or endpoint.audit or endpoint.command or endpoint.stream:
        kinds.append(errors.Forbidden)
    if "{" in endpoint.path or endpoint.stream or (endpoint.command and not endpoint.many):
        kinds.append(errors.NotFound)
    if endpoint.query is not None or endpoint.body is not None:
        kinds.append(errors.Invalid)
    statuses = {KINDS[kind].status for kind in kinds}
    if endpoint.command:
        statuses |= {412} if endpoint.many else {409, 412}
    elif not endpoint.stream and not endpoint.content_types:
        statuses.add(412)
    if endpoint.body is not None:
        statuses |= {413, 415}
    if endpoint.stream:
        statuses.add(KINDS[TooMany].status)
    return sorted(statuses)


def _title(status: int) -> str:
    return next(kind.title for kind in KINDS.values() if kind.status == status)


def text() -> str:
    """Return the text of the committed document."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the committed document, or check that it is up to date and valid for code generators."""
    for fault in (found := faults(document())):
        sys.stderr.write(f"{fault}\n")
    return keep("api.contract.openapi", COPY, text, arguments) or int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
