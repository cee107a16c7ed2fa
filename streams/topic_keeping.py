"""Keeping the topics: those that hold nothing of lasting use are made again when somebody deletes them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from app.errors import TaskError
from app.settings import Settings
from streams.topics import ensure_topics, shapes_of

log = structlog.get_logger()

CHECK_S = 2.0


async def keep_topics(settings: Settings, on_log_gone: Callable[[str], None]) -> None:
    """Look now and then whether all topics are there, for ever, and make those again that are not.

    The log itself is not made again: `on_log_gone` is called, as everything else follows from it.
    """
    the_log, *others = shapes_of(settings)
    while True:
        await asyncio.sleep(CHECK_S)
        try:
            there = await _topics(settings)
            if the_log.name not in there:
                on_log_gone(f"the topic {the_log.name} is gone: it is the log; see `tasktape doctor`")
                return
            missing = [shape for shape in others if shape.name not in there]
            if missing:
                await ensure_topics(settings.kafka_brokers, missing)
                log.warning("topics are made again", topics=[shape.name for shape in missing])
        except (TaskError, KafkaError, OSError, TimeoutError) as error:
            log.info("the topics are unknown", reason=str(error) or repr(error))


async def _topics(settings: Settings) -> set[str]:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(settings.kafka_brokers), client_id="tasktape-worker")
    try:
        await admin.start()
        return set(await admin.list_topics())
    finally:
        await admin.close()
