"""Statistics as they change: over event streams and on the command line, across nodes."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.api.event_client import EventReader, events
from tests.integration.shell import Shell
from tests.integration.stack import Stack

LIMIT_S = 60
TASKS = 60


@pytest.fixture
def shell(running_stack: Stack, tmp_path: Path) -> Shell:
    return Shell(running_stack, tmp_path)


async def statistics_of(stream: EventReader, created: int) -> list[dict[str, Any]]:
    """Return the statistics up to the first ones with so many created tasks."""
    found: list[dict[str, Any]] = []
    async with asyncio.timeout(LIMIT_S):
        while not found or found[-1]["days"][-1]["created"] < created:
            event = await stream.next()
            if event.name == "stats":
                found.append(event.message["stats"])
    return found


async def test_statistics_follow_changes_on_any_node(running_stack: Stack) -> None:
    """Many changes at once are few messages; the last state arrives. They end with the membership."""
    user, bob = (f"user-{uuid4().hex[:8]}" for _ in range(2))
    async with running_stack.client(user, 0) as client, running_stack.client(bob, 1) as reader:
        list_id = (await client.post("/api/lists", json={"name": "Watched"})).json()["id"]
        refused = await reader.get("/api/stream", params={"channel": f"stats:{list_id}"})
        assert refused.status_code == 404
        added = await client.put(f"/api/lists/{list_id}/members/{bob}", json={"role": "viewer"})
        reader.headers["Tasktape-Position"] = added.headers["Tasktape-Position"]
        assert (await reader.get("/api/stats", params={"list_id": list_id})).status_code == 200
        async with events(reader, params={"channel": f"stats:{list_id}"}) as stream:
            await statistics_of(stream, 0)
            commands = [{"create": {"title": f"Task {n}", "list_id": list_id}} for n in range(TASKS)]
            await asyncio.gather(*(client.post("/api/tasks", json=each["create"]) for each in commands))
            found = await statistics_of(stream, TASKS)
            assert len(found) < TASKS / 2
            assert found[-1]["days"][-1]["open"] == TASKS
            await client.delete(f"/api/lists/{list_id}/members/{bob}")
            async with asyncio.timeout(LIMIT_S):
                while True:
                    event = await stream.next()
                    if event.name == "unsubscribed" and event.message["channel"] == f"stats:{list_id}":
                        break


async def test_statistics_are_shown(shell: Shell) -> None:
    """As lines with charts, as JSON, by group, at earlier times."""
    await shell.works("lists", "create", "Garden", "--stage", "Planned", "--stage", "Done:done")
    assert await shell.works("lists", "zone", "Garden") == "UTC\n"
    await shell.works("lists", "zone", "Garden", "Europe/Madrid")
    assert await shell.json("lists", "zone", "Garden") == {"time_zone": "Europe/Madrid"}
    await shell.works("add", "Beans", "--list", "Garden")
    lines = (await shell.works("stats", "--list", "Garden", "--by", "stage", "--forecast", "3")).splitlines()
    assert lines[0].endswith("(Europe/Madrid)")
    assert any(line.startswith("created") and line.endswith("█  1") for line in lines)
    assert any("Planned" in line and line.endswith("1 (open)") for line in lines)
    assert any("1 open, 0 completed" in line for line in lines)
    assert lines[-1] == "forecast     3 tasks: too few were completed to tell"
    found = await shell.json("stats")
    assert (found["list_id"], found["days"][-1]["open"]) == (None, 1)
    earlier = await shell.json("stats", "--list", "Garden", "--as-of", "2001-01-01T00:00")
    assert earlier["days"][-1]["scope"] == 0
    await shell.works("lists", "zone", "Garden", "--none")
    assert "no day" in (await shell.works("stats", "--from", "2999-01-01")).lower()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("--list", "No such list"), 1, "no list"),
        (("--from", "2026-02-02", "--to", "2026-02-01"), 1, "must not be after"),
        (("--from", "someday"), 1, "must be a date"),
        (("--zone", "Mars"), 1, "IANA"),
        (("--by", "color"), 2, "'assignee'"),
        (("--forecast", "0"), 2, "1<=x<=10000"),
        (("--watch",), 2, "--watch needs --list"),
    ],
)
async def test_bad_options_are_refused(
    shell: Shell, arguments: tuple[str, ...], status: int, said: str
) -> None:
    assert said in await shell.fails("stats", *arguments, status=status)


async def test_watched_statistics_are_printed_again(shell: Shell) -> None:
    await shell.works("lists", "create", "Garden")
    watching = await shell.start("stats", "--list", "Garden", "--watch", "--json")
    assert watching.stdout is not None
    try:
        async with asyncio.timeout(LIMIT_S):
            first = json.loads(await watching.stdout.readline())
            assert first["days"][-1]["created"] == 0
            await shell.works("add", "Beans", "--list", "Garden")
            while json.loads(await watching.stdout.readline())["days"][-1]["created"] != 1:
                pass
    finally:
        watching.terminate()
        await watching.wait()
