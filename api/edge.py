"""What request handlers are given: everything that the composition root has put together."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from starlette.requests import Request

from api.auth import Identity, Verifier
from api.commands import CommandHandler
from api.inboxes import Inboxes
from api.metrics import Metrics
from api.outcomes import Outcomes
from api.presence import Presence
from api.wishes import Wishes
from app.ids import IdFactory
from app.ports import Clock, EventLog
from app.settings import Settings
from projections.activity_queries import ActivityQueries
from projections.audit_queries import AuditQueries
from projections.comment_queries import CommentQueries
from projections.list_queries import ListQueries
from projections.notification_queries import NotificationQueries
from projections.task_queries import TaskQueries
from projections.workers import Workers


@dataclass(frozen=True, slots=True)
class Edge:
    """The parts that handlers use; one for each application, in `app.state.edge`."""

    settings: Settings
    log: EventLog
    outcomes: Outcomes
    commands: CommandHandler
    wishes: Wishes
    inboxes: Inboxes
    tasks: TaskQueries
    lists: ListQueries
    comments: CommentQueries
    audit: AuditQueries
    workers: Workers
    missing_tables: Callable[[], Awaitable[Sequence[str]]]
    notifications: NotificationQueries
    activity: ActivityQueries
    verifier: Verifier
    presence: Presence
    feed_alive: Callable[[], bool]
    clock: Clock
    new_id: IdFactory
    node: str
    """The name of this process: another one each time it starts."""
    metrics: Metrics
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the process was told to stop."""


def edge_of(request: Request) -> Edge:
    """The parts behind this request."""
    return cast("Edge", request.app.state.edge)


def caller_of(request: Request) -> Identity:
    """Who is asking; there on every route that is not public."""
    return cast("Identity", request.state.identity)


def token_of(request: Request) -> str:
    """The token that says who is asking; there on every route that is not public."""
    return cast("str", request.state.token)
