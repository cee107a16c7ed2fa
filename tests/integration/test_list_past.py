"""Reverting a list to how it was, and copying how it was, over HTTP."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.positions import format_positions, latest, parse_positions
from tests.integration.stack import Stack
from tests.integration.test_api_members import STAGES, Team, team_of

POSITION = "Tasktape-Position"
KEPT = ("version", "updated_at", "comment_count", "reminded")
"""Fields that a revert does not return to their former values."""


@pytest.fixture
async def team(running_stack: Stack) -> AsyncIterator[Team]:
    async with team_of(running_stack, stages=STAGES) as found:
        reached: dict[int, int] = {}

        async def remember(response: httpx.Response) -> None:
            reached.update(
                latest([*reached.items(), *parse_positions(response.headers.get(POSITION, "")).items()])
            )

        async def ask_for(request: httpx.Request) -> None:
            if request.method == "GET" and reached:
                request.headers[POSITION] = format_positions(reached)

        # All clients see what any of them has done, though they use two nodes.
        for client in found.clients.values():
            client.event_hooks = {"request": [ask_for], "response": [remember]}
        yield found


async def done(call: Any, status: int = 200) -> Any:
    """Return the JSON of a response, which must have this status; None if it has no content."""
    answer: httpx.Response = await call
    assert answer.status_code == status, answer.text
    return answer.json() if answer.content else None


def moment() -> str:
    """Return the present as text."""
    return datetime.now(UTC).isoformat()


async def contents(client: httpx.AsyncClient, list_id: str, **params: str) -> dict[str, dict[str, Any]]:
    """Return the tasks of a list by id, without what a revert leaves."""
    found: dict[str, dict[str, Any]] = {}
    cursor: dict[str, str] = {}
    while True:
        query = {"list_id": list_id, "limit": "100", **params, **cursor}
        page = await done(client.get("/api/tasks", params=query))
        for task in page["items"]:
            found[task["id"]] = {name: value for name, value in task.items() if name not in KEPT}
        if page["next_cursor"] is None:
            return found
        cursor = {"cursor": page["next_cursor"]}


async def revert(team: Team, as_of: str, who: str = "owner", **body: Any) -> dict[str, Any]:
    """Revert the list and return the answer."""
    call = team.clients[who].post(f"{team.path}/revert", json={"as_of": as_of, **body})
    answer: dict[str, Any] = await done(call)
    return answer


async def test_list_is_reverted_and_reverted_back(team: Team) -> None:
    """Trees, stages, moves, completions, deletions and creations; each time it is exactly as it was."""
    owner, editor = team.clients["owner"], team.clients["editor"]
    top = await team.task(title="House", stage="Doing", tags=["a"], assignees=[team.users["editor"]])
    top_id = top.rpartition("/")[2]
    roof = await team.task(title="Roof", parent_id=top_id, notes="tiles")
    cellar = await team.task(title="Cellar", parent_id=top_id)
    gone = await team.task(title="Gone soon", due="2030-01-01", recurrence="FREQ=DAILY")
    finished = await team.task(title="Finished")
    await done(owner.post(f"{finished}/complete"))
    then, before = moment(), await contents(owner, team.list_id)
    assert len(before) == 5

    await done(editor.patch(roof, json={"title": "Thatch", "notes": "straw", "priority": "high"}))
    await done(editor.post(f"{cellar}/move", json={"before": roof.rpartition("/")[2]}))
    await done(editor.patch(roof, json={"parent_id": None}))
    await done(editor.patch(top, json={"parent_id": roof.rpartition("/")[2], "assignees": []}))
    await done(owner.post(f"{finished}/reopen"))
    await done(owner.delete(gone), 204)
    late = await team.task(title="Late", parent_id=top_id)
    await done(editor.post(f"{roof}/complete", params={"cascade": "true"}))
    other = (await done(owner.post("/api/lists", json={"name": "Other"}), 201))["id"]
    await done(owner.post(f"{finished}/move", json={"list_id": other}))
    after = await contents(owner, team.list_id)

    preview = await revert(team, then, dry_run=True)
    assert preview["dry_run"]
    assert {each["title"]: each["action"] for each in preview["changes"]} == {
        "Thatch": "edited",
        "Cellar": "edited",
        "House": "edited",
        "Gone soon": "restored",
        "Finished": "moved",
        "Late": "deleted",
    }
    changed = {each["title"]: each["changes"] for each in preview["changes"]}
    assert changed["Thatch"]["notes"] == ["straw", "tiles"]
    assert changed["Late"] == {}
    assert preview["undo_as_of"] is None
    assert await contents(owner, team.list_id) == after

    reverted = await revert(team, then)
    assert reverted["conflicts"] == reverted["adapted"] == []
    assert {**reverted, "dry_run": True, "undo_as_of": None} == preview
    assert await contents(owner, team.list_id) == before
    assert (await owner.get(late)).status_code == 404
    assert (await revert(team, then))["changes"] == []

    again = await revert(team, reverted["undo_as_of"])
    assert again["conflicts"] == again["adapted"] == []
    assert await contents(owner, team.list_id) == after
    assert set(await contents(owner, other)) == {finished.rpartition("/")[2]}


async def test_events_of_a_revert_have_one_correlation_id_and_can_be_undone(team: Team) -> None:
    """Each is the caller's newest change of its task."""
    owner = team.clients["owner"]
    tasks = [await team.task(title=f"T{number}") for number in range(3)]
    then = moment()
    for task in tasks:
        await done(owner.patch(task, json={"title": "Changed"}))
    correlation_id = str(uuid4())
    headers = {"X-Correlation-ID": correlation_id}
    await done(owner.post(f"{team.path}/revert", json={"as_of": then}, headers=headers))
    for task in tasks:
        last = (await done(owner.get(f"{task}/history")))["items"][-1]
        assert (last["type"], last["correlation_id"]) == ("task.reverted", correlation_id)
        assert last["data"]["version"] == 1
    assert (await done(owner.post(f"{tasks[0]}/undo")))["title"] == "Changed"
    activity = (await done(owner.get("/api/activity", params={"list_id": team.list_id})))["items"]
    assert any("to an earlier state" in each["summary"] for each in activity)


async def test_tasks_in_unseen_lists_and_values_that_no_longer_fit_are_named(team: Team) -> None:
    """A task in a list that the caller may not change stays; a stage that is gone and a former member
    are adapted."""
    owner, editor = team.clients["owner"], team.clients["editor"]
    kept = await team.task(title="Kept", stage="Doing", assignees=[team.users["editor"]])
    taken = await team.task(title="Taken")
    then = moment()
    secret = (await done(owner.post("/api/lists", json={"name": "Secret"}), 201))["id"]
    await done(owner.post(f"{taken}/move", json={"list_id": secret}))
    await done(owner.patch(taken, json={"title": "Secret title"}))
    await done(owner.patch(kept, json={"stage": "To do", "assignees": []}))
    await done(owner.patch(team.path, json={"stages": [STAGES[0], STAGES[2]]}))
    brought = (await done(owner.post("/api/tasks", json={"title": "Brought", "list_id": secret}), 201))["id"]
    middle = moment()
    await done(owner.post(f"/api/tasks/{brought}/move", json={"list_id": team.list_id}))

    answer = await revert(team, then, who="editor")
    refused = {each["title"]: (each["code"], each["detail"]) for each in answer["conflicts"]}
    assert refused == {
        "Taken": ("forbidden", "it is in another list now, which you may not change"),
    }
    assert {each["title"]: each["action"] for each in answer["changes"]} == {
        "Kept": "edited",
        "Brought": "deleted",
    }
    [adapted] = answer["adapted"]
    assert (adapted["field"], adapted["task_id"]) == ("stage", kept.rpartition("/")[2])
    task = await done(editor.get(kept))
    assert (task["stage"], task["assignees"]) == ("To do", [team.users["editor"]])

    refused_later = await revert(team, middle, who="editor")
    assert {each["title"]: each["detail"] for each in refused_later["conflicts"]} == {
        "Brought": "it came from another list, which you may not change",
    }
    await done(owner.delete(team.member("editor")), 204)
    await done(owner.patch(kept, json={"title": "Changed"}))
    answer = await revert(team, then)
    assert {each["field"] for each in answer["adapted"]} == {"stage", "assignees"}
    assert (await done(owner.get(kept)))["title"] == "Kept"
    assert (await done(owner.get(taken)))["list_id"] == team.list_id


async def test_bad_reverts_and_copies_change_nothing(team: Team) -> None:
    """An impossible time, a time before everything, an unknown field, and callers without the right."""
    task = await team.task(title="T")
    before = await contents(team.clients["owner"], team.list_id)
    for action in ("revert", "copies"):
        for body, field in (
            ({}, "as_of"),
            ({"as_of": 5}, "as_of"),
            ({"as_of": "yesterday"}, "as_of"),
            ({"as_of": "2001-01-01T00:00:00Z"}, "as_of"),
            ({"as_of": moment(), "x": 1}, "x"),
            ({"as_of": moment(), "as_recorded_at": moment()}, "as_recorded_at"),
            ({"as_recorded_at": "2001-01-01T00:00:00Z"}, "as_recorded_at"),
        ):
            answer = await team.clients["owner"].post(f"{team.path}/{action}", json=body)
            assert answer.status_code == 422, answer.text
            assert [each["field"] for each in answer.json()["errors"]] == [field]
        answer = await team.clients["stranger"].post(f"{team.path}/{action}", json={"as_of": moment()})
        assert answer.status_code == 404
    viewer = team.clients["viewer"]
    assert (await viewer.post(f"{team.path}/revert", json={"as_of": moment()})).status_code == 403
    assert await contents(team.clients["owner"], team.list_id) == before
    assert len((await done(team.clients["owner"].get(f"{task}/history")))["items"]) == 1


async def test_imported_tasks_are_older_than_their_list(team: Team) -> None:
    """Nothing changes at a time after their last events, though the list did not exist yet."""
    owner = team.clients["owner"]
    created = {"type": "task.created", "time": "2012-05-05T14:54:27Z", "actor": "Ann", "data": {"title": "A"}}
    edited = {"type": "task.edited", "time": "2012-05-06T09:00:00Z", "actor": "Bob", "data": {"title": "B"}}
    tasks = [{"key": uuid4().hex, "events": [created, edited]}]
    imported = await done(owner.post("/api/import", json={"list": {"name": "Old"}, "tasks": tasks}))
    path = f"/api/lists/{imported['list_id']}/revert"
    assert (await done(owner.post(path, json={"as_of": "2020-01-01T00:00:00Z"})))["changes"] == []
    answer = await done(owner.post(path, json={"as_of": "2012-05-05T15:00:00Z"}))
    assert [each["changes"]["title"] for each in answer["changes"]] == [["B", "A"]]
    assert (await owner.post(path, json={"as_of": "2012-01-01T00:00:00Z"})).status_code == 422


async def test_copy_is_the_list_as_it_was(team: Team) -> None:
    """A viewer gets a list of their own: the same stages and tasks in their order; the first stays."""
    owner, viewer = team.clients["owner"], team.clients["viewer"]
    top = await team.task(title="House", stage="Doing", tags=["a"], estimate=30, notes="n" * 2_000)
    for title in ("Roof", "Cellar", "Door"):
        await team.task(title=title, parent_id=top.rpartition("/")[2])
    finished = await team.task(title="Finished", due="2030-01-01", recurrence="FREQ=DAILY")
    await done(owner.post(f"{finished}/complete"))
    deleted = await team.task(title="Deleted before")
    await done(owner.delete(deleted), 204)
    then, before = moment(), await contents(owner, team.list_id)
    await team.task(title="Too late")
    await done(owner.patch(top, json={"title": "Castle", "stage": "To do"}))
    await done(owner.patch(team.path, json={"name": "Renamed"}))
    changed = await contents(owner, team.list_id)

    headers = {"Idempotency-Key": uuid4().hex}
    copy = await done(viewer.post(f"{team.path}/copies", json={"as_of": then}, headers=headers), 201)
    assert copy["name"].startswith("Team (")
    assert (copy["stages"], copy["members"]) == (STAGES, {team.users["viewer"]: "owner"})
    assert (copy["tasks"], copy["conflicts"]) == (len(before), [])

    def shape(tasks: dict[str, dict[str, Any]]) -> list[Any]:
        titles = {task_id: task["title"] for task_id, task in tasks.items()}
        names = ("title", "notes", "status", "stage", "tags", "estimate", "due")
        return [
            (*(task[name] for name in names), titles.get(task["parent_id"]))
            for task in sorted(tasks.values(), key=lambda task: (task["parent_id"] or "", task["rank"]))
        ]

    copied = await contents(viewer, copy["id"])
    assert sorted(map(repr, shape(copied))) == sorted(map(repr, shape(before)))
    below = [
        task["title"] for task in sorted(copied.values(), key=lambda task: task["rank"]) if task["parent_id"]
    ]
    assert below == ["Roof", "Cellar", "Door"]
    assert await contents(owner, team.list_id) == changed
    repeated = await done(viewer.post(f"{team.path}/copies", json={"as_of": then}, headers=headers), 201)
    assert repeated["id"] == copy["id"]
    assert await contents(viewer, copy["id"]) == copied
    named = await done(owner.post(f"{team.path}/copies", json={"as_of": moment(), "name": "Mine"}), 201)
    assert (named["name"], named["tasks"]) == ("Mine", len(changed))


@pytest.mark.parametrize("seed", range(3))
async def test_random_changes_are_reverted(team: Team, seed: int) -> None:
    """Whatever is done to a list, it returns to how it was, and then to how it was before that."""
    chance, owner = random.Random(seed), team.clients["owner"]
    other = (await done(owner.post("/api/lists", json={"name": "Other"}), 201))["id"]
    tasks = [await team.task(title=f"T{number}") for number in range(8)]

    async def change() -> None:
        task = chance.choice(tasks)
        some_id = chance.choice(tasks).rpartition("/")[2]
        calls = (
            lambda: owner.patch(task, json={"title": f"N{chance.random()}"}),
            lambda: owner.patch(task, json={"parent_id": chance.choice([None, some_id])}),
            lambda: owner.patch(task, json={"stage": chance.choice(STAGES)["name"]}),
            lambda: owner.post(f"{task}/complete", params={"cascade": "true"}),
            lambda: owner.post(f"{task}/reopen"),
            lambda: owner.delete(task, params={"cascade": "true"}),
            lambda: owner.post(f"{task}/restore"),
            lambda: owner.post(f"{task}/move", json={"list_id": chance.choice([other, team.list_id])}),
            lambda: owner.post(f"{task}/move", json={"before": some_id}),
            lambda: owner.post("/api/tasks", json={"title": "New", "list_id": team.list_id}),
        )
        answer = await chance.choice(calls)()
        assert answer.status_code < 500, answer.text
        if answer.status_code == 201:
            tasks.append(answer.headers["location"])

    for _ in range(25):
        await change()
    then, before = moment(), await contents(owner, team.list_id)
    for _ in range(40):
        await change()
    after = await contents(owner, team.list_id)
    reverted = await revert(team, then)
    assert reverted["conflicts"] == []
    assert await contents(owner, team.list_id) == before
    assert (await revert(team, reverted["undo_as_of"]))["conflicts"] == []
    assert await contents(owner, team.list_id) == after


async def test_imported_tasks_were_unknown_before_their_import(team: Team) -> None:
    """A revert or a copy of what the log knew then lacks them; one by the times of events has them."""
    owner = team.clients["owner"]
    await team.task(title="Mine")
    before = moment()
    created = {"type": "task.created", "time": "2012-05-05T14:54:27Z", "actor": "Ann", "data": {"title": "A"}}
    edited = {"type": "task.edited", "time": "2012-05-06T09:00:00Z", "actor": "Bob", "data": {"title": "B"}}
    tasks = [{"key": uuid4().hex, "events": [created, edited]}]
    await done(owner.post("/api/import", json={"list": {"id": team.list_id}, "tasks": tasks}))
    imported = await contents(owner, team.list_id)
    path, known = f"{team.path}/revert", {"as_recorded_at": before}

    preview = await done(owner.post(path, json={**known, "dry_run": True}))
    assert [(each["title"], each["action"]) for each in preview["changes"]] == [("B", "deleted")]
    assert (preview["as_of"], datetime.fromisoformat(preview["as_recorded_at"])) == (
        None,
        datetime.fromisoformat(before),
    )
    assert (await revert(team, before, dry_run=True))["changes"] == []
    for times, count in ((known, 1), ({"as_of": before}, 2), ({"as_of": "2012-05-05T15:00:00Z"}, 1)):
        copy = await done(owner.post(f"{team.path}/copies", json=times), 201)
        assert (copy["tasks"], copy["conflicts"]) == (count, [])

    reverted = await done(owner.post(path, json=known))
    assert [task["title"] for task in (await contents(owner, team.list_id)).values()] == ["Mine"]
    assert (await done(owner.post(path, json=known)))["changes"] == []
    await revert(team, reverted["undo_as_of"])
    assert await contents(owner, team.list_id) == imported
    answer = await owner.post(path, json={"as_recorded_at": "2012-05-06T15:00:00Z"})
    assert [each["field"] for each in answer.json()["errors"]] == ["as_recorded_at"]
