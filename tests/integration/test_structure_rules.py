"""Rules across streams: kept by two nodes at once, and repaired where another program broke them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from app.lists.events import ListDeleted, MemberRemoved
from app.log.records import Event, Record
from app.settings import Settings
from app.stream_ids import StreamId
from app.tasks.events import Series, TaskCompleted, TaskCreated, TaskDeleted, TaskEdited, TaskMoved
from projections.generations.opening import open_database
from streams.event_log import KafkaEventLog
from tests.integration.stack import Stack
from tests.integration.test_api_dead_letters import letters, put
from tests.structure_races import OTHER_STAGES, STAGES, broken, race
from tests.waiting import eventually

PAIRS = 12
SOURCE = "/tasktape/policy/structure"


@dataclass
class Home:
    """A list of two owners, each with a node of their own."""

    stack: Stack
    ann: httpx.AsyncClient
    bob: httpx.AsyncClient
    list_id: str
    owner: str
    other: str

    async def create(self, **given: Any) -> str:
        answer = await self.ann.post("/api/tasks", json={"title": "t", "list_id": self.list_id, **given})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    async def task(self, task_id: str) -> Any:
        answer = await self.ann.get(f"/api/tasks/{task_id}")
        return answer.json() if answer.is_success else None

    async def another_list(self, **given: Any) -> str:
        answer = await self.ann.post("/api/lists", json={"name": "other", **given})
        list_id = str(answer.json()["id"])
        await self.ann.put(f"/api/lists/{list_id}/members/{self.other}", json={"role": "editor"})
        return list_id

    async def append(self, stream: str, event: Event, version: int | None = None) -> None:
        """Append to the log as a program without rules."""
        if version is None:
            kind, _, key = stream.partition(":")
            answer = await self.ann.get(f"/api/{kind}s/{key}")
            version = answer.json()["version"] + 1
        settings = Settings.from_environment(self.stack.environment)
        log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
        record = Record(
            id=str(uuid4()),
            stream=StreamId(stream),
            version=version,
            time=datetime.now(UTC),
            actor=self.owner,
            source="/elsewhere",
            data=event,
        )
        try:
            await log.start()
            await log.append([record])
        finally:
            await log.close()


@pytest.fixture
async def home(running_stack: Stack) -> AsyncIterator[Home]:
    async with _home(running_stack) as found:
        yield found


@asynccontextmanager
async def _home(stack: Stack) -> AsyncIterator[Home]:
    owner, other = f"ann-{uuid4().hex[:8]}", f"bob-{uuid4().hex[:8]}"
    async with stack.client(owner, 0) as ann, stack.client(other, 1) as bob:
        made = await ann.post("/api/lists", json={"name": "Home", "stages": STAGES})
        list_id = made.json()["id"]
        await ann.put(f"/api/lists/{list_id}/members/{other}", json={"role": "owner"})
        yield Home(stack, ann, bob, list_id, owner, other)


async def at_once(*requests: Any) -> list[int]:
    """Send requests at the same time, and return their statuses."""
    return [answer.status_code for answer in await asyncio.gather(*requests)]


async def test_one_of_two_moves_that_close_a_cycle_is_refused(home: Home) -> None:
    """Each below the other, on two nodes."""
    for _ in range(PAIRS):
        a, b = await home.create(), await home.create()
        statuses = await at_once(
            home.ann.patch(f"/api/tasks/{a}", json={"parent_id": b}),
            home.bob.patch(f"/api/tasks/{b}", json={"parent_id": a}),
        )
        assert sorted(statuses) == [200, 422]


async def test_one_of_three_moves_that_close_a_cycle_is_refused(home: Home) -> None:
    """Each below the next."""
    for _ in range(PAIRS // 2):
        a, b, c = [await home.create() for _ in range(3)]
        statuses = await at_once(
            home.ann.patch(f"/api/tasks/{a}", json={"parent_id": b}),
            home.bob.patch(f"/api/tasks/{b}", json={"parent_id": c}),
            home.ann.patch(f"/api/tasks/{c}", json={"parent_id": a}),
        )
        assert sorted(statuses) == [200, 200, 422]


async def test_stage_is_not_removed_while_a_task_moves_to_it(home: Home) -> None:
    """Either the task does not move, or the stage stays."""
    for number in range(PAIRS):
        task = await home.create()
        without = [stage for stage in STAGES if stage["name"] != "Doing"]
        statuses = await at_once(
            home.ann.patch(f"/api/tasks/{task}", json={"stage": "Doing"}),
            home.bob.patch(f"/api/lists/{home.list_id}", json={"stages": without}),
        )
        assert statuses in ([200, 409], [422, 200]), number
        assert (await home.task(task))["stage"] == ("Doing" if statuses[0] == 200 else "To do")
        if statuses[0] == 200:
            await home.ann.delete(f"/api/tasks/{task}")
        await home.ann.patch(f"/api/lists/{home.list_id}", json={"stages": STAGES})


@pytest.mark.parametrize("way", ["move", "create", "undo"])
async def test_no_task_is_lost_in_a_deleted_list(home: Home, way: str) -> None:
    """It stays where it was, or is restored with the list."""
    for _ in range(PAIRS):
        going = await home.another_list()
        task = await home.create()
        match way:
            case "create":
                request = home.bob.post("/api/tasks", json={"title": "new", "list_id": going})
            case "move":
                request = home.bob.post(f"/api/tasks/{task}/move", json={"list_id": going})
            case _:
                await home.bob.post(f"/api/tasks/{task}/move", json={"list_id": going})
                await home.bob.post(f"/api/tasks/{task}/move", json={"list_id": home.list_id})
                request = home.bob.post(f"/api/tasks/{task}/undo")
        came, gone = await asyncio.gather(request, home.ann.delete(f"/api/lists/{going}"))
        assert (came.status_code, gone.status_code) in {(200, 204), (201, 204), (404, 204)}
        if came.is_success:
            task = came.json()["id"]
            assert (await home.ann.post(f"/api/lists/{going}/restore")).status_code == 200
        assert await home.task(task) is not None


@pytest.mark.parametrize("how", ["complete", "delete"])
async def test_no_open_sub_task_ends_below_a_closed_task(home: Home, how: str) -> None:
    """Creating below it at the same time reopens it, or is refused."""
    for _ in range(PAIRS):
        parent = await home.create()
        closing = (
            home.ann.post(f"/api/tasks/{parent}/complete")
            if how == "complete"
            else home.ann.delete(f"/api/tasks/{parent}")
        )
        closed, created = await asyncio.gather(
            closing, home.bob.post("/api/tasks", json={"title": "child", "parent_id": parent})
        )
        task = await home.task(parent)
        if how == "complete":
            assert created.status_code == 201
            assert task["status"] == "open"
            effects = [each["task_id"] for each in created.json().get("effects", [])]
            assert effects == ([parent] if closed.is_success else [])
        else:
            assert (closed.status_code, created.status_code) in {(204, 422), (204, 404), (409, 201)}
            assert (task is None) == closed.is_success


async def test_undo_of_a_creation_completes_reopened_ancestors_unless_others_are_open(home: Home) -> None:
    """Also if those are created at the same time, on another node."""
    for rivals in [0] + [1] * (PAIRS // 2):
        parent = await home.create()
        await home.ann.post(f"/api/tasks/{parent}/complete")
        child = await home.create(parent_id=parent)
        body = {"title": "t", "parent_id": parent}
        undone, *created = await at_once(
            home.ann.post(f"/api/tasks/{child}/undo"),
            *[home.bob.post("/api/tasks", json=body) for _ in range(rivals)],
        )
        assert (undone, created) == (200, [201] * rivals)
        found = await home.ann.get(f"/api/tasks/{parent}/history")
        assert SOURCE not in {each["source"] for each in found.json()["items"]}, "no repair was needed"
        assert (await home.task(parent))["status"] == ("open" if rivals else "done")


async def test_one_of_two_owners_who_remove_each_other_stays(home: Home) -> None:
    """A list has an owner."""
    for _ in range(PAIRS):
        going = await home.another_list()
        await home.ann.put(f"/api/lists/{going}/members/{home.other}", json={"role": "owner"})
        statuses = await at_once(
            home.ann.delete(f"/api/lists/{going}/members/{home.other}"),
            home.bob.delete(f"/api/lists/{going}/members/{home.owner}"),
        )
        assert sorted(statuses) in ([204, 404], [204, 409])


async def test_removed_member_is_not_notified_of_the_list(home: Home) -> None:
    """Assigning and removing at once: notified users are members at that time."""
    for _ in range(PAIRS):
        await home.ann.put(f"/api/lists/{home.list_id}/members/{home.other}", json={"role": "editor"})
        task = await home.create()
        assigned, removed = await asyncio.gather(
            home.ann.patch(f"/api/tasks/{task}", json={"assignees": [home.other]}),
            home.ann.delete(f"/api/lists/{home.list_id}/members/{home.other}"),
        )
        assert (assigned.status_code, removed.status_code) == (200, 204)
        [edited] = (await home.ann.get(f"/api/tasks/{task}/history")).json()["items"][-1:]
        gone = (await home.ann.get(f"/api/lists/{home.list_id}/history?limit=200")).json()["items"][-1]
        if home.other in edited["data"].get("notify", ()):
            assert edited["recorded_at"] <= gone["recorded_at"]


async def test_completing_on_two_nodes_creates_one_next_occurrence(home: Home) -> None:
    """And a task does not skip to an existing occurrence."""
    task = await home.create(due="2026-12-01", recurrence="FREQ=DAILY", notes=uuid4().hex)
    statuses = await at_once(
        home.ann.post(f"/api/tasks/{task}/complete"), home.bob.post(f"/api/tasks/{task}/complete")
    )
    assert statuses == [200, 200]

    async def successors() -> list[Any]:
        found = (await home.ann.get(f"/api/tasks?list_id={home.list_id}&status=open")).json()["items"]
        return [each for each in found if (each["series"] or {}).get("id") == task]

    async def is_there() -> bool:
        return len(await successors()) == 1

    await eventually(is_there)
    [successor] = await successors()
    await home.ann.patch(f"/api/tasks/{successor['id']}", json={"title": "touched"})
    assert (await home.ann.post(f"/api/tasks/{task}/reopen")).status_code == 200
    assert (await home.ann.post(f"/api/tasks/{task}/skip")).status_code == 409


# --- repairs -----------------------------------------------------------------------------------------------


async def repaired(home: Home, task_id: str, reason: str) -> dict[str, Any]:
    """Wait for a repair of a task that names its reason, and return its event."""
    found: list[dict[str, Any]] = []

    async def is_repaired() -> bool:
        events = (await home.ann.get(f"/api/tasks/{task_id}/history")).json().get("items", [])
        found[:] = [each for each in events if each["source"] == SOURCE and reason in (each["reason"] or "")]
        return bool(found)

    await eventually(is_repaired)
    assert found[-1]["causation_id"] is not None
    return found[-1]


async def test_cycle_closed_by_another_program_is_cut(home: Home) -> None:
    """At its event."""
    a = await home.create()
    b = await home.create(parent_id=a)
    await home.append(f"task:{a}", TaskEdited({"parent_id": b}))
    await repaired(home, a, "sub-task of itself")
    assert (await home.task(a))["parent_id"] is None
    assert (await home.task(b))["parent_id"] == a


async def test_task_put_into_a_deleted_list_by_another_program_is_moved_back(home: Home) -> None:
    """Without a previous list it goes to its creator's inbox."""
    gone = await home.another_list()
    await home.ann.delete(f"/api/lists/{gone}")
    task, made = await home.create(), str(uuid4())
    await home.append(f"task:{task}", TaskMoved(gone))
    await home.append(f"task:{made}", TaskCreated(gone, "from elsewhere"), 1)
    await repaired(home, task, "deleted before")
    assert (await home.task(task))["list_id"] == home.list_id
    await repaired(home, made, "deleted before")
    me = (await home.ann.get("/api/me")).json()
    assert (await home.task(made))["list_id"] == me["inbox_id"]


async def test_children_of_a_task_deleted_by_another_program_become_top_level(home: Home) -> None:
    """All stay reachable."""
    parent = await home.create()
    child = await home.create(parent_id=parent)
    await home.append(f"task:{parent}", TaskDeleted())
    await repaired(home, child, "parent was deleted")
    assert (await home.task(child))["parent_id"] is None


async def test_task_completed_by_another_program_above_open_ones_is_reopened(home: Home) -> None:
    """With the reason in its history."""
    parent = await home.create()
    await home.create(parent_id=parent)
    await home.append(f"task:{parent}", TaskCompleted())
    await repaired(home, parent, "below it is open")
    assert (await home.task(parent))["status"] == "open"


async def test_unknown_stage_is_replaced(home: Home) -> None:
    """By the first of its category."""
    task = await home.create()
    await home.append(f"task:{task}", TaskEdited({"stage": "nowhere"}))
    await repaired(home, task, "stage")
    assert (await home.task(task))["stage"] == "To do"


async def test_sub_tasks_follow_a_parent_moved_by_another_program(home: Home) -> None:
    """Into its list."""
    parent, elsewhere = await home.create(), await home.another_list(stages=OTHER_STAGES)
    child = await home.create(parent_id=parent)
    await home.append(f"task:{parent}", TaskMoved(elsewhere))
    await repaired(home, child, "another list")
    found = await home.task(child)
    assert (found["list_id"], found["parent_id"], found["stage"]) == (elsewhere, parent, "New")


async def test_list_without_an_owner_gets_an_editor_as_owner(home: Home) -> None:
    """Not its creator, who was removed."""
    going = await home.another_list()
    await home.append(f"list:{going}", MemberRemoved(home.owner))

    async def has_other_owner() -> bool:
        answer = await home.bob.get(f"/api/lists/{going}")
        return answer.is_success and answer.json()["members"] == {home.other: "owner"}

    await eventually(has_other_owner)


async def test_list_without_members_goes_back_to_its_creator(home: Home) -> None:
    """Nobody else could restore it."""
    going = await home.another_list()
    await home.append(f"list:{going}", MemberRemoved(home.other))
    await home.append(f"list:{going}", MemberRemoved(home.owner), version=4)

    async def is_mine_again() -> bool:
        answer = await home.ann.get(f"/api/lists/{going}")
        return answer.is_success and answer.json()["members"] == {home.owner: "owner"}

    await eventually(is_mine_again)


async def test_repair_waits_for_a_parked_record_of_its_stream_only(home: Home) -> None:
    """It is made once the record is settled; until then it is not appended repeatedly."""
    parent, another = await home.create(), await home.create()
    child, other = await home.create(parent_id=parent), await home.create(parent_id=another)
    poison = await put(home.stack, f"task:{child}".encode(), b"not an event")
    async with home.stack.client("operator", admin=True) as admin:

        async def parked() -> list[str]:
            return [at for at, each in (await letters(admin)).items() if each["stream"] == f"task:{child}"]

        async def is_parked() -> bool:
            return await parked() == [poison]

        await eventually(is_parked)
        await home.append(f"task:{parent}", TaskDeleted())
        await home.append(f"task:{another}", TaskDeleted())
        await repaired(home, other, "parent was deleted")
        assert (await home.task(child))["parent_id"] == parent
        assert await parked() == [poison]
        assert (await admin.post(f"/api/dead-letters/{poison}/skip")).is_success
    await repaired(home, child, "parent was deleted")


async def test_inbox_deleted_by_another_program_is_restored_with_its_tasks(home: Home) -> None:
    """Including those moved to it since."""
    me = (await home.ann.get("/api/me")).json()
    mine, moved = await home.create(list_id=me["inbox_id"]), await home.create()
    await home.append(f"list:{me['inbox_id']}", ListDeleted())
    await home.append(f"task:{moved}", TaskMoved(me["inbox_id"]))

    async def are_back() -> bool:
        return [await home.task(each) is not None for each in (mine, moved)] == [True, True]

    await eventually(are_back)
    assert (await home.ann.post("/api/tasks", json={"title": "t"})).status_code == 201


async def test_second_task_of_an_occurrence_by_another_program_leaves_the_series(home: Home) -> None:
    """Both have ids that are not derived from the series."""
    series = Series(str(uuid4()), 3, "2026-12-01")
    first, second = str(uuid4()), str(uuid4())
    for task in (first, second):
        event = TaskCreated(
            home.list_id, "t", due="2026-12-01", recurrence="FREQ=DAILY", stage="To do", series=series
        )
        await home.append(f"task:{task}", event, 1)
    await repaired(home, second, "this occurrence")
    assert (await home.task(first))["series"] is not None


async def test_repeated_command_reports_the_effects_of_the_first(home: Home) -> None:
    """Reopened ancestors, and values that no longer applied."""
    top = await home.create()
    middle = await home.create(parent_id=top)
    await home.ann.post(f"/api/tasks/{top}/complete?cascade=true")
    body, headers = {"title": "t", "parent_id": middle}, {"Idempotency-Key": uuid4().hex}
    answers = [await home.ann.post("/api/tasks", json=body, headers=headers) for _ in range(2)]
    assert [each["task_id"] for each in answers[0].json()["effects"]] == [top, middle]
    assert answers[0].json() == answers[1].json()
    child = answers[0].json()["id"]
    await home.ann.delete(f"/api/tasks/{middle}?cascade=true")
    headers = {"Idempotency-Key": uuid4().hex}
    restored = [await home.ann.post(f"/api/tasks/{child}/restore", headers=headers) for _ in range(2)]
    assert [each["field"] for each in restored[0].json()["effects"]] == ["parent_id"]
    assert restored[0].json() == restored[1].json()


@pytest.mark.parametrize(
    ("seed", "kills", "foreign"), [(1, False, False), (2, False, True), (3, True, False), (4, True, True)]
)
async def test_rules_hold_after_random_concurrent_commands(
    kafka_brokers: str, database_url: str, tmp_path: Path, *, seed: int, kills: bool, foreign: bool
) -> None:
    """On two nodes, with kills and a foreign writer; `python -m tests.structure_races` runs for hours."""
    stack = Stack(kafka_brokers, database_url, tmp_path)
    try:
        stack.migrate()
        stack.start_worker()
        for _ in range(2):
            stack.start_api()
        await race(stack, seed, kills=kills, with_foreign=foreign)
        settings = Settings.from_environment(stack.environment)
        database = await open_database(settings.database_url, settings.schema_name, pool_size=2)
        assert await broken(database) == []
        await database.close()
    finally:
        stack.stop()
