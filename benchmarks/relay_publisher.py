"""A process that writes its input, a message per line, to a topic, in order and without waiting.

On `task-updates` it writes like the worker: each line, a JSON object, becomes the data of an update's event.
Positions are contiguous from the given one, where the read models are. The log itself has no such
records. With a database, the checkpoint is moved before each, as the worker does, and moved back at the
end, because a node that is ahead of its read models refuses returning clients. On `task-events` it writes
like the API: each line becomes a comment on the task, and the worker's update has all usual fields.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from uuid import UUID

import uuid_utils
import uvloop
from aiokafka import AIOKafkaProducer

from app.channels import list_channel, task_channel
from app.log import records, updates
from app.log.records import Record
from app.log.updates import Update
from app.positions import Position
from app.stream_ids import task_stream
from app.tasks.events import TaskCommented
from projections.generations.opening import open_database
from streams.garbage import collect_rarely

VALUE_BYTES = 300
TIME = "2026-01-01T00:00:00.000Z"
SCHEMA = "tasktape"
_MOVE = "UPDATE checkpoints SET next_offset = $2, emitted_offset = $2 WHERE partition = $1"

_PAD = b',"pad":"%s"'
_EVENT = b'{"id":"%s","type":"task.edited","stream":"task:%s","version":%d,"data":%s}'
_UPDATE = b'{"type":"update","position":"%d:%d","event":%s,"changes":{},"task":null,"list":null}'

Written = tuple[bytes, bytes, list[tuple[str, bytes]]]
"""A key, a value and headers."""


def update(partition: int, list_id: str, task_id: str, offset: int, data: bytes) -> Update:
    """Return an update with a value of `VALUE_BYTES`, or more if `data` is large."""
    value = _value(partition, task_id, offset, data)
    missing = VALUE_BYTES - len(value) - len(_PAD % b"")
    if missing > 0:
        value = _value(partition, task_id, offset, data[:-1] + _PAD % (b"x" * missing) + b"}")
    return Update(
        Position(partition, offset),
        task_stream(task_id),
        _event_id(offset),
        "accepted",
        (task_channel(task_id), list_channel(list_id)),
        value,
        TIME,
    )


def _value(partition: int, task_id: str, offset: int, data: bytes) -> bytes:
    event = _EVENT % (_event_id(offset).encode(), task_id.encode(), offset, data)
    return _UPDATE % (partition, offset, event)


def _event_id(offset: int) -> str:
    return str(UUID(int=offset))


def comment(user: str, task_id: str, version: int, data: bytes) -> Record:
    """Return the record of a comment."""
    event_id = str(uuid_utils.uuid7())
    return Record(
        id=event_id,
        stream=task_stream(task_id),
        version=version,
        time=datetime.now(UTC),
        actor=user,
        source=records.source_of("benchmark"),
        data=TaskCommented(event_id, data.decode()),
    )


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.relay_publisher", description=__doc__)
    for name in ("brokers", "task-id", "list-id", "user"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--partition", type=int, required=True, help="The task's.")
    first = parser.add_mutually_exclusive_group(required=True)
    first.add_argument("--first-offset", type=int, help="Write updates, from this offset on.")
    first.add_argument("--first-version", type=int, help="Write comments, from this version on.")
    parser.add_argument("--database-url", help="Move the checkpoint there before each update.")
    options = parser.parse_args(arguments)

    def written_update(number: int, line: bytes) -> Written:
        return updates.encode(update(options.partition, options.list_id, options.task_id, number, line))

    def written_comment(number: int, line: bytes) -> Written:
        return records.encode(comment(options.user, options.task_id, number, line))

    if options.first_version is None:
        topic, first_number, write = "task-updates", options.first_offset, written_update
    else:
        topic, first_number, write = "task-events", options.first_version, written_comment
    uvloop.run(_publish(options.brokers, topic, options.partition, first_number, write, options.database_url))


async def _publish(
    brokers: str,
    topic: str,
    partition: int,
    number: int,
    write: Callable[[int, bytes], Written],
    database_url: str | None,
) -> None:
    """Report that all is ready, then publish every line until the end of the input."""
    first = number
    database = None if database_url is None else await open_database(database_url, SCHEMA, pool_size=1)
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(
        partial(asyncio.StreamReaderProtocol, lines), sys.stdin
    )
    async with AIOKafkaProducer(bootstrap_servers=brokers, acks="all", linger_ms=0) as producer:
        await producer.partitions_for(topic)
        collect_rarely()
        print("ready", flush=True)
        while line := await lines.readline():
            if database is not None:
                await database.pool.execute(_MOVE, partition, number + 1)
            key, value, headers = write(number, line.strip())
            # Not awaited further: batches form while the broker is busy with the one before.
            await producer.send(topic, value, key=key, headers=headers, partition=partition)
            number += 1
    if database is not None:
        await database.pool.execute(_MOVE, partition, first)


if __name__ == "__main__":
    main(sys.argv[1:])
