"""Commands over real sockets, through Kafka, the worker and Postgres, to two API nodes."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import uuid4

import httpx

from app.ids import inbox_id
from tests.integration.stack import Stack
from tests.waiting import LIMIT_S, eventually


def user() -> str:
    return f"user-{uuid4().hex[:8]}"


async def create(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/api/tasks", json={"title": "Buy milk", **fields})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def test_life_of_a_task(running_stack: Stack) -> None:
    """Created, edited, completed, reopened, deleted, restored: each response has the state, and so has a
    read."""
    async with running_stack.client(user()) as client:
        answer = await client.post("/api/tasks", json={"title": "  Buy milk ", "tags": ["shop"]})
        assert answer.status_code == 201
        task = answer.json()
        path = f"/api/tasks/{task['id']}"
        assert answer.headers["location"] == path
        assert answer.headers["etag"] == '"1"'
        assert answer.headers["tasktape-position"].count(":") == 1
        assert task["title"] == "Buy milk"
        assert task["list_id"] == (await client.get("/api/me")).json()["inbox_id"]
        assert (await client.get(path)).json() == task

        edited = await client.patch(path, json={"due": "2026-12-01", "tags": None})
        assert (edited.status_code, edited.json()["due"], edited.json()["tags"]) == (200, "2026-12-01", [])
        assert (await client.post(f"{path}/complete")).json()["status"] == "done"
        assert (await client.post(f"{path}/reopen", json={})).json()["completed_at"] is None
        deleted = await client.delete(path)
        assert (deleted.status_code, deleted.content) == (204, b"")
        assert (await client.get(path)).status_code == 404
        restored = await client.post(f"{path}/restore")
        assert restored.headers["etag"] == '"6"'
        read = await client.get(path)
        assert read.json() == restored.json()
        history = (await client.get(f"{path}/history")).json()["items"]
        assert [event["type"].partition(".")[2] for event in history] == [
            *("created", "edited", "completed", "reopened", "deleted", "restored")
        ]
        assert [event["version"] for event in history] == [1, 2, 3, 4, 5, 6]
        assert history[1]["changes"] == {"due": [None, "2026-12-01"], "tags": [["shop"], []]}


async def test_two_hundred_edits_through_two_processes_all_take_effect(running_stack: Stack) -> None:
    """Every accepted edit is in the history, versions have no holes, each caller got its own outcome."""
    name = user()
    async with running_stack.client(name, 0) as first, running_stack.client(name, 1) as second:
        task = await create(first)
        path = f"/api/tasks/{task['id']}"

        async def edit(number: int) -> tuple[str, str]:
            client = (first, second)[number % 2]
            change, wait = {"title": f"Edit {number}"}, {"Prefer": "wait=30"}
            async with asyncio.timeout(LIMIT_S):
                # A busy machine may take so long for the others that some are to be repeated.
                while (answer := await client.patch(path, json=change, headers=wait)).status_code == 503:
                    pass
            assert answer.status_code == 200, answer.text
            assert answer.json()["title"] == f"Edit {number}"
            return answer.headers["tasktape-position"], answer.headers["etag"]

        outcomes = await asyncio.gather(*(edit(number) for number in range(200)))
        events = [event async for event in all_items(first, f"{path}/history")]
        assert [event["version"] for event in events] == list(range(1, 202))
        by_position = {event["position"]: event for event in events}
        for number, (position, tag) in enumerate(outcomes):
            event = by_position[position]
            assert event["data"]["fields"] == {"title": f"Edit {number}"}
            assert tag == f'"{event["version"]}"'


async def all_items(client: httpx.AsyncClient, path: str, **params: Any) -> Any:
    """Return every item of a collection, page by page."""
    cursor: str | None = None
    while True:
        page = await client.get(path, params={**params, **({"cursor": cursor} if cursor else {})})
        assert page.status_code == 200, page.text
        for item in page.json()["items"]:
            yield item
        cursor = page.json()["next_cursor"]
        if cursor is None:
            return


async def test_key_applies_on_both_nodes(running_stack: Stack) -> None:
    """Ten repeats at the same time, on two nodes: one task, ten equal responses; another body is refused."""
    name, headers = user(), {"Idempotency-Key": uuid4().hex}
    async with running_stack.client(name, 0) as first, running_stack.client(name, 1) as second:
        body = {"title": "Once"}
        answers = await asyncio.gather(
            *((first, second)[n % 2].post("/api/tasks", json=body, headers=headers) for n in range(10))
        )
        assert {answer.status_code for answer in answers} == {201}
        assert len({answer.text for answer in answers}) == 1
        assert len({answer.headers["tasktape-position"] for answer in answers}) == 1
        assert len((await first.get("/api/tasks")).json()["items"]) == 1
        misuse = await second.post("/api/tasks", json={"title": "Twice"}, headers=headers)
        assert (misuse.status_code, misuse.json()["code"]) == (422, "idempotency_key_reused")


async def test_preconditions_merge_conflict_or_fail(running_stack: Stack) -> None:
    """Disjoint fields merge, overlapping ones conflict with all three values, a future version fails."""
    async with running_stack.client(user()) as client:
        path = f"/api/tasks/{(await create(client))['id']}"
        await client.patch(path, json={"title": "Theirs"})
        at_first = {"If-Match": '"1"'}
        merged = await client.patch(path, json={"priority": "high"}, headers=at_first)
        assert (merged.status_code, merged.json()["title"]) == (200, "Theirs")
        conflict = await client.patch(path, json={"title": "Mine"}, headers=at_first)
        assert conflict.status_code == 409
        assert conflict.headers["content-type"] == "application/problem+json"
        assert {name: conflict.json()[name] for name in ("base", "theirs", "yours")} == {
            "base": {"title": "Buy milk"},
            "theirs": {"title": "Theirs"},
            "yours": {"title": "Mine"},
        }
        for header in ('"99"', 'W/"3"', '"x"'):
            refused = await client.patch(path, json={"title": "Mine"}, headers={"If-Match": header})
            assert (header, refused.status_code) == (header, 412)
        assert (await client.patch(path, json={}, headers={"If-Match": "3"})).status_code == 400
        assert (await client.delete(path, headers=at_first)).status_code == 412
        assert (await client.delete(path, headers={"If-Match": '"3"'})).status_code == 204


async def test_asynchronous_command_has_a_url_to_poll(running_stack: Stack) -> None:
    """`respond-async` returns 202; a read can wait for the position."""
    name = user()
    async with running_stack.client(name) as client, running_stack.client(user()) as stranger:
        written = await client.post(
            "/api/tasks", json={"title": "Later"}, headers={"Prefer": "respond-async"}
        )
        assert written.status_code == 202
        assert written.headers["preference-applied"] == "respond-async"
        where = written.headers["location"]
        position = written.headers["tasktape-position"]
        assert where == f"/api/outcomes/{position}"
        seen = await client.get("/api/tasks", headers={"Tasktape-Position": position})
        assert [task["title"] for task in seen.json()["items"]] == ["Later"]
        outcome = await client.get(where)
        assert outcome.status_code == 200
        assert outcome.json()["outcome"] == "accepted"
        assert outcome.json()["task"] == seen.json()["items"][0]
        assert outcome.json()["event"]["changes"]["title"] == [None, "Later"]
        assert (await stranger.get(where)).status_code == 404
        assert (await client.get("/api/outcomes/0:99999999")).status_code == 404
        at_once = {"Tasktape-Position": "0:99999999", "Prefer": "wait=0"}
        beyond = await client.get("/api/tasks", headers=at_once)
        assert (beyond.status_code, beyond.json()["code"]) == (400, "malformed")


async def test_lists_of_the_user_are_listed(running_stack: Stack) -> None:
    """Including the inbox; a deleted list includes its tasks."""
    name = user()
    async with running_stack.client(name) as client, running_stack.client(user()) as stranger:
        inbox = (await client.get("/api/me")).json()["inbox_id"]
        made = await client.post("/api/lists", json={"name": "Errands"})
        assert made.status_code == 201
        path = made.headers["location"]
        assert made.json()["members"] == {name: "owner"}
        lists = (await client.get("/api/lists")).json()["items"]
        assert [each["id"] for each in lists] == [inbox, made.json()["id"]]
        task = await create(client, list_id=made.json()["id"])
        assert (await client.patch(path, json={"name": "Shopping"})).json()["name"] == "Shopping"
        assert (await client.patch(f"/api/lists/{inbox}", json={"name": "X"})).status_code == 409
        for method, address in (("GET", path), ("PATCH", path), ("DELETE", path), ("GET", f"{path}/history")):
            body = {"name": "Mine"} if method == "PATCH" else None
            assert (await stranger.request(method, address, json=body)).status_code == 404
        for suffix in ("", "/history"):
            assert (await stranger.get(f"/api/tasks/{task['id']}{suffix}")).status_code == 404
        assert (await stranger.post(f"/api/tasks/{task['id']}/complete")).status_code == 404
        assert (await stranger.get("/api/tasks", params={"list_id": task["list_id"]})).status_code == 404
        history = (await client.get(f"{path}/history")).json()["items"]
        assert [event["type"] for event in history] == ["list.created", "list.renamed"]
        assert (await client.delete(path)).status_code == 204
        assert (await client.get(path)).status_code == 404
        assert (await client.get(f"/api/tasks/{task['id']}")).status_code == 404
        assert (await client.get("/api/tasks")).json()["items"] == []


async def test_moved_task_shows_its_list(running_stack: Stack) -> None:
    async with running_stack.client(user()) as client:
        there = (await client.post("/api/lists", json={"name": "There"})).json()["id"]
        task = await create(client)
        moved = await client.post(f"/api/tasks/{task['id']}/move", json={"list_id": there})
        assert moved.json()["list_id"] == there
        found = (await client.get("/api/tasks", params={"list_id": there})).json()["items"]
        assert [each["id"] for each in found] == [task["id"]]
        nowhere = await client.post(f"/api/tasks/{task['id']}/move", json={"list_id": str(uuid4())})
        assert nowhere.status_code == 404


async def test_task_is_read_as_of_a_version_or_time(running_stack: Stack) -> None:
    """Also after its deletion."""
    async with running_stack.client(user()) as client:
        path = f"/api/tasks/{(await create(client))['id']}"
        second = (await client.patch(path, json={"title": "Second"})).json()
        await client.patch(path, json={"title": "Third"})
        assert (await client.get(path, params={"version": 2})).json() == second
        then = await client.get(path, params={"as_of": second["updated_at"]})
        assert (then.json()["title"], then.headers["etag"]) == ("Second", '"2"')
        assert (await client.get(path, params={"as_of": "2020-01-01T00:00:00+01:00"})).status_code == 404
        assert (await client.get(path, params={"version": 9})).status_code == 404
        assert (await client.get(path, params={"version": 1, "as_of": "2030-01-01"})).status_code in (
            400,
            422,
        )
        await client.delete(path)
        assert (await client.get(path, params={"version": 2})).json() == second


async def test_caller_is_described(running_stack: Stack) -> None:
    """User and inbox."""
    name = f"Zo\u00eb {uuid4().hex[:8]}"
    async with running_stack.client(name, admin=True) as client:
        me = (await client.get("/api/me")).json()
    assert (me["user"], me["admin"], me["inbox_id"], me["unread"]) == (name, True, inbox_id(name), 0)


async def test_readiness_has_the_lag(running_stack: Stack) -> None:
    """Ready, with the log's ends and the read models' positions; the lag becomes zero."""
    async with running_stack.client(user()) as client:
        await create(client)
        ready: dict[str, Any] = {}

        async def no_lag() -> bool:
            answer = await client.get("/readyz")
            ready.update(answer.json())
            return answer.status_code == 200 and bool(ready["ready"]) and ready["lag"] == 0

        await eventually(no_lag)
        assert all(ready["log"][partition] == offset + 1 for partition, offset in ready["positions"].items())
        assert (await client.get("/healthz")).json() == {"status": "ok"}
