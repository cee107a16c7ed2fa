"""Caddy and nginx as shipped: responses are the same as from an API node itself."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidStatus

from tests.integration.live_client import LiveClient
from tests.integration.proxies import DEPLOY, LOOPBACK, Caddy, Nginx, Proxy, named_numbers
from tests.integration.socketio_process import socketio
from tests.integration.stack import Stack, running
from tests.waiting import eventually

SOCKETS_PER_ADDRESS = 3
LIMIT_S = 30
ASKING = 8
MIB = 2**20
FORGED = {"X-Forwarded-For": "203.0.113.7", "X-Real-IP": "203.0.113.7", "Forwarded": "for=203.0.113.7"}
OF_THE_CONNECTION = {"date", "server", "via", "connection", "keep-alive", "transfer-encoding", "alt-svc"}
"""Headers that each hop writes for itself."""


@pytest.fixture(scope="module")
def stack(kafka_brokers: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield two API nodes that trust the address of the proxy, which is not that of its clients."""
    with running(
        kafka_brokers,
        database_url,
        tmp_path_factory.mktemp("behind"),
        TASKTAPE_TRUSTED_PROXIES=LOOPBACK,
        TASKTAPE_CONNECTIONS_PER_ADDRESS=str(SOCKETS_PER_ADDRESS),
    ) as stack:
        yield stack


@pytest.fixture(scope="module", params=[Caddy, Nginx])
def proxy(
    stack: Stack, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Proxy]:
    proxy: Proxy = request.param(tmp_path_factory.mktemp("proxy"), stack.urls)
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def user() -> str:
    return f"user-{uuid4().hex[:8]}"


_addresses = (f"127.0.{number // 250}.{number % 250 + 2}" for number in range(250, 20_000))


@pytest.fixture
def address() -> str:
    """Return an address of this machine that no other test uses."""
    return next(_addresses)


def authorisation(stack: Stack, user: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {stack.token(user)}"}


@asynccontextmanager
async def socket_of(
    proxy: Proxy, address: str, headers: dict[str, str] | None = None
) -> AsyncIterator[ClientConnection]:
    """Return a WebSocket from an address, as a page of the site opens it."""
    tls = proxy.verify if isinstance(proxy.verify, ssl.SSLContext) else None
    async with connect(
        proxy.url.replace("http", "ws", 1) + "/ws",
        ssl=tls,
        local_addr=(address, 0),
        additional_headers=headers,
        origin=proxy.url,  # type: ignore[arg-type]
        proxy=None,
        max_size=None,
    ) as socket:
        yield socket


@asynccontextmanager
async def live(proxy: Proxy, stack: Stack, user: str, address: str) -> AsyncIterator[LiveClient]:
    """Yield an authenticated WebSocket."""
    async with socket_of(proxy, address) as socket:
        client = LiveClient(socket)
        await client.authenticate(stack.token(user))
        yield client


# --- HTTP ------------------------------------------------------------------------------------------------


async def exchange(client: httpx.AsyncClient, key: str, task: str) -> list[httpx.Response]:
    """Make every kind of request. With the same key, the second time returns the first outcomes."""
    here = f"/api/tasks/{task}"
    trace = {
        "X-Correlation-ID": key,
        "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    }
    fresh = {**trace, "Idempotency-Key": key}
    return [
        await client.post("/api/tasks", json={"title": "Zoë 🎈"}, headers=fresh),
        await client.post("/api/lists", json={"name": "L"}, headers={**fresh, "Idempotency-Key": key + "l"}),
        await client.get(here, headers=trace),
        await client.get(here, headers={**trace, "If-None-Match": '"1"'}),
        await client.get(here, headers={**trace, "Accept-Encoding": "gzip, br, zstd"}),
        await client.get(here, headers={**trace, "Accept-Encoding": "identity"}),
        await client.get("/api/tasks?limit=1&q=%C3%A9%2Fa", headers=trace),
        await client.head(here, headers=trace),
        await client.patch(here, json={"title": "x"}, headers={**trace, "If-Match": '"99"'}),
        await client.patch(here, json={"title": ""}, headers=trace),
        await client.patch(here, content=b"{", headers={**trace, "Content-Type": "application/json"}),
        await client.get("/api/lists/Zo%C3%AB%2F..%2Fa", headers=trace),
        await client.get("/api/tasks//a/../b", headers=trace),
        await client.get(here, headers={**trace, "Authorization": "Bearer no"}),
        await client.options(here, headers={"Origin": "https://elsewhere.example", **trace}),
        await client.put(here, json={}, headers=trace),
        await client.get("/", headers=trace),
        await client.get("/openapi.json", headers={**trace, "Accept-Encoding": "gzip"}),
    ]


def comparable(answer: httpx.Response) -> tuple[int, dict[str, str], bytes]:
    """Return a response without the fields of its connection."""
    headers = {name: value for name, value in answer.headers.items() if name not in OF_THE_CONNECTION}
    if "allow" in headers:  # a set, which each process has in an order of its own
        headers["allow"] = ", ".join(sorted(headers["allow"].split(", ")))
    return answer.status_code, headers, answer.content


async def test_responses_through_a_proxy_equal_those_of_a_node(stack: Stack, proxy: Proxy, user: str) -> None:
    key = uuid4().hex
    async with stack.client(user) as direct, proxy.client() as through:
        through.headers.update(authorisation(stack, user))
        task = (await direct.post("/api/tasks", json={"title": "A"})).json()["id"]
        expected = await exchange(direct, key, task)
        found = await exchange(through, key, task)
        # The correlation id is that of the request, and so the only thing that could differ is the way.
        for here, there in zip(expected, found, strict=True):
            assert comparable(there) == comparable(here), here.request.url
        statuses = [answer.status_code for answer in expected]
        assert {200, 201, 304, 400, 401, 404, 405, 422} <= set(statuses)
        created, _, read, *_ = found
        assert (created.headers["etag"], created.headers["x-correlation-id"]) == ('"1"', key)
        assert created.headers["location"] == f"/api/tasks/{created.json()['id']}"
        assert re.fullmatch(r"\d+:\d+", created.headers["tasktape-position"])
        assert read.headers["etag"] == '"1"'


async def test_asynchronous_command_is_polled_at_its_location(stack: Stack, proxy: Proxy, user: str) -> None:
    async with proxy.client() as client:
        client.headers.update(authorisation(stack, user))
        answer = await client.post("/api/tasks", json={"title": "A"}, headers={"Prefer": "respond-async"})
        assert answer.status_code == 202
        assert answer.headers["preference-applied"] == "respond-async"
        position = {"Tasktape-Position": answer.headers["tasktape-position"]}
        outcome = await client.get(answer.headers["location"], headers=position)
        assert outcome.json()["outcome"] == "accepted"


async def test_parallel_requests_over_many_connections_all_succeed(
    stack: Stack, proxy: Proxy, user: str
) -> None:
    async with proxy.client() as client:
        client.headers.update(authorisation(stack, user))
        answers = await asyncio.gather(
            *(client.post("/api/tasks", json={"title": f"{number}"}) for number in range(60))
        )
        assert {answer.status_code for answer in answers} == {201}
        nodes = {(await client.get("/readyz")).json()["node"] for _ in range(20)}
        assert len(nodes) == 2


@pytest.mark.parametrize("size", [MIB, MIB + 1, 40 * MIB])
async def test_body_limit_is_that_of_the_nodes(stack: Stack, proxy: Proxy, user: str, size: int) -> None:
    start, end = b'{"title": "A"', b"}"
    body = start + b" " * (size - len(start) - len(end)) + end
    headers = authorisation(stack, user) | {"Content-Type": "application/json"}
    # A client that reads before all is written: so it hears of a refusal, which comes early.
    with httpx.Client(base_url=proxy.url, headers=headers, verify=proxy.verify, timeout=30) as client:
        answer = await asyncio.to_thread(client.post, "/api/tasks", content=body)
    if size <= MIB:
        assert answer.status_code == 201
    else:
        assert answer.status_code == 413
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "body_too_large"


async def test_metrics_are_not_public(proxy: Proxy) -> None:
    async with proxy.client() as client:
        for path in ("/metrics", "//metrics", "/./metrics", "/%6detrics", "/metrics?x", "/metrics/"):
            answer = await client.get(proxy.url + path)
            assert answer.status_code == 404, path
            assert "tasktape_" not in answer.text


# --- clients' addresses ----------------------------------------------------------------------------------


async def accepted_of(proxy: Proxy, address: str, headers: dict[str, str]) -> tuple[int, InvalidStatus]:
    """Return the number of sockets that an address may open on both nodes, and the refusal of the next."""
    async with AsyncExitStack() as stack:
        for count in range(10 * SOCKETS_PER_ADDRESS):
            try:
                await stack.enter_async_context(socket_of(proxy, address, headers))
            except InvalidStatus as refused:
                return count, refused
    raise AssertionError("no limit")


@pytest.mark.parametrize("headers", [{}, FORGED], ids=["honest", "forged"])
async def test_limits_use_the_address_of_the_client(
    proxy: Proxy, address: str, headers: dict[str, str]
) -> None:
    """Each address has its own count, and a header of the client's changes nothing."""
    for each in (address, next(_addresses)):
        accepted, refused = await accepted_of(proxy, each, headers)
        assert SOCKETS_PER_ADDRESS <= accepted <= 2 * SOCKETS_PER_ADDRESS
        assert refused.response.status_code == 429
        assert refused.response.headers["Retry-After"]


# --- live ------------------------------------------------------------------------------------------------


async def test_socket_receives_updates_and_large_messages(
    stack: Stack, proxy: Proxy, user: str, address: str
) -> None:
    notes = "ü" * 10_000
    async with live(proxy, stack, user, address) as client, stack.client(user, 1) as http:
        created = await http.post("/api/tasks", json={"title": "A", "notes": notes})
        update = await client.update("task.created", created.json()["id"])
        assert update["task"]["notes"] == notes


async def test_event_stream_is_not_buffered(stack: Stack, proxy: Proxy, user: str, address: str) -> None:
    headers = authorisation(stack, user) | {"Accept-Encoding": "gzip"}
    async with (
        proxy.client(address) as client,
        stack.client(user) as http,
        client.stream("GET", "/api/stream", headers=headers) as answer,
    ):
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "content-encoding" not in answer.headers
        lines = answer.aiter_lines()
        async with asyncio.timeout(LIMIT_S):
            while await anext(lines) != "event: authenticated":
                pass
            for title in ("first", "second"):
                await http.post("/api/tasks", json={"title": title})
                while f'"title":"{title}"' not in await anext(lines):
                    pass


async def polling_sessions(node: str) -> int:
    """Return the number of polling sessions of Socket.IO opened on a node."""
    async with httpx.AsyncClient(trust_env=False) as client:
        text = (await client.get(f"{node}/metrics")).text
    counts = re.findall(
        r'^tasktape_connections_opened_total\{[^}]*transport="socketio[^}]*\} (\S+)', text, re.MULTILINE
    )
    return int(sum(map(float, counts)))


async def test_polling_client_reaches_one_node_with_all_its_requests(stack: Stack, proxy: Proxy) -> None:
    """Also over new connections; different addresses are spread over both nodes."""
    before = [await polling_sessions(node) for node in stack.urls]
    for _ in range(12):
        address = next(_addresses)
        parameters = {"EIO": "4", "transport": "polling"}
        async with proxy.client(address) as client:
            opened = await client.get("/socket.io/", params=parameters)
        session = parameters | {"sid": json.loads(opened.text[1:])["sid"]}
        async with proxy.client(address) as client:
            assert (await client.post("/socket.io/", params=session, content="40")).text == "OK"
        for packet in (f'42["authenticate",{{"token":"{stack.token("alice")}"}}]', '42["nothing"]'):
            async with proxy.client(address) as client:
                answer = await client.get("/socket.io/", params=session)
                assert answer.status_code == 200, answer.text
            async with proxy.client(address) as client:
                answer = await client.post("/socket.io/", params=session, content=packet)
                assert answer.status_code == 200, answer.text
    after = [await polling_sessions(node) for node in stack.urls]
    assert all(late > early for early, late in zip(before, after, strict=True))


@pytest.mark.parametrize("transports", [["polling"], ["websocket"], ["polling", "websocket"]], ids=str)
async def test_socketio_client_receives_an_update(
    stack: Stack, proxy: Proxy, user: str, transports: list[str]
) -> None:
    options: dict[str, Any] = {"auth": {"token": stack.token(user)}, "transports": transports}
    options |= {"rejectUnauthorized": False}
    async with stack.client(user) as http, socketio(proxy.url, "socket.io-client", **options) as client:
        assert (await client.receive_named("authenticated"))["userId"] == user
        task = (await http.post("/api/tasks", json={"title": "A"})).json()["id"]
        await client.ask("subscribe:task", task)
        await http.post(f"/api/tasks/{task}/complete")
        assert (await client.task_update("task.completed"))["taskId"] == task


# --- changes while it runs -------------------------------------------------------------------------------


@dataclass(slots=True)
class Traffic:
    """Results of requests: their statuses, and the titles of tasks to be created.

    `unanswered` counts connections closed before the response: such a request is sent again.
    """

    statuses: list[int] = field(default_factory=list)
    titles: list[str] = field(default_factory=list)
    unanswered: int = 0


@asynccontextmanager
async def traffic(proxy: Proxy, headers: dict[str, str], *, keys: bool = False) -> AsyncIterator[Traffic]:
    """Read and create continuously, over many connections; with `keys`, creations may be repeated."""
    traffic = Traffic()
    ends = asyncio.Event()

    async def ask(method: str, path: str, **options: Any) -> None:
        # Over a connection of its own: one that idles may be closed just when it is used again.
        async with proxy.client() as client:
            try:
                answer = await client.request(method, path, **options)
            except (httpx.ReadError, httpx.RemoteProtocolError):
                traffic.unanswered += 1
                answer = await client.request(method, path, **options)
        traffic.statuses.append(answer.status_code)

    async def ask_on() -> None:
        while not ends.is_set():
            await ask("GET", "/api/me", headers=headers)
            title = uuid4().hex
            key = {"Idempotency-Key": title} if keys else {}
            await ask("POST", "/api/tasks", json={"title": title}, headers=headers | key)
            traffic.titles.append(title)

    asking = [asyncio.create_task(ask_on()) for _ in range(ASKING)]
    try:
        yield traffic
    finally:
        ends.set()
        await asyncio.gather(*asking)


async def titles_of(stack: Stack, user: str) -> list[str]:
    """Return the titles of all tasks of a user."""
    titles, query = [], {"limit": "200"}
    async with stack.client(user) as client:
        while True:
            page = (await client.get("/api/tasks", params=query)).json()
            titles += [task["title"] for task in page["items"]]
            if page["next_cursor"] is None:
                return titles
            query["cursor"] = page["next_cursor"]


async def test_reload_drops_neither_sockets_nor_requests(
    stack: Stack, proxy: Proxy, user: str, address: str
) -> None:
    headers = authorisation(stack, user)
    async with (
        live(proxy, stack, user, address) as client,
        proxy.client(address) as other,
        other.stream("GET", "/api/stream", headers=headers) as stream,
        traffic(proxy, headers, keys=True) as asked,
    ):
        lines = stream.aiter_lines()
        async with asyncio.timeout(LIMIT_S):
            while await anext(lines) != "event: authenticated":
                pass
        await asyncio.to_thread(proxy.reload)
        count = len(asked.statuses)
        await eventually(lambda: len(asked.statuses) > count + 20)
        async with proxy.client() as http:
            http.headers.update(headers)
            made = await http.post("/api/tasks", json={"title": "after the reload"})
        async with asyncio.timeout(LIMIT_S):
            await client.update("task.created", made.json()["id"])
            while "after the reload" not in await anext(lines):
                pass
    assert set(asked.statuses) == {200, 201}
    # Caddy listens at another socket then, and closes some connections that are just being opened.
    assert asked.unanswered == 0 or isinstance(proxy, Caddy)


@pytest.mark.parametrize("how", ["stopped", "killed"])
async def test_restarting_node_costs_no_request(stack: Stack, proxy: Proxy, user: str, how: str) -> None:
    """A stopped node costs none at all; a killed one none that may be repeated."""
    part = next(part for part in stack.parts if stack.urls[1].endswith(part.name.removeprefix("api-")))
    end = {"stopped": part.stop, "killed": part.kill}[how]
    async with traffic(proxy, authorisation(stack, user), keys=how == "killed") as asked:
        await eventually(lambda: len(asked.statuses) > 10)
        await asyncio.to_thread(end)
        count = len(asked.statuses)
        await eventually(lambda: len(asked.statuses) > count + 20)
        stack.parts.remove(part)
        await asyncio.to_thread(stack.start_api, int(part.name.removeprefix("api-")))
        names = set[str]()
        async with proxy.client() as client:

            async def both() -> bool:
                names.add((await client.get("/readyz")).json()["node"])
                return len(names) == 2

            await eventually(both)
    assert set(asked.statuses) == {200, 201}
    assert asked.unanswered == 0
    assert sorted(await titles_of(stack, user)) == sorted(asked.titles)


@pytest.mark.parametrize("kind", [Caddy, Nginx])
async def test_without_a_node_the_proxy_answers_503_with_retry_after(
    kind: type[Proxy], tmp_path: Path
) -> None:
    proxy = kind(tmp_path, ["127.0.0.1:1", "127.0.0.1:2"])
    proxy.start("/metrics", 404)
    try:
        async with proxy.client() as client:
            for answer in await asyncio.gather(client.get("/api/me"), client.get("/socket.io/?EIO=4")):
                assert answer.status_code == 503
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["retry-after"] == "2"
                assert answer.json()["code"] == "unavailable"
    finally:
        proxy.stop()


def test_socket_timeouts_exceed_two_pings_and_idle_timeouts_stay_below_the_nodes() -> None:
    seconds = named_numbers((DEPLOY / "nginx.conf").read_text(), "s")
    assert seconds["proxy_read_timeout"] == seconds["proxy_send_timeout"] == 90
    assert seconds["keepalive_timeout"] == 3
    assert "keepalive 3s" in (DEPLOY / "Caddyfile").read_text()
