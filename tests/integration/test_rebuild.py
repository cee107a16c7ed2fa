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
from projections.postgres.database import Database
from projections.read_models.registry import BY_NAME
from projections.rebuild.following import Follower
from streams.event_log import KafkaEventLog
from streams.migrate import migrate
from tests.fork_server import WORKER, fork_server
from tests.integration.stack import Stack, running
from tests.projections.test_foreign_records import tables
from tests.truth import check_place, wait_until_projected
from tests.waiting import eventually

ESTIMATE = r"[\d,]+ events, about [\d,]+ s, about \d+ MB beside the live ones\n"


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


async def test_named_read_models_are_rebuilt_while_the_others_are_copied(stack: Stack) -> None:
    """With commands and reads, of which none fails; from a position on, earlier rows are kept."""
    settings, swapped = settings_of(stack), asyncio.Event()
    async with stack.client("fred", 0) as first, stack.client("fred", 1) as second:
        load = asyncio.create_task(write_and_read(first, second, swapped))
        try:
            status, out, err = await rebuild(stack, "statistics", "comments")
            assert (status, err) == (0, "")
            said, rebuilt = out.splitlines()
            assert said.endswith(": search_index is rebuilt too, because it is made of tasks and comments")
            assert rebuilt.startswith(
                "read models: rebuilt comments, search_index, statistics as generation "
            )
            assert rebuilt.endswith(" records; copied the others")
            await alter(settings, "UPDATE audit SET actor = 'wrong' WHERE \"offset\" IN (0, 3)")
            positions = ",".join(f"{partition}:2" for partition in range(settings.partitions))
            status, out, err = await rebuild(stack, "audit", "--from-position", positions)
            assert (status, err) == (0, "")
        finally:
            swapped.set()
        assert await load
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    wrong = await database.pool.fetch("SELECT \"offset\" FROM audit WHERE actor = 'wrong'")
    await database.close()
    assert {row["offset"] for row in wrong} == {0}
    assert (await rebuild(stack, "audit"))[0] == 0
    await wait_until_projected(settings)
    await check_place(settings)


async def test_other_parked_records_make_a_rebuild_of_a_part_rebuild_everything(stack: Stack) -> None:
    settings = settings_of(stack)
    parks = "UPDATE audit SET outcome = 'parked' WHERE partition = 0 AND \"offset\" = 1"
    await alter(settings, parks)
    status, out, err = await rebuild(stack, "statistics")
    assert status == 0
    assert "other records are parked than in the live read models" in err
    assert re.fullmatch(r"read models: rebuilt as generation \d+ from \d+ records\n", out)
    await wait_until_projected(settings)
    await check_place(settings)


async def alter(settings: Settings, statement: str) -> None:
    database = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    await database.pool.execute(statement)
    await database.close()


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["sums"], 2, "there is no read model 'sums'; there are task_versions, tasks, lists, "),
        (["statistics", "--from-position", "0:5"], 2, "statistics cannot be rebuilt from a position: "),
        (["--from-position", "0:5"], 2, "a position goes with named read models; possible is audit "),
        (["audit", "--from-position", "5"], 2, "'5' is not a position; one looks like 0:121"),
        (["audit", "--from-position", "9:0"], 1, "there is no partition 9; the log has "),
        (["audit", "--from-position", "0:5000000"], 1, "no record at 0:5000000: partition 0 ends before "),
    ],
)
async def test_a_part_that_cannot_be_rebuilt_is_refused_in_one_line(
    stack: Stack, words: list[str], status: int, said: str
) -> None:
    found, out, err = await rebuild(stack, *words)
    assert (found, out) == (status, "")
    assert said in err
    assert len(err.splitlines()) == 1


async def test_a_dry_run_estimates_and_changes_nothing(stack: Stack) -> None:
    before = await generations(stack)
    status, out, err = await rebuild(stack, "--dry-run")
    assert (status, err) == (0, "")
    assert re.fullmatch(ESTIMATE, out)
    assert re.fullmatch(ESTIMATE, (await rebuild(stack, "statistics", "--dry-run"))[1])
    assert await generations(stack) == before
    assert (await rebuild(stack, "--dry-run", "--verify"))[0] == 2
    assert (await rebuild(stack, "--throttle", "0"))[0] == 2


async def test_two_releases_each_serve_all_of_their_own_read_models(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newer one rebuilds what it changed while the older one serves, and go on beside each other."""
    settings, swapped = settings_of(stack), asyncio.Event()
    await wait_until_projected(settings)
    older = await open_database(settings.database_url, settings.schema_name, pool_size=1)
    await older.pool.execute("UPDATE task_flow SET stage = 'wrong'")
    await older.pool.execute("UPDATE users SET updated_at = created_at")
    async with stack.client("gina", 0) as first, stack.client("gina", 1) as second:
        load = asyncio.create_task(write_and_read(first, second, swapped))
        try:
            monkeypatch.setattr(BY_NAME["statistics"], "VERSION", 2)
            *_, line = await migrate(settings)
            assert line.startswith("read models: rebuilt statistics as generation ")
            assert line.endswith(" records; copied the others")
            newer = await open_database(settings.database_url, settings.schema_name, pool_size=2)
            log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
            for _ in range(3):
                await Follower(newer, log).up_to(await log.ends())
        finally:
            swapped.set()
        assert await load
    await eventually(lambda: is_at(older, log))
    await Follower(newer, log).up_to(await log.ends())
    rows = await tables(older), await tables(newer)
    assert not any("wrong" in row for row in rows[1]["task_flow"])
    assert {name for name in rows[0] if rows[0][name] != rows[1][name]} == {"task_flow"}
    await older.close()
    await newer.close()
    await log.close()


async def is_at(database: Database, log: KafkaEventLog) -> bool:
    """Return whether a generation is at the end of the log."""
    rows = await database.pool.fetch("SELECT partition, next_offset FROM checkpoints")
    return {row["partition"]: row["next_offset"] for row in rows} == await log.ends()
