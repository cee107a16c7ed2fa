"""The OpenAPI 3.1 document, generated from the table of endpoints and the types they use."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from api.copies import keep
from api.endpoints import ENDPOINTS
from api.problems import KINDS, PROBLEM_TYPE, TooMany
from api.routing import Endpoint
from api.schemas import Problem, WrittenOut
from app import errors

VERSION = "1"
REF = "#/components/schemas/{model}"
COPY = Path("docs/reference/openapi.json")

_HEADERS = {
    "Idempotency-Key": "A repeated command with the same key is carried out once",
    "If-Match": 'The version that the command is meant for, such as "3"',
    "Prefer": "`respond-async` does not wait for the outcome; `wait=N` waits N seconds",
    "Tasktape-Position": "Not before this position, such as 0:121,3:44",
    "Last-Event-ID": "The `id` of the last event that was received, which browsers send by themselves",
}
_STREAM_HEADERS = ("Last-Event-ID",)
_READ_HEADERS = ("Tasktape-Position",)
_COMMAND_HEADERS = ("Idempotency-Key", "If-Match", "Prefer")
_PARAMETER_NAMES = {
    "id": "The id, a UUID",
    "comment_id": "The comment's id, a UUID",
    "user": "The user's name, percent-encoded",
    "position": "partition:offset, such as 0:121",
}


def document(endpoints: Sequence[Endpoint] = ENDPOINTS) -> dict[str, Any]:
    """The document, as JSON values."""
    schemas = _Schemas(endpoints)
    paths: dict[str, dict[str, Any]] = {}
    for endpoint in endpoints:
        paths.setdefault(endpoint.path, {})[endpoint.method.lower()] = _operation(endpoint, schemas)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Tasktape",
            "version": VERSION,
            "summary": "An event-sourced task service: every change is an event you can watch and replay.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(endpoint.tag for endpoint in endpoints)],
        "paths": paths,
        "components": {
            "schemas": schemas.components,
            "responses": _problem_responses(schemas),
            "parameters": {name: _header(name) for name in _HEADERS},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "access_token": {"type": "apiKey", "in": "query", "name": "access_token"},
            },
        },
        "security": [{"bearer": []}],
    }


class _Schemas:
    """JSON schemas of every type that is used, each under one name."""

    def __init__(self, endpoints: Sequence[Endpoint]) -> None:
        inputs: list[tuple[Any, JsonSchemaMode]] = [(e.body, "validation") for e in endpoints if e.body]
        outputs: list[tuple[Any, JsonSchemaMode]] = [
            (answer, "serialization")
            for e in endpoints
            for answer in e.answers.values()
            if answer is not None
        ]
        used = dict.fromkeys([*inputs, *outputs, (Problem, "serialization"), (WrittenOut, "serialization")])
        found, definitions = TypeAdapter.json_schemas(
            [(used_as, mode, TypeAdapter(used_as)) for used_as, mode in used],
            ref_template=REF,
            schema_generator=GenerateJsonSchema,
        )
        self.components: dict[str, Any] = dict(sorted(definitions.get("$defs", {}).items()))
        self._found = found
        for endpoint in endpoints:
            if endpoint.method == "PATCH":
                self._without_defaults(endpoint.body.__name__)

    def _without_defaults(self, name: str) -> None:
        """In a merge patch an absent field stays as it is: it has no default."""
        for field in self.components[name]["properties"].values():
            field.pop("default", None)

    def of(self, used_as: Any, mode: JsonSchemaMode) -> dict[str, Any]:
        """The schema, usually a reference."""
        return dict(self._found[used_as, mode])


def _operation(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": endpoint.handler.__name__,
        "summary": endpoint.summary,
        "tags": [endpoint.tag],
        "parameters": [*_path_parameters(endpoint), *_query_parameters(endpoint), *_headers(endpoint)],
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
    for name, description in _PARAMETER_NAMES.items():
        if f"{{{name}}}" in endpoint.path:
            yield _parameter(name, "path", description, {"type": "string"}, required=True)


def _query_parameters(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    if endpoint.query is None:
        return
    for name, schema in TypeAdapter(endpoint.query).json_schema()["properties"].items():
        description = schema.pop("description", "")
        schema.pop("title", None)
        yield _parameter(name, "query", description, schema)


def _headers(endpoint: Endpoint) -> Iterable[dict[str, Any]]:
    if endpoint.public:
        return
    streams = _STREAM_HEADERS if endpoint.stream else ()
    for name in _COMMAND_HEADERS if endpoint.command else (*_READ_HEADERS, *streams):
        if endpoint.many and name == "If-Match":
            continue
        yield {"$ref": f"#/components/parameters/{name}"}


def _header(name: str) -> dict[str, Any]:
    return _parameter(name, "header", _HEADERS[name], {"type": "string"})


def _parameter(
    name: str, place: str, description: str, schema: dict[str, Any], *, required: bool = False
) -> dict[str, Any]:
    found = {"name": name, "in": place, "required": required, "schema": schema}
    return found | ({"description": description} if description else {})


def _responses(endpoint: Endpoint, schemas: _Schemas) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    pending = {202: WrittenOut} if endpoint.command and not endpoint.many else {}
    answers = {**endpoint.answers, **pending}
    for status, body in sorted(answers.items()):
        responses[str(status)] = {"description": _STATUS_WORDS[status]}
        if body is not None:
            kind = (
                "text/event-stream"
                if endpoint.stream
                else "text/plain"
                if body is str
                else "application/json"
            )
            schema = schemas.of(body, "serialization")
            responses[str(status)]["content"] = {kind: {"schema": schema}}
    for status in _problem_statuses(endpoint):
        responses.setdefault(str(status), {"$ref": f"#/components/responses/Problem{status}"})
    return responses


def _problem_responses(schemas: _Schemas) -> dict[str, Any]:
    content = {PROBLEM_TYPE: {"schema": schemas.of(Problem, "serialization")}}
    statuses = sorted({kind.status for kind in KINDS.values()})
    return {f"Problem{status}": {"description": _title(status), "content": content} for status in statuses}


_STATUS_WORDS = {200: "OK", 201: "Created", 202: "Written, not yet visible", 204: "Gone", 503: "Not ready"}


def _problem_statuses(endpoint: Endpoint) -> list[int]:
    kinds: list[type[errors.TaskError]] = [errors.Malformed, errors.Unavailable]
    if not endpoint.public:
        kinds.append(errors.Unauthenticated)
    if endpoint.admin or endpoint.command or endpoint.stream:
        kinds.append(errors.Forbidden)
    if "{" in endpoint.path or endpoint.stream or (endpoint.command and not endpoint.many):
        kinds.append(errors.NotFound)
    if endpoint.query is not None or endpoint.body is not None:
        kinds.append(errors.Invalid)
    statuses = {KINDS[kind].status for kind in kinds}
    if endpoint.command:
        statuses |= {412} if endpoint.many else {409, 412}
    if endpoint.body is not None:
        statuses |= {413, 415}
    if endpoint.stream:
        statuses.add(KINDS[TooMany].status)
    return sorted(statuses)


def _title(status: int) -> str:
    return next(kind.title for kind in KINDS.values() if kind.status == status)


def text() -> str:
    """The document as it is kept in the repository."""
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the repository's copy, or check that it is up to date."""
    return keep("api.openapi", COPY, text, arguments)


if __name__ == "__main__":
    sys.exit(main())
