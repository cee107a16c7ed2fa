"""Concurrent changes of a task or list by two users: merges and conflicts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.integration.stack import Stack

NOTES = "Milk\nBread\nEggs\nCheese\n"


@dataclass
class Pair:
    """Two users of a shared list, and a task of it as both have read it."""

    alice: httpx.AsyncClient
    bob: httpx.AsyncClient
    bob_name: str
    list_path: str
    path: str
    task: dict[str, Any]

    async def both(self, theirs: dict[str, Any], yours: dict[str, Any], **how: Any) -> httpx.Response:
        """Let Alice edit, and then Bob execute a command based on the version before."""
        first = await self.alice.patch(self.path, json=theirs)
        assert first.status_code == 200, first.text
        return await self.bob.patch(self.path, json=yours, headers=self.as_read, **how)

    @property
    def as_read(self) -> dict[str, str]:
        return {"If-Match": f'"{self.task["version"]}"'}


@pytest.fixture
async def pair(running_stack: Stack) -> AsyncIterator[Pair]:
    bob = f"bob-{uuid4().hex[:8]}"
    async with (
        running_stack.client(f"alice-{uuid4().hex[:8]}", 0) as first,
        running_stack.client(bob, 1) as second,
    ):
        list_path = (await first.post("/api/lists", json={"name": "Home"})).headers["location"]
        await first.put(f"{list_path}/members/{bob}", json={"role": "owner"})
        body = {"title": "Shop", "notes": NOTES, "tags": ["food"], "assignees": ["carol"]}
        made = await first.post("/api/tasks", json={**body, "list_id": list_path.rpartition("/")[2]})
        assert made.status_code == 201, made.text
        yield Pair(first, second, bob, list_path, made.headers["location"], made.json())


async def test_different_fields_merge(pair: Pair) -> None:
    """Also if a form sends all of its fields, including unchanged ones."""
    form = {name: pair.task[name] for name in ("title", "notes", "tags", "assignees", "due", "priority")}
    merged = await pair.both({"title": "Shop today", "due": "2026-12-01"}, {**form, "priority": "high"})
    assert merged.status_code == 200, merged.text
    task = merged.json()
    assert (task["title"], task["due"], task["priority"]) == ("Shop today", "2026-12-01", "high")
    history = (await pair.bob.get(f"{pair.path}/history")).json()["items"]
    assert history[-1]["data"] == {"fields": {"priority": "high"}}


async def test_sets_merge(pair: Pair) -> None:
    """Tags and assignees that both sides add and remove."""
    merged = await pair.both(
        {"tags": ["food", "today"], "assignees": ["carol", "dave"]}, {"tags": ["shop"], "assignees": []}
    )
    assert merged.status_code == 200
    assert (merged.json()["tags"], merged.json()["assignees"]) == (["today", "shop"], ["dave"])


async def test_notes_merge(pair: Pair) -> None:
    """Lines that both sides change apart from each other."""
    merged = await pair.both(
        {"notes": NOTES.replace("Milk", "Oat milk")}, {"notes": NOTES.replace("Cheese", "Brie")}
    )
    assert merged.status_code == 200
    assert merged.json()["notes"] == "Oat milk\nBread\nEggs\nBrie\n"


async def test_conflicts_name_their_fields(pair: Pair) -> None:
    """Exactly those that do not merge, with base, current and requested values."""
    theirs = {"title": "A", "notes": "all new", "tags": ["a"], "priority": "low"}
    yours = {"title": "B", "notes": "entirely different", "tags": ["b"], "time_zone": "Europe/Madrid"}
    refused = await pair.both(theirs, yours)
    assert (refused.status_code, refused.headers["content-type"]) == (409, "application/problem+json")
    problem = refused.json()
    assert problem["base"] == {"title": "Shop", "notes": NOTES}
    assert problem["theirs"] == {"title": "A", "notes": "all new"}
    assert problem["yours"] == {"title": "B", "notes": "entirely different"}
    assert "title" in problem["detail"]
    assert (await pair.alice.get(pair.path)).json()["version"] == 2


async def test_conflicts_have_values_of_every_kind(pair: Pair) -> None:
    """Reminders, dates and rules, as the task shows them."""
    theirs = {"due": "2026-12-01", "recurrence": "FREQ=DAILY", "reminders": [{"before": "PT1H"}]}
    yours = {"due": "2026-12-02", "recurrence": "FREQ=WEEKLY", "reminders": [{"before": "PT2H"}]}
    problem = (await pair.both(theirs, yours)).json()
    assert (problem["theirs"], problem["yours"]) == (theirs, yours)
    assert problem["base"] == {"due": None, "recurrence": None, "reminders": []}


async def test_equal_changes_do_not_conflict(pair: Pair) -> None:
    """And make no event."""
    merged = await pair.both({"title": "Same"}, {"title": "Same"})
    assert (merged.status_code, merged.json()["version"]) == (200, 2)


async def test_other_commands_merge_by_their_meaning(pair: Pair) -> None:
    """Completing merges with an edit, not with a change of the status; deleting merges with nothing."""
    await pair.alice.patch(pair.path, json={"title": "New"})
    done = await pair.bob.post(f"{pair.path}/complete", headers=pair.as_read)
    assert (done.status_code, done.json()["title"]) == (200, "New")
    reopened = await pair.bob.post(f"{pair.path}/reopen", headers=pair.as_read)
    assert (reopened.status_code, reopened.json()["theirs"]) == (409, {"status": "done"})
    assert (await pair.bob.delete(pair.path, headers=pair.as_read)).status_code == 412
    moved = await pair.bob.post(f"{pair.path}/move", json={"stage": "A"}, headers=pair.as_read)
    assert moved.status_code == 200
    moved = await pair.alice.post(f"{pair.path}/move", json={"stage": "B"}, headers=pair.as_read)
    assert (moved.status_code, moved.json()["base"]) == (409, {"stage": None})
    commented = await pair.bob.post(f"{pair.path}/comments", json={"text": "x"}, headers=pair.as_read)
    assert commented.status_code == 201


async def test_lists_conflict_too(pair: Pair) -> None:
    """By field; the name merges with the stages, and different roles do not."""
    stages = [{"name": "To do", "category": "open"}]
    version = (await pair.alice.get(pair.list_path)).headers["etag"]
    at = {"If-Match": version}
    await pair.alice.patch(pair.list_path, json={"name": "House"})
    merged = await pair.bob.patch(pair.list_path, json={"name": "Home", "stages": stages}, headers=at)
    assert merged.status_code == 200, merged.text
    assert (merged.json()["name"], merged.json()["stages"]) == ("House", stages)
    refused = await pair.bob.patch(pair.list_path, json={"name": "Hut"}, headers=at)
    assert refused.json()["base"] | refused.json()["theirs"] == {"name": "House"}
    assert refused.json()["yours"] == {"name": "Hut"}
    member = f"{pair.list_path}/members/carol"
    await pair.alice.put(member, json={"role": "viewer"})
    refused = await pair.bob.put(member, json={"role": "owner"}, headers=at)
    assert refused.status_code == 409
    assert (refused.json()["theirs"], refused.json()["yours"]) == (
        {"members": {"carol": "viewer"}},
        {"members": {"carol": "owner"}},
    )
    assert (await pair.bob.delete(member, headers=at)).status_code == 409
    assert (await pair.bob.delete(pair.list_path, headers=at)).status_code == 412


async def test_concurrent_tags_are_all_kept(pair: Pair) -> None:
    """Twenty at once, each based on the first version, on two nodes."""
    clients = (pair.alice, pair.bob)
    answers = await asyncio.gather(
        *(
            clients[number % 2].patch(pair.path, json={"tags": ["food", f"t{number}"]}, headers=pair.as_read)
            for number in range(20)
        )
    )
    assert {answer.status_code for answer in answers} == {200}
    task = (await pair.alice.get(pair.path)).json()
    assert set(task["tags"]) == {"food", *(f"t{number}" for number in range(20))}
    assert task["version"] == 21


async def test_occurrence_is_skipped_once(pair: Pair) -> None:
    """By two users who skip the same one."""
    await pair.alice.patch(pair.path, json={"due": "2030-12-01", "recurrence": "FREQ=DAILY"})
    at = {"If-Match": '"2"'}
    first = await pair.alice.post(f"{pair.path}/skip", headers=at)
    assert (first.status_code, first.json()["due"]) == (200, "2030-12-02")
    assert (await pair.bob.post(f"{pair.path}/skip", headers=at)).status_code == 412
