"""Conversations of the sockets reference, held with a real server, and its JavaScript, run."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from websockets.asyncio.client import connect

from tests.api.event_client import events
from tests.integration.documents import ROOT
from tests.integration.live_client import LiveClient, live
from tests.integration.stack import Stack

WEBSOCKET, SOCKETIO = "docs/reference/websocket.md", "docs/reference/socketio.md"
SSE = "docs/reference/sse.md"
SENT, RECEIVED = "→ ", "← "
MORE = "…"
"""Stands for what the page leaves out: a text or a part of it, an object, or more fields of one."""
SAME = ("type", "id", "kind", "missed", "viewing", "typing", "connections", "data", "list")
"""Fields whose values have to be those that are shown; others have to be of the same kind."""
END = "function end(message) { console.log(JSON.stringify(message)); process.exit(0); }\n"
"""Ends a program of the page with the message that its test waits for."""
LIMIT_S = 30.0
POSITION = re.compile(r"\d+:\d+")


def blocks(page: str, language: str) -> list[str]:
    text = (ROOT / page).read_text()
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def conversations() -> list[list[str]]:
    """Return the blocks of messages in both directions, by lines."""
    return [block.splitlines() for block in blocks(WEBSOCKET, "") if block.startswith(SENT)]


def shown(text: str) -> dict[str, Any]:
    """Return a message as a page shows it; omitted fields and texts are `MORE`."""
    text = text.replace(f"[{MORE}]", f'["{MORE}"]')
    text = text.replace(f"{{{MORE}}}", f'{{"{MORE}": 0}}').replace(f", {MORE}}}", f', "{MORE}": 0}}')
    message: dict[str, Any] = json.loads(text)
    return message


def differs(page: Any, real: Any, name: str = "") -> str | None:
    """Return where a received message differs from that of a page; None if it does not."""
    match page:
        case dict():
            return _object_differs(page, real, name)
        case [str(only)] if only == MORE:
            return None if isinstance(real, list) else f"{name}: {real}"
        case list():
            if not isinstance(real, list) or len(real) != len(page):
                return f"{name}: {real}"
            found = [differs(*pair, name) for pair in zip(page, real, strict=True)]
            return next(filter(None, found), None)
        case str() if MORE in page:
            return None if str(real).startswith(page.partition(MORE)[0]) else f"{name}: {real}"
    as_shown = (page == real) if name in SAME else type(page) is type(real)
    if as_shown and name == "position":
        as_shown = POSITION.fullmatch(real) is not None
    return None if as_shown else f"{name}: {real} instead of {page}"


def _object_differs(page: Mapping[str, Any], real: Any, name: str) -> str | None:
    if not isinstance(real, dict):
        return f"{name}: {real}"
    if all(key.isdigit() for key in page) and page:  # partitions, of which another instance has others
        plain = all(key.isdigit() and isinstance(value, int) for key, value in real.items())
        return None if plain else f"{name}: {real}"
    missing = page.keys() - real.keys() - {MORE}
    more = set() if MORE in page or not page else real.keys() - page.keys()
    if missing or more:
        return f"{name}: without {missing}, with {more}"
    found = [differs(value, real[key], key) for key, value in page.items() if key != MORE]
    return next(filter(None, found), None)


@pytest.fixture
async def alice(running_stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with running_stack.client(f"alice-{uuid4().hex[:8]}") as client:
        yield client


async def created(client: httpx.AsyncClient, **fields: str) -> dict[str, Any]:
    answer = await client.post("/api/tasks", json={"title": "Buy milk", **fields})
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


def token_of(client: httpx.AsyncClient) -> str:
    return client.headers["authorization"].partition(" ")[2]


@asynccontextmanager
async def connected(stack: Stack) -> AsyncIterator[LiveClient]:
    """Yield a socket on which nothing was sent."""
    async with connect(stack.ws_url(), max_size=None) as socket:
        yield LiveClient(socket)


async def test_missed_updates_equal_those_of_the_conversation(
    running_stack: Stack, alice: httpx.AsyncClient
) -> None:
    """Three events were missed; the first one is shown."""
    hello, reply, update = conversations()[0]
    await created(alice)
    since = (await alice.get("/api/tasks")).json()["positions"]
    task = await created(alice)
    for path in ("complete", "reopen"):
        assert (await alice.post(f"/api/tasks/{task['id']}/{path}")).status_code == 200
    said = shown(hello.removeprefix(SENT))
    assert said.keys() == {"id", "type", "token", "since"}
    async with connected(running_stack) as socket:
        await socket.send(**{**said, "token": token_of(alice), "since": since})
        for line in (reply, update):
            assert line.startswith(RECEIVED)
            assert differs(shown(line.removeprefix(RECEIVED)), await socket.receive()) is None


async def hold(client: LiveClient, lines: list[str], **values: Any) -> None:
    """Send the messages of a conversation with these values, and check that its other messages follow.

    Messages of other types, such as presence, may come between.
    """
    for line in lines:
        message = shown(line[len(SENT) :])
        if line.startswith(SENT):
            await client.send(**{**message, **{name: values[name] for name in values if name in message}})
            continue
        while (received := await client.receive())["type"] != message["type"]:
            pass
        assert differs(message, received) is None


async def test_replay_equals_that_of_the_conversation(running_stack: Stack, alice: httpx.AsyncClient) -> None:
    """It is paused after its first event, before the next one, which comes a second later."""
    task_list = (await alice.post("/api/lists", json={"name": "Errands"})).json()
    for _ in range(3):
        await created(alice, list_id=task_list["id"])
    async with live(running_stack.ws_url(), token_of(alice)) as socket:
        replay = {"from": task_list["created_at"], "speed": 0.001, "max_gap_ms": 1_000}
        channel = f"replay:{task_list['id']}"
        await hold(socket, conversations()[2], channel=channel, replay=replay)


async def test_statistics_equal_those_of_the_conversation(
    running_stack: Stack, alice: httpx.AsyncClient
) -> None:
    list_id = (await alice.post("/api/lists", json={"name": "Errands"})).json()["id"]
    await created(alice, list_id=list_id)
    async with live(running_stack.ws_url(), token_of(alice)) as socket:
        await hold(socket, conversations()[3], channel=f"stats:{list_id}")


async def test_presence_equals_that_of_the_conversation(
    running_stack: Stack, alice: httpx.AsyncClient
) -> None:
    lines = conversations()[1]
    bob = f"bob-{uuid4().hex[:8]}"
    list_id = (await alice.post("/api/lists", json={"name": "Errands"})).json()["id"]
    await alice.put(f"/api/lists/{list_id}/members/{bob}", json={"role": "editor"})
    channel = f"task:{(await created(alice, list_id=list_id))['id']}"
    async with (
        live(running_stack.ws_url(), running_stack.token(bob)) as of_bob,
        live(running_stack.ws_url(), token_of(alice)) as of_alice,
    ):
        await of_bob.request(type="subscribe", channel=channel)
        await of_bob.send(type="signal", channel=channel, kind="viewing")
        while not _views(await of_bob.receive(), bob):
            pass
        for line in lines:
            message = shown(line[len(SENT) :])
            if line.startswith(SENT):
                assert message["channel"] == f"task:{MORE}"
                await of_alice.send(**{**message, "channel": channel})
                continue
            if message["type"] == "signal":
                own = {"channel": channel, "kind": message["kind"], "data": message["data"]}
                await of_bob.send(type="signal", **own)
            # Among these may be that alice herself has come, or types, and updates of what was done before.
            while (real := await of_alice.receive())["type"] != message["type"]:
                assert real.get("joined") or real["type"] in {"update", "subscribed"}, real
            assert differs(message, real) is None, real
        typing = [line for line in lines if '"typing"' in line and line.startswith(SENT)]
        assert len(typing) == 1


def _views(message: Mapping[str, Any], user: str) -> bool:
    there = (*message.get("present", ()), *message.get("joined", ()))
    return any(each["user"] == user and each["viewing"] for each in there)


async def test_stream_event_equals_that_of_the_page(alice: httpx.AsyncClient) -> None:
    [block] = [each for each in blocks(WEBSOCKET, "") if each.startswith("id:")]
    page = dict(line.split(": ", 1) for line in block.splitlines())
    async with events(alice) as stream:
        await stream.next()
        await created(alice)
        while (event := await stream.named(page["event"])).message["event"]["type"] != "task.created":
            pass  # That of the inbox may come first.
        assert event.place is not None
        for place in (event.place, page["id"]):
            assert all(POSITION.fullmatch(each) for each in place.split(","))
        assert differs(shown(page["data"]), event.message) is None


@pytest.mark.parametrize("package", ["socket.io-client", "socket.io-client-4.6"])
async def test_socketio_javascript_receives_the_shown_update(
    running_stack: Stack, alice: httpx.AsyncClient, tmp_path: Path, package: str
) -> None:
    """Verbatim, except for the URL, and with the variables that the page assumes."""
    program, _ = blocks(SOCKETIO, "js")
    [update] = blocks(SOCKETIO, "json")
    task = await created(alice)
    user = (await alice.get("/api/me")).json()["user"]
    given = {"userId": user, "token": token_of(alice), "taskId": task["id"]}
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    script = tmp_path / "page.mjs"
    assert 'from "socket.io-client"' in program
    script.write_text(
        program.replace("http://127.0.0.1:8000", running_stack.urls[0]).replace(
            '"socket.io-client"', json.dumps(package)
        )
        + f"const {{ userId, token, taskId }} = {json.dumps(given)};\n"
        # The creation of the task may come first.
        + 'function refresh(event) { if (event.type === "task.completed") end(event); }\n'
        + END
        + 'socket.on("authenticated", () => console.log("begun"));\n'
    )
    received = await _output_of(script, lambda: alice.post(f"/api/tasks/{task['id']}/complete"))
    page = json.loads(update)
    assert received.keys() == page.keys()
    assert (received["type"], received["taskId"], received["userId"]) == (page["type"], task["id"], user)
    assert received["changes"]["status"] == page["changes"]["status"]
    assert differs({**page, "changes": {}}, received) is None


async def test_socketio_javascript_shows_a_replay(
    running_stack: Stack, alice: httpx.AsyncClient, tmp_path: Path
) -> None:
    """Verbatim, after the first program of the page; the pause may come after the end."""
    first, replay = blocks(SOCKETIO, "js")
    task = await created(alice)
    given = {"userId": None, "token": token_of(alice), "taskId": task["id"], "listId": task["list_id"]}
    (tmp_path / "node_modules").symlink_to(ROOT / "node_modules")
    script = tmp_path / "page.mjs"
    script.write_text(
        first.replace("http://127.0.0.1:8000", running_stack.urls[0])
        + f"const {{ userId, token, taskId, listId }} = {json.dumps(given)};\n"
        + "let board; function refresh() {} function applyToBoard() {}\n"
        + "function showBoard(message) { board = message; }\n"
        + END
        + 'const last = ["paused", "ended"];\n'
        + 'socket.on("replay", ({ state }) => last.includes(state) && end({ state, board }));\n'
        + f'socket.on("authenticated", () => {{\nconsole.log("begun");\n{replay}}});\n'
    )
    received = await _output_of(script, lambda: asyncio.sleep(0))
    assert received["state"] in {"paused", "ended"}
    assert (received["board"]["type"], received["board"]["state"]) == ("replay", "snapshot")


async def test_event_stream_javascript_receives_an_update(
    running_stack: Stack, alice: httpx.AsyncClient, tmp_path: Path
) -> None:
    [program] = blocks(SSE, "js")
    script = tmp_path / "page.mjs"
    script.write_text(
        f"const token = {json.dumps(token_of(alice))};\n"
        + program.replace("`/api/stream", f"`{running_stack.urls[0]}/api/stream")
        # The creation of the inbox may come first.
        + "function show(update) { if (update.task !== null) end(update); }\n"
        + END
        + 'events.addEventListener("authenticated", () => console.log("begun"));\n'
    )
    received = await _output_of(script, lambda: created(alice))
    assert (received["type"], received["task"]["title"]) == ("update", "Buy milk")


async def _output_of(script: Path, cause: Callable[[], Awaitable[Any]]) -> dict[str, Any]:
    """Run a page's program in node, cause an update once it listens, and return its output."""
    process = await asyncio.create_subprocess_exec(
        "node", "--experimental-eventsource", str(script), stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            assert await process.stdout.readline() == b"begun\n"
            await cause()
            received: dict[str, Any] = json.loads(await process.stdout.readline())
            assert await process.wait() == 0
            return received
    finally:
        if process.returncode is None:
            process.kill()


def test_every_conversation_and_javascript_of_the_documents_is_tested_here() -> None:
    texts = {path: path.read_text() for path in ROOT.glob("docs/**/*.md")}
    pages = {path for path, text in texts.items() if re.search(r"^(→|←) ", text, re.MULTILINE)}
    assert pages == {ROOT / WEBSOCKET}
    pages = {path for path, text in texts.items() if re.search(r"^```(js|mjs|ts)$", text, re.MULTILINE)}
    assert pages == {ROOT / SOCKETIO, ROOT / SSE}
    assert len(conversations()) == 4
