"""`/readyz` while new writes would not become visible: it names the reason, and recovers."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import asyncpg
import httpx
import pytest

from app.errors import Unavailable
from app.lists.events import ListCreated
from projections.generations.opening import live_generation
from projections.postgres.database import asyncpg_dsn
from projections.postgres.live_generation import generation_schema
from streams.event_log import KafkaEventLog
from streams.migrate import migrate
from tests.integration.stack import Stack, running
from tests.places import new_place
from tests.spec import record_of
from tests.waiting import eventually

LIMIT_S = 60.0


@pytest.fixture(scope="module")
def stack(kafka_brokers: str, database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Yield a stack of its own, since its data is dropped here."""
    with running(kafka_brokers, database_url, tmp_path_factory.mktemp("readiness"), nodes=1) as stack:
        yield stack


async def received(client: httpx.AsyncClient, **query: str) -> tuple[int, dict[str, Any]]:
    answer = await client.get("/readyz", params=query)
    assert answer.json()["ready"] is (answer.status_code == 200)
    return answer.status_code, answer.json()


async def is_ready(client: httpx.AsyncClient) -> bool:
    status, body = await received(client)
    return status == 200 and body["problems"] == [] and body["lag"] == 0


async def test_hanging_worker_is_named_by_readyz_until_it_continues(stack: Stack) -> None:
    """The node can serve meanwhile: a proxy need not remove it."""
    worker = next(part for part in reversed(stack.parts) if part.name.startswith("worker"))
    async with stack.client("alice") as client:
        await client.post("/api/tasks", json={"title": "Before"})
        await eventually(lambda: is_ready(client), LIMIT_S)
        worker.process.send_signal(signal.SIGSTOP)
        try:
            written = await client.post(
                "/api/tasks", json={"title": "Behind"}, headers={"Prefer": "respond-async"}
            )
            assert written.status_code == 202
            status, body = await received(client)
            assert (status, body["lag"]) == (503, 1)
            assert "the read models are 1 records behind the log" in body["problems"]

            async def is_named() -> bool:
                return "no worker is ready to project partitions 0, 1" in " ".join(
                    (await received(client))[1]["problems"]
                )

            await eventually(is_named, LIMIT_S)
            assert (await received(client, lag="any"))[0] == 200
        finally:
            worker.process.send_signal(signal.SIGCONT)
        await eventually(lambda: is_ready(client), LIMIT_S)
        assert (await client.get(written.headers["location"])).json()["outcome"] == "accepted"


@pytest.mark.parametrize("dropped", ["TABLE {live}.tasks CASCADE", "SCHEMA {live} CASCADE"])
async def test_dropped_read_models_are_created_once_by_concurrent_processes(
    kafka_brokers: str, database_url: str, dropped: str
) -> None:
    """The late ones report it, or find them; they are complete, in one generation."""
    place = await new_place(kafka_brokers, database_url)
    log = KafkaEventLog(place.kafka_brokers, place.events_topic, place.partitions)
    streams = [f"list:{uuid4()}" for _ in range(20)]
    await log.append([record_of(ListCreated("L"), 1, id=str(uuid4()), stream=stream) for stream in streams])
    await log.close()
    connection = await asyncpg.connect(asyncpg_dsn(database_url))
    try:
        for number in (1, 2):
            live = generation_schema(place.schema_name, number)
            await connection.execute(f"DROP {dropped.format(live=live)}")
            results = await asyncio.gather(*(migrate(place) for _ in range(3)), return_exceptions=True)
            assert all(isinstance(each, list | Unavailable) for each in results), results
            assert await migrate(place)
            assert (await live_generation(asyncpg_dsn(database_url), place.schema_name)).number == number + 1
            count = f"SELECT count(*) FROM {generation_schema(place.schema_name, number + 1)}.lists"
            assert await connection.fetchval(count) == len(streams)
    finally:
        await connection.close()


@pytest.mark.parametrize(
    ("dropped", "named"),
    [
        ("TABLE {live}.tasks CASCADE", "{live}.tasks"),
        ("TABLE {live}.checkpoints", "{live}.checkpoints"),
        ("SCHEMA {live} CASCADE", "{live}.task_versions, {live}.tasks"),
        ("SCHEMA {schema} CASCADE", "{schema}.generations"),
    ],
)
async def test_dropped_read_models_are_named_by_readyz_until_they_are_created_again(
    stack: Stack, dropped: str, named: str
) -> None:
    """The worker ends, and its successor creates them; no task is missing in between, or in the end."""
    schema = stack.environment["TASKTAPE_SCHEMA"]
    worker = next(part for part in reversed(stack.parts) if part.name.startswith("worker"))
    async with stack.client("alice") as client:
        made = [
            (await client.post("/api/tasks", json={"title": f"Task {number}"})).headers["location"]
            for number in range(5)
        ]
        await eventually(lambda: is_ready(client), LIMIT_S)
        connection = await asyncpg.connect(asyncpg_dsn(stack.database_url))
        live = (await live_generation(asyncpg_dsn(stack.database_url), schema)).schema
        await connection.execute(f"DROP {dropped.format(schema=schema, live=live)}")
        await connection.close()
        status, body = await received(client)
        assert status == 503
        assert any(
            f"the read models lack {named.format(schema=schema, live=live)}" in each
            for each in body["problems"]
        )
        assert not any("does not answer" in each for each in body["problems"])
        await eventually(lambda: worker.process.poll() is not None, LIMIT_S, "the worker stayed")
        assert worker.process.returncode == 70, worker.tail()
        statuses = {(await client.get(path)).status_code for path in made}
        assert statuses <= {200, 503}
        starting = asyncio.create_task(asyncio.to_thread(stack.start_worker))
        while not starting.done():
            assert {(await client.get(path)).status_code for path in made} <= {200, 503}
        await starting
        await eventually(lambda: is_ready(client), LIMIT_S)
        for path in made:
            assert (await client.get(path)).status_code == 200
        answer = await client.post("/api/tasks", json={"title": "After"})
        assert answer.status_code == 201, answer.text
        listed = (await client.get("/api/tasks", params={"limit": 200})).json()["items"]
        assert {path.rpartition("/")[2] for path in made} < {task["id"] for task in listed}
