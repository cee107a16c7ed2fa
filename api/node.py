"""One API node, opened in order and closed in reverse: the database, the log, the live side, the edge."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

import uuid_utils

from api.auth import Identity, Verifier
from api.commands import CommandHandler
from api.edge import Edge
from api.inboxes import Inboxes
from api.live import Live, live_of
from api.metrics import Metrics
from api.outcomes import Outcomes
from api.recency import only_on_recent_rows
from api.signal_topic import KafkaSignals
from api.signals import Signals
from api.structure_locks import StructureLocks
from api.system_reports import SystemReports
from api.wishes import Wishes
from app.settings import Settings
from projections.activity_queries import ActivityQueries
from projections.advisory_locks import open_advisory_locks
from projections.audit_queries import AuditQueries
from projections.command_queries import CommandQueries
from projections.comment_queries import CommentQueries
from projections.database import open_database
from projections.list_queries import ListQueries
from projections.notification_queries import NotificationQueries
from projections.task_queries import TaskQueries
from projections.visibility import MemberVisibility
from projections.workers import Workers
from streams.event_log import KafkaEventLog
from streams.same_log import check_same_log

POOL_SIZE = 10
LOCK_HOLDERS = 16
"""So many commands at a time may hold locks that other nodes respect; each has a connection."""
SESSION = {
    # A plan that was made while a table was small would scan all of it later; all we ask often has an index.
    "enable_seqscan": "off",
}


@dataclass(frozen=True, slots=True)
class Node:
    """What answers requests, and what serves sockets."""

    edge: Edge
    live: Live
    begun: asyncio.Event
    """Set once it is settled where the stream of updates begins."""


@dataclass(frozen=True, slots=True)
class Welcome:
    """A verifier for sockets: whoever comes in gets an inbox, as over HTTP."""

    verifier: Verifier
    inboxes: Inboxes

    async def verify(self, token: str) -> Identity:
        """See `Verifier.verify`."""
        identity = await self.verifier.verify(token)
        await self.inboxes.ensure(identity.user)
        return identity


@asynccontextmanager
async def open_node(settings: Settings) -> AsyncIterator[Node]:
    """Connect everything. Raises `BadSettings`, `Unavailable` or `WrongLog`."""
    verifier = Verifier.from_settings(settings)
    async with AsyncExitStack() as stack:
        outcomes = Outcomes()
        database = await open_database(
            settings.database_url,
            settings.schema_name,
            pool_size=POOL_SIZE,
            server_settings=SESSION,
            on_connect=only_on_recent_rows(outcomes.reached),
        )
        stack.push_async_callback(database.close)
        log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
        stack.push_async_callback(log.close)
        await log.start()
        await check_same_log(settings.kafka_brokers, settings.events_topic, log, database)
        reader = CommandQueries(database.pool)
        cluster = await open_advisory_locks(settings.database_url, settings.schema_name, holders=LOCK_HOLDERS)
        stack.callback(cluster.close)
        structure_locks = StructureLocks(outcomes.wait_reached, cluster)
        stack.push_async_callback(structure_locks.close)
        commands = CommandHandler(
            log, outcomes, reader, clock=now, new_id=new_id, structure_locks=structure_locks
        )
        visibility = MemberVisibility(database)
        inboxes = Inboxes(commands, visibility.lists_of)
        node = uuid4().hex
        signals = Signals(
            settings.signals_topic,
            lambda: KafkaSignals(settings.kafka_brokers, settings.signals_topic),
            node=node,
        )
        signals.start()
        # After the sockets have gone, which are drained first.
        stack.push_async_callback(signals.stop)
        live = live_of(
            settings,
            database,
            Welcome(verifier, inboxes),
            signals,
            visibility,
            log_ends=log.ends,
            listener=outcomes,
        )
        live.feed.start()
        stack.push_async_callback(live.feed.stop)
        reports = SystemReports(node, live.hub, live.attendance, live.relay.counters, now=time.time)
        reports.start()
        stack.push_async_callback(reports.stop)
        stack.push_async_callback(live.socketio.stop)
        stack.push_async_callback(live.attendance.drain)
        edge = Edge(
            settings=settings,
            log=log,
            outcomes=outcomes,
            commands=commands,
            wishes=Wishes(commands, reader, new_id),
            inboxes=inboxes,
            tasks=TaskQueries(database.pool),
            lists=ListQueries(database.pool),
            comments=CommentQueries(database.pool),
            audit=AuditQueries(database.pool),
            workers=Workers(database),
            missing_tables=database.missing_tables,
            notifications=NotificationQueries(database.pool),
            activity=ActivityQueries(database.pool),
            verifier=verifier,
            presence=signals.presence,
            feed_alive=lambda: live.feed.alive,
            clock=now,
            new_id=new_id,
            node=node,
            metrics=Metrics(node, live.relay.counters, live.hub.counters, live.feed),
        )
        yield Node(edge, live, live.feed.begun)


def now() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """A new id, ordered by time (UUIDv7)."""
    return str(uuid_utils.uuid7())
