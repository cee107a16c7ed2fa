"""Database unavailable, or back without its latest rows: no response lacks acknowledged commands."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from app.lists.events import ListCreated
from app.settings import Settings
from app.tasks.events import TaskCreated
from projections.generations.opening import open_database
from projections.projector import Projector
from streams.event_log import KafkaEventLog
from streams.update_log import KafkaUpdateLog
from tasktape.local.postgres import EmbeddedPostgres
from tests.folding import fold_log, update_of
from tests.integration.live_client import live
from tests.integration.stack import Stack, running
from tests.spec import record_of
from tests.truth import read_whole_log
from tests.waiting import eventually

LIMIT_S = 30.0
AWAY_S = 6.0
"""Longer than an update was waited for once."""


@pytest.fixture
def stack(kafka_brokers: str, own_postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Stack]:
    with running(kafka_brokers, own_postgres.url, tmp_path, nodes=1) as stack:
        yield stack


def crash(postgres: EmbeddedPostgres) -> None:
    """Kill the database without a flush, and start it again."""
    os.kill(postgres.pid, signal.SIGKILL)
    postgres.stop()
    postgres.start()


async def project_silently(settings: Settings, log: KafkaEventLog) -> None:
    """Project to the end of the log without emitting updates."""
    database = await open_database(settings.database_url, settings.schema_name, pool_size=2)
    try:
        projector = Projector(database, log.read, updates=None)
        for partition, end in (await log.ends()).items():
            await projector.catch_up(partition, end)
    finally:
        await database.close()


async def test_no_update_is_lost_while_the_database_is_unavailable(
    stack: Stack, own_postgres: EmbeddedPostgres
) -> None:
    """An update depends on one of another partition that must be read from the database, for longer than the
    timeout: open and resuming sockets get both, and reads at their positions are answered."""
    settings = Settings.from_environment(stack.environment)
    log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    updates = KafkaUpdateLog(settings.kafka_brokers, settings.updates_topic)
    api = stack.parts[-1]
    async with stack.client("alice") as client, live(stack.ws_url(), stack.token("alice")) as socket:
        inbox = (await client.get("/api/me")).json()["inbox_id"]
        await client.post("/api/tasks", json={"title": "Before"})
        await socket.update("task.created")
        since = dict(socket.positions)
        stack.parts[0].stop()  # The worker: the test emits the updates itself.
        home = log.partition_of(f"list:{inbox}")
        stream = next(
            name for name in (f"task:{uuid4()}" for _ in range(1000)) if log.partition_of(name) != home
        )
        other = next(
            name for name in (f"list:{uuid4()}" for _ in range(1000)) if log.partition_of(name) == home
        )
        [ahead] = await log.append([record_of(ListCreated("Ahead"), 1, stream=other, actor="alice")])
        [behind] = await log.append(
            [record_of(TaskCreated(inbox, "Behind"), 1, id=str(uuid4()), stream=stream, actor="alice")]
        )
        _, outcome = fold_log(await read_whole_log(settings))
        received = next(update_of(each) for each in outcome if each.raw.position == behind)
        own_postgres.stop()
        await updates.emit([replace(received, after=(ahead,))])
        await eventually(lambda: "an update waits for others" in api.log.read_text(), LIMIT_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(AWAY_S):
                while True:
                    assert "position" not in (message := await socket.receive()), message
        own_postgres.start()
        await project_silently(settings, log)
        pushed = [await socket.update() for _ in range(2)]
        assert [each["position"] for each in pushed] == [str(ahead), str(behind)]
        async with live(stack.ws_url(), stack.token("alice"), since) as back:
            missed = [await back.update() for _ in range(2)]
            assert {each["position"] for each in missed} == {str(ahead), str(behind)}
        read = await client.get(f"/api/tasks/{stream[5:]}", headers={"Tasktape-Position": str(behind)})
        assert (read.status_code, read.json()["title"]) == (200, "Behind")
    await updates.close()
    await log.close()


READS = (
    "/api/tasks/{task}",
    "/api/tasks/{task}/history",
    "/api/tasks/{task}/comments",
    "/api/tasks?list_id={list}",
    "/api/tasks?q=Milk",
    "/api/lists",
    "/api/lists/{list}",
    "/api/lists/{list}/history",
    "/api/activity",
    "/api/activity?list_id={list}",
    "/api/notifications",
    "/api/me",
    "/api/outcomes/{position}",
)


async def make_one(client: httpx.AsyncClient) -> dict[str, str]:
    """Return the path parameters of reads: a list with a task that has a comment."""
    made = await client.post("/api/lists", json={"name": "Errands"})
    task = await client.post("/api/tasks", json={"title": "Milk", "list_id": made.json()["id"]})
    said = await client.post(f"/api/tasks/{task.json()['id']}/comments", json={"text": "Which?"})
    assert said.status_code == 201, said.text
    return {
        "list": made.json()["id"],
        "task": task.json()["id"],
        "position": said.headers["tasktape-position"],
        "positions": ",".join(each.headers["tasktape-position"] for each in (made, task, said)),
    }


async def test_reads_after_a_crash_show_everything_acknowledged(
    stack: Stack, own_postgres: EmbeddedPostgres
) -> None:
    """Until the rows are back they wait, or are 503; with and without a position."""
    worker = stack.parts[0].process
    async with stack.client("alice") as client:
        one = await make_one(client)
        paths = [path.format(**one) for path in READS]
        lost = 0
        for _ in range(4):
            # A row that is lost for certain is one that is committed right before.
            more = await make_one(client)
            worker.send_signal(signal.SIGSTOP)
            crash(own_postgres)
            probe = await asyncio.gather(
                *(
                    client.get(path, headers={**header, "Prefer": "wait=0"})
                    for path in (f"/api/tasks/{more['task']}", f"/api/lists/{more['list']}", *paths)
                    for header in ({}, {"Tasktape-Position": more["positions"]})
                )
            )
            assert {answer.status_code for answer in probe} <= {200, 503}, [
                (answer.url, answer.text) for answer in probe if answer.status_code not in {200, 503}
            ]
            lost += any(answer.status_code == 503 for answer in probe)
            reading = [asyncio.create_task(client.get(f"/api/tasks/{more['task']}")) for _ in range(5)]
            worker.send_signal(signal.SIGCONT)
            for answer in await asyncio.gather(*reading):
                assert answer.status_code in {200, 503}, answer.text

            async def shown(more: dict[str, str] = more) -> bool:
                answer = await client.get(
                    f"/api/tasks/{more['task']}", headers={"Tasktape-Position": more["positions"]}
                )
                assert answer.status_code in {200, 503}, answer.text
                return answer.status_code == 200

            await eventually(shown, LIMIT_S)
        assert lost, "nothing was lost, so this test shows nothing"


async def test_position_beyond_the_log_is_malformed(stack: Stack) -> None:
    """Waiting would not help: it is of another log, or of one that lost records."""
    async with stack.client("alice") as client:
        answer = await client.get("/api/me", headers={"Tasktape-Position": "0:999", "Prefer": "wait=0"})
        assert (answer.status_code, answer.json()["code"]) == (400, "malformed")
