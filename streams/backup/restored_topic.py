"""The log's topic during a restore: it keeps the times of its records, and no process accepts it.

Otherwise the broker stamps each record of the log with its own time. A topic that keeps the times of
producers has the wrong shape (`streams.topics`), so an instance whose restore was interrupted refuses to
start. The restore is complete when the topic is in its usual shape.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aiokafka.admin import AIOKafkaAdminClient

from app.errors import Unavailable, WrongLog
from streams.event_log import KafkaEventLog
from streams.topics import (
    BROKER_TIME,
    NEVER,
    POLL_S,
    PRODUCER_TIME,
    TIMESTAMPS,
    VISIBLE_LIMIT_S,
    TopicShape,
    await_visible,
    check_partitions,
    create_missing,
    open_admin,
    set_topic_config,
    topic_config,
)

FUTURE = "message.timestamp.after.max.ms"
"""The broker's limit for times in the future, which its clock may have been in once."""


async def restorable_ends(brokers: Sequence[str], shape: TopicShape) -> dict[int, int]:
    """Return the ends of the topic: all 0, unless a restore of it was interrupted. Change nothing.

    Raise `WrongLog` if it has records of its own, or another number of partitions, and `Unavailable`.
    """
    async with open_admin(brokers) as admin:
        if shape.name not in await admin.list_topics():
            return dict.fromkeys(range(shape.partitions), 0)
        check_partitions(shape, (await await_visible(admin, [shape.name]))[shape.name])
        found, _ = await topic_config(admin, shape.name)
    ends = await topic_ends(brokers, shape.name, shape.partitions)
    if found.get(TIMESTAMPS) != PRODUCER_TIME:
        _refuse_records(shape.name, ends)
    return ends


async def refuse_updates(brokers: Sequence[str], topic: str) -> None:
    """Raise `WrongLog` if the updates of another log are there: their positions would be taken for ours."""
    async with open_admin(brokers) as admin:
        if topic not in await admin.list_topics():
            return
        partitions = (await await_visible(admin, [topic]))[topic]
    _refuse_records(topic, await topic_ends(brokers, topic, partitions))


def _refuse_records(topic: str, ends: Mapping[int, int]) -> None:
    if count := sum(ends.values()):
        raise WrongLog(f"{topic} has {count:,} records already: a restore needs an empty instance")


async def topic_ends(brokers: Sequence[str], topic: str, partitions: int) -> dict[int, int]:
    """Return the next offset of each partition. Raise `Unavailable`."""
    event_log = KafkaEventLog(brokers, topic, partitions)
    try:
        return dict(await event_log.ends())
    finally:
        await event_log.close()


async def begin_restore(brokers: Sequence[str], shape: TopicShape) -> None:
    """Create the topic if it is missing, and make it keep the times of its records. Raise `Unavailable`."""
    times = {TIMESTAMPS: PRODUCER_TIME, FUTURE: NEVER}
    async with open_admin(brokers) as admin:
        await create_missing(admin, [replace(shape, config={**shape.config, **times})])
        await await_visible(admin, [shape.name])
        found, own = await topic_config(admin, shape.name)
        if found.get(TIMESTAMPS) != PRODUCER_TIME:
            await _change(admin, shape.name, own | times)


async def end_restore(brokers: Sequence[str], shape: TopicShape) -> None:
    """Give the topic its usual shape. Raise `Unavailable`."""
    async with open_admin(brokers) as admin:
        _, own = await topic_config(admin, shape.name)
        own.pop(FUTURE, None)
        await _change(admin, shape.name, own | {TIMESTAMPS: BROKER_TIME})


async def _change(admin: AIOKafkaAdminClient, topic: str, own: Mapping[str, str]) -> None:
    """Set a topic's configuration, and wait until it is in force."""
    await set_topic_config(admin, topic, own)
    deadline_s = time.monotonic() + VISIBLE_LIMIT_S
    while (await topic_config(admin, topic))[0].get(TIMESTAMPS) != own[TIMESTAMPS]:
        if time.monotonic() > deadline_s:
            raise Unavailable(f"Kafka does not set {TIMESTAMPS}={own[TIMESTAMPS]} of {topic}")
        await asyncio.sleep(POLL_S)
