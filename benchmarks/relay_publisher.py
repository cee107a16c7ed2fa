"""A process that puts what it is told, a message per line, on `task-updates`, as the worker does its updates.

Each line is a JSON object, and becomes the data of the event of one update. Positions are contiguous from the
one that is given on: where the read models are. The log itself has no such records.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import uvloop
from aiokafka import AIOKafkaProducer

from app.positions import Position
from app.updates import Update, encode, message
from streams.garbage import collect_rarely

VALUE_BYTES = 300
TIME = "2026-01-01T00:00:00.000Z"


@dataclass(frozen=True, slots=True)
class Target:
    """What the updates are about, and where they go."""

    brokers: str
    topic: str
    partition: int
    list_id: str
    task_id: str

    def update(self, offset: int, data: bytes) -> Update:
        """An update with a value of `VALUE_BYTES`, or more if `data` is large."""
        position, event_id = Position(self.partition, offset), str(UUID(int=offset))
        value = _value(position, event_id, offset, self.task_id, data)
        missing = VALUE_BYTES - len(value) - len(_PAD % b"")
        if missing > 0:
            data = data[:-1] + _PAD % (b"x" * missing) + b"}"
            value = _value(position, event_id, offset, self.task_id, data)
        channels = (f"task:{self.task_id}", f"list:{self.list_id}")
        return Update(position, f"task:{self.task_id}", event_id, "accepted", channels, value, TIME)


_PAD = b',"pad":"%s"'
_EVENT = b'{"id":"%s","type":"task.edited","stream":"task:%s","version":%d,"data":%s}'


def _value(position: Position, event_id: str, version: int, task_id: str, data: bytes) -> bytes:
    event = _EVENT % (event_id.encode(), task_id.encode(), version, data)
    return message(str(position), event, b"{}", b"", None, b"null")


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(prog="benchmarks.relay_publisher", description=__doc__)
    for name in ("brokers", "topic", "list-id", "task-id"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--partition", type=int, required=True)
    parser.add_argument("--first-offset", type=int, required=True)
    options = parser.parse_args(arguments)
    target = Target(options.brokers, options.topic, options.partition, options.list_id, options.task_id)
    uvloop.run(_publish(target, options.first_offset))


async def _publish(target: Target, offset: int) -> None:
    """Say that all is ready, then publish every line until there are no more."""
    lines = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    producer = AIOKafkaProducer(bootstrap_servers=target.brokers, acks="all", linger_ms=0)
    async with producer:
        await producer.partitions_for(target.topic)
        collect_rarely()
        print("ready", flush=True)
        while line := await lines.readline():
            key, value, headers = encode(target.update(offset, line.strip()))
            # Not awaited further: batches form while the broker is busy with the one before.
            await producer.send(target.topic, value, key=key, headers=headers, partition=target.partition)
            offset += 1


if __name__ == "__main__":
    main(sys.argv[1:])
