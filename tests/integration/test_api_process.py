"""API process: start, refusal to start, bounds on the wire, and stop."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import websockets
from prometheus_client.parser import text_string_to_metric_families

from tests.fork_server import API, fork_server
from tests.integration.stack import Stack
from tests.ports import free_port
from tests.waiting import eventually

START_LIMIT_S = 60


def refused(stack: Stack, **environment: str) -> tuple[int, str]:
    """Start an API process that must refuse, and return its exit status and its one line."""
    log = stack.folder / f"refused-{uuid4().hex}.log"
    address = {"HOST": "127.0.0.1", "PORT": str(free_port())}
    process = fork_server(API).start(("api",), {**stack.environment, **address, **environment}, log)
    status = process.wait(START_LIMIT_S)
    text = log.read_text()
    lines = [line for line in text.splitlines() if line.startswith("Error: ")]
    assert "Traceback" not in text
    assert len(lines) == 1, text
    return status, lines[0]


@pytest.mark.parametrize(
    ("environment", "status", "words"),
    [
        ({"PORT": "http"}, 2, "PORT"),
        ({"JWT_SECRET": "short"}, 2, "JWT_SECRET"),
        ({"JWT_SECRET": ""}, 2, "JWT_SECRET"),
        ({"TASKTAPE_COLOUR": "red"}, 2, "TASKTAPE_COLOUR"),
        ({"TASKTAPE_API_DATABASE_URL": "postgresql://127.0.0.1:1/none"}, 1, "database"),
        ({"KAFKA_BROKERS": "127.0.0.1:1"}, 1, "Kafka"),
        ({"TASKTAPE_SCHEMA": "never_migrated"}, 1, "tasktape migrate"),
        ({"TASKTAPE_PARTITIONS": "3"}, 1, "partitions"),
    ],
)
def test_impossible_start_is_refused_in_one_line(
    running_stack: Stack, environment: dict[str, str], status: int, words: str
) -> None:
    """Exit 2 for settings, 1 for unavailable or incompatible dependencies."""
    found, line = refused(running_stack, **environment)
    assert found == status
    assert words in line


def test_taken_port_is_named(running_stack: Stack) -> None:
    """Before anything else is tried."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        status, line = refused(running_stack, PORT=str(port))
    assert status == 1
    assert f"127.0.0.1:{port}" in line


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
async def test_stop_is_clean(running_stack: Stack, number: signal.Signals, status: int) -> None:
    """The pending request is answered, and the open socket gets a goodbye."""
    part = running_stack.start_api()
    worker = next(each for each in running_stack.parts if each.name.startswith("worker"))
    try:
        async with (
            running_stack.client(f"user-{uuid4().hex[:8]}", -1) as client,
            websockets.connect(running_stack.ws_url(-1), proxy=None) as live,
        ):
            token = client.headers["authorization"].partition(" ")[2]
            await live.send(json.dumps({"id": 1, "type": "authenticate", "token": token}))
            assert json.loads(await live.recv())["type"] == "authenticated"
            assert (await client.get("/api/me")).status_code == 200
            worker.process.send_signal(signal.SIGSTOP)  # so that what is written now is not visible
            written = await client.post(
                "/api/tasks", json={"title": "Late"}, headers={"Prefer": "respond-async"}
            )
            waiting = {"Tasktape-Position": written.headers["tasktape-position"], "Prefer": "wait=2"}
            sent = asyncio.Event()
            in_hand = asyncio.create_task(
                client.get("/api/me", headers=waiting, extensions={"trace": setting(sent)})
            )
            await sent.wait()
            await client.get("/healthz")  # which the node reads later
            part.process.send_signal(number)
            assert (await in_hand).status_code == 503
            await eventually(lambda: part.process.poll() is not None)
            assert part.process.returncode == status, part.tail()
            assert (await last_message(live))["type"] == "goodbye"
            assert live.close_code == 4001
    finally:
        worker.process.send_signal(signal.SIGCONT)
        running_stack.urls.pop()
        running_stack.parts.remove(part)
        part.kill()


def setting(sent: asyncio.Event) -> Callable[[str, object], Awaitable[None]]:
    """Return a trace function for httpx that sets the event once a request is sent."""

    async def trace(name: str, _: object) -> None:
        if name.endswith("send_request_body.complete"):
            sent.set()

    return trace


async def last_message(live: websockets.ClientConnection) -> dict[str, object]:
    """Return the last message of a socket that is being closed."""
    last: dict[str, object] = {}
    with contextlib.suppress(websockets.ConnectionClosed):
        async with asyncio.timeout(START_LIMIT_S):
            while True:
                last = json.loads(await live.recv())
    return last


async def raw_exchange(url: str, request: bytes, limit_s: float = START_LIMIT_S) -> bytes:
    """Send bytes to a node and return its response up to the close, or to a pause."""
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(request)
        answer = b""
        async with asyncio.timeout(limit_s):
            while b"\r\n\r\n" not in answer:
                chunk = await reader.read(65536)
                if not chunk:
                    break
                answer += chunk
        return answer
    finally:
        writer.close()


async def test_endless_chunked_body_is_cut_off(running_stack: Stack) -> None:
    """413 at the limit, on a real socket."""
    head = (
        "POST /api/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        f"Authorization: Bearer {running_stack.token('chunky')}\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
    answer = await raw_exchange(running_stack.urls[0], head.encode() + chunk * 20)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer


async def test_responses_do_not_name_the_server(running_stack: Stack) -> None:
    """No server header; input that is no HTTP gets a 400."""
    async with httpx.AsyncClient(base_url=running_stack.urls[0], trust_env=False) as client:
        assert "server" not in (await client.get("/healthz")).headers
    assert (await raw_exchange(running_stack.urls[0], b"nonsense\r\n\r\n")).startswith(b"HTTP/1.1 400 ")


async def test_metrics_follow_events_on_each_node(running_stack: Stack) -> None:
    """Updates arrive on both, requests count on the node that answered."""
    published = "tasktape_updates_published_total"
    async with running_stack.client(f"user-{uuid4().hex[:8]}", 0) as client:
        before = [await metrics_of(running_stack, node) for node in (0, 1)]
        assert (await client.post("/api/tasks", json={"title": "T"})).status_code == 201
        assert (await client.get("/api/tasks")).status_code == 200

        async def came_to_both() -> bool:
            now = [await metrics_of(running_stack, node) for node in (0, 1)]
            return all(now[node][published] > before[node][published] for node in (0, 1))

        await eventually(came_to_both)
    after = [await metrics_of(running_stack, node) for node in (0, 1)]
    created = request_count("POST", "/api/tasks", 201)
    assert after[0].get(created, 0) == before[0].get(created, 0) + 1
    assert after[1].get(created, 0) == before[1].get(created, 0)
    assert after[0]["tasktape_feed_up"] == after[1]["tasktape_feed_up"] == 1
    assert after[0]["process_resident_memory_bytes"] > 10_000_000


def request_count(method: str, route: str, status: int) -> str:
    """Return the name of a sample, as in `metrics_of`."""
    return f"tasktape_http_request_duration_seconds_count method={method} route={route} status={status}"


async def metrics_of(stack: Stack, node: int) -> dict[str, float]:
    """Return name and labels → value."""
    async with httpx.AsyncClient(base_url=stack.urls[node], trust_env=False) as client:
        text = (await client.get("/metrics")).text
    return {
        " ".join([sample.name, *(f"{name}={value}" for name, value in sorted(sample.labels.items()))]): (
            sample.value
        )
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def test_commands_without_a_worker_are_pending(
    kafka_brokers: str, database_url: str, tmp_path: Path
) -> None:
    """202 for everything; the lag shows; once a worker starts, all of it is visible."""
    stack = Stack(kafka_brokers, database_url, tmp_path, {"TASKTAPE_COMMAND_WAIT_MS": "200"})
    try:
        await asyncio.to_thread(stack.migrate)
        await asyncio.to_thread(stack.start_api)
        async with stack.client("patient") as client:
            created = await client.post("/api/tasks", json={"title": "T"}, headers={"Idempotency-Key": "k"})
            assert created.status_code == 202
            repeated = await client.post("/api/tasks", json={"title": "T"}, headers={"Idempotency-Key": "k"})
            assert (repeated.status_code, repeated.text) == (202, created.text)
            pending = await client.get(created.headers["location"])
            assert (pending.status_code, pending.json()["outcome"]) == (202, "pending")
            assert (await client.get("/readyz")).json()["lag"] == 2  # the task, and the inbox
            await asyncio.to_thread(stack.start_worker)

            async def all_is_visible() -> bool:
                return bool((await client.get("/readyz")).json()["lag"] == 0)

            await eventually(all_is_visible)
            wait = {"Tasktape-Position": created.headers["tasktape-position"], "Prefer": "wait=30"}
            tasks = (await client.get("/api/tasks", headers=wait)).json()["items"]
            assert [task["title"] for task in tasks] == ["T"]
            final = await client.post("/api/tasks", json={"title": "T"}, headers={"Idempotency-Key": "k"})
            assert (final.status_code, final.json()) == (201, tasks[0])
            assert (await client.get(created.headers["location"])).json()["task"] == tasks[0]
    finally:
        stack.stop()
