"""Sharing lists over HTTP, and its effect on open sockets."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import httpx
import pytest

from tests.integration.live_client import live
from tests.integration.stack import Stack

STAGES = [
    {"name": "To do", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Done", "category": "done"},
]


def user(name: str) -> str:
    return f"{name}-{uuid4().hex[:8]}"


@dataclass
class Team:
    """A list with an owner, an editor and a viewer, a stranger, and a client for each."""

    path: str
    users: Mapping[str, str]
    clients: Mapping[str, httpx.AsyncClient]

    @property
    def list_id(self) -> str:
        return self.path.rpartition("/")[2]

    def member(self, who: str) -> str:
        return f"{self.path}/members/{quote(self.users[who], safe='')}"

    async def task(self, **fields: Any) -> str:
        """Return the URL of a new task."""
        answer = await self.clients["owner"].post(
            "/api/tasks", json={"title": "T", "list_id": self.list_id, **fields}
        )
        assert answer.status_code == 201, answer.text
        path: str = answer.headers["location"]
        return path


@asynccontextmanager
async def team_of(stack: Stack, **fields: Any) -> AsyncIterator[Team]:
    async with AsyncExitStack() as opened:
        users = {who: user(who) for who in ("owner", "editor", "viewer", "stranger")}
        clients = {
            who: await opened.enter_async_context(stack.client(name, place % 2))
            for place, (who, name) in enumerate(users.items())
        }
        made = await clients["owner"].post("/api/lists", json={"name": "Team", **fields})
        assert made.status_code == 201, made.text
        team = Team(made.headers["location"], users, clients)
        for role in ("editor", "viewer"):
            answer = await clients["owner"].put(team.member(role), json={"role": role})
            assert answer.status_code == 200, answer.text
        yield team


@pytest.fixture
async def team(running_stack: Stack) -> AsyncIterator[Team]:
    async with team_of(running_stack) as found:
        yield found


async def test_members_are_added_changed_and_listed(team: Team) -> None:
    """Each response is the list, and repeating changes nothing."""
    owner, users = team.clients["owner"], team.users
    answer = await owner.put(team.member("viewer"), json={"role": "editor"})
    assert answer.status_code == 200
    assert answer.json()["members"][users["viewer"]] == "editor"
    assert answer.headers["etag"] == f'"{answer.json()["version"]}"'
    again = await owner.put(team.member("viewer"), json={"role": "editor"})
    assert (again.status_code, again.json()) == (200, answer.json())
    members = await team.clients["viewer"].get(
        f"{team.path}/members", headers={"Tasktape-Position": answer.headers["tasktape-position"]}
    )
    assert members.status_code == 200
    assert {each["user"]: each["role"] for each in members.json()["items"]} == answer.json()["members"]
    assert members.json()["next_cursor"] is None
    assert (await team.clients["stranger"].get(f"{team.path}/members")).status_code == 404


@pytest.mark.parametrize("name", ["Zoë O'Brien", "team/ops", "50% off?", "a#b&c=d", "..x", "日本"])
async def test_users_may_have_any_printable_name(team: Team, running_stack: Stack, name: str) -> None:
    """Percent-encoded in the path."""
    named = f"{name} {uuid4().hex[:6]}"
    owner = team.clients["owner"]
    address = f"{team.path}/members/{quote(named, safe='')}"
    added = await owner.put(address, json={"role": "viewer"})
    assert added.status_code == 200, added.text
    assert added.json()["members"][named] == "viewer"
    async with running_stack.client(named) as client:
        position = {"Tasktape-Position": added.headers["tasktape-position"]}
        assert (await client.get(team.path, headers=position)).status_code == 200
    assert (await owner.delete(address)).status_code == 204


@pytest.mark.parametrize(
    ("name", "body", "status", "field"),
    [
        ("bob", {"role": "king"}, 422, "role"),
        ("bob", {}, 422, "role"),
        ("bob", {"role": "viewer", "user": "eve"}, 422, "user"),
        ("b\tob", {"role": "viewer"}, 422, "user"),
        ("b" * 129, {"role": "viewer"}, 422, "user"),
        ("", {"role": "viewer"}, 422, "user"),
    ],
)
async def test_invalid_members_are_refused(
    team: Team, name: str, body: dict[str, str], status: int, field: str
) -> None:
    """With the field."""
    address = f"{team.path}/members/{quote(name, safe='')}"
    answer = await team.clients["owner"].put(address, json=body)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    assert [each["field"] for each in answer.json()["errors"]] == [field]


async def test_leaving_and_removing(team: Team) -> None:
    """Any member may leave, in two ways; only an owner removes others; former members find nothing."""
    clients = team.clients
    assert (await clients["viewer"].delete(team.member("editor"))).status_code == 403
    assert (await clients["viewer"].delete(team.member("viewer"))).status_code == 204
    assert (await clients["viewer"].get(team.path)).status_code == 404
    assert (await clients["owner"].delete(team.member("viewer"))).status_code == 404
    assert (await clients["editor"].post(f"{team.path}/leave")).status_code == 204
    assert (await clients["editor"].get(team.path)).status_code == 404
    assert (await clients["editor"].post(f"{team.path}/leave")).status_code == 404
    last = await clients["owner"].post(f"{team.path}/leave", json={})
    assert (last.status_code, last.json()["code"]) == (409, "conflict")
    assert (await clients["owner"].delete(team.member("owner"))).status_code == 409
    down = await clients["owner"].put(team.member("owner"), json={"role": "viewer"})
    assert down.status_code == 409
    history = (await clients["owner"].get(f"{team.path}/history")).json()["items"]
    assert [event["type"] for event in history] == [
        *("list.created", "list.member_added", "list.member_added"),
        *("list.member_removed", "list.member_removed"),
    ]
    assert history[3]["actor"] == team.users["viewer"]
    before, after = history[3]["changes"]["members"]
    assert set(before) - set(after) == {team.users["viewer"]}


async def test_handing_over_a_list(team: Team) -> None:
    """The new owner has all permissions of an owner, the former one no longer."""
    clients, users = team.clients, team.users
    nobody = await clients["owner"].post(f"{team.path}/hand-over", json={"to": users["stranger"]})
    assert nobody.status_code == 404
    answer = await clients["owner"].post(f"{team.path}/hand-over", json={"to": users["viewer"]})
    assert answer.status_code == 200
    assert answer.json()["members"] == {
        users["owner"]: "editor",
        users["editor"]: "editor",
        users["viewer"]: "owner",
    }
    assert (await clients["owner"].delete(team.path)).status_code == 403
    assert (await clients["viewer"].delete(team.path)).status_code == 204


async def test_inbox_is_not_shared(team: Team) -> None:
    """Neither shared nor left nor handed over."""
    client = team.clients["owner"]
    inbox = f"/api/lists/{(await client.get('/api/me')).json()['inbox_id']}"
    assert (await client.put(f"{inbox}/members/bob", json={"role": "editor"})).status_code == 409
    assert (await client.post(f"{inbox}/leave")).status_code == 409
    assert (await client.post(f"{inbox}/hand-over", json={"to": team.users["editor"]})).status_code == 404


async def test_repeated_leaving_is_answered_as_the_first(team: Team) -> None:
    """With the same key, though the caller is no member any more."""
    client, headers = team.clients["editor"], {"Idempotency-Key": uuid4().hex}
    first = await client.post(f"{team.path}/leave", headers=headers)
    again = await client.post(f"{team.path}/leave", headers=headers)
    assert (first.status_code, again.status_code) == (204, 204)
    assert first.headers["tasktape-position"] == again.headers["tasktape-position"]


# --- stages ----------------------------------------------------------------------------------------------


async def test_stages_with_tasks_are_protected(running_stack: Stack) -> None:
    """None is removed, renamed, or changed to another category."""
    async with team_of(running_stack, stages=STAGES) as team:
        client = team.clients["editor"]
        first, second = await team.task(), await team.task(stage="Doing")
        assert (await client.get(first)).json()["stage"] == "To do"
        for stages, said in (
            (STAGES[1:], "1 task is still in To do (1)"),
            ([STAGES[0], {"name": "Busy", "category": "active"}, STAGES[2]], "1 task is still in Doing (1)"),
            ([{"name": "New", "category": "open"}], "2 tasks are still in Doing (1), To do (1)"),
            ([STAGES[0], {"name": "Doing", "category": "done"}, STAGES[2]], "1 task is still in Doing (1)"),
        ):
            refused = await client.patch(team.path, json={"stages": stages})
            assert (refused.status_code, refused.json()["code"]) == (409, "conflict")
            assert said in refused.json()["detail"]
        await client.patch(second, json={"stage": "To do"})
        await client.delete(first)
        changed = await client.patch(team.path, json={"name": "Fewer", "stages": [STAGES[0], STAGES[2]]})
        assert changed.status_code == 200, changed.text
        assert (changed.json()["name"], len(changed.json()["stages"])) == ("Fewer", 2)
        none = await client.patch(team.path, json={"stages": None})
        assert (none.status_code, none.json()["stages"]) == (200, [])


async def test_stages_are_checked(team: Team) -> None:
    """A task moves to a stage of its list only, and a done stage completes it."""
    client = team.clients["editor"]
    task = await team.task(stage="Anything")
    stuck = await client.patch(team.path, json={"stages": STAGES})
    assert (stuck.status_code, "Anything (1)" in stuck.json()["detail"]) == (409, True)
    await client.patch(task, json={"stage": None})
    assert (await client.patch(team.path, json={"stages": STAGES})).status_code == 200
    refused = await client.patch(task, json={"stage": "Anything"})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "stage")
    done = (await client.patch(task, json={"stage": "Done"})).json()
    assert (done["status"], done["stage"]) == ("done", "Done")
    opened = (await client.post(f"{task}/reopen")).json()
    assert (opened["status"], opened["stage"]) == ("open", "To do")
    completed = (await client.post(f"{task}/complete")).json()
    assert (completed["status"], completed["stage"]) == ("done", "Done")
    turned = [*STAGES[:2], {"name": "Done", "category": "active"}]
    assert (await client.patch(team.path, json={"stages": turned})).status_code == 409


# --- sockets ---------------------------------------------------------------------------------------------


async def test_added_member_receives_updates_at_once(team: Team, running_stack: Stack) -> None:
    """On an open socket, with the whole history of the list."""
    task = await team.task(title="Before")
    token = running_stack.token(team.users["stranger"])
    async with live(running_stack.ws_url(1), token) as stranger:
        channel = f"task:{task.rpartition('/')[2]}"
        assert (await stranger.request(type="subscribe", channel=channel))["code"] == "not_found"
        await team.clients["owner"].put(team.member("stranger"), json={"role": "viewer"})
        created = await stranger.update("task.created")
        assert (created["task"]["title"], created["channel"]) == ("Before", f"list:{team.list_id}")
        while (await stranger.update("list.member_added"))["event"]["data"] != {
            "user": team.users["stranger"],
            "role": "viewer",
        }:
            pass
        await team.clients["editor"].patch(task, json={"title": "After"})
        edited = await stranger.update("task.edited")
        assert edited["task"]["title"] == "After"


@pytest.mark.parametrize("leaves", [False, True])
async def test_removed_member_receives_no_more_updates(
    team: Team, running_stack: Stack, *, leaves: bool
) -> None:
    """On open sockets, on any node; also of a task that they subscribed to."""
    task = await team.task()
    task_channel, list_channel = f"task:{task.rpartition('/')[2]}", f"list:{team.list_id}"
    token = running_stack.token(team.users["viewer"])
    async with live(running_stack.ws_url(0), token) as here, live(running_stack.ws_url(1), token) as there:
        for socket in (here, there):
            reply = await socket.request(type="subscribe", channel=task_channel)
            assert reply["type"] == "subscribed"
        await team.clients["owner"].patch(task, json={"title": "Seen"})
        for socket in (here, there):
            assert (await socket.update("task.edited"))["task"]["title"] == "Seen"
        if leaves:
            await team.clients["viewer"].post(f"{team.path}/leave")
        else:
            await team.clients["owner"].delete(team.member("viewer"))
        for socket in (here, there):
            removed = await socket.update("list.member_removed")
            assert team.users["viewer"] not in removed["list"]["members"]
            left = {(await socket.receive(type="unsubscribed"))["channel"] for _ in range(2)}
            assert left == {task_channel, list_channel}
        await team.clients["owner"].patch(task, json={"title": "Secret"})
        # The update of an own task shows that no other came before it.
        await team.clients["viewer"].post("/api/tasks", json={"title": "Mine"})
        for socket in (here, there):
            assert (await socket.update("task."))["task"]["title"] == "Mine"
            for channel in (task_channel, list_channel):
                assert (await socket.request(type="subscribe", channel=channel))["code"] == "not_found"


async def test_new_role_applies_from_the_next_command(team: Team, running_stack: Stack) -> None:
    """A new viewer still receives everything, and changes nothing."""
    task = await team.task()
    async with live(running_stack.ws_url(0), running_stack.token(team.users["editor"])) as socket:
        assert (await team.clients["editor"].patch(task, json={"title": "A"})).status_code == 200
        await team.clients["owner"].put(team.member("editor"), json={"role": "viewer"})
        assert (await team.clients["editor"].patch(task, json={"title": "B"})).status_code == 403
        await team.clients["owner"].patch(task, json={"title": "C"})
        titles = [(await socket.update("task.edited"))["task"]["title"] for _ in range(2)]
        assert titles == ["A", "C"]
