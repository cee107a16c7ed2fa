"""The worker process: the composition root of the projecting side."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import signal
import threading
from collections.abc import Collection, Iterable
from datetime import UTC, datetime
from functools import partial
from typing import Any

import faust
import structlog
import uvloop
from mode import Service

from app.settings import Settings
from projections.generations.completeness import missing_tables
from projections.generations.opening import NotSetUp, open_database
from projections.postgres.advisory_locks import AdvisoryLocks, open_advisory_locks
from projections.postgres.database import Database
from projections.projector import Projector
from projections.queries.policies import PolicyQueries
from projections.queries.structure import StructureQueries
from projections.queries.workers import Workers
from projections.read_models.reminders import ReminderQueries
from streams.agents import create_faust_app
from streams.event_log import KafkaEventLog
from streams.garbage import collect_rarely
from streams.generation_watch import watch_generations
from streams.migrate import migrate
from streams.offset_commits import OffsetCommits
from streams.policies.recurrence import PolicyLoop
from streams.policies.reminders import ReminderLoop
from streams.policies.structure import StructurePolicy
from streams.projection_loop import ProjectionLoop
from streams.ready_file import ReadyFile
from streams.reporting import Reporter
from streams.same_log import check_same_log
from streams.topic_keeping import keep_topics
from streams.tree_heads.opening import open_signer
from streams.tree_heads.topic import TreeHeadTopic
from streams.update_log import KafkaUpdateLog
from streams.watchdog import Watchdog, watch_progress

log = structlog.get_logger()

POOL_SIZE = 4
LOCK_HOLDERS = 3
STOP_LIMIT_S = 2.5
"""The time from the signal to the end, even if something hangs: a batch that is cut off is rolled back.

It is projected again later.
"""
SESSION = {
    # Safe only here: rows and checkpoint are lost or kept together, and the log refills them.
    "synchronous_commit": "off",
    # A plan made while a table was small would scan all of it later; all our queries have an index.
    "enable_seqscan": "off",
}


class Worker:
    """The parts of one worker, opened in order and closed in reverse."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._event_log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
        self._update_log = KafkaUpdateLog(settings.kafka_brokers, settings.updates_topic, self._generation)
        self._tree_head_topic = TreeHeadTopic(settings)
        self._watchdog = Watchdog()
        self._ready_file = ReadyFile(settings.ready_file)
        self._database: Database | None = None
        self._loop: ProjectionLoop | None = None
        self._policies: PolicyLoop | None = None
        self._structure: StructurePolicy | None = None
        self._locks: AdvisoryLocks | None = None
        self._reporter: Reporter | None = None
        self._offset_commits: OffsetCommits | None = None
        self._aside: list[asyncio.Task[None]] = []

    def _generation(self) -> str:
        return "" if self._database is None else self._database.live.label

    async def open(self) -> faust.App:
        """Connect and build the Faust app. Raise `Unavailable`, `WrongLog` or `BadSettings`."""
        settings = self._settings
        self._database = database = await self._open_database()
        await self._event_log.start()
        await check_same_log(settings.kafka_brokers, settings.events_topic, self._event_log, database)
        await self._update_log.start()
        reminders = ReminderLoop(
            ReminderQueries(database.pool), self._event_log, lambda: loop.assigned, clock=now
        )
        self._policies = policies = PolicyLoop(
            PolicyQueries(database), self._event_log, lambda: loop.assigned, clock=now
        )
        self._locks = locks = await open_advisory_locks(
            settings.database_url, settings.schema_name, holders=LOCK_HOLDERS
        )
        self._structure = structure = StructurePolicy(
            StructureQueries(database), self._event_log, locks, clock=now
        )
        signer = await open_signer(settings, database, self._tree_head_topic, locks, clock=now)
        projector = Projector(
            database,
            self._event_log.read,
            self._update_log,
            listeners=[
                reminders.on_committed,
                policies.on_committed,
                structure.on_committed,
                *(() if signer is None else (signer.on_committed,)),
            ],
            home=self._event_log.partition_of,
        )
        self._loop = loop = ProjectionLoop(projector, self._event_log)
        self._reporter = reporter = Reporter(
            settings.worker_slot,
            loop,
            projector,
            Workers(database),
            self._ready_file.make,
            None if signer is None else lambda: signer.figures,
        )
        app = create_faust_app(settings, loop, self._on_assigned)

        async def commit(partitions: Collection[int]) -> None:
            await app.consumer.commit_places(partitions)

        self._offset_commits = offset_commits = OffsetCommits(commit, lambda: loop.assigned)
        loop.start()
        self._watchdog.start()
        self._aside = [
            asyncio.create_task(
                watch_progress(
                    self._watchdog,
                    projector,
                    self._event_log,
                    lambda: loop.assigned,
                    partial(missing_tables, database),
                )
            ),
            asyncio.create_task(reminders.run(), name="reminders"),
            asyncio.create_task(policies.run(), name="policies"),
            asyncio.create_task(keep_topics(settings, self._watchdog.end), name="topics"),
            asyncio.create_task(structure.run(), name="structure"),
            asyncio.create_task(reporter.run(), name="reports"),
            asyncio.create_task(offset_commits.run(), name="offsets"),
            asyncio.create_task(watch_generations(database), name="generations"),
            *(() if signer is None else (asyncio.create_task(signer.run(), name="tree heads"),)),
        ]
        return app

    async def _open_database(self) -> Database:
        """Open the read models; create and fill them if they are missing."""
        settings = self._settings
        opening = partial(
            open_database,
            settings.database_url,
            settings.schema_name,
            pool_size=POOL_SIZE,
            server_settings=SESSION,
        )
        try:
            return await opening()
        except NotSetUp as error:
            log.warning("the read models are made", reason=error.detail)
            for line in await migrate(settings):
                log.info(line)
            return await opening()

    async def close(self) -> None:
        """Finish the current batch and disconnect."""
        self._watchdog.stop()
        self._ready_file.remove()
        for task in self._aside:
            task.cancel()
        if self._reporter is not None:
            await self._reporter.end()
        if self._loop is not None:
            await self._loop.stop()
        if self._offset_commits is not None:
            await self._offset_commits.end()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self._update_log.close()
                await self._event_log.close()
                await self._tree_head_topic.close()
        if self._locks is not None:
            self._locks.close()
        if self._database is not None:
            await self._database.close()

    def _on_assigned(self, partitions: frozenset[int]) -> None:
        log.info("partitions assigned", partitions=sorted(partitions))
        assert self._loop is not None
        assert self._policies is not None
        self._loop.assign(partitions)
        self._policies.wake()
        assert self._structure is not None
        self._structure.check_all()


class _Closer(Service):  # type: ignore[misc]
    """A service that closes the worker first when Faust stops, before it leaves its consumer group."""

    def __init__(self, worker: Worker, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._worker = worker

    async def on_stop(self) -> None:
        await self._worker.close()


class _Runner(faust.Worker):  # type: ignore[misc]
    """Faust's runner, but it ends in time: without a broker Faust would wait to leave its group."""

    stopped_by: int | None = None

    def on_init_dependencies(self) -> Iterable[Service]:
        """Return the services in the order of their start: those that end before Faust come after it."""
        *services, app = super().on_init_dependencies()
        return [app, *services]

    def _schedule_shutdown(self, signal: int) -> None:
        self.stopped_by = self.stopped_by or signal
        deadline = threading.Timer(STOP_LIMIT_S, os._exit, (_stop_status(self.stopped_by),))
        deadline.daemon = True
        deadline.start()
        super()._schedule_shutdown(signal)

    async def _sentinel_task(self) -> None:
        """Avoid the second of sleep before the loop is closed."""


def _stop_status(number: int) -> int:
    """Return the exit status after a signal: 130 after Ctrl-C, 0 after a supervisor's signal."""
    return 128 + number if number == signal.SIGINT else 0


def now() -> datetime:
    """Return the present time, in UTC."""
    return datetime.now(UTC)


def run_worker(settings: Settings) -> None:
    """Run a worker until SIGTERM or SIGINT.

    Raise `Unavailable`, `WrongLog` or `BadSettings` if it cannot start, and `KeyboardInterrupt` once all is
    closed after SIGINT.
    """
    # A policy instead of one loop: Faust runs its Kafka consumer in a thread with a loop of its own.
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    worker = Worker(settings)
    try:
        app = loop.run_until_complete(worker.open())
    except BaseException:
        loop.run_until_complete(worker.close())
        raise
    collect_rarely()
    _run(app, worker, loop)


def _run(app: faust.App, worker: Worker, loop: asyncio.AbstractEventLoop) -> None:
    runner = _Runner(
        app,
        _Closer(worker, loop=loop),
        loop=loop,
        loglevel=None,
        override_logging=False,
        redirect_stdouts=False,
        # It would otherwise write terminal codes; errors are logged.
        stdout=io.StringIO(),
        stderr=io.StringIO(),
        quiet=True,
    )
    try:
        runner.execute_from_commandline()
    finally:
        # The status without a handler; supervisors send SIGTERM.
        if runner.stopped_by == signal.SIGINT:
            raise KeyboardInterrupt
