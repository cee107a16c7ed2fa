"""The Faust application: one agent that passes the records of `task-events` to the projection loop.

Faust delivers records and manages group membership; the checkpoint in Postgres decides what is done. So: raw
bytes (a decode error would be thrown into the agent), no acknowledgements (see `group_consumer`), no tables,
no transactions, explicit names.
"""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Callable, Collection
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import faust
from faust.sensors.monitor import Monitor

from app.log.records import RawRecord
from app.positions import Position
from app.settings import Settings
from streams.group_consumer import read_from
from streams.projection_loop import ProjectionLoop

GROUP = "tasktape-projector"
SESSION_TIMEOUT_S = 10.0
HEARTBEAT_S = 3.0
BUFFERED_RECORDS = 4096


class NoCounts(Monitor):  # type: ignore[misc]
    """Faust's monitor without its counts of records, which cost as much as folding."""

    def on_stream_event_in(self, tp: Any, offset: int, stream: Any, event: Any) -> None:
        """Count nothing."""

    def on_stream_event_out(self, tp: Any, offset: int, stream: Any, event: Any, state: Any = None) -> None:
        """Count nothing."""


def _raw_record(message: Any) -> RawRecord:
    """Convert a message of Faust to a record of the domain."""
    return RawRecord(
        Position(message.partition, message.offset),
        datetime.fromtimestamp(message.timestamp, UTC),
        message.key,
        message.headers if isinstance(message.headers, list) else _pairs(message.headers),
        message.value,
    )


def _pairs(headers: Any) -> list[tuple[str, bytes]]:
    return list(headers.items()) if isinstance(headers, dict) else list(headers or ())


def group_of(settings: Settings) -> str:
    """Return the consumer group of the workers that project this log into this database."""
    return f"{GROUP}-{settings.events_topic}-{settings.schema_name}"


def create_faust_app(
    settings: Settings, loop: ProjectionLoop, on_assigned: Callable[[frozenset[int]], None]
) -> faust.App:
    """Return the Faust app of one worker. It calls `on_assigned` with this worker's partitions of the log."""
    app = faust.App(
        group_of(settings),
        broker=[f"kafka://{broker}" for broker in settings.kafka_brokers],
        autodiscover=False,
        datadir=Path(tempfile.gettempdir()) / "tasktape-worker",
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
        store="memory://",
        stream_wait_empty=False,
        stream_buffer_maxsize=BUFFERED_RECORDS,
        consumer_auto_offset_reset="earliest",
        consumer_group_instance_id=f"tasktape-worker-{settings.worker_slot}",
        broker_session_timeout=SESSION_TIMEOUT_S,
        broker_heartbeat_interval=HEARTBEAT_S,
        broker_request_timeout=SESSION_TIMEOUT_S * 2,
        cython_optimizations=True,
        loghandlers=[],
        monitor=NoCounts(),
    )
    topic = app.topic(
        settings.events_topic,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        acks=False,
    )

    @app.agent(topic, name="tasktape.project", concurrency=1)  # type: ignore[untyped-decorator]
    async def deliver(stream: Any) -> AsyncIterator[None]:
        async for event in stream.noack().events():
            await loop.deliver(_raw_record(event.message))
            if False:
                yield

    def assigned(_app: Any, partitions: Any, **_: Any) -> None:
        on_assigned(frozenset(tp.partition for tp in partitions if tp.topic == settings.events_topic))

    async def resume_delivery(partitions: Collection[int]) -> None:
        await app.consumer.seek_to_places(partitions)

    read_from(app, settings.events_topic, loop.places)
    app.on_partitions_assigned.connect(assigned, weak=False)
    loop.resume_delivery = resume_delivery
    loop.is_delivered = lambda: not app.rebalancing and app.consumer.flow_active
    return app
