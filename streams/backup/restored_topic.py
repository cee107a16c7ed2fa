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
from streams.event_log import topic_ends
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
    partitions_of,
    set_topic_config,
    topic_config,
)

FUTURE = "message.timestamp.after.max.ms"
"""The broker's limit for times in the future, which its clock may have been in once."""


async def refuse_log(brokers: Sequence[str], shape: TopicShape) -> None:
    """Raise `WrongLog` if the topic has records, and no restore of it was interrupted. Change nothing.

    Raise `WrongLog` also for another number of partitions, and `Unavailable`.
    """
    async with open_admin(brokers) as admin:
        partitions = await partitions_of(admin, shape.name)
        if partitions is None:
            return
        check_partitions(shape, partitions)
        found, _ = await topic_config(admin, shape.name)
    if found.get(TIMESTAMPS) != PRODUCER_TIME:
        await _refuse_records(brokers, shape.name, partitions)


async def refuse_updates(brokers: Sequence[str], topic: str) -> None:
    """Raise `WrongLog` if the updates of another log are there: their positions would be taken for ours."""
    async with open_admin(brokers) as admin:
        partitions = await partitions_of(admin, topic)
    if partitions is not None:
        await _refuse_records(brokers, topic, partitions)


async def _refuse_records(brokers: Sequence[str], topic: str, partitions: int) -> None:
    if count := sum((await topic_ends(brokers, topic, partitions)).values()):
        raise WrongLog(f"{topic} has {count:,} records already: a restore needs an empty instance")


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
