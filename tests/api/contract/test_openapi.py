"""OpenAPI document: valid, complete, and equal to the copy in the repository."""

import re
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator, validate
from pydantic import TypeAdapter

from api.commands.task_actions import Nothing
from api.contract import openapi
from api.contract.openapi_checks import faults
from api.endpoints.table import ENDPOINTS
from api.http.problems import KINDS
from api.http.routing import Endpoint
from app import errors


def test_document_is_valid() -> None:
    """According to the specification's own schema."""
    validate(openapi.document(), cls=OpenAPIV31SpecValidator)


def test_document_has_every_endpoint() -> None:
    """With a unique id, a summary, and a success response."""
    paths = openapi.document()["paths"]
    operations = [operation for methods in paths.values() for operation in methods.values()]
    assert len(operations) == len(ENDPOINTS)
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(any(status.startswith("2") for status in operation["responses"]) for operation in operations)


def test_every_reference_resolves() -> None:
    """Inside the document."""
    document = openapi.document()
    for kind, name in re.findall(r'"#/components/(\w+)/([^"]+)"', openapi.text()):
        assert name in document["components"][kind]


def test_path_parameters_are_described() -> None:
    for path, methods in openapi.document()["paths"].items():
        for operation in methods.values():
            named = {each["name"] for each in operation["parameters"] if each.get("in") == "path"}
            assert named == set(re.findall(r"\{(\w+)\}", path))


@pytest.mark.parametrize(
    "endpoint",
    [each for each in ENDPOINTS if each.command and each.body not in (None, Nothing)],
    ids=lambda endpoint: f"{endpoint.method} {endpoint.path}",
)
def test_bodies_of_commands_have_valid_examples(endpoint: Endpoint) -> None:
    TypeAdapter(endpoint.body).validate_python(endpoint.example)
    operation = openapi.document()["paths"][endpoint.path][endpoint.method.lower()]
    for content in operation["requestBody"]["content"].values():
        assert content["example"] == endpoint.example


def test_document_follows_the_rules_of_generators_and_readers() -> None:
    """Unique names, no null alone, and a description of every schema, field, parameter and tag."""
    assert faults(openapi.document()) == []


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ({"Task-Input": {"title": "Task", "description": "d"}}, "2 have a name"),
        ({"task": {"title": "task", "description": "d"}}, "2 have a name"),
        ({"A": {"title": "A", "description": "d", "properties": {"b": {"description": "d"}}}}, ""),
        ({"A": {"title": "A", "description": "d", "properties": {"b": {}}}}, "A.b: no description"),
        (
            {
                "A": {
                    "title": "A",
                    "description": "d",
                    "properties": {"b": {"type": "null", "description": "d"}},
                }
            },
            "null alone",
        ),
        (
            {
                "A": {
                    "title": "A",
                    "description": "d",
                    "properties": {"b": {"title": "B", "description": "d"}},
                }
            },
            "only components have one",
        ),
    ],
)
def test_schema_that_breaks_a_rule_is_reported(broken: dict[str, object], said: str) -> None:
    document = openapi.document()
    document["components"]["schemas"] |= broken
    assert bool(faults(document)) == bool(said)
    assert said in "\n".join(faults(document))


def test_responses_and_requests_have_their_headers() -> None:
    """Those of creations, reads and errors; `If-Match` where there is a version to match."""
    document = openapi.document()
    tasks, task = document["paths"]["/api/tasks"], document["paths"]["/api/tasks/{id}"]
    created, read = tasks["post"]["responses"]["201"], task["get"]["responses"]
    assert {"ETag", "Location", "Tasktape-Position", "Content-Location"} <= set(created["headers"])
    assert {"ETag", "Cache-Control", "Vary", "Tasktape-Position"} <= set(read["200"]["headers"])
    assert set(read["304"]["headers"]) == set(read["200"]["headers"])
    assert "content" not in read["304"]
    assert "Retry-After" in document["components"]["responses"]["Problem503"]["headers"]
    assert "WWW-Authenticate" in document["components"]["responses"]["Problem401"]["headers"]
    assert _headers(tasks["post"]) == ["Idempotency-Key", "Prefer"]
    assert _headers(task["patch"]) == ["Idempotency-Key", "If-Match", "Prefer"]
    assert _headers(task["get"]) == ["If-None-Match", "Tasktape-Position", "Prefer"]
    assert _headers(document["paths"]["/api/lists"]["post"]) == ["Idempotency-Key", "Prefer"]
    assert set(document["components"]["headers"]) == {
        name
        for methods in document["paths"].values()
        for operation in methods.values()
        for response in [*operation["responses"].values(), *document["components"]["responses"].values()]
        for name in response.get("headers", {})
    }


def _headers(operation: dict[str, Any]) -> list[str]:
    return [each["$ref"].rpartition("/")[2] for each in operation["parameters"] if "$ref" in each]


def test_query_parameters_are_never_null() -> None:
    """Query strings have no null: optional parameters are left out."""
    for methods in openapi.document()["paths"].values():
        for operation in methods.values():
            for each in operation["parameters"]:
                assert "null" not in str(each.get("schema"))


def test_bulk_commands_have_no_common_version() -> None:
    """Each command names its own, and the response is never pending."""
    operation = openapi.document()["paths"]["/api/bulk"]["post"]
    assert _headers(operation) == ["Idempotency-Key", "Prefer"]
    assert {"202", "409"}.isdisjoint(operation["responses"])


def test_repository_has_the_current_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The check finds an outdated copy and says what to do; writing one corrects it."""
    root = Path(__file__).parents[3]
    assert (root / openapi.COPY).read_text() == openapi.text()
    monkeypatch.chdir(tmp_path)
    assert openapi.main(["--check"]) == 1
    assert "--write" in capsys.readouterr().err
    assert openapi.main(["--write"]) == 0
    assert openapi.main(["--check"]) == 0


def test_every_domain_error_has_a_status() -> None:
    """Except the two that no request can cause."""
    unreachable = {errors.Undecodable}
    family = set(errors.TaskError.__subclasses__()) - unreachable
    assert {kind for kind in family if kind.__module__.startswith(("app.", "api."))} <= set(KINDS)
