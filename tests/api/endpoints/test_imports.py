"""POST /api/import on a log in memory: written once, continued, left alone, refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import httpx
import pytest

from api.main import application
from app.imported_history import import_list_id
from app.lists.commands import CreateList, DeleteList, EditList, RestoreList
from app.lists.state import TaskList
from app.log.records import Record
from app.settings import Settings
from app.stream_ids import list_stream
from app.tasks.commands import DeleteTask, EditTask
from app.tasks.state import Task
from projections.queries.audit import AuditQueries
from projections.read_models.lists import ListQueries
from tasktape.local.tokens import mint
from tests.api.memory_stack import Node, World, dependencies_on
from tests.spec import LIST_ID, OTHER_LIST_ID
from tests.waiting import eventually

SECRET = "a secret of the tests, and of nothing else"
SETTINGS = Settings.from_environment(
    {"JWT_SECRET": SECRET, "TASKTAPE_COMMAND_WAIT_MS": "2000", "TASKTAPE_BODY_LIMIT_BYTES": "20000"}
)


class WorldReader:
    """Read-model queries of imports, answered by the fold."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def named(self, user: str, name: str) -> TaskList | None:
        """See `ListQueries.named`."""
        lists = [state for state in self._world.fold.states.values() if isinstance(state, TaskList)]
        return next(
            (each for each in lists if each.name == name and user in each.members and not each.deleted_at),
            None,
        )

    async def positions(self) -> dict[int, int]:
        """See `AuditQueries.positions`."""
        return await self._world.positions()

    async def event_ids(self, streams: Sequence[str]) -> dict[str, list[str]]:
        """See `AuditQueries.event_ids`."""
        found = {stream: [record.id for record in self._world.accepted_of(stream)] for stream in streams}
        return {stream: ids for stream, ids in found.items() if ids}


class Importer:
    """A caller of the import route."""

    def __init__(self, world: World, node: Node, http: httpx.AsyncClient) -> None:
        self.world = world
        self.node = node
        self.http = http

    async def post(self, body: Any, user: str = "alice", **headers: str) -> httpx.Response:
        """Send an import request."""
        signed_in = {"Authorization": f"Bearer {mint(SECRET, user, admin=False, ttl_s=60)}"}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, bytes):
            return await self.http.post(
                "/api/import",
                content=body,
                headers={"Content-Type": "application/json"} | signed_in | given,
            )
        return await self.http.post("/api/import", json=body, headers=signed_in | given)

    async def done(self, tasks: list[Any], user: str = "alice", name: str = "log", **headers: str) -> Any:
        """Import tasks into the list of this name and return the response once it is visible."""
        answer = await self.post({"list": {"name": name}, "tasks": tasks}, user, **headers)
        assert answer.status_code == 200, answer.text
        body = answer.json()
        assert answer.headers["tasktape-position"]
        await self.visible(body)
        return body

    async def visible(self, body: Any) -> None:
        """Wait until the read models include the position of a response."""
        positions = {int(partition): offset for partition, offset in body["positions"].items()}
        assert await self.node.outcomes.wait_reached(positions, 5)

    @property
    def size(self) -> int:
        """Return the number of records in the log."""
        return len(self.world.log.records)

    def task(self, list_id: str, title: str) -> Task:
        """Return the task with this title."""
        states = self.world.fold.states.values()
        [found] = [
            each
            for each in states
            if isinstance(each, Task) and (each.list_id, each.title) == (list_id, title)
        ]
        return found

    def history(self, task: Task) -> list[Record]:
        """Return the accepted records of a task."""
        return self.world.accepted_of(f"task:{task.id}")


@asynccontextmanager
async def importing() -> AsyncIterator[Importer]:
    """Return an application on a log in memory."""
    world = World()
    async with world.running():
        node, reader = world.node(), WorldReader(world)
        app = application(SETTINGS)
        app.state.deps = replace(
            dependencies_on(world, node, SETTINGS, None),
            lists=cast("ListQueries", reader),
            audit=cast("AuditQueries", reader),
        )
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as http:
            yield Importer(world, node, http)


@pytest.fixture
async def importer() -> AsyncIterator[Importer]:
    """Return a caller and everything behind the route."""
    async with importing() as found:
        yield found


def task_with_events(title: str, events: int = 3, **more: Any) -> dict[str, Any]:
    """Return a task with this number of events."""
    rest = [
        {
            "type": "task.edited",
            "time": f"2012-05-0{day}T12:00:00+02:00",
            "actor": "Bob",
            "data": {"stage": f"Stage {day}"},
        }
        for day in range(2, events + 1)
    ]
    created = {
        "type": "task.created",
        "time": "2012-05-01T12:00:00+02:00",
        "actor": "Ann",
        "data": {"title": title, "assignees": ["Ann"]},
    }
    return {"key": title, "events": [created, *rest], **more}


def headless(title: str) -> dict[str, Any]:
    """Return a task whose history lacks its beginning."""
    task = task_with_events(title)
    return {**task, "events": task["events"][1:]}


def counts(body: Any) -> tuple[int, int, int, int, list[str]]:
    """Return the numbers of tasks, events, added, present and diverged."""
    return body["tasks"], body["events"], body["added"], body["present"], body["diverged"]


# --- written once ----------------------------------------------------------------------------------------


async def test_import_keeps_times_and_actors(importer: Importer) -> None:
    """Imported events are unchanged; their source names the importing user and the run."""
    body = await importer.done(
        [task_with_events("A"), task_with_events("B", 1)], user="al/ice", x_correlation_id="run-1"
    )
    assert counts(body) == (2, 4, 4, 0, [])
    task = importer.task(body["list_id"], "A")
    assert (task.created_by, task.stage, task.version) == ("Ann", "Stage 3", 3)
    assert task.created_at.isoformat() == "2012-05-01T10:00:00+00:00"
    history = importer.history(task)
    assert [record.actor for record in history] == ["Ann", "Bob", "Bob"]
    assert {record.source for record in history} == {"/tasktape/import/al%2Fice"}
    assert {record.correlation_id for record in history} == {"run-1"}


async def test_repeated_import_adds_nothing(importer: Importer) -> None:
    """With or without the position of the first import."""
    first = await importer.done([task_with_events("A"), task_with_events("B")])
    size = importer.size
    again = await importer.done([task_with_events("A"), task_with_events("B")])
    assert counts(again) == (2, 6, 0, 6, [])
    assert again["list_id"] == first["list_id"]
    after = ",".join(f"{partition}:{offset}" for partition, offset in first["positions"].items())
    assert counts(
        await importer.done([task_with_events("A"), task_with_events("B")], tasktape_position=after)
    ) == (2, 6, 0, 6, [])
    assert importer.size == size


async def test_import_adds_what_is_missing(importer: Importer) -> None:
    """New tasks, and new events of existing tasks, and nothing else."""
    await importer.done([task_with_events("A", 2), task_with_events("B")])
    body = await importer.done([task_with_events("A", 4), task_with_events("B"), task_with_events("C", 1)])
    assert counts(body) == (3, 8, 3, 5, [])
    task = importer.task(body["list_id"], "A")
    assert [record.version for record in importer.history(task)] == [1, 2, 3, 4]
    assert task.stage == "Stage 4"


async def test_interrupted_import_continues(importer: Importer) -> None:
    """If the log fails before or after writing, the repetition finds out what is there."""
    await importer.done([])
    for how, added in (("before", 3), ("after", 0)):
        importer.world.log.fails = how
        body = {"list": {"name": "log"}, "tasks": [task_with_events(how)]}
        answer = await importer.post(body)
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        importer.world.log.fails = None
        assert counts(await importer.done([task_with_events(how)])) == (1, 3, added, 3 - added, [])


async def test_concurrent_imports_add_each_event_once(importer: Importer) -> None:
    """Racing imports write some records twice; the histories have each event once."""
    bodies = await asyncio.gather(
        *(importer.done([task_with_events("A", 9), task_with_events("B", 5)]) for _ in range(8))
    )
    assert len({body["list_id"] for body in bodies}) == 1
    for title, events in (("A", 9), ("B", 5)):
        task = importer.task(bodies[0]["list_id"], title)
        assert [record.version for record in importer.history(task)] == list(range(1, events + 1))
    again = await importer.done([task_with_events("A", 9), task_with_events("B", 5)])
    assert counts(again) == (2, 14, 0, 14, [])


async def test_import_waits_for_the_read_models(importer: Importer) -> None:
    """Without a position an import sees all earlier writes; a timeout is reported."""
    await importer.done([task_with_events("A")])
    importer.world.hold()
    written = await importer.post({"list": {"name": "log"}, "tasks": [task_with_events("B")]})
    assert written.json()["added"] == 3
    late = await importer.post({"list": {"name": "log"}, "tasks": [task_with_events("B")]}, Prefer="wait=0")
    assert (late.status_code, late.json()["code"]) == (503, "unavailable")
    waiting = asyncio.create_task(importer.done([task_with_events("B")]))
    await eventually(lambda: importer.node.outcomes._waiters > 0)
    importer.world.release()
    assert counts(await waiting) == (1, 3, 0, 3, [])


# --- left alone ------------------------------------------------------------------------------------------


async def test_diverged_task_is_left_alone(importer: Importer) -> None:
    """A task edited after a part of its history was imported gets no events, and is named."""
    body = await importer.done([task_with_events("A", 2)])
    task = importer.task(body["list_id"], "A")
    await importer.node.applied(EditTask(notes="by hand"), f"task:{task.id}", "alice")
    size = importer.size
    again = await importer.done([task_with_events("A", 4), task_with_events("B", 1)])
    assert counts(again) == (2, 5, 1, 0, ["A"])
    assert importer.size == size + 1


async def test_changes_after_an_import_stay(importer: Importer) -> None:
    """Importing the file again neither undoes nor repeats them."""
    body = await importer.done([task_with_events("A")])
    task = importer.task(body["list_id"], "A")
    await importer.node.applied(EditTask(title="Mine"), f"task:{task.id}", "alice")
    await importer.node.applied(DeleteTask(), f"task:{task.id}", "alice")
    assert counts(await importer.done([task_with_events("A")])) == (1, 3, 0, 3, [])
    assert importer.task(body["list_id"], "Mine").deleted_at is not None


# --- lists and people ------------------------------------------------------------------------------------


async def test_import_finds_or_creates_its_list(importer: Importer) -> None:
    """Created once; found again under its new name; an existing list of that name is used; a deleted one is
    not restored."""
    first = (await importer.done([]))["list_id"]
    assert first == import_list_id("alice", "log", 0)
    await importer.node.applied(EditList(name="Incidents"), f"list:{first}", "alice")
    assert (await importer.done([task_with_events("A")]))["list_id"] == first
    await importer.node.applied(DeleteList(), f"list:{first}", "alice")
    second = (await importer.done([task_with_events("A")]))["list_id"]
    assert second == import_list_id("alice", "log", 1)
    assert importer.task(second, "A").id != importer.task(first, "A").id
    await importer.node.applied(CreateList(name="Home"), f"list:{LIST_ID}", "alice")
    assert (await importer.done([], name=" Home "))["list_id"] == LIST_ID


async def test_two_users_import_the_same_file_separately(importer: Importer) -> None:
    """Each gets a list and tasks of their own."""
    mine, theirs = (
        await importer.done([task_with_events("A")]),
        await importer.done([task_with_events("A")], user="bob"),
    )
    assert mine["list_id"] != theirs["list_id"]
    assert counts(theirs) == (1, 3, 3, 0, [])
    assert importer.task(mine["list_id"], "A").id != importer.task(theirs["list_id"], "A").id


async def test_import_into_an_invisible_list_is_not_found(importer: Importer) -> None:
    """And nothing is written."""
    await importer.node.applied(CreateList(name="Home"), f"list:{LIST_ID}", "bob")
    await importer.done([])
    size = importer.size
    for list_id in (LIST_ID, OTHER_LIST_ID):
        answer = await importer.post({"list": {"id": list_id}, "tasks": [task_with_events("A")]})
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert importer.size == size
    mine = await importer.post({"list": {"id": LIST_ID}, "tasks": [task_with_events("A")]}, "bob")
    assert mine.json()["added"] == 3


async def test_import_into_a_deleted_list_is_refused(importer: Importer) -> None:
    """The owner is asked to restore it first; then the import continues."""
    await importer.node.applied(CreateList(name="Home"), f"list:{LIST_ID}", "alice")
    await importer.node.applied(DeleteList(), f"list:{LIST_ID}", "alice")
    await importer.done([])
    size = importer.size
    answer = await importer.post({"list": {"id": LIST_ID}, "tasks": [task_with_events("A")]})
    assert (answer.status_code, answer.json()["detail"]) == (404, "the list was deleted: restore it first")
    assert importer.size == size
    await importer.node.applied(RestoreList(), f"list:{LIST_ID}", "alice")
    mine = await importer.post({"list": {"id": LIST_ID}, "tasks": [task_with_events("A")]})
    assert mine.json()["added"] == 3


async def test_tasks_with_the_same_key_are_distinguished_by_index(importer: Importer) -> None:
    """Without one the request is invalid."""
    body = await importer.done([task_with_events("A"), {**task_with_events("A"), "nth": 1}])
    assert counts(body) == (2, 6, 6, 0, [])
    twice = await importer.post(
        {"list": {"name": "log"}, "tasks": [task_with_events("A"), task_with_events("A")]}
    )
    assert twice.status_code == 422
    assert twice.json()["errors"] == [
        {"field": "tasks.1.key", "message": "is repeated; distinguish the tasks by nth"}
    ]


# --- refused ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"tasks": []}, 422, "list"),
        ({"list": {"id": "x"}}, 422, "list"),
        ({"list": {"name": ""}}, 422, "list"),
        ({"list": {"name": "log", "id": LIST_ID}}, 422, "list"),
        ({"list": {"name": "log"}, "tasks": [{"key": "A", "events": []}]}, 422, "tasks.0.events"),
        ({"list": {"name": "log"}, "tasks": [task_with_events("A"), {"key": "B"}]}, 422, "tasks.1.events"),
        ({"list": {"name": "log"}, "tasks": [{**task_with_events("A"), "id": LIST_ID}]}, 422, "tasks.0.id"),
        ({"list": {"name": "log"}, "tasks": [headless("A")]}, 422, "tasks.0.events"),
        ({"list": {"name": "log"}, "more": 1}, 422, "more"),
        (b"{", 400, None),
        (b"\xff", 400, None),
        (b"", 400, None),
        (b"[" * 10_000, 400, None),
        (b" " * 30_000, 413, None),
    ],
)  # fmt: skip
async def test_invalid_task_refuses_the_request(
    importer: Importer, body: Any, status: int, field: str | None
) -> None:
    """Problems name the field and the task's index; nothing of the request is written."""
    await importer.done([])
    size = importer.size
    answer = await importer.post(body)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    if field is not None:
        assert answer.json()["errors"][0]["field"].startswith(field)
    assert importer.size == size


async def test_import_requires_authentication_and_json(importer: Importer) -> None:
    assert (await importer.http.post("/api/import", json={})).status_code == 401
    other = await importer.post(b"<log/>", Content_Type="application/xml")
    assert other.status_code == 415


# --- lists with stages -----------------------------------------------------------------------------------

STAGES = [
    {"name": "Ideas", "category": "open"},
    {"name": "Doing", "category": "active"},
    {"name": "Live", "category": "done"},
]


async def staged(importer: Importer) -> str:
    """Return the id of a list with stages of its own."""
    command = CreateList.model_validate({"name": "Staged", "stages": STAGES})
    await importer.node.applied(command, f"list:{LIST_ID}")
    return LIST_ID


def through(*stages: str) -> dict[str, Any]:
    """Return a task that reaches the last stages by edits."""
    first, *others = stages
    received = [
        ("task.created", {"title": "T", "stage": first}),
        *(("task.edited", {"stage": s}) for s in others),
    ]
    return {
        "key": "k",
        "events": [
            {"type": kind, "time": f"2026-01-01T00:00:0{place}Z", "actor": "Ann", "data": data}
            for place, (kind, data) in enumerate(received)
        ],
    }


async def test_imported_stages_follow_the_list() -> None:
    """Unknown stages become one of the list's, an edit to a done stage completes the task, and the response
    says so."""
    async with importing() as importer:
        list_id = await staged(importer)
        answer = await importer.post(
            {"list": {"id": list_id}, "tasks": [through("Queued", "Accepted", "live")]}
        )
        body = answer.json()
        assert body["stages"] == {"Queued": "Ideas", "Accepted": "Doing", "live": "Live"}
        assert (body["settled"], body["added_stages"]) == (1, [])
        await importer.visible(body)
        task = importer.task(list_id, "T")
        assert (task.stage, task.status) == ("Live", "done")
        again = await importer.post(
            {"list": {"id": list_id}, "tasks": [through("Queued", "Accepted", "live")]}
        )
        assert (again.json()["added"], again.json()["present"], again.json()["diverged"]) == (0, 3, [])


async def test_import_adds_missing_stages_on_request() -> None:
    """Tasks are then in those; importing again adds nothing."""
    async with importing() as importer:
        list_id = await staged(importer)
        request = {
            "list": {"id": list_id},
            "add_stages": True,
            "tasks": [through("Queued", "Accepted", "live")],
        }
        body = (await importer.post(request)).json()
        assert (body["added_stages"], body["stages"]) == (["Queued", "Accepted"], {"live": "Live"})
        home = importer.world.fold.states[list_stream(list_id)]
        assert isinstance(home, TaskList)
        assert list(home.stages) == [
            *STAGES,
            {"name": "Queued", "category": "open"},
            {"name": "Accepted", "category": "active"},
        ]
        await importer.visible(body)
        again = (await importer.post(request)).json()
        assert (again["added_stages"], again["added"], again["present"]) == ([], 0, 3)


async def test_more_stages_than_a_list_may_have_are_refused() -> None:
    """Nothing is written."""
    async with importing() as importer:
        list_id = await staged(importer)
        tasks = [
            through(*(f"Stage {task}{number}" for number in range(10))) | {"key": f"k{task}"}
            for task in range(6)
        ]
        answer = await importer.post({"list": {"id": list_id}, "add_stages": True, "tasks": tasks})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["field"] == "stages"
        assert not any(each.stream.startswith("task:") for each in importer.world.accepted_records)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("time", 1_336_222_467),
        ("time", "1336222467"),
        ("time", "2026-01-01T00:00:00"),
        ("time", "2026-W01-1T00:00:00Z"),
        ("time", "2026-01-01x00:00:00Z"),
        ("time", "0001-01-01T00:00:00+14:00"),
        ("actor", "a\u0000"),
        ("actor", "\x1b[31m"),
        ("actor", ".."),
        ("actor", 7),
        ("type", True),
    ],
)
async def test_lax_values_are_refused(field: str, value: Any) -> None:
    """Numbers are no times, and actors must be valid user names."""
    async with importing() as importer:
        task = through("a")
        task["events"][0][field] = value
        answer = await importer.post({"list": {"name": "log"}, "tasks": [task]})
        assert answer.status_code == 422, answer.text
        assert not any(each.stream.startswith("task:") for each in importer.world.accepted_records)


@pytest.mark.parametrize(
    "body",
    [
        b'{"list":{"name":"a"},"list":{"name":"b"}}',
        b'{"list":{"name":"a"},"tasks":[NaN]}',
        b'{"list":{"name":"\xff"}}',
        b'{"list":' + b"[" * 40 + b"]" * 40 + b"}",
    ],
)
async def test_ambiguous_json_is_refused(body: bytes) -> None:
    """As in other bodies."""
    async with importing() as importer:
        assert (await importer.post(body)).status_code == 400
