"""One API node, opened in order and closed in reverse: the database, the log, the relay, the handlers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from uuid import uuid4

import uuid_utils

from api.auth import Verifier
from api.broadcast.signals_backend import KafkaSignals
from api.broadcast.updates_backend import KafkaUpdates
from api.commands.access_records import LoggedAccess
from api.commands.handler import CommandHandler
from api.commands.inboxes import InboxEnsuringVerifier, Inboxes
from api.commands.list_copies import ListCopies
from api.commands.list_reverts import ListReverts
from api.commands.outcomes import Outcomes
from api.commands.structure_locks import StructureLocks
from api.commands.task_actions import TaskActions
from api.endpoints.readiness import pipeline_of
from api.export.jobs import open_jobs
from api.http.dependencies import Dependencies
from api.presence.cluster import PresenceTracker, Signals
from api.protocol.server_messages import statistics_message
from api.read_consistency import only_on_recent_rows
from api.relay.channel_access import Visibility
from api.relay.connections import TRANSPORTS, ConnectionRegistry
from api.relay.context import Relay, Verify
from api.relay.feed import Listener, UpdateFeed
from api.relay.hub import Hub
from api.relay.rate_limits import ConnectionLimits, RateLimits
from api.relay.replays import ReplayNode
from api.relay.statistics_channel import ListStatistics
from api.relay.system_channel import SystemReports
from api.relay.tails import TailNode
from api.replay.turns import Turns
from api.telemetry.counters import RelayCounters
from api.telemetry.prometheus import Metrics
from api.transports.socket_io.server import SocketIo
from api.transports.websocket.endpoint import LiveSockets
from app.settings import Settings
from projections.audit_sql.session import AuditSql
from projections.generations.completeness import missing_tables
from projections.generations.opening import open_database
from projections.postgres.advisory_locks import open_advisory_locks
from projections.postgres.database import Database
from projections.queries.activity import ActivityQueries
from projections.queries.audit import AuditQueries
from projections.queries.audit_events import AuditEvents
from projections.queries.audit_export import AuditExport
from projections.queries.audit_tail import AuditTail
from projections.queries.decisions import CommandQueries
from projections.queries.list_contents import ListContents
from projections.queries.missed_updates import AuditHistory
from projections.queries.past_lists import PastListQueries
from projections.queries.replay import ListPast
from projections.queries.statistics import StatisticsQueries
from projections.queries.tasks import TaskQueries
from projections.queries.tree_heads import TreeHeadQueries
from projections.queries.trees import TreeQueries
from projections.queries.visibility import MemberVisibility
from projections.queries.workers import Workers
from projections.read_models.comments import CommentQueries
from projections.read_models.dead_letters import DeadLetterQueries
from projections.read_models.lists import ListQueries
from projections.read_models.notifications import NotificationQueries
from streams.event_log import KafkaEventLog
from streams.generation_watch import watch_generations
from streams.same_log import check_same_log
from streams.tree_heads.topic import TreeHeadTopic

POOL_SIZE = 10
LOCK_HOLDERS = 16
"""The most commands that hold locks which other nodes respect; each has a connection."""
SESSION = {
    # A plan made while a table was small would scan all of it later; all frequent queries have an index.
    "enable_seqscan": "off",
}


@dataclass(frozen=True, slots=True)
class Node:
    """The parts that answer requests, and the parts that serve sockets."""

    deps: Dependencies
    live: Live
    started: asyncio.Event
    """Set when the start of the stream of updates is known."""


@asynccontextmanager
async def open_node(settings: Settings) -> AsyncIterator[Node]:
    """Connect everything. Raise `BadSettings`, `Unavailable` or `WrongLog`."""
    verifier = Verifier.from_settings(settings)
    async with AsyncExitStack() as stack:
        outcomes = Outcomes()
        database_url = settings.api_database_url or settings.database_url
        database = await open_database(
            database_url,
            settings.schema_name,
            pool_size=POOL_SIZE,
            server_settings=SESSION,
            on_connect=only_on_recent_rows(outcomes.reached),
        )
        stack.push_async_callback(database.close)
        watch = asyncio.create_task(watch_generations(database), name="generations")
        stack.callback(watch.cancel)
        log = KafkaEventLog(settings.kafka_brokers, settings.events_topic, settings.partitions)
        stack.push_async_callback(log.close)
        tree_head_topic = TreeHeadTopic(settings)
        stack.push_async_callback(tree_head_topic.close)
        await log.start()
        await check_same_log(settings.kafka_brokers, settings.events_topic, log, database)
        reader = CommandQueries(database.pool)
        cluster = await open_advisory_locks(database_url, settings.schema_name, holders=LOCK_HOLDERS)
        stack.callback(cluster.close)
        structure_locks = StructureLocks(outcomes.wait_reached, cluster)
        stack.push_async_callback(structure_locks.close)
        commands = CommandHandler(
            log, outcomes, reader, clock=now, new_id=new_id, structure_locks=structure_locks
        )
        visibility = MemberVisibility(database)
        inboxes = Inboxes(commands, visibility.lists_of)
        contents = ListContents(database.pool)
        node = uuid4().hex
        signals = Signals(
            settings.signals_topic,
            lambda: KafkaSignals(settings.kafka_brokers, settings.signals_topic),
            node=node,
        )
        signals.start()
        # Stopped after the sockets, which are drained first.
        stack.push_async_callback(signals.stop)
        live = live_of(
            settings,
            database,
            InboxEnsuringVerifier(verifier, inboxes),
            signals,
            visibility,
            log_ends=log.ends,
            listener=outcomes,
        )
        live.feed.start()
        stack.push_async_callback(live.feed.stop)
        stack.push_async_callback(live.relay.statistics.stop)
        stack.push_async_callback(live.socketio.stop)
        stack.push_async_callback(live.connection_registry.drain)
        exports = open_jobs(settings, now)
        stack.push_async_callback(exports.stop)
        deps = Dependencies(
            settings=settings,
            log=log,
            outcomes=outcomes,
            commands=commands,
            task_actions=TaskActions(commands.decisions, new_id),
            inboxes=inboxes,
            list_reverts=ListReverts(commands, contents),
            list_copies=ListCopies(commands, contents, new_id),
            tasks=TaskQueries(database.pool),
            lists=ListQueries(database.pool),
            past_lists=PastListQueries(database.pool),
            comments=CommentQueries(database.pool),
            audit=AuditQueries(database.pool),
            trees=TreeQueries(database.pool),
            tree_heads=TreeHeadQueries(database),
            tree_head_topic=tree_head_topic,
            audit_events=AuditEvents(database.pool),
            access=LoggedAccess(commands, now),
            audit_sql=AuditSql(settings.sql_database_url, database.live, settings.schema_name),
            audit_export=AuditExport(database),
            exports=exports,
            dead_letters=DeadLetterQueries(database.pool),
            workers=Workers(database),
            missing_tables=partial(missing_tables, database),
            notifications=NotificationQueries(database.pool),
            activity=ActivityQueries(database.pool),
            statistics=StatisticsQueries(database),
            verifier=verifier,
            presence=signals.presence.users,
            feed_alive=lambda: live.feed.alive,
            clock=now,
            new_id=new_id,
            node=node,
            metrics=Metrics(node, live.relay.counters, live.hub.counters, live.feed),
        )
        reports = SystemReports(
            node,
            live.hub,
            live.connection_registry,
            live.relay.counters,
            now=time.time,
            read_pipeline=partial(pipeline_of, deps),
        )
        reports.start()
        stack.push_async_callback(reports.stop)
        yield Node(deps, live, live.feed.started)


async def statistics_of(queries: StatisticsQueries, list_id: str) -> bytes:
    """Return the message with the statistics of a list. Raise `Unavailable`."""
    return statistics_message(await queries.of_list(list_id, now()))


def now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return a new id, ordered by time (UUIDv7)."""
    return str(uuid_utils.uuid7())


@dataclass(frozen=True, slots=True)
class Live:
    """The live parts: the feed starts with the node; sockets are drained before the feed stops."""

    feed: UpdateFeed
    hub: Hub
    relay: Relay
    connection_registry: ConnectionRegistry
    sockets: LiveSockets
    socketio: SocketIo
    tails: TailNode


def live_of(
    settings: Settings,
    database: Database,
    verifier: Verify,
    presence_tracker: PresenceTracker,
    visibility: Visibility,
    *,
    log_ends: Callable[[], Awaitable[Mapping[int, int]]],
    listener: Listener,
) -> Live:
    """Create the live parts; the `listener` receives the same updates as the hub."""
    hub, connection_registry, counters = Hub(), ConnectionRegistry(), RelayCounters()
    history = AuditHistory(database)
    feed = UpdateFeed(
        topic=settings.updates_topic,
        open_backend=lambda start: KafkaUpdates(
            settings.kafka_brokers, settings.updates_topic, start, database.live.hear
        ),
        audit=history,
        log_ends=log_ends,
        hub=hub,
        counters=counters,
        listener=listener,
    )
    relay = Relay(
        hub,
        verifier,
        visibility,
        history,
        now=time.time,
        replays=ReplayNode(ListPast(database), hub.watches, Turns(hub.counters)),
        statistics=ListStatistics(hub, partial(statistics_of, StatisticsQueries(database))),
        ping_s=settings.ping_s,
        counters=counters,
        presence_tracker=presence_tracker,
        rates=RateLimits(
            settings.socket_messages_per_s,
            settings.socket_burst,
            settings.user_messages_per_s,
            settings.user_burst,
        ),
        quotas=ConnectionLimits(
            per_user=settings.connections_per_user, per_address=settings.connections_per_address
        ),
    )
    for transport in TRANSPORTS:
        counters.waiting_bytes[transport] = partial(connection_registry.waiting_bytes, transport)
    sockets = LiveSockets(relay, origins=settings.cors_origin, connection_registry=connection_registry)
    socketio = SocketIo(
        relay,
        origins=settings.cors_origin,
        connection_registry=connection_registry,
        shares_port=settings.reuse_port == "on",
    )
    tails = TailNode(AuditTail(database), hub.arrivals)
    return Live(feed, hub, relay, connection_registry, sockets, socketio, tails)
