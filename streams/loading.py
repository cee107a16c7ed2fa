"""Loading a generation from the log in bulk: one process for each core, each with partitions of its own."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from app.errors import Conflict, TaskError, Unavailable, WrongLog
from app.settings import Settings
from projections.generations.opening import open_database
from projections.postgres.database import DATABASE_UNAVAILABLE, GONE, Database
from projections.rebuild.load_progress import Loaded, Overtaken
from projections.rebuild.loading import Count, PartitionLoad
from streams.event_log import KafkaEventLog
from streams.paced_log import PacedLog

ALONE = 20_000
"""Up to so many records, to start processes would take longer than to load them."""
COMMAND = (sys.executable, "-P", "-m", "streams.load_process")
SESSION = {
    # A generation that lost its last rows has lost the progress with them, and is not live.
    "synchronous_commit": "off",
    "enable_seqscan": "off",
}
_ERRORS: Mapping[str, type[TaskError]] = {each.code: each for each in (Unavailable, WrongLog, Conflict)}


async def load(
    settings: Settings,
    number: int,
    progress: Mapping[int, Loaded],
    ends: Mapping[int, int],
    count: Count,
    per_s: float | None,
) -> None:
    """Load all partitions up to these offsets, in this process or in several. Raise `TaskError`s."""
    left = {
        partition: max(0, end - progress[partition].next_offset)
        for partition, end in ends.items()
        if not progress[partition].finished
    }
    shares = _shares(left, os.cpu_count() or 1)
    if len(shares) == 1 or sum(left.values()) <= ALONE:
        await load_partitions(
            settings, number, {partition: ends[partition] for partition in left}, count, per_s
        )
        return
    try:
        async with asyncio.TaskGroup() as group:
            for share in shares:
                work = {
                    "settings": settings.model_dump(mode="json"),
                    "number": number,
                    "ends": {partition: ends[partition] for partition in share},
                    "per_s": per_s and per_s / len(shares),
                }
                group.create_task(_load_in_process(json.dumps(work).encode(), count))
    except ExceptionGroup as errors:
        raise errors.exceptions[0] from None


def _shares(left: Mapping[int, int], most: int) -> list[list[int]]:
    """Divide partitions among processes, the largest first, each to the one with the fewest records."""
    shares: list[list[int]] = [[] for _ in range(min(most, len(left)) or 1)]
    for partition in sorted(left, key=lambda each: -left[each]):
        min(shares, key=lambda share: sum(left[each] for each in share)).append(partition)
    return shares


async def _load_in_process(work: bytes, count: Count) -> None:
    process = await asyncio.create_subprocess_exec(
        *COMMAND,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        # Ctrl-C is for this process, which ends the others.
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        process.stdin.write(work + b"\n")
        async for line in process.stdout:
            if line.startswith(b"{"):
                error = json.loads(line)
                raise _ERRORS.get(error["code"], Unavailable)(error["detail"])
            count(int(line))
        if await process.wait():
            raise Unavailable("a process of the rebuild ended; run it again to continue")
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def load_partitions(
    settings: Settings, number: int, ends: Mapping[int, int], count: Count, per_s: float | None
) -> None:
    """Load partitions up to these offsets, one after the other. Raise `Unavailable` and `WrongLog`."""
    async with opened(settings, number) as (database, event_log):
        log = PacedLog(event_log, per_s)
        for partition, end in ends.items():
            await PartitionLoad(database, log, partition, end, count).run()


@asynccontextmanager
async def opened(settings: Settings, number: int) -> AsyncIterator[tuple[Database, KafkaEventLog]]:
    """Open a generation that is being filled, and the log. Raise `Unavailable` and `Conflict`."""
    event_log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
    database = await open_database(
        settings.database_url, settings.schema_name, generation=number, pool_size=2, server_settings=SESSION
    )
    try:
        await event_log.start()
        yield database, event_log
    except GONE as error:
        raise Unavailable(f"the read models changed while they were filled ({error}); try again") from error
    except DATABASE_UNAVAILABLE as error:
        raise Unavailable(f"the database cannot be reached: {error}") from error
    except Overtaken as error:
        raise Conflict("another process fills these read models too") from error
    finally:
        await event_log.close()
        await database.close()
