"""Recurring tasks on the real parts: one next occurrence for each completion, despite failures."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.lists.events import ListCreated
from app.log.fold import Folded
from app.policies import SOURCE
from app.settings import Settings
from app.tasks.events import TaskCompleted, TaskCreated, TaskEvent, TaskReopened
from projections.generations.opening import open_database
from projections.queries.policies import PolicyQueries
from streams.event_log import KafkaEventLog
from streams.migrate import migrate
from tests.folding import fold_log
from tests.integration.live_client import live
from tests.integration.stack import Part, Stack
from tests.places import WorkerProcess, make_outdated, new_place
from tests.spec import LIST_ID, record_of
from tests.truth import check_place, check_read_models, read_whole_log, wait_until_projected
from tests.waiting import eventually

SEED = 20261124
LIMIT_S = 60.0
FIRST_DUE = date(2026, 12, 1)


@pytest.fixture
def user() -> str:
    """Return a user that no other test uses."""
    return f"user {uuid4().hex[:8]}"


async def add(client: httpx.AsyncClient, title: str, **more: Any) -> dict[str, Any]:
    """Create a task that recurs every day, unless `more` says otherwise."""
    given = {"title": title, "due": str(FIRST_DUE), "recurrence": "FREQ=DAILY", **more}
    answer = await client.post("/api/tasks", json=given)
    assert answer.status_code == 201, answer.text
    task: dict[str, Any] = answer.json()
    return task


# --- seen live ---------------------------------------------------------------------------------------------


async def test_both_clients_get_the_completion_and_the_next_occurrence(
    running_stack: Stack, user: str
) -> None:
    """Subscribers of the list, on both nodes; reopening the task deletes the next one."""
    stack, other = running_stack, f"{user} too"
    async with stack.client(user, 0) as client, stack.client(other, 1) as guest:
        await guest.get("/api/me")
        shared = (await client.post("/api/lists", json={"name": "Home"})).json()
        answer = await client.put(f"/api/lists/{shared['id']}/members/{other}", json={"role": "editor"})
        assert answer.is_success, answer.text
        async with (
            live(stack.ws_url(0), stack.token(user)) as first,
            live(stack.ws_url(1), stack.token(other)) as second,
        ):
            assigned = {"list_id": shared["id"], "recurrence": "FREQ=DAILY;COUNT=2", "assignees": [other]}
            task = await add(client, "Water the plants", **assigned)
            done = (await client.post(f"/api/tasks/{task['id']}/complete")).json()
            for listener in (first, second):
                await listener.update("task.created", task["id"])
                completed, created = await listener.updates("task.completed", "task.created")
                assert completed["task"] == done
                assert created["task"] | {"due": "2026-12-02", "status": "open"} == created["task"]
                assert created["event"]["causation_id"] == completed["event"]["id"]
                assert (created["event"]["actor"], created["event"]["source"]) == (user, SOURCE)
                assert "notifications" not in created
            await client.post(f"/api/tasks/{task['id']}/reopen")
            for listener in (first, second):
                gone = await listener.update("task.deleted")
                assert gone["event"]["stream"] == created["event"]["stream"]
        following = await client.get(f"/api/tasks/{created['task']['id']}")
        assert following.status_code == 404


async def test_stages_complete_and_the_next_occurrence_begins_in_an_open_one(
    running_stack: Stack, user: str
) -> None:
    """A done stage creates the next occurrence, in the first open stage."""
    stages = [
        {"name": "Doing", "category": "active"},
        {"name": "To do", "category": "open"},
        {"name": "Done", "category": "done"},
    ]
    async with (
        running_stack.client(user) as client,
        live(running_stack.ws_url(), running_stack.token(user)) as it,
    ):
        board = (await client.post("/api/lists", json={"name": "Board", "stages": stages})).json()
        task = await add(client, "Rinse", list_id=board["id"], stage="Doing")
        await client.patch(f"/api/tasks/{task['id']}", json={"stage": "Done"})
        await it.update("task.created", task["id"])
        _, following = await it.updates("task.edited", "task.created")
        assert (following["task"]["stage"], following["task"]["due"]) == ("To do", "2026-12-02")


async def test_occurrence_completed_with_its_parent_has_no_next_one(running_stack: Stack, user: str) -> None:
    """Nothing is left open below a done task; completed by itself, it has one."""
    async with (
        running_stack.client(user) as client,
        live(running_stack.ws_url(), running_stack.token(user)) as it,
    ):
        parent = (await client.post("/api/tasks", json={"title": "Spring cleaning"})).json()
        task = await add(client, "Air the rooms", parent_id=parent["id"])
        for _ in range(2):
            await it.update("task.created")
        for action in ("complete?cascade=true", "undo"):
            assert (await client.post(f"/api/tasks/{parent['id']}/{action}")).is_success
        assert (await client.post(f"/api/tasks/{task['id']}/complete")).is_success
        following = await it.update("task.created")
        completed = (await client.get(f"/api/tasks/{task['id']}/history")).json()["items"][-1]
        assert following["event"]["causation_id"] == completed["id"]
        assert following["task"]["parent_id"] == parent["id"]


# --- workers that come and go ------------------------------------------------------------------------------


@pytest.fixture
async def stack(kafka_brokers: str, database_url: str, tmp_path: Path) -> AsyncIterator[Stack]:
    """Yield topics and tables of its own, and two API nodes; tests start workers."""
    stack = Stack(kafka_brokers, database_url, tmp_path)
    stack.migrate()
    try:
        yield stack
    finally:
        for part in stack.parts:
            part.kill()


def place_of(stack: Stack) -> Settings:
    return Settings.from_environment(stack.environment)


async def wait_until_reacted(place: Settings) -> None:
    """Return when policies have processed the whole log, and saved that."""
    database = await open_database(place.database_url, place.schema_name, pool_size=1)
    log = KafkaEventLog(place.kafka_brokers, place.events_topic, place.partitions)

    async def is_through() -> bool:
        ends = dict(await log.ends())
        return await PolicyQueries(database).checkpoints(ends) == ends

    try:
        await eventually(is_through, LIMIT_S, "policies did not get through")
    finally:
        await log.close()
        await database.close()


def followed(outcome: Sequence[Folded]) -> dict[str, list[str]]:
    """Return, by the id of each accepted completion, the dates of the resulting tasks."""
    found: dict[str, list[str]] = {
        each.record.id: []
        for each in outcome
        if each.outcome == "accepted" and each.record and isinstance(each.record.data, TaskCompleted)
    }
    for each in outcome:
        record = each.record
        if each.outcome == "accepted" and record and record.source == SOURCE and record.causation_id in found:
            assert isinstance(record.data, TaskCreated)
            found[record.causation_id].append(str(record.data.due))
    return found


async def complete_all(clients: Sequence[httpx.AsyncClient], ids: Sequence[str]) -> None:
    """Complete tasks at once, on either node; a 202 is a success."""
    answers = await asyncio.gather(
        *(clients[n % 2].post(f"/api/tasks/{task_id}/complete") for n, task_id in enumerate(ids))
    )
    assert all(answer.status_code in {200, 202} for answer in answers), [each.text for each in answers]


async def test_killed_workers_create_one_next_occurrence_each(stack: Stack) -> None:
    """Two API nodes, two workers, one of which is killed during reactions; repeatedly."""
    dice, rounds, chains = random.Random(SEED), 3, 6
    workers: dict[int, Part] = {slot: stack.start_worker(slot) for slot in range(2)}
    for _ in range(2):
        stack.start_api()
    async with stack.client("alice", 0) as one, stack.client("alice", 1) as two:
        ids = [(await add(one, f"Chain {n}"))["id"] for n in range(chains)]
        for number in range(rounds):
            completing = asyncio.create_task(complete_all((one, two), ids))
            await asyncio.wait({completing}, timeout=dice.uniform(0.0, 0.06))
            victim = number % 2
            workers[victim].kill()
            workers[victim] = await asyncio.to_thread(stack.start_worker, victim)
            await completing
            due = FIRST_DUE + timedelta(days=number + 1)
            ids = await open_tasks(one, chains, due)
    place = place_of(stack)
    await wait_until_projected(place)
    await wait_until_reacted(place)
    dates = followed(await check_place(place))
    assert len(dates) == rounds * chains
    assert sorted(map(tuple, dates.values())) == sorted(
        (str(FIRST_DUE + timedelta(days=number + 1)),) for number in range(rounds) for _ in range(chains)
    )


async def open_tasks(client: httpx.AsyncClient, count: int, due: date) -> list[str]:
    """Return the ids of the open tasks that are due on a day, once there are this many."""
    found: list[str] = []

    async def are_there() -> bool:
        answer = await client.get("/api/tasks", params={"status": "open", "limit": 200})
        found[:] = [task["id"] for task in answer.json()["items"] if task["due"] == str(due)]
        return len(found) >= count

    await eventually(are_there, LIMIT_S, f"not all of {count} tasks due on {due} came")
    assert len(found) == count
    return found


async def test_fifty_concurrent_completions_and_those_without_a_worker_recur(stack: Stack) -> None:
    """Each has its next one, once; nothing is written twice without saved progress."""
    worker = stack.start_worker()
    for _ in range(2):
        stack.start_api()
    async with stack.client("alice", 0) as one, stack.client("alice", 1) as two:
        tasks = await asyncio.gather(*(add(one, f"Task {n}") for n in range(50)))
        await complete_all((one, two), [task["id"] for task in tasks])
        second = await open_tasks(one, 50, FIRST_DUE + timedelta(days=1))
        worker.stop()
        later = {"Prefer": "respond-async"}
        for task_id in second[:5]:
            answer = await one.post(f"/api/tasks/{task_id}/complete", headers=later)
            assert answer.status_code == 202, answer.text
        await asyncio.to_thread(stack.start_worker)
        await open_tasks(one, 5, FIRST_DUE + timedelta(days=2))
    place = place_of(stack)
    await wait_until_reacted(place)
    outcome = await check_place(place)
    assert [len(each) for each in followed(outcome).values()] == [1] * 55
    assert [each.outcome for each in outcome if each.record and each.record.source == SOURCE] == [
        "accepted"
    ] * 55


# --- rebuilding --------------------------------------------------------------------------------------------


async def write_history(place: Settings) -> None:
    """Return twenty recurring tasks that were completed, one of which was reopened."""
    log = KafkaEventLog(place.kafka_brokers, place.events_topic, place.partitions)
    created = TaskCreated(LIST_ID, "Water", due=str(FIRST_DUE), recurrence="FREQ=DAILY")
    await log.append([record_of(ListCreated("Home"), 1, id=str(uuid4()))])
    for number in range(20):
        stream = f"task:{uuid4()}"
        events: list[TaskEvent] = [created, TaskCompleted(), *([] if number else [TaskReopened()])]
        await log.append(
            [
                record_of(event, version, id=str(uuid4()), stream=stream)
                for version, event in enumerate(events, start=1)
            ]
        )
    await log.close()


async def test_rebuild_creates_no_occurrences(kafka_brokers: str, database_url: str, tmp_path: Path) -> None:
    """Neither before policies have processed the log, nor after, nor does the worker do anything twice."""
    place = await new_place(kafka_brokers, database_url)
    await write_history(place)
    before = len(await read_whole_log(place))
    await make_outdated(place)
    assert "rebuilt" in (await migrate(place))[-1]
    assert len(await read_whole_log(place)) == before
    for _ in range(2):
        await run_until_reacted(place, tmp_path)
        reacted = await read_whole_log(place)
        assert len(reacted) == before + 21
        await make_outdated(place)
        assert "rebuilt" in (await migrate(place))[-1]
        assert await read_whole_log(place) == reacted
    fold, outcome = fold_log(await read_whole_log(place))
    assert list(map(len, followed(outcome).values())) == [1] * 20
    database = await open_database(place.database_url, place.schema_name, pool_size=1)
    await check_read_models(database, fold.states.values(), outcome)
    await database.close()


async def run_until_reacted(place: Settings, folder: Path) -> None:
    worker = WorkerProcess(place, folder)
    try:
        worker.start()
        await eventually(lambda: worker.is_ready, LIMIT_S)
        await wait_until_reacted(place)
        await wait_until_projected(place)
    finally:
        worker.stop()
