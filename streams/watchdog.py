"""The watchdog: ends the process if the log grows and its checkpoint does not, or if the loop hangs.

It is a thread, so that a blocked event loop cannot stop it. The process supervisor restarts the process.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence

import structlog

from app.errors import Unavailable, WrongLog
from app.log.ports import EventLog
from projections.generations.completeness import describe_missing
from projections.postgres.database import DATABASE_UNAVAILABLE, GONE
from projections.projector import Projector
from streams.backoff import Backoff
from streams.supervised_loop import SupervisedLoop

log = structlog.get_logger()

CHECK_S = 5.0
STALL_LIMIT_S = 60.0
EXIT_STALLED = 70
UNAVAILABLE_OR_BUSY: tuple[type[BaseException], ...] = (Unavailable, *DATABASE_UNAVAILABLE)


class Watchdog:
    """A thread that calls `on_stall` unless `beat` is called at least every `limit_s` seconds."""

    def __init__(self, limit_s: float = STALL_LIMIT_S, on_stall: Callable[[], None] | None = None) -> None:
        self._limit_s = limit_s
        self._on_stall = on_stall or _end_process
        self._last_beat_s = time.monotonic()
        self._stopped = threading.Event()

    def start(self) -> None:
        """Start watching."""
        self.beat()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def stop(self) -> None:
        """Stop watching."""
        self._stopped.set()

    def end(self, reason: str) -> None:
        """End the process at once, with a line in the log; a restart checks everything again."""
        log.error("the worker ends", reason=reason)
        self._on_stall()

    def beat(self) -> None:
        """Signal that the process works."""
        self._last_beat_s = time.monotonic()

    def _watch(self) -> None:
        while not self._stopped.wait(self._limit_s / 10):
            if time.monotonic() - self._last_beat_s > self._limit_s:
                sys.stderr.write("the worker makes no progress while the log grows; it ends\n")
                sys.stderr.flush()
                self._on_stall()
                return


def _end_process() -> None:
    os._exit(EXIT_STALLED)


async def watch_progress(
    watchdog: Watchdog,
    projector: Projector,
    event_log: EventLog,
    assigned: Callable[[], frozenset[int]],
    missing: Callable[[], Awaitable[Sequence[str]]],
) -> None:
    """Beat, for ever, while checkpoints move or need not move, or Postgres or Kafka is unavailable.

    End the process when tables are `missing`: they are created again when it starts.
    """
    before: dict[int, int] = {}

    async def step() -> None:
        nonlocal before
        try:
            partitions = sorted(assigned())
            checkpoints = await projector.checkpoints(partitions)
            ends = await event_log.ends()
            lacking = await missing()
        except WrongLog as error:
            watchdog.end(error.detail)
        except GONE as error:
            watchdog.end(f"the read models are gone ({error}); they are made again when it starts")
        except UNAVAILABLE_OR_BUSY:
            watchdog.beat()
            raise
        else:
            if lacking:
                watchdog.end(f"{describe_missing(lacking)}; they are made again when it starts")
            now = {partition: checkpoint.next_offset for partition, checkpoint in checkpoints.items()}
            behind = [partition for partition in partitions if now[partition] < ends[partition]]
            if not behind or any(now[partition] != before.get(partition) for partition in behind):
                watchdog.beat()
            before = now
        await asyncio.sleep(CHECK_S)

    # An error that nobody expects is no beat: if it stays, the process ends.
    supervised = SupervisedLoop(Backoff(CHECK_S, CHECK_S), UNAVAILABLE_OR_BUSY, waiting="progress is unknown")
    await supervised.run(step)
