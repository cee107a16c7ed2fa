"""Odd input at every route and parameter: a problem or accepted, never a 5xx, never replaced bytes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import pytest
from pydantic import BaseModel

from api.endpoints.table import ENDPOINTS
from api.http.routing import Endpoint
from tests.integration.stack import Stack
from tests.waiting import LIMIT_S

T = TypeVar("T")
ID = "0190f3c0-0000-7000-8000-000000000000"
AT_ONCE = 8
STRIDE = 4
"""Each value meets so few of the parameters in a run of seconds; 1 is all of them, for minutes."""
PATHS = ("%00", "%E9", "%ED%A0%80", "%", "%2G", "%2e%2e", "%F0%9F%98%80", "%E2%80%AE", "9" * 400, ID, "0:1")
QUERIES = (
    *("", "%00", "%FF", "%ED%A0%80", "%", "caf%C3%A9", "a%0Ab", "%EF%BF%BF"),
    *("1.0", "1e3", "-1", "%2B1", "1_0", "%D9%A3", "9" * 400, "NaN", "true", "yes", "null", "[]"),
    *("0001-01-01", "9999-12-31T23:59:59-23:59", "2026-W49-2", "2026-12-01x09:00:00Z", "1764547200"),
    *("Etc/Unknown", "localtime", "posixrules", "Factory", "../etc/passwd", "europe/madrid"),
    *(ID, ID.upper(), "0:1", "0:" + "9" * 400, "-title", '"', "list:x", "(" * 500, "a" * 9000),
)
VALUES: tuple[Any, ...] = (
    *(None, True, 0, -1, 1.0, 10**300, 2**63, 1e300, "", " ", "5", "true", "a" * 30_000),
    *("\0", "a\0b", "\ud800", "\udc80x", "\ufffe", "\u202e", "..", ID, ID.upper(), "x"),
    *("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00", "2026-12-01T09:00:00Z", "20261201"),
    *("localtime", "Factory", "FREQ=DAILY;COUNT=99999999999", "P9999999D"),
    *(
        [],
        [None],
        [[]],
        ["\ud800"],
        [1],
        ["a"] * 200,
        {},
        {"": None},
        {"\ud800": 1},
        [{"at": 1}],
        [{"before": "\0"}],
    ),
)
TEXTS = (
    *(
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b'{"a":1,"a":2}',
        b'{"title":NaN}',
        b'{"a":-Infinity}',
    ),
    *(
        b'{"title":"\xed\xa0\x80"}',
        b'{"title":1e999}',
        b'{"title":' + b"9" * 5000 + b"}",
        "{}".encode("utf-16"),
    ),
    *(b'{"body":' + b"[" * depth + b"]" * depth + b"}" for depth in (30, 33, 955, 956, 957, 958, 100_000)),
    *(b'{"commands":[' + b'{"a":' * depth + b"1" + b"}" * depth + b"]}" for depth in (29, 500, 956)),
)
HEADERS: tuple[tuple[str, bytes], ...] = (
    *(("Idempotency-Key", value) for value in (b"", b"caf\xe9", b"a" * 300, b"\x7f", b"k")),
    *(
        ("If-Match", value)
        for value in (b"", b"*", b'"\xe9"', b"3", b'"' + b"9" * 400 + b'"', b'W/"1"', b",")
    ),
    *(("If-None-Match", value) for value in (b"", b"*", b'"\xe9"', b"3", b",")),
    *(("Tasktape-Position", value) for value in (b"\xe9", b"0:" + b"9" * 400, b"99:1", b"0", b"0:-1")),
    *(("Prefer", value) for value in (b"\xe9", b"wait=" + b"9" * 400, b"wait=-1", b"wait=1.5")),
    *(
        ("Content-Type", value)
        for value in (b"\xe9", b"", b"application/json; charset=latin-1", b";", b"text/html")
    ),
    *(
        ("Content-Type", value)
        for value in (b"application/json; x=y; charset=utf-16", b"application/json;charset=\xff")
    ),
    *(("Content-Encoding", value) for value in (b"gzip", b"\xe9", b"identity, br", b"identity")),
    *(("Authorization", value) for value in (b"", b"Bearer", b"Bearer \xe9", b"Basic YTpi", b"Bearer a.b.c")),
    *(
        ("Cookie", b"a=\xe9"),
        ("Accept", b"\xff"),
        ("Accept-Language", b"\xff"),
        ("Origin", b"\xff"),
        ("Origin", b"null"),
    ),
    *(
        ("X-Correlation-ID", b"\xff"),
        ("traceparent", b"\xff"),
        ("X-Forwarded-For", b"\xff"),
        ("Referer", b"\xff"),
    ),
    *(("Host", value) for value in (b"\xff", b"", b"a b", b"[::1", b"x:99999999")),
    *(("Last-Event-ID", value) for value in (b"\xff", b"0:x", b"9:" + b"9" * 400)),
)
LIVE = tuple(each for each in ENDPOINTS if not each.stream and each.path not in {"/metrics", "/readyz"})


@pytest.fixture
async def client(running_stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with running_stack.client("odd", admin=True) as found:
        yield found


def address(endpoint: Endpoint, value: str = ID) -> str:
    """Return the path of an endpoint, with a value for each parameter."""
    path = endpoint.path.replace("{position}", "0:1") if value == ID else endpoint.path
    for name in ("{id}", "{comment_id}", "{user}", "{position}"):
        path = path.replace(name, value)
    return path


def fields(model: Any) -> list[str]:
    """Return the fields of a model."""
    return list(model.model_fields) if isinstance(model, type) and issubclass(model, BaseModel) else []


def some(values: Sequence[T], place: int) -> Sequence[T]:
    """Return the values whose turn it is at a place."""
    return values[place % STRIDE :: STRIDE]


def paths() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return odd paths."""
    for endpoint in LIVE:
        if "{" in endpoint.path:
            for value in PATHS:
                yield endpoint.method, address(endpoint, value), body_of(endpoint, {})


def queries() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return odd queries, of every parameter and of an unknown one."""
    gets = [endpoint for endpoint in LIVE if endpoint.method == "GET"]
    named = [(endpoint, name) for endpoint in gets for name in [*fields(endpoint.query), "odd%ED%A0%80"]]
    for place, (endpoint, name) in enumerate(named):
        for value in some(QUERIES, place):
            yield "GET", f"{address(endpoint)}?{name}={value}", {}


def bodies() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return odd bodies: as text, and in each of their fields."""
    for place, endpoint in enumerate(each for each in LIVE if each.body is not None):
        for text in some(TEXTS, place):
            headers = {"Content-Type": endpoint.body_types[0], "Idempotency-Key": f"odd-{len(text)}"}
            yield endpoint.method, address(endpoint), {"content": text, "headers": headers}
        for number, name in enumerate([*fields(endpoint.body), "odd"], place):
            for value in some(VALUES, number):
                example = {**(endpoint.example or {}), name: value}
                yield endpoint.method, address(endpoint), body_of(endpoint, example)


def headers() -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Return odd headers, for a read, a command and an unknown path."""
    for name, value in HEADERS:
        for method, path in (
            ("GET", "/api/lists"),
            ("PATCH", f"/api/tasks/{ID}"),
            ("GET", "/nowhere"),
            ("GET", "/"),
        ):
            sent = {"Content-Type": b"application/json"} | {name: value}
            yield method, path, {"headers": sent, "content": b'{"title":"T"}' if method == "PATCH" else None}


def body_of(endpoint: Endpoint, value: Any) -> dict[str, Any]:
    """Return a request's body, as JSON."""
    if endpoint.body is None:
        return {}
    return {"content": json.dumps(value).encode(), "headers": {"Content-Type": endpoint.body_types[0]}}


@pytest.mark.parametrize("made", [paths, queries, bodies, headers])
async def test_odd_input_is_accepted_or_a_problem(client: httpx.AsyncClient, made: Any) -> None:
    """For every route."""
    room = asyncio.Semaphore(AT_ONCE)
    wrong: list[str] = []

    async def send(method: str, path: str, given: dict[str, Any]) -> None:
        async with room:
            answer = await client.request(method, path, **given)
        if (fault := fault_of(answer)) is not None:
            wrong.append(f"{fault}: {method} {path[:100]} {str(given)[:200]} → {answer.text[:300]}")

    await asyncio.gather(*(send(*each) for each in made()))
    assert wrong == []


def fault_of(answer: httpx.Response) -> str | None:
    """Return the fault of a response, if any."""
    if answer.status_code >= 500:
        return "an error of ours"
    if "\ufffd" in answer.text:
        return "replaced bytes"
    if answer.status_code < 400:
        return None
    if answer.headers.get("content-type") != "application/problem+json":
        # What is no HTTP at all is answered by the library that reads HTTP.
        return None if answer.headers.get("content-type", "").startswith("text/plain") else "no problem"
    return None if answer.json()["status"] == answer.status_code else "another status"


async def test_bytes_of_a_name_are_not_replaced(client: httpx.AsyncClient) -> None:
    """`René` in Latin-1 is nobody, rather than the same user as `Renè`; as UTF-8 it is that user."""
    made = (await client.post("/api/lists", json={"name": "L"})).json()
    members = f"/api/lists/{made['id']}/members"
    for name in ("Ren%E9", "Ren%E8", "Ren%C3", "Ren%ED%A0%80"):
        assert (await client.put(f"{members}/{name}", json={"role": "viewer"})).status_code == 400
        assert (await client.delete(f"{members}/{name}")).status_code == 400
    assert (await client.put(f"{members}/Ren%C3%A9", json={"role": "viewer"})).status_code == 200
    shown = (await client.get(members)).json()["items"]
    assert {each["user"] for each in shown} == {"odd", "René"}


async def test_bytes_of_a_filter_are_not_replaced(client: httpx.AsyncClient) -> None:
    """A tag in Latin-1 is a 400, rather than a tag without tasks."""
    assert (await client.post("/api/tasks", json={"title": "T", "tags": ["café"]})).status_code == 201
    assert (await client.get("/api/tasks?tag=caf%E9")).status_code == 400
    found = await client.get("/api/tasks?tag=caf%C3%A9&limit=1")
    assert [each["tags"] for each in found.json()["items"]] == [["café"]]


async def test_odd_ids_in_bulk_are_outcomes_of_their_own(client: httpx.AsyncClient) -> None:
    """The other commands are executed."""
    odd: list[Any] = [
        {"command": "complete", "task_id": "\0"},
        {"command": "complete", "task_id": "\ud800"},
        {"command": "move", "task_id": ID, "body": {"before": "\0"}},
        {"command": "create", "body": {"title": "x", "parent_id": "\ud800"}},
        {"command": "create", "body": {"title": "x", "list_id": "a\0"}},
        {"command": "undo", "task_id": ID, "body": {"version": True}},
        {"command": "undo", "task_id": ID, "body": {"version": "1"}},
        {"command": "\ud800"},
        {"command": "create", "body": {"title": "x", "\ud800": 1}},
    ]
    commands = [{"command": "create", "body": {"title": f"T{index}"}} for index in range(len(odd))]
    mixed = [each for pair in zip(odd, commands, strict=True) for each in pair]
    for given in ({}, {"Idempotency-Key": "odd bulk"}):
        answer = await client.post(
            "/api/bulk",
            content=json.dumps({"commands": mixed}),
            headers={"Content-Type": "application/json"} | given,
        )
        assert answer.status_code == 200, answer.text
        assert [each["status"] for each in answer.json()["outcomes"]] == [422, 201] * len(odd)


@pytest.mark.parametrize("version", [True, "1", 1.0, [1]])
async def test_undo_accepts_only_versions(client: httpx.AsyncClient, version: Any) -> None:
    """`true` is not version 1, which is the creation."""
    made = (await client.post("/api/tasks", json={"title": "T"})).json()
    await client.patch(f"/api/tasks/{made['id']}", json={"title": "U"})
    answer = await client.post(f"/api/tasks/{made['id']}/undo", json={"version": version})
    assert answer.status_code == 422
    assert (await client.get(f"/api/tasks/{made['id']}")).json()["title"] == "U"


async def test_path_in_another_encoding_is_400(running_stack: Stack) -> None:
    """Raw Latin-1 and UTF-8, as some clients send them; at a handshake too."""
    host, _, port = running_stack.urls[0].removeprefix("http://").partition(":")
    handshake = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    for target in (b"/api/tasks?tag=caf\xe9", b"/api/tasks?tag=caf\xc3\xa9", b"/caf\xe9", b"/ws\xe9"):
        for more in ("", handshake):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(
                b"GET " + target + b" HTTP/1.1\r\nHost: x\r\n" + more.encode() + b"Connection: close\r\n\r\n"
            )
            status = await asyncio.wait_for(reader.readline(), LIMIT_S)
            assert status.startswith(b"HTTP/1.1 400"), (target, more, status)
            writer.close()


def test_valid_values_of_the_table_are_accepted() -> None:
    """So the odd ones are the cause of refusals."""
    assert quote("café") in QUERIES
