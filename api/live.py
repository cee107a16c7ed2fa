"""The live side of a node, put together: the feed of updates, the hub, and the sockets."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from api.attendance import TRANSPORTS, Attendance
from api.broadcast import KafkaUpdates
from api.channels import Visibility
from api.counters import RelayCounters
from api.feed import Listener, UpdateFeed
from api.hub import Hub
from api.limits import ConnectionLimits, RateLimits
from api.relay import Relay, Verify
from api.signals import Crowd
from api.socketio import SocketIo
from api.websockets import LiveSockets
from app.settings import Settings
from projections.database import Database
from projections.missed import AuditHistory


@dataclass(frozen=True, slots=True)
class Live:
    """Start the feed when the node starts, drain the sockets before it stops, then stop the feed."""

    feed: UpdateFeed
    hub: Hub
    relay: Relay
    attendance: Attendance
    sockets: LiveSockets
    socketio: SocketIo


def live_of(
    settings: Settings,
    database: Database,
    verifier: Verify,
    crowd: Crowd,
    visibility: Visibility,
    *,
    log_ends: Callable[[], Awaitable[Mapping[int, int]]],
    listener: Listener,
) -> Live:
    """Build the live side; the `listener` is told what the feed tells the hub."""
    hub, attendance, counters = Hub(), Attendance(), RelayCounters()
    history = AuditHistory(database)
    feed = UpdateFeed(
        topic=settings.updates_topic,
        open_backend=lambda start: KafkaUpdates(settings.kafka_brokers, settings.updates_topic, start),
        memory=history,
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
        ping_s=settings.ping_s,
        counters=counters,
        crowd=crowd,
        rates=RateLimits(
            settings.socket_messages_per_s,
            settings.socket_burst,
            settings.user_messages_per_s,
            settings.user_burst,
        ),
        places=ConnectionLimits(
            per_user=settings.connections_per_user, per_address=settings.connections_per_address
        ),
    )
    for transport in TRANSPORTS:
        counters.waiting_bytes[transport] = partial(attendance.waiting_bytes, transport)
    sockets = LiveSockets(relay, origins=settings.cors_origin, attendance=attendance)
    socketio = SocketIo(
        relay, origins=settings.cors_origin, attendance=attendance, shares_port=settings.reuse_port == "on"
    )
    return Live(feed, hub, relay, attendance, sockets, socketio)
