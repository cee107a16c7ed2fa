"""The dependencies of request handlers: everything that the composition root has created."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import cast

from starlette.requests import Request

from api.auth import Identity, Verifier
from api.commands.handler import CommandHandler
from api.commands.inboxes import Inboxes
from api.commands.list_copies import ListCopies
from api.commands.list_reverts import ListReverts
from api.commands.outcomes import Outcomes
from api.commands.task_actions import TaskActions
from api.export.jobs import ExportJobs
from api.export.slots import ExportSlots
from api.presence.present_users import PresentUsers
from api.telemetry.prometheus import Metrics
from app.audit.access import AccessRecorder
from app.ids import IdFactory
from app.log.ports import Clock, EventLog
from app.settings import Settings
from projections.audit_sql.session import AuditSql
from projections.queries.activity import ActivityQueries
from projections.queries.audit import AuditQueries
from projections.queries.audit_events import AuditEvents
from projections.queries.audit_export import AuditExport
from projections.queries.past_lists import PastListQueries
from projections.queries.statistics import StatisticsQueries
from projections.queries.tasks import TaskQueries
from projections.queries.tree_heads import TreeHeadQueries
from projections.queries.trees import TreeQueries
from projections.queries.workers import Workers
from projections.read_models.comments import CommentQueries
from projections.read_models.dead_letters import DeadLetterQueries
from projections.read_models.lists import ListQueries
from projections.read_models.notifications import NotificationQueries
from streams.tree_heads.topic import TreeHeadTopic


@dataclass(frozen=True, slots=True)
class Dependencies:
    """The parts that handlers use; one instance for each application, in `app.state.deps`."""

    settings: Settings
    log: EventLog
    outcomes: Outcomes
    commands: CommandHandler
    task_actions: TaskActions
    inboxes: Inboxes
    list_reverts: ListReverts
    list_copies: ListCopies
    tasks: TaskQueries
    lists: ListQueries
    past_lists: PastListQueries
    comments: CommentQueries
    audit: AuditQueries
    trees: TreeQueries
    tree_heads: TreeHeadQueries
    tree_head_topic: TreeHeadTopic
    audit_events: AuditEvents
    access: AccessRecorder
    audit_sql: AuditSql
    audit_export: AuditExport
    exports: ExportJobs
    dead_letters: DeadLetterQueries
    workers: Workers
    missing_tables: Callable[[], Awaitable[Sequence[str]]]
    notifications: NotificationQueries
    activity: ActivityQueries
    statistics: StatisticsQueries
    verifier: Verifier
    presence: PresentUsers
    feed_alive: Callable[[], bool]
    clock: Clock
    new_id: IdFactory
    node: str
    """The name of this process; a new one at each start."""
    metrics: Metrics
    export_slots: ExportSlots = field(default_factory=ExportSlots)
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the process has been asked to stop."""


def dependencies_of(request: Request) -> Dependencies:
    """Return the dependencies of the application that serves this request."""
    return cast("Dependencies", request.app.state.deps)


def caller_of(request: Request) -> Identity:
    """Return the identity of the caller; set on every route that is not public."""
    return cast("Identity", request.state.identity)


def token_of(request: Request) -> str:
    """Return the caller's token; set on every route that is not public."""
    return cast("str", request.state.token)
