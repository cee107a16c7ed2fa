"""Lists and tasks at earlier times, and differences between two, over HTTP and from the command line."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.shell import Shell
from tests.integration.stack import Stack

LONG_AGO = "2001-01-01T00:00:00Z"


def now() -> str:
    return datetime.now(UTC).isoformat()


@pytest.fixture
async def zoe(running_stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    async with running_stack.client(f"zoe-{uuid4().hex[:8]}") as client:
        yield client


async def create(client: httpx.AsyncClient, title: str, list_id: str) -> str:
    answer = await client.post("/api/tasks", json={"title": title, "list_id": list_id})
    task_id: str = answer.json()["id"]
    return task_id


async def new_list(client: httpx.AsyncClient, name: str) -> str:
    list_id: str = (await client.post("/api/lists", json={"name": name})).json()["id"]
    return list_id


async def diff(client: httpx.AsyncClient, list_id: str, **params: Any) -> dict[str, Any]:
    answer = await client.get(f"/api/lists/{list_id}/diff", params=params)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def test_list_is_read_as_of_a_time(zoe: httpx.AsyncClient) -> None:
    """With its stages and members of then, by both clocks."""
    before_all = now()
    list_id = await new_list(zoe, "Garden")
    path = f"/api/lists/{list_id}"
    await zoe.put(f"{path}/members/bob", json={"role": "viewer"})
    then, time = (await zoe.get(path)).json(), now()
    stages = [{"name": "Seeds", "category": "open"}]
    await zoe.patch(path, json={"name": "Jungle", "stages": stages})
    await zoe.delete(f"{path}/members/bob")
    for name in ("as_of", "as_recorded_at"):
        answer = await zoe.get(path, params={name: time})
        assert (answer.json(), answer.headers["etag"]) == (then, f'"{then["version"]}"')
        assert (await zoe.get(path, params={name: now()})).json()["name"] == "Jungle"
        for early in (before_all, LONG_AGO):
            assert (await zoe.get(path, params={name: early})).status_code == 404
    both = await zoe.get(path, params={"as_of": time, "as_recorded_at": time})
    assert both.status_code == 422
    assert [error["field"] for error in both.json()["errors"]] == ["as_recorded_at"]
    assert (await zoe.get(path, params={"as_of": "yesterday"})).status_code == 422


async def test_lists_are_read_as_of_a_time(zoe: httpx.AsyncClient) -> None:
    """Those that existed then, with their names and members of then, in pages, and those deleted then."""
    before = now()
    garden, house = await new_list(zoe, "Garden"), await new_list(zoe, "House")
    await zoe.put(f"/api/lists/{garden}/members/bob", json={"role": "viewer"})
    first = now()
    await zoe.delete(f"/api/lists/{house}")
    second = now()
    await zoe.post(f"/api/lists/{house}/restore")
    await zoe.patch(f"/api/lists/{garden}", json={"name": "Jungle"})
    await zoe.delete(f"/api/lists/{garden}/members/bob")

    async def names(**params: Any) -> list[str]:
        found: list[str] = []
        while True:
            page = (await zoe.get("/api/lists", params={"limit": 1, **params})).json()
            found += [each["name"] for each in page["items"]]
            if page["next_cursor"] is None:
                return [name for name in found if name != "Inbox"]
            params["cursor"] = page["next_cursor"]

    for clock in ("as_of", "as_recorded_at"):
        assert await names(**{clock: LONG_AGO}) == await names(**{clock: before}) == []
        assert await names(**{clock: first}) == ["Garden", "House"]
        assert await names(**{clock: second}) == ["Garden"]
        assert await names(**{clock: second, "deleted": "true"}) == ["House"]
        assert await names(**{clock: now()}) == await names() == ["Jungle", "House"]
        assert await names(**{clock: now(), "deleted": "true"}) == []
        members = f"/api/lists/{garden}/members"
        then = (await zoe.get(members, params={clock: first})).json()["items"]
        assert [each["role"] for each in then if each["user"] == "bob"] == ["viewer"]
        assert len((await zoe.get(members, params={clock: now()})).json()["items"]) == 1
        assert (await zoe.get(members, params={clock: before})).status_code == 404
    await zoe.delete(f"/api/lists/{house}")
    assert await names(as_of=first) == ["Garden"]
    assert await names(as_of=first, deleted="true") == []
    assert await names(as_of=second, deleted="true") == ["House"]
    cursor = (await zoe.get("/api/lists", params={"limit": 1, "as_of": first})).json()["next_cursor"]
    other = {"limit": 1, "as_of": second, "cursor": cursor or "x"}
    assert (await zoe.get("/api/lists", params=other)).status_code == 400
    both = await zoe.get("/api/lists", params={"as_of": first, "as_recorded_at": first})
    assert [error["field"] for error in both.json()["errors"]] == ["as_recorded_at"]


async def test_comments_are_read_as_of_a_time(running_stack: Stack, zoe: httpx.AsyncClient) -> None:
    """Each answer equals what was read at that time."""
    list_id, before = await new_list(zoe, "Garden"), now()
    task_id = await create(zoe, "Beans", list_id)
    path = f"/api/tasks/{task_id}/comments"
    await zoe.put(f"/api/lists/{list_id}/members/bob", json={"role": "viewer"})
    reads: list[tuple[str, list[dict[str, Any]]]] = []

    async def read(**params: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        while True:
            answer = await zoe.get(path, params={"limit": "2", **params})
            assert answer.status_code == 200, answer.text
            found += answer.json()["items"]
            if answer.json()["next_cursor"] is None:
                return found
            params["cursor"] = answer.json()["next_cursor"]

    async def remember() -> None:
        reads.append((now(), await read()))

    await remember()
    for text in ("one @bob", "two", "three"):
        await zoe.post(path, json={"text": text})
        await remember()
    ids = [each["id"] for each in reads[-1][1]]
    await zoe.patch(f"{path}/{ids[0]}", json={"text": "one, @bob?"})
    await remember()
    await zoe.patch(f"{path}/{ids[0]}", json={"text": "nobody"})
    await zoe.delete(f"{path}/{ids[1]}")
    await remember()
    assert [len(found) for _, found in reads] == [0, 1, 2, 3, 3, 2]
    for time, found in reads:
        assert await read(as_of=time) == await read(as_recorded_at=time) == found
    assert (await zoe.get(path, params={"as_of": before})).status_code == 404
    async with running_stack.client(f"eve-{uuid4().hex[:8]}") as eve:
        assert (await eve.get(path, params={"as_of": reads[-1][0]})).status_code == 404
    await zoe.delete(f"/api/tasks/{task_id}")
    assert (await zoe.get(path, params={"as_of": now()})).status_code == 404


async def test_strangers_do_not_see_the_past_of_a_list(running_stack: Stack, zoe: httpx.AsyncClient) -> None:
    list_id = await new_list(zoe, "Garden")
    task_id = await create(zoe, "Beans", list_id)
    async with running_stack.client(f"eve-{uuid4().hex[:8]}") as eve:
        for path in (f"/api/lists/{list_id}", f"/api/tasks/{task_id}"):
            assert (await eve.get(path, params={"as_of": now()})).status_code == 404
        answer = await eve.get(f"/api/lists/{list_id}/diff", params={"from": LONG_AGO})
        assert answer.status_code == 404


async def test_imported_history_was_unknown_before_its_import(running_stack: Stack, tmp_path: Path) -> None:
    """It happened long ago, but was recorded now."""
    shell = Shell(running_stack, tmp_path)
    log = tmp_path / "small.xes"
    log.write_text(SMALL)
    before = now()
    await shell.works("import", str(log), "--list", "Old")
    async with running_stack.client(shell.user) as client:
        lists = (await client.get("/api/lists")).json()["items"]
        list_id = next(each["id"] for each in lists if each["name"] == "Old")
        for time, by_event, by_record in ((before, 1, 0), ("2013-01-01T00:00:00Z", 0, 0), (now(), 1, 1)):
            for name, count in (("as_of", by_event), ("as_recorded_at", by_record)):
                params = {"list_id": list_id, name: time}
                answer = (await client.get("/api/tasks", params=params)).json()
                assert len(answer["items"]) == count, (name, time)
        happened = await diff(client, list_id, **{"from": "2013-01-01T00:00:00Z", "to": before})
        known = await diff(client, list_id, from_recorded_at=before)
        assert len(happened["added"]) == len(known["added"]) == 1
        nothing = await diff(client, list_id, from_recorded_at=LONG_AGO, to_recorded_at=before)
        assert not nothing["added"]


async def test_difference_of_a_list(zoe: httpx.AsyncClient) -> None:
    """Each task once: added, removed, moved or changed, with the values of both times."""
    here, there = await new_list(zoe, "Here"), await new_list(zoe, "There")
    titles = ("edited", "deleted", "left", "same", "back and forth")
    ids = {title: await create(zoe, title, here) for title in titles}
    ids["arrived"] = await create(zoe, "arrived", there)
    first = now()
    ids["new"] = await create(zoe, "new", here)
    brief = await create(zoe, "brief", here)
    await zoe.delete(f"/api/tasks/{brief}")
    await zoe.patch(f"/api/tasks/{ids['edited']}", json={"priority": "high", "tags": ["a"]})
    await zoe.delete(f"/api/tasks/{ids['deleted']}")
    await zoe.post(f"/api/tasks/{ids['left']}/move", json={"list_id": there})
    await zoe.post(f"/api/tasks/{ids['arrived']}/move", json={"list_id": here})
    await zoe.patch(f"/api/tasks/{ids['back and forth']}", json={"title": "else"})
    await zoe.patch(f"/api/tasks/{ids['back and forth']}", json={"title": "back and forth"})
    last = now()
    await zoe.patch(f"/api/tasks/{ids['same']}", json={"title": "later"})
    found = await diff(zoe, here, **{"from": first, "to": last})
    told = {
        kind: sorted(each["task"]["title"] for each in found[kind])
        for kind in ("added", "removed", "moved", "changed")
    }
    assert told == {
        "added": ["new"],
        "removed": ["deleted"],
        "moved": ["arrived", "left"],
        "changed": ["edited"],
    }
    [edited] = found["changed"]
    assert edited["changes"] == {"priority": ["none", "high"], "tags": [[], ["a"]]}
    moved = {each["task"]["title"]: each["changes"]["list_id"] for each in found["moved"]}
    assert moved == {"arrived": [there, here], "left": [here, there]}
    assert found["removed"][0]["task"]["deleted_at"] is None
    backwards = await zoe.get(f"/api/lists/{here}/diff", params={"from": last, "to": first})
    assert backwards.status_code == 422
    assert [error["field"] for error in backwards.json()["errors"]] == ["from"]
    same = await diff(zoe, here, **{"from": last, "to": last})
    assert [same[kind] for kind in told] == [[], [], [], []]


async def test_difference_hides_lists_of_others(running_stack: Stack, zoe: httpx.AsyncClient) -> None:
    """A task that left for such a list is removed."""
    here, there = await new_list(zoe, "Here"), await new_list(zoe, "There")
    bob = f"bob-{uuid4().hex[:8]}"
    await zoe.put(f"/api/lists/{here}/members/{bob}", json={"role": "viewer"})
    task_id, first = await create(zoe, "left", here), now()
    await zoe.post(f"/api/tasks/{task_id}/move", json={"list_id": there})
    async with running_stack.client(bob) as client:
        found = await diff(client, here, **{"from": first})
        assert [each["task"]["list_id"] for each in found["removed"]] == [here]
        assert found["moved"] == []
        assert there not in json.dumps(found)
        # It was in a list that bob sees.
        assert (await client.get(f"/api/tasks/{task_id}", params={"as_of": first})).status_code == 200
        assert (await client.get(f"/api/tasks/{task_id}", params={"as_of": now()})).status_code == 404


async def test_difference_in_pages(zoe: httpx.AsyncClient) -> None:
    """They are those of one time, and a cursor is valid for its question only."""
    list_id, first = await new_list(zoe, "Here"), now()
    ids = [await create(zoe, f"T{number}", list_id) for number in range(5)]
    page = await diff(zoe, list_id, **{"from": first, "limit": 2})
    found, upto = page["added"], page["to"]
    await create(zoe, "later", list_id)
    while page["next_cursor"] is not None:
        page = await diff(zoe, list_id, **{"from": first, "limit": 2, "cursor": page["next_cursor"]})
        assert page["to"] == upto
        found += page["added"]
    assert sorted(each["task"]["id"] for each in found) == sorted(ids)
    page = await diff(zoe, list_id, **{"from": first, "limit": 2})
    params = {"from": LONG_AGO, "limit": 2, "cursor": page["next_cursor"]}
    assert (await zoe.get(f"/api/lists/{list_id}/diff", params=params)).status_code == 400


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({}, "from"),
        ({"to": LONG_AGO}, "from"),
        ({"to_recorded_at": LONG_AGO}, "from_recorded_at"),
        ({"from": "x"}, "from"),
        ({"from": LONG_AGO, "to_recorded_at": LONG_AGO}, "from_recorded_at"),
    ],
)
async def test_bad_questions_for_differences(
    zoe: httpx.AsyncClient, params: dict[str, str], field: str
) -> None:
    list_id = await new_list(zoe, "Here")
    answer = await zoe.get(f"/api/lists/{list_id}/diff", params=params)
    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_pages_of_a_time_have_cursors_of_their_own(zoe: httpx.AsyncClient) -> None:
    list_id = await new_list(zoe, "Here")
    for number in range(3):
        await create(zoe, f"T{number}", list_id)
    params = {"list_id": list_id, "as_of": now(), "limit": "1"}
    cursor = (await zoe.get("/api/tasks", params=params)).json()["next_cursor"]
    assert (await zoe.get("/api/tasks", params=params | {"cursor": cursor})).status_code == 200
    for other in ({"as_of": now()}, {"as_of": "", "as_recorded_at": params["as_of"]}):
        given = {name: value for name, value in (params | other | {"cursor": cursor}).items() if value}
        assert (await zoe.get("/api/tasks", params=given)).status_code == 400
    both = params | {"as_recorded_at": params["as_of"]}
    assert (await zoe.get("/api/tasks", params=both)).status_code == 422


async def test_command_line_goes_back_in_time(running_stack: Stack, tmp_path: Path) -> None:
    """In lists, tasks and differences."""
    zoe = Shell(running_stack, tmp_path)
    await zoe.works("lists", "create", "Garden")
    beans = await zoe.json("add", "--plain", "Beans", "--list", "Garden")
    time = now()
    await zoe.works("edit", beans["id"], "--title", "Peas")
    await zoe.works("add", "--plain", "Corn", "--list", "Garden")
    for name in ("--as-of", "--as-recorded-at"):
        assert "Beans" in await zoe.works("list", "--list", "Garden", name, time)
        assert "Beans" in await zoe.works("show", beans["id"], name, time)
    assert "Peas" in await zoe.works("list", "--list", "Garden", "--as-of", "now")
    assert "Garden" in await zoe.works("lists", "list", "--as-of", time)
    assert "Garden" not in await zoe.works("lists", "list", "--as-of", "yesterday")
    assert await zoe.works("list", "--list", "Garden", "--as-of", "3 days ago") == ""
    told = await zoe.works("diff", "Garden", "--from", time)
    assert told.splitlines() == [
        told.splitlines()[0],
        told.splitlines()[1],
        '      title: "Beans" → "Peas"',
    ]
    assert told.startswith("+ [ ]")
    assert "Corn" in told.splitlines()[0]
    assert told.splitlines()[1].startswith("~ [ ]")
    found = await zoe.json("diff", "Garden", "--from", "yesterday", "--recorded")
    assert sorted(each["task"]["title"] for each in found["added"]) == ["Corn", "Peas"]
    assert found.keys() == {"from", "to", "added", "removed", "moved", "changed"}
    assert "past time" in await zoe.fails("diff", "Garden", "--from", "someday", status=2)
    assert "is after" in await zoe.fails("diff", "Garden", "--from", "now", "--to", "yesterday")
    assert "not both" in await zoe.fails("list", "--as-of", "now", "--as-recorded-at", "now", status=2)
    await zoe.works("comment", beans["id"], "soon")
    assert "soon" in await zoe.works("comments", beans["id"], "--as-of", "now")
    assert "soon" not in await zoe.works("comments", beans["id"], "--as-recorded-at", time)


SMALL = """<?xml version="1.0" encoding="UTF-8"?>
<log xes.version="1.0">
  <trace>
    <string key="concept:name" value="1-364285768"/>
    <event>
      <string key="org:resource" value="ann"/>
      <string key="concept:name" value="Accepted"/>
      <date key="time:timestamp" value="2014-01-01T10:00:00+00:00"/>
    </event>
    <event>
      <string key="org:resource" value="ann"/>
      <string key="concept:name" value="Completed"/>
      <date key="time:timestamp" value="2014-02-01T10:00:00+00:00"/>
    </event>
  </trace>
</log>
"""
