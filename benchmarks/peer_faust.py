"""A peer: a plain Faust agent as in first programs, with one row and one `topic.send` per event.

It has uvloop, raw values, a prepared statement and `synchronous_commit=off`, like the product's worker. It
acknowledges automatically, does not check versions, and has no audit and no checkpoint.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg
import faust
import uvloop
from pydantic_core import from_json

from app.settings import Settings
from benchmarks.parts import Parts
from projections.postgres.database import asyncpg_dsn
from streams.topics import ensure_topics, updates_topic

TOPIC = "bench-plain-updates"
LIMIT_S = 240.0
_CREATE = """
    CREATE TABLE IF NOT EXISTS plain_tasks (
        id text PRIMARY KEY, list_id text, title text, status text, stage text, assignees text[],
        version bigint, updated_at timestamptz
    )
"""
_UPSERT = """
    INSERT INTO plain_tasks AS t VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
    ON CONFLICT (id) DO UPDATE SET
        list_id = coalesce(excluded.list_id, t.list_id), title = coalesce(excluded.title, t.title),
        status = coalesce(excluded.status, t.status), stage = coalesce(excluded.stage, t.stage),
        assignees = coalesce(excluded.assignees, t.assignees), version = excluded.version,
        updated_at = excluded.updated_at
    RETURNING to_json(t)::text
"""
_STATUS = {"task.created": "open", "task.completed": "done", "task.reopened": "open"}


@dataclass(frozen=True, slots=True)
class Measured:
    """The number of events and the speed, from the assignment of the partitions."""

    events: int
    per_s: float


def run(parts: Parts, settings: Settings, events: int) -> Measured:
    """Project the first `events` of the log that `settings` name in a separate process."""
    asyncio.run(ensure_topics(settings.kafka_brokers, [updates_topic(TOPIC, settings.partitions, 1)]))
    result = parts.folder / "plain.seconds"
    environment = {
        **os.environ,
        "KAFKA_BROKERS": parts.brokers,
        "DATABASE_URL": parts.database_url,
        "BENCH_TOPIC": settings.events_topic,
        "BENCH_EVENTS": str(events),
        "BENCH_RESULT": str(result),
        "BENCH_FOLDER": str(parts.folder / "plain"),
    }
    with (parts.folder / "plain.log").open("wb") as log:
        subprocess.run(
            [sys.executable, "-m", "benchmarks.peer_faust"],
            env=environment,
            stdout=log,
            stderr=log,
            timeout=LIMIT_S,
            check=False,
        )
    return Measured(events, events / float(result.read_text()))


@dataclass(slots=True)
class _Clock:
    """The times of the assignment and of the last event."""

    started_s: float = 0.0
    done_s: float = 0.0
    left: int = 0


def _agent_app(environment: dict[str, str], clock: _Clock) -> faust.App:
    app = faust.App(
        "tasktape-bench-plain",
        broker=f"kafka://{environment['KAFKA_BROKERS']}",
        autodiscover=False,
        datadir=environment["BENCH_FOLDER"],
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        store="memory://",
        consumer_auto_offset_reset="earliest",
        loghandlers=[],
    )
    raw = {"key_type": bytes, "value_type": bytes, "key_serializer": "raw", "value_serializer": "raw"}
    events, updates = app.topic(environment["BENCH_TOPIC"], **raw), app.topic(TOPIC, **raw)
    clock.left = int(environment["BENCH_EVENTS"])

    @app.agent(events, concurrency=1)  # type: ignore[untyped-decorator]
    async def project(stream: Any) -> AsyncIterator[None]:
        database = await asyncpg.connect(
            asyncpg_dsn(environment["DATABASE_URL"]), server_settings={"synchronous_commit": "off"}
        )
        async for event in stream.events():
            row = await database.fetchval(_UPSERT, *_row(event))
            await updates.send(key=event.key, value=b'{"position":"%s","task":%s}' % _told(event, row))
            clock.left -= 1
            if clock.left == 0:
                await app.producer.flush()
                clock.done_s = time.monotonic()
                os.kill(os.getpid(), signal.SIGTERM)
            if False:
                yield

    def assigned(*_: Any, **__: Any) -> None:
        clock.started_s = clock.started_s or time.monotonic()

    app.on_partitions_assigned.connect(assigned, weak=False)
    return app


def _row(event: Any) -> tuple[Any, ...]:
    headers = dict(event.message.headers)
    kind, data = headers["ce_type"].decode(), from_json(event.value)
    fields = data.get("fields", data)
    return (
        event.key.decode().partition(":")[2],
        fields.get("list_id"),
        fields.get("title"),
        _STATUS.get(kind),
        fields.get("stage"),
        fields.get("assignees"),
        int(headers["ce_streamversion"]),
        datetime.fromisoformat(headers["ce_time"].decode()),
    )


def _told(event: Any, row: str) -> tuple[bytes, bytes]:
    return f"{event.message.partition}:{event.message.offset}".encode(), row.encode()


def _prepare(environment: dict[str, str]) -> None:
    async def create() -> None:
        connection = await asyncpg.connect(asyncpg_dsn(environment["DATABASE_URL"]))
        await connection.execute(_CREATE)
        await connection.close()

    asyncio.run(create())


def main() -> None:
    """Project, write the seconds, and end."""
    environment = dict(os.environ)
    _prepare(environment)
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    clock = _Clock()
    app = _agent_app(environment, clock)
    try:
        faust.Worker(
            app, loop=loop, loglevel=None, override_logging=False, quiet=True
        ).execute_from_commandline()
    finally:
        Path(environment["BENCH_RESULT"]).write_text(str(clock.done_s - clock.started_s))


if __name__ == "__main__":
    main()
