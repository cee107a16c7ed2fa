"""Messages of a running instance, compared with the AsyncAPI document that it serves: no less, and no
more."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx
import ormsgpack
import pytest
from jsonschema import Draft7Validator
from referencing import Registry, Resource
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from api.protocol.client_messages import PACKED_SUBPROTOCOL, SUBPROTOCOL
from tests.api.event_client import events
from tests.integration.stack import Stack

LIMIT_S = 30.0
NOT_HERE = {"ping", "resync"}
"""Messages that take too long to cause: half a minute of silence, and ten thousand missed updates."""


class Described:
    """Validates the server's messages by a document, and counts them."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        closed = _closed(document)
        registry: Registry[Any] = Registry().with_resource("urn:document", Resource.opaque(closed))
        self.seen = Counter[str]()
        self._validators = {
            document["components"]["messages"][title]["name"]: Draft7Validator(
                {"$ref": f"urn:document#/components/schemas/{title}"}, registry=registry
            )
            for title in _sent(document)
        }
        self.types = set(self._validators)

    def check(self, message: Mapping[str, Any]) -> None:
        """Raise if the message differs from the description of its type."""
        self._validators[message["type"]].validate(message)
        self.seen[message["type"]] += 1


def _sent(document: Mapping[str, Any]) -> set[str]:
    """Return the titles of the server's messages, unsolicited or replies."""
    operations = document["operations"].values()
    sending = [each for each in operations if each["action"] == "send"]
    sending += [each["reply"] for each in operations if "reply" in each]
    return {message["$ref"].rpartition("/")[2] for each in sending for message in each["messages"]}


def _closed(schema: Any) -> Any:
    """Return the schema with objects that have only described properties."""
    if isinstance(schema, list):
        return [_closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(each) for name, each in schema.items()}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


class Client:
    """A socket whose messages are all validated."""

    def __init__(self, socket: ClientConnection, described: Described) -> None:
        self._socket = socket
        self._described = described
        self._waiting: list[dict[str, Any]] = []

    async def send(self, *messages: dict[str, Any]) -> None:
        """Send messages: one in a frame, or an array of several."""
        value = messages[0] if len(messages) == 1 else list(messages)
        packed = self._socket.subprotocol == PACKED_SUBPROTOCOL
        await self._socket.send(ormsgpack.packb(value) if packed else json.dumps(value))

    async def receive(self) -> dict[str, Any]:
        """Return the next message."""
        while not self._waiting:
            data = await asyncio.wait_for(self._socket.recv(), LIMIT_S)
            value = json.loads(data) if isinstance(data, str) else ormsgpack.unpackb(data)
            self._waiting = value if isinstance(value, list) else [value]
        message = self._waiting.pop(0)
        self._described.check(message)
        return message

    async def receive_matching(self, type_: str, **fields: Any) -> dict[str, Any]:
        """Return the next message of a type with these fields, validating those before."""
        while True:
            message = await self.receive()
            if message["type"] == type_ and fields.items() <= message.items():
                return message


@asynccontextmanager
async def client(
    url: str, token: str, described: Described, subprotocol: str, **hello: Any
) -> AsyncIterator[Client]:
    """Yield an authenticated client."""
    async with connect(url, subprotocols=[Subprotocol(subprotocol)], max_size=None) as socket:
        one = Client(socket, described)
        await one.send({"id": 1, "type": "authenticate", "token": token, **hello})
        await one.receive_matching("authenticated", id=1)
        yield one


async def test_all_sent_messages_are_described(running_stack: Stack) -> None:
    """In a long conversation of several users, on two nodes, by each transport."""
    ann, bob = f"ann-{uuid4().hex[:8]}", f"bob-{uuid4().hex[:8]}"
    tokens = {user: running_stack.token(user) for user in (ann, bob)}
    async with running_stack.client(ann, 0) as http, running_stack.client(bob, 1) as http_of_bob:
        described = Described((await http.get("/asyncapi.json")).json())
        async with asyncio.TaskGroup() as meanwhile, AsyncExitStack() as stack:
            meanwhile.create_task(_expire(running_stack, ann, described))
            clients = [
                await stack.enter_async_context(
                    client(
                        running_stack.ws_url(node), tokens[user], described, subprotocol, features=features
                    )
                )
                for user, node, subprotocol, features in (
                    (ann, 0, SUBPROTOCOL, []),
                    (ann, 1, PACKED_SUBPROTOCOL, ["batch", "what is to come"]),
                    (bob, 1, SUBPROTOCOL, ["batch"]),
                    (bob, 0, PACKED_SUBPROTOCOL, []),
                )
            ]
            task_id, list_id = await _begin(http, bob)
            channel = f"task:{task_id}"
            stream = await stack.enter_async_context(events(http, params={"channel": channel}))
            all_subscribed = asyncio.Barrier(len(clients))
            await asyncio.gather(*(_take_part(each, channel, tokens, all_subscribed) for each in clients))
            await asyncio.gather(*(_replay(each, list_id) for each in clients))
            await _go_on(http, http_of_bob, task_id, list_id, bob)
            await asyncio.gather(*(_until_it_ends(each, list_id) for each in clients))
            while (event := await stream.next()).name != "unsubscribed":
                if event.name:
                    described.check(event.message)
        await _look_back(running_stack, ann, described)
        await _administer(running_stack, described)
        await _watch_statistics(running_stack, ann, described)
    assert set(described.seen) == described.types - NOT_HERE, described.seen


async def _begin(http: httpx.AsyncClient, bob: str) -> tuple[str, str]:
    """Create a list of two users, and a task with every field."""
    stages = [{"name": name, "category": "open"} for name in ("to do", "doing")]
    task_list = (await http.post("/api/lists", json={"name": "Garden", "stages": stages})).json()
    answer = await http.put(f"/api/lists/{task_list['id']}/members/{bob}", json={"role": "editor"})
    assert answer.is_success, answer.text
    task = await http.post(
        "/api/tasks",
        json={
            "title": "Water",
            "list_id": task_list["id"],
            "due": "2099-01-01T10:00:00+01:00",
            "time_zone": "Europe/Berlin",
            "recurrence": "RRULE:FREQ=DAILY",
            "reminders": [{"before": "PT1H"}, {"at": "2098-12-31T00:00:00Z"}],
            "tags": ["a"],
            "assignees": [bob],
            "priority": "high",
        },
    )
    assert task.status_code == 201, task.text
    return task.json()["id"], task_list["id"]


async def _take_part(
    one: Client, channel: str, tokens: Mapping[str, str], all_subscribed: asyncio.Barrier
) -> None:
    """Cause each reply and each refusal, and send signals once the others can receive them."""
    await one.send({"id": 2, "type": "subscribe", "channel": channel, "since": {}})
    await one.receive_matching("subscribed", id=2)
    await all_subscribed.wait()
    for kind in ("viewing", "typing", "cursor"):
        await one.send({"type": "signal", "channel": channel, "kind": kind, "data": {"at": [1, 2.5, None]}})
    await one.receive_matching("signal", kind="cursor")
    for token in tokens.values():
        await one.send({"id": "r", "type": "refresh", "token": token})
    await one.receive_matching("error", id="r", code="forbidden")
    for wrong in [{"type": "subscribe", "channel": "task:1"}, {"type": "no such type"}, {"type": "signal"}]:
        await one.send({"id": 3, **wrong})
        await one.receive_matching("error", id=3)
    await one.send({"id": 4, "type": "ping"})
    await one.receive_matching("pong", id=4)


async def _replay(one: Client, list_id: str) -> None:
    """Replay the list to its end and back; the replay ends with the list."""
    channel = f"replay:{list_id}"
    await one.send(
        {"id": 8, "type": "subscribe", "channel": channel, "replay": {"speed": 1e9, "max_gap_ms": 0}}
    )
    await one.receive_matching("replay", state="ended")
    await one.send({"type": "control", "channel": channel, "action": "pause"})
    for action in ({"action": "seek", "at": "2020-01-01T00:00:00Z"}, {"action": "step"}):
        await one.send({"id": 9, "type": "control", "channel": channel, **action})
        await one.receive_matching("replay", id=9, state="paused")


async def _go_on(
    http: httpx.AsyncClient, http_of_bob: httpx.AsyncClient, task_id: str, list_id: str, bob: str
) -> None:
    """Cause updates of a task, a list, and notifications."""
    task = f"/api/tasks/{task_id}"
    answers = [
        await http.patch(task, json={"notes": "at dawn", "stage": "doing", "tags": ["b"]}),
        await http.post(f"{task}/comments", json={"text": f"Will you, @{bob}?"}),
        await http.post("/api/tasks", json={"title": "below", "parent_id": task_id}),
        await http.post(f"{task}/complete", params={"cascade": "true"}),
        await http.post(f"{task}/reopen"),
        await http.post(f"{task}/move", json={"stage": "to do"}),
        await http.patch(f"/api/lists/{list_id}", json={"name": "Park"}),
    ]
    received = (await http_of_bob.get("/api/notifications")).json()["items"]
    answers += [
        await http_of_bob.post(f"/api/notifications/{received[0]['id']}/read"),
        await http.delete(task, params={"cascade": "true"}),
        await http.post(f"{task}/restore"),
        await http.delete(f"/api/lists/{list_id}/members/{bob}"),
        await http.delete(f"/api/lists/{list_id}"),
    ]
    for answer in answers:
        assert answer.is_success, answer.text


async def _until_it_ends(one: Client, list_id: str) -> None:
    await one.receive_matching("unsubscribed", channel=f"list:{list_id}")


async def _look_back(stack: Stack, user: str, described: Described) -> None:
    """Receive all of it again as missed updates."""
    url, token = stack.ws_url(1), stack.token(user)
    async with client(url, token, described, SUBPROTOCOL, since={}, features=["batch"]) as one:
        await one.send({"id": 5, "type": "ping"}, {"id": 6, "type": "unsubscribe", "channel": f"user:{user}"})
        await one.receive_matching("unsubscribed", id=6)


async def _administer(stack: Stack, described: Described) -> None:
    token = stack.token("admin", admin=True)
    async with client(stack.ws_url(), token, described, PACKED_SUBPROTOCOL) as one:
        await one.send({"id": 7, "type": "subscribe", "channel": "system"})
        await one.receive_matching("system")


async def _watch_statistics(stack: Stack, user: str, described: Described) -> None:
    async with stack.client(user) as http:
        list_id = (await http.post("/api/lists", json={"name": "Watched"})).json()["id"]
    async with client(stack.ws_url(), stack.token(user), described, PACKED_SUBPROTOCOL) as one:
        await one.send({"id": 8, "type": "subscribe", "channel": f"stats:{list_id}"})
        await one.receive_matching("stats")


async def _expire(stack: Stack, user: str, described: Described) -> None:
    token = stack.token(user, ttl_s=5)
    async with client(stack.ws_url(), token, described, SUBPROTOCOL) as one:
        with pytest.raises(ConnectionClosed):
            await one.receive_matching("nothing more")
