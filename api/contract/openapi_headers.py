"""The headers of requests and responses in the OpenAPI document."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from api.http.headers import MAX_WAIT_S
from api.http.routing import Endpoint

_TEXT = {"type": "string"}
_WAIT = f"`wait=N` waits at most N seconds, {MAX_WAIT_S:.0f} at most"

REQUEST_HEADERS: Mapping[str, tuple[str, str]] = {
    "Idempotency-Key": (
        "A repeated command with the same key is carried out once",
        "5f0c6c0e-7d0c-4b57-8c0c-2f9a1d1f5b11",
    ),
    "If-Match": (
        (
            "The version that the command is meant for. Changes of other fields since then are merged, unless"
            " `Prefer: handling=strict` asks for 412"
        ),
        '"3"',
    ),
    "If-None-Match": ("An ETag that the caller has: 304 if it is still current", '"3"'),
    "Prefer": (
        (
            f"`respond-async` does not wait for the outcome; {_WAIT}; `handling=strict` answers 412 to an"
            " `If-Match` of an older version instead of merging"
        ),
        "wait=10",
    ),
    "Tasktape-Position": ("Positions that the read must include, such as 0:121,3:44", "0:121,3:44"),
    "Last-Event-ID": ("The `id` of the last received event, which browsers send automatically", "0:121,3:44"),
}

RESPONSE_HEADERS: Mapping[str, tuple[str, dict[str, Any], Any]] = {
    "ETag": (
        'The version, such as "3"; of pages and other reads a weak tag of their content',
        _TEXT,
        '"3"',
    ),
    "Location": (
        "Address of the created resource, or, with 202, of the outcome",
        {"type": "string", "format": "uri-reference"},
        "/api/tasks/0190f3c0-0000-7000-8000-000000000000",
    ),
    "Content-Location": (
        "Address of the resource in the body",
        {"type": "string", "format": "uri-reference"},
        "/api/tasks/0190f3c0-0000-7000-8000-000000000000",
    ),
    "Tasktape-Position": (
        "Positions in the log: of a command's events, or reached by the read models",
        _TEXT,
        "0:121,3:44",
    ),
    "Preference-Applied": ("The preferences of `Prefer` that were applied", _TEXT, "wait=10"),
    "Retry-After": ("Seconds to wait before a retry", {"type": "integer", "minimum": 0}, 2),
    "Cache-Control": (
        "`private, no-cache` on reads: revalidate each time",
        _TEXT,
        "private, no-cache",
    ),
    "Vary": ("Request headers that the response depends on", _TEXT, "Accept-Encoding, Authorization"),
    "Content-Disposition": ("Name of the file", _TEXT, 'attachment; filename="tasktape-audit.jsonl"'),
    "X-Correlation-ID": ("The id of this request in events and log lines", _TEXT, "abc-1"),
    "WWW-Authenticate": ("How to authenticate", _TEXT, 'Bearer realm="tasktape"'),
}


def request_headers(endpoint: Endpoint) -> Iterator[dict[str, Any]]:
    """Yield a reference to each header that the endpoint reads."""
    names: tuple[str, ...]
    if endpoint.public:
        names = ("If-None-Match",)
    elif endpoint.command:
        names = ("Idempotency-Key", *(("If-Match",) if endpoint.versioned else ()), "Prefer")
    elif endpoint.stream:
        names = ("Tasktape-Position", "Last-Event-ID")
    elif endpoint.content_types:
        names = ("Tasktape-Position", "Prefer")
    elif endpoint.method == "GET":
        names = ("If-None-Match", "Tasktape-Position", "Prefer")
    else:
        names = ("Tasktape-Position", "Prefer")
    for name in names:
        yield {"$ref": f"#/components/parameters/{name}"}


def response_headers(endpoint: Endpoint, status: int) -> dict[str, Any]:
    """Return references to the headers of a successful response, of 304, or of 202."""
    names = ["X-Correlation-ID", "Cache-Control"]
    if endpoint.content_types:
        names += ["Vary", "Content-Disposition"]
    elif endpoint.method == "GET" and not endpoint.stream:
        names += ["ETag", "Vary"]
    if not endpoint.public and not endpoint.stream:
        names += ["Tasktape-Position"]
    if endpoint.command:
        names += ["Preference-Applied"]
        if status == 202:
            names += ["Location"]
        elif endpoint.versioned or status == 201:
            names += ["ETag", "Content-Location"] if status != 204 else []
    if status == 201:
        names += ["Location"]
    if status == 202 and endpoint.method == "GET":
        names += ["Location", "Retry-After"]
    return references(dict.fromkeys(names))


def problem_headers(status: int) -> dict[str, Any]:
    """Return references to the headers of an error."""
    more = {401: ["WWW-Authenticate"], 429: ["Retry-After"], 503: ["Retry-After"]}
    return references(["X-Correlation-ID", *more.get(status, [])])


def references(names: Any) -> dict[str, Any]:
    """Return the headers as references to the components."""
    return {name: {"$ref": f"#/components/headers/{name}"} for name in sorted(names)}


def header_components() -> dict[str, Any]:
    """Return the components that responses refer to."""
    return {
        name: {"description": description, "schema": schema, "example": example}
        for name, (description, schema, example) in RESPONSE_HEADERS.items()
    }
