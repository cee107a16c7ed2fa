"""Authorisation over HTTP and on sockets: every role and command, against a table written out here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from app.authorisation import ALLOWED
from tests.integration.live_client import live
from tests.integration.stack import Stack
from tests.integration.test_api_members import Team, team_of

OK, NO, NONE = "allowed", 403, 404
MATRIX: dict[str, tuple[object, object, object, object]] = {
    # command: owner, editor, viewer, stranger
    "ReadList": (OK, OK, OK, NONE),
    "EditList": (OK, OK, NO, NONE),
    "SetMember": (OK, NO, NO, NONE),
    "RemoveMember": (OK, NO, NO, NONE),
    "HandOverList": (OK, NO, NO, NONE),
    "DeleteList": (OK, NO, NO, NONE),
    "RestoreList": (OK, NO, NO, NONE),
    "LeaveList": (OK, OK, OK, NONE),
    "CreateTask": (OK, OK, NO, NONE),
    "EditTask": (OK, OK, NO, NONE),
    "CompleteTask": (OK, OK, NO, NONE),
    "ReopenTask": (OK, OK, NO, NONE),
    "MoveTask": (OK, OK, NO, NONE),
    "DeleteTask": (OK, OK, NO, NONE),
    "RestoreTask": (OK, OK, NO, NONE),
    "SkipOccurrence": (OK, OK, NO, NONE),
    "Comment": (OK, OK, NO, NONE),
    "EditComment": (OK, OK, NO, NONE),
    "DeleteComment": (OK, OK, NO, NONE),
    "UndoChange": (OK, OK, NO, NONE),
    "RevertTask": (OK, OK, NO, NONE),
}
ROLES = ("owner", "editor", "viewer", "stranger")
CASES = [
    (command, role, answer)
    for command, answers in MATRIX.items()
    for role, answer in zip(ROLES, answers, strict=True)
]
LIST_COMMANDS = (
    "EditList",
    "SetMember",
    "RemoveMember",
    "HandOverList",
    "DeleteList",
    "RestoreList",
    "LeaveList",
)


@pytest.fixture(scope="module")
async def team(running_stack: Stack) -> AsyncIterator[Team]:
    """Yield one list for all commands that do not change it."""
    async with team_of(running_stack) as found:
        yield found


def test_every_command_is_in_the_table() -> None:
    """Also those that anybody may execute; the table of the product says the same."""
    assert {command.__name__ for command in ALLOWED} == set(MATRIX)
    for command, roles in ALLOWED.items():
        assert roles == {
            role for role, answer in zip(ROLES, MATRIX[command.__name__], strict=True) if answer == OK
        }


@pytest.mark.parametrize(("command", "role", "answer"), CASES)
async def test_permissions_over_http(
    team: Team, running_stack: Stack, command: str, role: str, answer: object
) -> None:
    """For each role, and without one: allowed, forbidden, or not found."""
    if command in LIST_COMMANDS:
        async with team_of(running_stack) as own:
            found = await execute(own, command, role)
    else:
        found = await execute(team, command, role)
    assert (OK if found.is_success else found.status_code) == answer, found.text
    if not found.is_success:
        assert found.headers["content-type"] == "application/problem+json"


async def execute(team: Team, command: str, role: str) -> httpx.Response:
    """Return the response to a command of this role, on a task of its own if it is a task command."""
    client = team.clients[role]
    if command in ("ReadList", *LIST_COMMANDS):
        return await ON_LISTS[command](client, team)
    if command == "CreateTask":
        return await client.post("/api/tasks", json={"title": "T", "list_id": team.list_id})
    path = await team.task(due="2030-12-01", recurrence="FREQ=DAILY")
    return await ON_TASKS[command](client, path, team, role)


async def leave(client: httpx.AsyncClient, team: Team) -> httpx.Response:
    await team.clients["owner"].put(team.member("editor"), json={"role": "owner"})
    await team.clients["owner"].put(f"{team.path}/members/another", json={"role": "owner"})
    return await client.post(f"{team.path}/leave")


ON_LISTS: dict[str, Callable[[httpx.AsyncClient, Team], Awaitable[httpx.Response]]] = {
    "ReadList": lambda client, team: client.get(team.path),
    "EditList": lambda client, team: client.patch(team.path, json={"name": "X"}),
    "SetMember": lambda client, team: client.put(f"{team.path}/members/new", json={"role": "viewer"}),
    # Another member's: removing oneself is leaving.
    "RemoveMember": lambda client, team: client.delete(
        team.member("viewer" if client is team.clients["editor"] else "editor")
    ),
    "HandOverList": lambda client, team: client.post(
        f"{team.path}/hand-over", json={"to": team.users["viewer"]}
    ),
    "DeleteList": lambda client, team: client.delete(team.path),
    "RestoreList": lambda client, team: client.post(f"{team.path}/restore"),
    "LeaveList": leave,
}


async def reopen(client: httpx.AsyncClient, path: str, team: Team, _: str) -> httpx.Response:
    await team.clients["owner"].post(f"{path}/complete")
    return await client.post(f"{path}/reopen")


async def restore(client: httpx.AsyncClient, path: str, team: Team, _: str) -> httpx.Response:
    await team.clients["owner"].delete(path)
    return await client.post(f"{path}/restore")


async def comment_of(team: Team, path: str, role: str) -> str:
    """Return the URL of a comment by this role, if it may comment."""
    who = role if role in ("owner", "editor") else "owner"
    said = await team.clients[who].post(f"{path}/comments", json={"text": "x"})
    where: str = said.headers["location"]
    return where


async def edit_comment(client: httpx.AsyncClient, path: str, team: Team, role: str) -> httpx.Response:
    return await client.patch(await comment_of(team, path, role), json={"text": "y"})


async def delete_comment(client: httpx.AsyncClient, path: str, team: Team, role: str) -> httpx.Response:
    return await client.delete(await comment_of(team, path, role))


async def revert(client: httpx.AsyncClient, path: str, team: Team, _: str) -> httpx.Response:
    created_at = (await team.clients["owner"].get(path)).json()["created_at"]
    return await client.post(f"{team.path}/revert", json={"as_of": created_at})


async def undo(client: httpx.AsyncClient, path: str, team: Team, role: str) -> httpx.Response:
    who = role if role in ("owner", "editor") else "owner"
    await team.clients[who].patch(path, json={"title": "X"})
    return await client.post(f"{path}/undo")


ON_TASKS: dict[str, Callable[[httpx.AsyncClient, str, Team, str], Awaitable[httpx.Response]]] = {
    "EditTask": lambda client, path, _, __: client.patch(path, json={"title": "X"}),
    "CompleteTask": lambda client, path, _, __: client.post(f"{path}/complete"),
    "ReopenTask": reopen,
    "MoveTask": lambda client, path, _, __: client.post(f"{path}/move", json={"stage": "X"}),
    "DeleteTask": lambda client, path, _, __: client.delete(path),
    "RestoreTask": restore,
    "SkipOccurrence": lambda client, path, _, __: client.post(f"{path}/skip"),
    "Comment": lambda client, path, _, __: client.post(f"{path}/comments", json={"text": "x"}),
    "EditComment": edit_comment,
    "DeleteComment": delete_comment,
    "UndoChange": undo,
    "RevertTask": revert,
}


@pytest.mark.parametrize("role", ROLES)
async def test_permission_to_read(team: Team, role: str) -> None:
    """Members of a list see all of it, and its tasks; others see nothing of either."""
    task = await team.task()
    comment = await comment_of(team, task, "owner")
    expected = 200 if MATRIX["ReadList"][ROLES.index(role)] == OK else 404
    for path in (
        *(team.path, f"{team.path}/members", f"{team.path}/history", f"/api/tasks?list_id={team.list_id}"),
        *(task, f"{task}/history", f"{task}/comments", comment, f"{task}?version=1"),
    ):
        assert (path, (await team.clients[role].get(path)).status_code) == (path, expected)


@pytest.mark.parametrize("role", ROLES)
async def test_permissions_on_sockets(team: Team, running_stack: Stack, role: str) -> None:
    """The same table: members may subscribe to the list and its tasks, and get updates without asking."""
    task = await team.task()
    sees = MATRIX["ReadList"][ROLES.index(role)] == OK
    async with live(running_stack.ws_url(1), running_stack.token(team.users[role])) as socket:
        assert (f"list:{team.list_id}" in socket.hello["channels"]) == sees
        for channel in (f"list:{team.list_id}", f"task:{task.rpartition('/')[2]}"):
            reply = await socket.request(type="subscribe", channel=channel)
            assert reply["type" if sees else "code"] == ("subscribed" if sees else "not_found")
        await team.clients["owner"].patch(task, json={"title": "Secret"})
        await team.clients[role].post("/api/tasks", json={"title": "Own"})
        wanted, titles = {"Own", "Secret"} if sees else {"Own"}, set[str | None]()
        while not wanted <= titles:
            task = (await socket.update("task."))["task"]
            titles.add(task and task["title"])
        assert sees or "Secret" not in titles


@pytest.mark.parametrize("role", ["owner", "editor", "viewer"])
async def test_moving_to_a_list_requires_permission_to_create_there(
    team: Team, running_stack: Stack, role: str
) -> None:
    """Viewers add nothing to a list, whatever they may do where the task is."""
    async with team_of(running_stack) as other:
        name = team.users[role]
        await other.clients["owner"].put(f"{other.path}/members/{name}", json={"role": role})
        own = (await team.clients[role].post("/api/tasks", json={"title": "T"})).headers["location"]
        moved = await team.clients[role].post(f"{own}/move", json={"list_id": other.list_id})
        assert moved.status_code == (403 if role == "viewer" else 200)
