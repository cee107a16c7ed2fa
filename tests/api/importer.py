"""An importer on a log in memory."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, cast

import httpx

from api.main import application
from app.lists.state import TaskList
from app.log.records import Record
from app.settings import Settings
from app.tasks.state import Task
from projections.queries.audit import AuditQueries
from projections.read_models.lists import ListQueries
from tasktape.local.tokens import mint
from tests.api.memory_stack import Node, World, dependencies_on

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
