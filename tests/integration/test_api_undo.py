"""Undo over HTTP: own changes, one after the other, with their consequences."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.stack import Stack
from tests.waiting import eventually


@dataclass
class Shared:
    """A task in a list of two users."""

    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    list_path: str
    path: str

    async def undo(self, who: httpx.AsyncClient | None = None, **body: Any) -> httpx.Response:
        return await (who or self.alice).post(f"{self.path}/undo", json=body)

    async def edit(self, who: httpx.AsyncClient | None = None, **fields: Any) -> dict[str, Any]:
        answer = await (who or self.alice).patch(self.path, json=fields)
        assert answer.status_code == 200, answer.text
        task: dict[str, Any] = answer.json()
        return task


@pytest.fixture
async def shared(running_stack: Stack) -> AsyncIterator[Shared]:
    alice, bob = (f"{name}-{uuid4().hex[:8]}" for name in ("alice", "bob"))
    async with running_stack.client(alice, 0) as first, running_stack.client(bob, 1) as second:
        list_path = (await first.post("/api/lists", json={"name": "L"})).headers["location"]
        await first.put(f"{list_path}/members/{bob}", json={"role": "editor"})
        body = {"title": "A", "list_id": list_path.rpartition("/")[2]}
        made = await first.post("/api/tasks", json=body)
        yield Shared(first, second, list_path, made.headers["location"])


async def test_changes_are_undone_one_after_the_other(shared: Shared) -> None:
    """The caller's newest change each time, until the task is as created."""
    await shared.edit(title="B", tags=["x"])
    await shared.alice.post(f"{shared.path}/complete")
    await shared.edit(title="C")
    received = []
    for _ in range(3):
        undone = await shared.undo()
        assert undone.status_code == 200, undone.text
        task = undone.json()
        assert undone.headers["etag"] == f'"{task["version"]}"'
        received.append((task["title"], task["status"], task["tags"]))
    assert received == [("B", "done", ["x"]), ("B", "open", ["x"]), ("A", "open", [])]
    gone = await shared.undo()
    assert (gone.status_code, gone.json()) == (200, None)
    assert (await shared.alice.get(shared.path)).status_code == 404
    history = (await shared.alice.get(f"{shared.path}/history")).json()["items"]
    assert [event["type"] for event in history[4:]] == [*("task.undone",) * 3, "task.deleted"]
    assert [event["data"]["version"] for event in history[4:7]] == [4, 3, 2]
    assert history[4]["changes"] == {"title": ["C", "B"]}


async def test_undo_keeps_later_changes_of_others(shared: Shared) -> None:
    """The caller's change need not be the newest; it is refused if the same field changed again."""
    await shared.edit(title="B")
    await shared.edit(shared.bob, notes="bob's")
    undone = (await shared.undo()).json()
    assert (undone["title"], undone["notes"]) == ("A", "bob's")
    await shared.edit(title="C")
    await shared.edit(shared.bob, title="D")
    refused = await shared.undo()
    assert (refused.status_code, refused.json()["theirs"]) == (409, {"title": "D"})
    assert (refused.json()["base"], refused.json()["yours"]) == ({"title": "C"}, {"title": "A"})
    others = await shared.undo(version=6)
    assert (others.status_code, others.json()["code"]) == (403, "forbidden")


async def test_undo_of_an_undo_redoes_the_change(shared: Shared) -> None:
    """By its version; then the change counts again."""
    await shared.edit(title="B")
    await shared.undo()
    again = await shared.undo(version=3)
    assert (again.json()["title"], again.json()["version"]) == ("B", 4)
    assert (await shared.undo()).json()["title"] == "A"


async def test_nothing_to_undo_is_refused(shared: Shared) -> None:
    """No own change, an unknown version, a comment, an undone change."""
    nothing = await shared.undo(shared.bob)
    assert (nothing.status_code, nothing.json()["code"]) == (409, "conflict")
    assert (await shared.undo(version=9)).status_code == 404
    assert (await shared.undo(version=0)).status_code == 422
    assert (await shared.undo(versions=[1])).status_code == 422
    await shared.bob.post(f"{shared.path}/comments", json={"text": "x"})
    assert (await shared.undo(shared.bob)).status_code == 409
    assert (await shared.undo(shared.bob, version=2)).status_code == 409
    await shared.edit(title="B")
    await shared.undo()
    assert (await shared.undo(version=3)).status_code == 409


async def test_repeated_key_undoes_once(shared: Shared) -> None:
    """A retry does not undo the change before."""
    await shared.edit(title="B")
    await shared.edit(title="C")
    headers = {"Idempotency-Key": uuid4().hex}
    answers = [await shared.alice.post(f"{shared.path}/undo", headers=headers) for _ in range(3)]
    assert [(answer.status_code, answer.json()["title"]) for answer in answers] == [(200, "B")] * 3


async def test_undo_of_a_deletion_restores(shared: Shared) -> None:
    """Other changes of a deleted task are not undone."""
    await shared.edit(title="B")
    await shared.alice.delete(shared.path)
    assert (await shared.undo(version=2)).status_code == 404
    undone = await shared.undo()
    assert (undone.status_code, undone.json()["title"]) == (200, "B")
    assert (await shared.alice.get(shared.path)).json() == undone.json()


async def test_undo_of_a_move_requires_permission_for_the_list(shared: Shared) -> None:
    """To the previous list and place; not to a list that the caller may no longer change."""
    before = (await shared.bob.get(shared.path)).json()
    own = (await shared.bob.get("/api/me")).json()["inbox_id"]
    assert (await shared.bob.post(f"{shared.path}/move", json={"list_id": own})).status_code == 200
    assert (await shared.alice.get(shared.path)).status_code == 404
    back = (await shared.undo(shared.bob)).json()
    assert (back["list_id"], back["rank"]) == (before["list_id"], before["rank"])
    await shared.bob.post(f"{shared.path}/move", json={"list_id": own})
    await shared.bob.post(f"{shared.list_path}/leave")
    assert (await shared.undo(shared.bob)).status_code == 404
    assert (await shared.undo()).status_code == 404


async def test_undo_of_an_edit_in_a_former_list_is_allowed(shared: Shared) -> None:
    """Only the current list counts for a change that did not move the task."""
    await shared.edit(shared.bob, title="B")
    own = (await shared.bob.get("/api/me")).json()["inbox_id"]
    await shared.bob.post(f"{shared.path}/move", json={"list_id": own})
    await shared.bob.post(f"{shared.list_path}/leave")
    assert (await shared.undo(shared.bob, version=2)).json()["title"] == "A"


async def test_viewers_undo_nothing(shared: Shared) -> None:
    """Not even their changes from when they were editors."""
    await shared.edit(shared.bob, title="B")
    me = (await shared.bob.get("/api/me")).json()["user"]
    await shared.alice.put(f"{shared.list_path}/members/{me}", json={"role": "viewer"})
    assert (await shared.undo(shared.bob)).status_code == 403


async def test_old_change_is_undone_by_its_version(shared: Shared) -> None:
    """The search for the caller's newest change is bounded."""
    await shared.edit(title="B")
    for number in range(101):
        await shared.edit(shared.bob, priority=("low", "high")[number % 2])
    assert (await shared.undo()).status_code == 409
    assert (await shared.undo(version=2)).json()["title"] == "A"


async def titles(shared: Shared) -> list[tuple[str, str, str]]:
    """Return title, status and due date of the list's tasks, in the order of their dates."""
    list_id = shared.list_path.rpartition("/")[2]
    page = await shared.alice.get("/api/tasks", params={"list_id": list_id, "sort": "due"})
    return [(task["title"], task["status"], task["due"]) for task in page.json()["items"]]


async def test_undoing_a_completion_deletes_the_next_occurrence(shared: Shared) -> None:
    await shared.edit(due="2030-12-01", recurrence="FREQ=DAILY")
    await shared.alice.post(f"{shared.path}/complete")
    both = [("A", "done", "2030-12-01"), ("A", "open", "2030-12-02")]

    async def has_followed() -> bool:
        return await titles(shared) == both

    await eventually(has_followed)
    undone = await shared.undo()
    assert (undone.status_code, undone.json()["status"]) == (200, "open")

    async def is_alone() -> bool:
        return await titles(shared) == [("A", "open", "2030-12-01")]

    await eventually(is_alone)


async def test_edits_of_one_occurrence_and_skips_are_undone_completely(shared: Shared) -> None:
    """With their place in the series."""
    await shared.edit(due="2030-12-01", recurrence="FREQ=DAILY;COUNT=5")
    before = (await shared.alice.get(shared.path)).json()
    once = await shared.alice.patch(shared.path, json={"title": "Once"}, params={"scope": "this"})
    assert once.json()["series"]["values"] == {"title": "A"}
    skipped = await shared.alice.post(f"{shared.path}/skip")
    assert skipped.json()["title"] == "A"
    assert (skipped.json()["due"], skipped.json()["recurrence"]) == ("2030-12-02", "FREQ=DAILY;COUNT=4")
    assert (await shared.undo()).json()["title"] == "Once"
    task = (await shared.undo()).json()
    same = {name: value for name, value in task.items() if name not in ("version", "updated_at")}
    assert same == {name: before[name] for name in same}


async def test_edits_of_all_occurrences_are_undone(shared: Shared) -> None:
    """With the scope; without one, a date applies to one and everything else to all."""
    await shared.edit(due="2030-12-01", recurrence="FREQ=DAILY")
    task = await shared.edit(due="2030-12-05", title="B")
    assert (task["due"], task["series"]["scheduled"], task["series"]["values"]) == (
        "2030-12-05",
        "2030-12-01",
        {},
    )
    answer = await shared.alice.patch(shared.path, json={"due": "2030-12-06"}, params={"scope": "following"})
    assert answer.json()["series"]["scheduled"] == "2030-12-06"
