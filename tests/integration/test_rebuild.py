"""A rebuild beside running processes: they follow the swap, no read fails, and no event is lost."""

from __future__ import annotations

import asyncio
import random
import re
import signal
from collections.abc import Iterator

import httpx
import pytest

from app.settings import Settings
from projections.generations.opening import open_database
from tests.fork_server import WORKER, fork_server
from tests.integration.stack import Stack, running
from tests.truth import check_place, wait_until_projected


@pytest.fixture(scope="module")
def stack(kafka_brokers: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with running(kafka_brokers, database_url, tmp_path_factory.mktemp("rebuild")) as stack:
        stack.start_worker(1)
        yield stack


async def rebuild(stack: Stack, *options: str) -> tuple[int, str, str]:
    return await fork_server(WORKER).run(("rebuild", *options), stack.environment)


def settings_of(stack: Stack) -> Settings:
    return Settings.from_environment(stack.environment)


async def generations(stack: Stack) -> dict[int, str]:
    settings = settings_of(stack)
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    rows = await database.pool.fetch(f"SELECT number, status FROM {settings.schema_name}.generations")
    await database.close()
    return {row["number"]: row["status"] for row in rows}


async def write_and_read(client: httpx.AsyncClient, other: httpx.AsyncClient, swapped: asyncio.Event) -> int:
    """Create, change and read tasks until a while after the swap; return the number of events.

    Each change is read back at once on the node that made it, and on the other one at its position.
    """
    events = 0
    while not swapped.is_set():
        created = await client.post("/api/tasks", json={"title": f"Task {events}"})
        assert created.status_code == 201, created.text
        path = f"/api/tasks/{created.json()['id']}"
        for title in ("once", "twice"):
            changed = await client.patch(path, json={"title": title})
            assert changed.status_code == 200, changed.text
            position = {"Tasktape-Position": changed.headers["Tasktape-Position"]}
            own, others, listed = await asyncio.gather(
                client.get(path), other.get(path, headers=position), client.get("/api/tasks?limit=5")
            )
            assert (own.status_code, others.status_code, listed.status_code) == (200, 200, 200)
            assert own.json()["title"] == others.json()["title"] == title
        events += 3
    return events


async def test_running_processes_follow_a_swap_and_nothing_fails(stack: Stack) -> None:
    """While commands and reads keep coming, on two nodes with two workers; several times."""
    swapped = asyncio.Event()
    async with stack.client("alice", 0) as first, stack.client("alice", 1) as second:
        load = [
            asyncio.create_task(write_and_read(*nodes, swapped))
            for nodes in ((first, second), (second, first), (first, second))
        ]
        try:
            for _ in range(3):
                status, out, err = await rebuild(stack)
                assert (status, err) == (0, ""), err
                assert out.startswith("read models: rebuilt as generation ")
        finally:
            swapped.set()
        written = sum(await asyncio.gather(*load))
    assert await generations(stack) == {1: "retired", 2: "retired", 3: "retired", 4: "live"}
    await wait_until_projected(settings_of(stack))
    outcome = await check_place(settings_of(stack))
    assert sum(each.outcome == "accepted" for each in outcome) >= written
    status, out, _ = await rebuild(stack, "--drop-retired")
    assert status == 0
    assert out.endswith("read models: dropped generation 1, 2, 3, 4\n")
    assert await generations(stack) == {5: "live"}
    async with stack.client("alice") as client:
        assert (await client.get("/api/tasks")).status_code == 200


async def test_a_second_rebuild_at_the_same_time_is_refused(stack: Stack) -> None:
    results = await asyncio.gather(*(rebuild(stack) for _ in range(3)))
    assert 0 in {status for status, _, _ in results}
    refused = {(status, err) for status, _, err in results if status != 0}
    assert refused <= {
        (1, "Error: the read models are being rebuilt already; wait for it, or stop it with Ctrl-C\n")
    }


async def test_a_verified_rebuild_names_rows_that_differ_and_changes_nothing(stack: Stack) -> None:
    """By table and key; without the option, the next one switches to what the log says."""
    settings = settings_of(stack)
    async with stack.client("dora") as client:
        ids = [(await client.post("/api/tasks", json={"title": f"T{n}"})).json()["id"] for n in range(3)]
        await wait_until_projected(settings)
        status, out, err = await rebuild(stack, "--verify")
        assert (status, err) == (0, "")
        before = await generations(stack)
        database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
        await database.pool.execute("UPDATE tasks SET title = 'wrong', notes = 'wrong' WHERE id = $1", ids[0])
        await database.pool.execute("DELETE FROM reminders")
        await database.pool.execute("DELETE FROM task_search WHERE task_id = $1", ids[1])
        await database.close()
        status, out, err = await rebuild(stack, "--verify")
        assert status == 1
        assert err.startswith("Error: the rebuilt read models differ from the live ones, which stay live; ")
        assert out.splitlines() == [
            "tasks: 1 rows differ",
            f"  tasks {ids[0]}: different notes, title",
            "task_search: 1 rows differ",
            f"  task_search {ids[1]}: in the rebuilt one only",
        ]
        live = [number for number, status in before.items() if status == "live"]
        assert [number for number, each in (await generations(stack)).items() if each == "live"] == live
        assert (await rebuild(stack))[0] == 0
        assert (await client.get(f"/api/tasks/{ids[0]}")).json()["title"] == "T0"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
async def test_a_rebuild_that_is_ended_anywhere_is_continued(stack: Stack, how: signal.Signals) -> None:
    """Ended by `kill -9` or Ctrl-C, it leaves the live read models, and no lock, behind."""
    draw = random.Random(how)
    async with stack.client("erin") as client:
        for number in range(3):
            assert (await client.post("/api/tasks", json={"title": f"T{number}"})).status_code == 201
            log = stack.folder / f"rebuild-{how.name}-{number}.log"
            process = fork_server(WORKER).start(("rebuild", "--throttle", "300"), stack.environment, log)
            await asyncio.sleep(draw.uniform(0.2, 1.5))  # No condition: it may end anywhere.
            process.send_signal(how)
            await asyncio.to_thread(process.wait, 30)
            assert "Traceback" not in log.read_text()
    status, _, err = await rebuild(stack)
    assert (status, err) == (0, "")
    await wait_until_projected(settings_of(stack))
    await check_place(settings_of(stack))


async def test_a_dry_run_estimates_and_changes_nothing(stack: Stack) -> None:
    before = await generations(stack)
    status, out, err = await rebuild(stack, "--dry-run")
    assert (status, err) == (0, "")
    assert re.fullmatch(r"[\d,]+ events, about [\d,]+ s, about \d+ MB beside the live ones\n", out)
    assert await generations(stack) == before
    assert (await rebuild(stack, "--dry-run", "--verify"))[0] == 2
    assert (await rebuild(stack, "--throttle", "0"))[0] == 2
