"""Deleting and restoring a list, over HTTP and sockets, with everything in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.log.records import Record
from app.policies import SOURCE as RECURRENCE
from app.settings import Settings
from app.stream_ids import StreamId, task_stream
from app.tasks.events import TaskCompleted, TaskCreated, TaskEdited
from streams.event_log import KafkaEventLog
from tests.folding import fold_log
from tests.integration.live_client import LiveClient, live
from tests.integration.stack import Stack
from tests.integration.test_api_members import STAGES, Team, team_of
from tests.truth import read_whole_log
from tests.waiting import eventually

DELETED = "the list was deleted: restore it first"


@pytest.fixture
async def team(running_stack: Stack) -> AsyncIterator[Team]:
    async with team_of(running_stack, stages=STAGES) as found:
        yield found


async def done(call: Any, status: int = 200) -> httpx.Response:
    """Return the response to a call, which must have this status."""
    answer: httpx.Response = await call
    assert answer.status_code == status, answer.text
    return answer


async def delete(team: Team) -> dict[str, str]:
    """Delete the list as its owner, and return the header for later reads."""
    answer = await done(team.clients["owner"].delete(team.path), 204)
    return {"Tasktape-Position": answer.headers["tasktape-position"]}


async def restore(team: Team) -> dict[str, str]:
    """Restore the list as its owner, and return the header for later reads."""
    answer = await done(team.clients["owner"].post(f"{team.path}/restore"))
    return {"Tasktape-Position": answer.headers["tasktape-position"]}


async def seen_by(
    client: httpx.AsyncClient, team: Team, task: str, after: Mapping[str, str]
) -> dict[str, Any]:
    """Return a member's reads of the list, by URL: statuses, and bodies without the log's end."""
    list_id, long_ago = team.list_id, datetime.now(UTC).isoformat()
    seen: dict[str, Any] = {}
    for path, params in (
        (team.path, {}),
        (f"{team.path}/members", {}),
        ("/api/tasks", {"list_id": list_id}),
        ("/api/tasks", {"list_id": list_id, "status": "done", "sort": "-updated_at"}),
        ("/api/tasks", {"q": "zucchini"}),
        ("/api/tasks", {"q": "is:open stage:Doing"}),
        ("/api/tasks", {"list_id": list_id, "as_of": long_ago}),
        (task, {}),
        (f"{task}/history", {}),
        (f"{task}/comments", {}),
        ("/api/notifications", {}),
        ("/api/notifications", {"unread": "true"}),
        ("/api/presence", {"channel": f"list:{list_id}"}),
    ):
        answer = await client.get(path, params=params, headers=dict(after))
        body = answer.json()
        received = body.get("items", body) if answer.status_code == 200 else None
        seen[f"{path} {sorted(params)} {params.get('q')}"] = (
            answer.status_code,
            received,
            body.get("unread"),
        )
    return seen


async def test_everything_in_a_list_is_deleted_and_restored_with_it(team: Team) -> None:
    """Tasks, sub-tasks, comments, histories, searches, notifications, members and stages are unchanged."""
    owner, editor = team.clients["owner"], team.clients["editor"]
    task = await team.task(title="Plant zucchini", assignees=[team.users["editor"]], stage="Doing")
    parent_id = task.rpartition("/")[2]
    await team.task(title="Buy seeds", parent_id=parent_id)
    finished = await team.task(title="Dig")
    await done(owner.post(f"{finished}/complete"))
    last = await done(owner.post(f"{task}/comments", json={"text": f"@{team.users['editor']} soon?"}), 201)
    before = await seen_by(editor, team, task, {"Tasktape-Position": last.headers["tasktape-position"]})
    assert {status for status, _, _ in before.values()} == {200}
    assert before[f"{team.path} [] None"][1]["stages"] == STAGES
    assert len(before["/api/notifications [] None"][1]) == 3

    gone = await seen_by(editor, team, task, await delete(team))
    for path, (status, received, unread) in gone.items():
        if path.startswith(("/api/notifications ", "/api/tasks ['q']")):
            assert (status, received, unread or 0) == (200, [], 0), path
        else:
            assert status == 404, path
    assert {each["id"] for each in (await done(editor.get("/api/lists"))).json()["items"]} == {
        (await editor.get("/api/me")).json()["inbox_id"]
    }

    back = await seen_by(editor, team, task, await restore(team))
    path = f"{team.path} [] None"
    assert back[path][1] == before[path][1] | {
        "version": before[path][1]["version"] + 2,
        "updated_at": back[path][1]["updated_at"],
    }
    assert {name: found for name, found in back.items() if name != path} == {
        name: found for name, found in before.items() if name != path
    }
    history = (await done(editor.get(f"{team.path}/history"))).json()["items"]
    assert [event["type"] for event in history][-2:] == ["list.deleted", "list.restored"]
    assert history[-1]["changes"].keys() == {"deleted_at"}
    feed = (await done(editor.get("/api/activity", params={"list_id": team.list_id}))).json()["items"]
    assert {f"{team.users['owner']} deleted the list", f"{team.users['owner']} restored the list"} < {
        group["summary"] for group in feed
    }
    await done(editor.patch(task, json={"title": "Harvest zucchini"}))


async def test_only_an_owner_can_see_and_restore_a_deleted_list(team: Team) -> None:
    """The response is the list; restoring an existing list changes nothing."""
    owner = team.clients["owner"]
    for who, status in (("owner", 200), ("editor", 403), ("viewer", 403), ("stranger", 404)):
        await done(team.clients[who].post(f"{team.path}/restore"), status)
    task = await team.task()
    after = await delete(team)
    for who in ("editor", "viewer", "stranger"):
        for call in (
            team.clients[who].post(f"{team.path}/restore"),
            team.clients[who].get(team.path, headers=after),
        ):
            assert (await done(call, 404)).json()["detail"] == "no such list"
    for call in (
        owner.get(team.path, headers=after),
        owner.get(f"{team.path}/members"),
        owner.get(f"{team.path}/history"),
        owner.get("/api/tasks", params={"list_id": team.list_id}),
        owner.get("/api/activity", params={"list_id": team.list_id}),
        owner.patch(team.path, json={"name": "X"}),
        owner.delete(team.path),
        owner.put(team.member("stranger"), json={"role": "viewer"}),
        owner.post("/api/tasks", json={"title": "T", "list_id": team.list_id}),
        owner.patch(task, json={"title": "T"}),
    ):
        answer = await done(call, 404)
        assert (answer.json()["code"], answer.json()["detail"]) == ("not_found", DELETED)
    await done(owner.post(f"{team.path}/restore", json={"name": "x"}), 422)
    key = {"Idempotency-Key": uuid4().hex}
    first, again = [await done(owner.post(f"{team.path}/restore", headers=key)) for _ in range(2)]
    assert first.json() == again.json()
    assert first.headers["tasktape-position"] == again.headers["tasktape-position"]
    assert first.headers["etag"] == f'"{first.json()["version"]}"'
    assert (first.json()["deleted_at"], len(first.json()["members"])) == (None, 3)
    once_more = await done(owner.post(f"{team.path}/restore"))
    assert once_more.json() == first.json()


async def test_deleted_lists_are_paged_for_their_owners(running_stack: Stack) -> None:
    """Latest first; not those of others, nor existing ones."""
    async with team_of(running_stack) as team:
        owner = team.clients["owner"]
        paths = [
            (await done(owner.post("/api/lists", json={"name": f"L{n}"}), 201)).headers["location"]
            for n in range(5)
        ]
        await done(owner.put(f"{paths[3]}/members/{team.users['editor']}", json={"role": "owner"}))
        for path in paths[:4]:
            answer = await done(owner.delete(path), 204)
        headers = {"Tasktape-Position": answer.headers["tasktape-position"]}
        found: list[dict[str, Any]] = []
        query: dict[str, Any] | None = {"deleted": "true", "limit": 3}
        while query is not None:
            page = (await done(owner.get("/api/lists", params=query, headers=headers))).json()
            found += page["items"]
            cursor = page["next_cursor"]
            query = None if cursor is None else {"deleted": "true", "limit": 3, "cursor": cursor}
        assert [each["name"] for each in found] == ["L3", "L2", "L1", "L0"]
        assert all(each["deleted_at"] for each in found)
        theirs = await done(
            team.clients["editor"].get("/api/lists", params={"deleted": "1"}, headers=headers)
        )
        assert [each["name"] for each in theirs.json()["items"]] == ["L3"]
        none = await done(team.clients["viewer"].get("/api/lists", params={"deleted": "true"}))
        assert none.json()["items"] == []
        first = (await owner.get("/api/lists", params={"limit": 1})).json()["next_cursor"]
        await done(owner.get("/api/lists", params={"deleted": "true", "cursor": first}), 400)
        await done(owner.get("/api/lists", params={"deleted": "perhaps"}), 422)


# --- live ------------------------------------------------------------------------------------------------


async def taken_away(socket: LiveClient, *channels: str) -> None:
    """Receive the deletion of the list, and the end of these channels."""
    update = await socket.update("list.deleted")
    assert update["list"] is None
    assert {(await socket.receive(type="unsubscribed"))["channel"] for _ in channels} == set(channels)


async def test_open_sockets_lose_the_list_and_get_it_back_complete(team: Team, running_stack: Stack) -> None:
    """On both nodes: `unsubscribed`, then `subscribed` with all of its contents, and later updates."""
    task = await team.task(title="Mine")
    task_channel, list_channel = f"task:{task.rpartition('/')[2]}", f"list:{team.list_id}"
    token = running_stack.token(team.users["viewer"])
    async with live(running_stack.ws_url(0), token) as here, live(running_stack.ws_url(1), token) as there:
        for socket in (here, there):
            reply = await socket.request(type="subscribe", channel=task_channel)
            assert reply["type"] == "subscribed"
        await delete(team)
        for socket in (here, there):
            await taken_away(socket, task_channel, list_channel)
            assert (await socket.request(type="subscribe", channel=list_channel))["code"] == "not_found"
        await restore(team)
        for socket in (here, there):
            subscribed = await socket.receive(type="subscribed", channel=list_channel)
            received = [await socket.update() for _ in range(subscribed["missed"])]
            assert [each["task"]["title"] for each in received if each["task"]] == ["Mine"]
            assert received[-1]["event"]["type"] == "list.restored"
            assert set(received[-1]["list"]["members"]) == {
                team.users[who] for who in ("owner", "editor", "viewer")
            }
            reply = await socket.request(type="subscribe", channel=task_channel)
            assert reply["type"] == "subscribed"
        await done(team.clients["editor"].patch(task, json={"title": "Edited"}))
        for socket in (here, there):
            assert (await socket.update("task.edited"))["task"]["title"] == "Edited"


@pytest.mark.parametrize("away", ["for both", "for the deletion", "for the restoration"])
async def test_resuming_socket_has_the_restored_list(team: Team, running_stack: Stack, away: str) -> None:
    """After any disconnection: with the events in between, and the whole list."""
    await team.task(title="Mine")
    token, list_channel = running_stack.token(team.users["viewer"]), f"list:{team.list_id}"
    async with live(running_stack.ws_url(0), token) as socket:
        if away == "for the restoration":
            await delete(team)
            await taken_away(socket, list_channel)
        since = dict(socket.positions or socket.hello["positions"])
    if away != "for the restoration":
        await delete(team)
    if away == "for the deletion":
        async with live(running_stack.ws_url(1), token, since) as socket:
            assert list_channel not in socket.hello["channels"]
            received = [await socket.update() for _ in range(socket.hello["missed"])]
            of_list = [each["event"]["type"] for each in received if each["event"]["stream"] == list_channel]
            assert of_list == ["list.deleted"]
            since = dict(socket.positions)
    after = await restore(team)
    async with running_stack.client(team.users["viewer"], 1) as client:
        await done(client.get(team.path, headers=after))
    async with live(running_stack.ws_url(1), token, since) as socket:
        assert list_channel in socket.hello["channels"]
        received = [await socket.update() for _ in range(socket.hello["missed"])]
        assert [each["task"]["title"] for each in received if each["task"]] == ["Mine"]
        of_list = [each["event"]["type"] for each in received if each["event"]["stream"] == list_channel]
        assert of_list[-1] == "list.restored"
        await team.task(title="New")
        assert (await socket.update("task.created"))["task"]["title"] == "New"


async def test_event_stream_and_presence_follow_the_list(team: Team, running_stack: Stack) -> None:
    """Server-sent events have both; connected users are present in the list again."""
    list_channel, user = f"list:{team.list_id}", team.users["viewer"]
    async with running_stack.client(user) as client, client.stream("GET", "/api/stream") as stream:
        lines = stream.aiter_lines()

        async def until(text: str) -> None:
            async with asyncio.timeout(30):
                async for line in lines:
                    if text in line:
                        return

        await until("event: authenticated")
        await delete(team)
        await until("event: unsubscribed")
        await restore(team)
        await until('"type":"list.restored"')
        owner = team.clients["owner"]

        async def is_present() -> bool:
            answer = await owner.get("/api/presence", params={"channel": list_channel})
            return answer.status_code == 200 and user in {each["user"] for each in answer.json()["present"]}

        await eventually(is_present)


# --- what happens in it meanwhile ------------------------------------------------------------------------


async def test_foreign_writes_to_a_deleted_list_are_visible_after_restoring(
    team: Team, running_stack: Stack
) -> None:
    """A foreign writer edits one of its tasks: nobody gets that before."""
    owner, user = team.clients["owner"], team.users["editor"]
    task = await team.task(title="Before")
    after = await delete(team)
    log_settings = Settings.from_environment(running_stack.environment)
    log = KafkaEventLog(log_settings.kafka_brokers, log_settings.events_topic, log_settings.partitions)
    async with live(running_stack.ws_url(1), running_stack.token(user)) as socket:
        [position] = await log.append(
            [
                Record(
                    id=uuid4().hex,
                    stream=task_stream(task.rpartition("/")[2]),
                    version=2,
                    time=datetime.now(UTC),
                    actor="somebody",
                    source="/elsewhere",
                    data=TaskEdited({"title": "Secret"}, notify=(user,)),
                )
            ]
        )
        await log.close()
        after = {"Tasktape-Position": str(position)}
        for client in (owner, team.clients["editor"]):
            await done(client.get(task, headers=after), 404)
            found = await done(client.get("/api/tasks", params={"q": "secret"}, headers=after))
            assert found.json()["items"] == []
        notifications = await done(team.clients["editor"].get("/api/notifications", headers=after))
        assert notifications.json()["unread"] == 0
        await done(team.clients["editor"].post("/api/tasks", json={"title": "Own"}), 201)
        while (update := await socket.update("task."))["task"]["title"] != "Own":
            assert update["task"]["title"] != "Secret"
        after = await restore(team)
        assert (await socket.update("task.edited"))["task"]["title"] == "Secret"
    for client in (owner, team.clients["editor"]):
        assert (await done(client.get(task, headers=after))).json()["title"] == "Secret"
    notifications = await done(team.clients["editor"].get("/api/notifications", headers=after))
    assert notifications.json()["unread"] == 2


async def test_next_occurrence_in_a_deleted_list_is_there_after_restoring(
    team: Team, running_stack: Stack
) -> None:
    """It is not moved out of the list, as tasks put into a deleted one are."""
    owner = team.clients["owner"]
    recurring = await team.task(title="Water", due="2026-12-01", recurrence="FREQ=DAILY")
    await delete(team)
    settings = Settings.from_environment(running_stack.environment)
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    user, stray = team.users["owner"], str(uuid4())
    stream = f"task:{recurring.rpartition('/')[2]}"
    await log.append([foreign(stream, 2, user, TaskCompleted())])

    async def follows() -> bool:
        outcome = fold_log(await read_whole_log(settings))[1]
        return any(each.record is not None and each.record.source == RECURRENCE for each in outcome)

    await eventually(follows)
    await log.append([foreign(f"task:{stray}", 1, user, TaskCreated(team.list_id, "Stray"))])
    await log.close()

    async def is_repaired() -> bool:
        return (await owner.get(f"/api/tasks/{stray}")).status_code == 200

    await eventually(is_repaired)
    after = await restore(team)
    found = await done(owner.get("/api/tasks", params={"list_id": team.list_id}, headers=after))
    assert [(each["due"], each["status"]) for each in found.json()["items"]] == [
        ("2026-12-01", "done"),
        ("2026-12-02", "open"),
    ]


def foreign(stream: str, version: int, actor: str, event: Any) -> Record:
    """Return a record of another program."""
    now = datetime.now(UTC)
    return Record(uuid4().hex, StreamId(stream), version, now, actor, "/elsewhere", event)


async def test_series_continues_once_when_its_list_is_deleted_after_a_completion(team: Team) -> None:
    """The restored list has the next occurrence, and no second one."""
    owner = team.clients["owner"]
    tasks = [await team.task(title="Water", due="2026-12-01", recurrence="FREQ=DAILY") for _ in range(5)]
    await asyncio.gather(*(done(owner.post(f"{task}/complete")) for task in tasks))
    await delete(team)
    await restore(team)

    async def open_tasks() -> list[str]:
        answer = await owner.get("/api/tasks", params={"list_id": team.list_id, "status": "open"})
        return [each["due"] for each in answer.json()["items"]]

    async def all_follow() -> bool:
        return await open_tasks() == ["2026-12-02"] * 5

    await eventually(all_follow)
    again = await done(owner.post(f"{tasks[0]}/reopen"))
    assert again.json()["status"] == "open"
