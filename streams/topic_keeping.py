"""Recreation of deleted topics that contain no lasting data."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.errors import TaskError
from app.settings import Settings
from streams.backoff import Backoff
from streams.supervised_loop import SupervisedLoop
from streams.topics import ensure_topics, shapes_of

log = structlog.get_logger()

CHECK_S = 2.0
UNKNOWN: tuple[type[BaseException], ...] = (TaskError, KafkaError, OSError, TimeoutError)


async def keep_topics(settings: Settings, on_log_gone: Callable[[str], None]) -> None:
    """Check periodically, for ever, whether all topics exist, and recreate missing ones.

    The log itself is not recreated: `on_log_gone` is called, because everything else follows from the log.
    """
    gone = False

    async def step() -> None:
        nonlocal gone
        gone = not await _keep(settings, on_log_gone)
        if not gone:
            await asyncio.sleep(CHECK_S)

    supervised = SupervisedLoop(
        Backoff(CHECK_S, CHECK_S),
        UNKNOWN,
        waiting="the topics are unknown",
        level="info",
        is_stopped=lambda: gone,
    )
    await asyncio.sleep(CHECK_S)
    await supervised.run(step)


async def _keep(settings: Settings, on_log_gone: Callable[[str], None]) -> bool:
    """Make the topics that are missing again. Return False if the log is one of them."""
    the_log, *others = shapes_of(settings)
    there = await _topics(settings)
    if the_log.name not in there:
        on_log_gone(f"the topic {the_log.name} is gone: it is the log; see `tasktape doctor`")
        return False
    missing = [shape for shape in others if shape.name not in there]
    if missing:
        await ensure_topics(settings.kafka_brokers, missing)
        log.warning("topics are made again", topics=[shape.name for shape in missing])
    return True


async def _topics(settings: Settings) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(settings.kafka_brokers), client_id="tasktape-worker")
    try:
        await admin.start()
        return set(await admin.list_topics())
    finally:
        await admin.close()
