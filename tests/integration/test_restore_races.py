"""Deleting and restoring a list while others work in it, on two nodes at once."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.ids import inbox_id
from app.log.fold import Folded
from app.settings import Settings
from tests.folding import fold_log
from tests.integration.relay_readers import Reader, SocketReader, StreamReader
from tests.integration.relay_truth import check_read, expected_of
from tests.integration.stack import Stack
from tests.truth import read_whole_log, wait_until_projected
from tests.waiting import eventually

ROUNDS = 15
AT_ONCE = 6
LIMIT_S = 60.0
POSSIBLE = frozenset({200, 201, 204, 404, 409})
"""Done; or it is not there just then, or nobody's to do just then."""
Answer = Coroutine[Any, Any, httpx.Response]


@dataclass
class Group:
    """An owner, an editor and a guest who joins and leaves, each with a client on both nodes; two lists."""

    stack: Stack
    users: dict[str, str]
    clients: Mapping[str, Sequence[httpx.AsyncClient]]
    contested: str
    other: str
    chance: random.Random
    tasks: list[str] = field(default_factory=list)

    def client(self, who: str) -> httpx.AsyncClient:
        """Return a client on either node."""
        return self.chance.choice(self.clients[who])

    async def create(self, list_id: str) -> httpx.Response:
        """Create a task, and keep its id if that was acknowledged."""
        body = {"title": f"Task {len(self.tasks)}", "list_id": list_id}
        answer = await self.client("editor").post("/api/tasks", json=body)
        if answer.status_code == 201:
            self.tasks.append(answer.json()["id"])
        return answer

    def any_command(self) -> Answer:
        """Return one of the racing commands."""
        path, owner, editor = f"/api/lists/{self.contested}", self.client("owner"), self.client("editor")
        guest = f"{path}/members/{self.users['guest']}"
        task = f"/api/tasks/{self.chance.choice(self.tasks)}"
        commands: Sequence[Callable[[], Answer]] = (
            lambda: owner.delete(path),
            lambda: owner.post(f"{path}/restore"),
            lambda: owner.post(f"{path}/restore"),
            lambda: owner.put(guest, json={"role": "viewer"}),
            lambda: owner.delete(guest),
            lambda: self.client("guest").post(f"{path}/leave"),
            lambda: editor.post(f"{task}/move", json={"list_id": self.contested}),
            lambda: owner.post(f"{task}/move", json={"list_id": self.other}),
            lambda: editor.patch(task, json={"notes": uuid4().hex}),
            lambda: self.create(self.contested),
        )
        return self.chance.choice(commands)()


@pytest.fixture
async def group(running_stack: Stack) -> AsyncIterator[Group]:
    users = {who: f"{who}-{uuid4().hex[:8]}" for who in ("owner", "editor", "guest")}
    async with AsyncExitStack() as opened:
        clients = {
            who: [await opened.enter_async_context(running_stack.client(name, node)) for node in (0, 1)]
            for who, name in users.items()
        }
        owner, lists = clients["owner"][0], []
        for name in ("Contested", "Other"):
            lists.append((await owner.post("/api/lists", json={"name": name})).json()["id"])
            added = await owner.put(
                f"/api/lists/{lists[-1]}/members/{users['editor']}", json={"role": "editor"}
            )
            assert added.status_code == 200
        contested, other = lists
        found = Group(running_stack, users, clients, contested, other, random.Random(uuid4().int))
        for list_id in lists * 3:
            assert (await found.create(list_id)).status_code == 201
        yield found


async def test_racing_commands_lose_nothing_and_all_see_the_same(group: Group) -> None:
    """Deleting, restoring, sharing, leaving, moving in and out, creating: at once, on two nodes."""
    readers: list[Reader] = [
        kind(name, group.stack.token(name), group.stack.urls[node])
        for name in group.users.values()
        for node, kind in enumerate((SocketReader, StreamReader))
    ]
    async with AsyncExitStack() as reading:
        for reader in readers:
            await reading.enter_async_context(reader)
        for _ in range(ROUNDS):
            answers = await asyncio.gather(*(group.any_command() for _ in range(AT_ONCE)))
            assert {answer.status_code for answer in answers} <= POSSIBLE, [each.text for each in answers]
        restored = await group.client("owner").post(f"/api/lists/{group.contested}/restore")
        assert restored.status_code == 200
        outcome = await quiet(group, readers)
    for reader in readers:
        check_read(reader, outcome)
    check_turns(group, outcome)
    await check_seen(group, restored.json())


async def quiet(group: Group, readers: Sequence[Reader]) -> list[Folded]:
    """Wait until everything is projected and read, and return the fold of the log."""
    settings = Settings.from_environment(group.stack.environment)
    await wait_until_projected(settings)
    _, outcome = fold_log(await read_whole_log(settings))
    for reader in readers:
        wanted = expected_of(reader.user, outcome)
        await eventually(
            lambda reader=reader, wanted=wanted: reader.has(wanted),  # type: ignore[misc]
            LIMIT_S,
            f"{reader} did not get all that it had to",
        )
    return outcome


def check_turns(group: Group, outcome: Sequence[Folded]) -> None:
    """Check that the list was deleted and restored in turns, by the log."""
    turns = [
        each.record.type
        for each in outcome
        if each.outcome == "accepted"
        and each.record is not None
        and each.record.stream == f"list:{group.contested}"
        and each.record.type in {"list.deleted", "list.restored"}
    ]
    assert turns == ["list.deleted", "list.restored"] * (len(turns) // 2)


async def check_seen(group: Group, task_list: dict[str, Any]) -> None:
    """Check that members find the list on both nodes, with each acknowledged task."""
    places = {group.contested, group.other, *map(inbox_id, group.users.values())}
    for who, clients in group.clients.items():
        status = 200 if group.users[who] in task_list["members"] else 404
        for client in clients:
            answer = await client.get(f"/api/lists/{group.contested}")
            assert answer.status_code == status, (who, answer.text)
    for task_id in group.tasks:
        seen = [
            answer.json()["list_id"]
            for who in ("owner", "editor")
            if (answer := await group.client(who).get(f"/api/tasks/{task_id}")).status_code == 200
        ]
        assert seen, f"task {task_id} is out of reach"
        assert set(seen) <= places


async def test_concurrent_deletes_and_restores_all_have_a_response(group: Group) -> None:
    """Each is executed, or finds that it was; in the end both nodes agree on the list."""
    path = f"/api/lists/{group.contested}"
    for _ in range(10):
        calls: list[Answer] = [
            call
            for client in group.clients["owner"]
            for call in (client.delete(path), client.post(f"{path}/restore"))
        ]
        group.chance.shuffle(calls)
        answers = await asyncio.gather(*calls)
        assert {answer.status_code for answer in answers} <= {200, 204, 404}
        for answer in answers:
            if answer.status_code == 200:
                assert answer.json()["deleted_at"] is None
        found = [(await client.get(path)).status_code for client in group.clients["owner"]]
        assert found in ([200, 200], [404, 404])
    restored = await asyncio.gather(*(client.post(f"{path}/restore") for client in group.clients["owner"]))
    assert [answer.status_code for answer in restored] == [200, 200]
    assert restored[0].json() == restored[1].json()
    settings = Settings.from_environment(group.stack.environment)
    await wait_until_projected(settings)
    _, outcome = fold_log(await read_whole_log(settings))
    check_turns(group, outcome)
