"""A complete Tasktape in memory: a log, a worker that folds it, and any number of API nodes."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

import uuid_utils

from api.auth import Verifier
from api.commands.access_records import LoggedAccess
from api.commands.entity_tags import Precondition
from api.commands.handler import CommandHandler
from api.commands.idempotency import CommandKey, command_key
from api.commands.inboxes import Inboxes
from api.commands.list_copies import ListCopies
from api.commands.list_reverts import ListReverts
from api.commands.outcomes import Outcomes
from api.commands.requests import SOURCE, Applied, CommandRequest, Pending
from api.commands.task_actions import TaskActions
from api.export.jobs import open_jobs
from api.http.dependencies import Dependencies
from api.presence.state import Presence
from api.telemetry.counters import Counters, RelayCounters
from api.telemetry.prometheus import Metrics
from app.errors import Unavailable
from app.ids import inbox_id
from app.lists.commands import ListCommand, Occupied
from app.log.fold import Fold, Folded, State, decoded
from app.log.records import RawRecord, Record
from app.log.updates import state_from_json, state_json
from app.positions import Position
from app.settings import Settings
from app.stream_ids import StreamId, task_stream
from app.tasks.commands import CreateTask, TaskCommand
from app.tasks.decision_context import Along, Change, Gap, PastEvent, PriorComment, SubTask
from app.tasks.events import TaskCommentDeleted, TaskCommented, TaskCommentEdited, TaskUndone
from app.tasks.state import Task
from app.tasks.undo import newest_change
from projections.audit_sql.session import AuditSql
from projections.generations.completeness import missing_tables
from projections.postgres.database import Database
from projections.postgres.live_generation import LiveGeneration
from projections.queries.activity import ActivityQueries
from projections.queries.audit import AuditQueries
from projections.queries.audit_events import AuditEvents
from projections.queries.audit_export import AuditExport
from projections.queries.decisions import AcceptedEvent
from projections.queries.list_contents import ListContents
from projections.queries.past_lists import PastListQueries
from projections.queries.statistics import StatisticsQueries
from projections.queries.sub_tasks import Lines
from projections.queries.tasks import TaskQueries
from projections.queries.tree_heads import TreeHeadQueries
from projections.queries.trees import TreeQueries
from projections.queries.workers import Workers
from projections.read_models.comments import CommentQueries
from projections.read_models.dead_letters import DeadLetterQueries
from projections.read_models.lists import ListQueries
from projections.read_models.notifications import NotificationQueries
from streams.tree_heads.topic import TreeHeadTopic
from tests.folding import fold_log, update_of
from tests.memory_log import MemoryEventLog
from tests.waiting import eventually

FOR_EVER = 10**9


def now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


def new_id() -> str:
    """Return a new id."""
    return str(uuid_utils.uuid7())


class FragileLog(MemoryEventLog):
    """A log that can be made to fail, before or after it has written."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions, now)
        self.fails: str | None = None
        self.is_slow = False
        """True if the worker is quicker than the answers to appends."""
        self.folded: set[Position] = set()
        self.room: int | None = None
        """So many appends go well before the log is away."""

    async def append(self, records: Any, *, partition: int | None = None) -> list[Position]:
        """Append, or fail."""
        if self.fails == "before" or self.room == 0:
            raise Unavailable("the log is away")
        if self.room is not None:
            self.room -= 1
        positions = await super().append(records, partition=partition)
        if self.fails == "late" or self.is_slow:
            # The worker is quicker than the broker's answer.
            await eventually(lambda: self.folded.issuperset(positions))
        if self.fails in ("after", "late"):
            raise Unavailable("the log went away")
        return positions


class World:
    """A log and its worker; `hold` stops the worker and `release` lets it continue."""

    def __init__(self, partitions: int = 2) -> None:
        self.log = FragileLog(partitions)
        self.fold = Fold()
        self.folded: list[Folded] = []
        self.nodes: list[Node] = []
        self.moments = 0
        """Number of queries for a consistent moment of the read models."""
        self._lost: list[RawRecord] = []
        self._running = asyncio.Event()
        self._running.set()

    def hold(self) -> None:
        """Fold nothing until `release`."""
        self._running.clear()

    def release(self) -> None:
        """Fold the records that have arrived."""
        lost, self._lost = self._lost, []
        for raw in lost:
            self._fold(raw)
        self._running.set()

    def node(self) -> Node:
        """Return another API node."""
        outcomes = Outcomes()
        node = Node(outcomes, CommandHandler(self.log, outcomes, self, clock=now, new_id=new_id))
        self.nodes.append(node)
        return node

    def accepted_of(self, stream: str) -> list[Record]:
        """Return the stream's accepted records, in order."""
        return [
            each.record
            for each in self.folded
            if each.outcome == "accepted" and each.record is not None and each.record.stream == stream
        ]

    @property
    def accepted_records(self) -> list[Record]:
        """Return the accepted records of all streams, in the order of folding."""
        return [each.record for each in self.folded if each.outcome == "accepted" and each.record is not None]

    def at(self, position: Position) -> Folded:
        """Return the outcome of the record at `position`."""
        return next(each for each in self.folded if each.raw.position == position)

    def crash(self, lost: int) -> None:
        """Drop the last folded records from the read models; `release` folds them again."""
        self.hold()
        self._lost = [each.raw for each in self.folded[-lost:]]
        self.fold, self.folded = fold_log(each.raw for each in self.folded[:-lost])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[World]:
        """Run the worker."""
        work = [asyncio.create_task(self._work(partition)) for partition in range(self.log.partitions)]
        try:
            yield self
        finally:
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    async def _work(self, partition: int) -> None:
        async for batch in self.log.read(partition, 0, FOR_EVER):
            for raw in batch:
                await self._running.wait()
                await asyncio.sleep(0)
                self._fold(raw)

    def _fold(self, raw: RawRecord) -> None:
        folded = self.fold.apply(raw, decoded(raw))
        self.folded.append(folded)
        self.log.folded.add(raw.position)
        for node in self.nodes:
            node.outcomes.resolve(update_of(folded))

    # --- what the read models answer ---------------------------------------------------------------------

    async def state(self, stream: str) -> State | None:
        """See `api.commands.in_flight.StateReader`."""
        await asyncio.sleep(0)
        return self.fold.states.get(StreamId(stream))

    async def newest(self, stream: str) -> tuple[State | None, str | None]:
        """See `api.commands.in_flight.StateReader`."""
        return await self.state(stream), self.fold.held.get(stream)

    async def positions(self) -> dict[int, int]:
        """See `api.commands.in_flight.StateReader`."""
        await asyncio.sleep(0)
        return {each.raw.position.partition: each.raw.position.offset for each in self.folded}

    @asynccontextmanager
    async def moment(self) -> AsyncIterator[tuple[World, dict[int, int]]]:
        """See `api.commands.in_flight.StateReader`."""
        self.moments += 1
        reached = await self.positions()
        # What it was at that moment, whatever comes meanwhile.
        then = World(self.log.partitions)
        then.fold = Fold(dict(self.fold.states), set(self.fold.accepted), dict(self.fold.held))
        then.folded = list(self.folded)
        yield then, reached

    async def state_at(self, stream: str, version: int) -> State | None:
        """See `api.commands.in_flight.StateReader`."""
        found = self._accepted_at(stream, version)
        # Through JSON and back, as the audit keeps it.
        if found is None:
            return None
        return state_from_json(stream.partition(":")[0], state_json(found.after))

    async def sub_tasks(self, task_id: str) -> list[SubTask]:
        """See `api.commands.load_context.Around`."""
        tree = [(each, depth) for each, depth in self._below(task_id) if each.deleted_at is None]
        return [SubTask(each.id, each.list_id, each.status, depth) for each, depth in reversed(tree)]

    async def tops(self, task_ids: Collection[str]) -> dict[str, str]:
        """See `api.commands.load_context.Around`."""
        tasks = {each.id: each for each in self._tasks()}

        def top(task: Task) -> str:
            return task.id if task.parent_id not in tasks else top(tasks[task.parent_id])

        return {task_id: top(tasks[task_id]) for task_id in task_ids if task_id in tasks}

    async def gap(self, list_id: str, task_id: str, *, before: str | None, after: str | None) -> Gap | None:
        """See `api.commands.load_context.Around`."""
        others = {
            each.id: each.rank for each in self._tasks() if each.list_id == list_id and each.id != task_id
        }
        ranks = sorted(others.values())
        if before is None and after is None:
            return Gap(ranks[-1] if ranks else None, None)
        if after in others:
            return Gap(others[after], next((rank for rank in ranks if rank > others[after]), None))
        if before in others:
            low = [rank for rank in ranks if rank < others[before]]
            return Gap(low[-1] if low else None, others[before])
        return None

    async def change(self, task: Task, version: int | None, user: str) -> Change | None:
        """See `api.commands.load_context.Around`."""
        task_id = task.id
        records = self.accepted_of(f"task:{task_id}")[: task.version]
        if len(records) < task.version and (version is None or len(records) < version <= task.version):
            raise Unavailable("not visible yet")
        past = [
            PastEvent(
                each.version,
                each.type,
                each.actor if each.source == SOURCE else "",
                each.data.version if isinstance(each.data, TaskUndone) else None,
            )
            for each in reversed(records)
        ]
        wanted = newest_change(past, user) if version is None else version
        if wanted is None or not 1 <= wanted <= len(records):
            return None
        before = await self.state_at(f"task:{task_id}", wanted - 1)
        after = await self.state_at(f"task:{task_id}", wanted)
        event = records[wanted - 1]
        assert before is None or isinstance(before, Task)
        assert isinstance(after, Task)
        along = [
            Along(
                each.id,
                depth,
                tuple(
                    record.version
                    for record in reversed(self.accepted_of(f"task:{each.id}"))
                    if record.causation_id == event.id
                ),
            )
            for each, depth in [*reversed(self._below(task_id)), *self._above(task)]
        ]
        return Change(event.actor, before, after, tuple(each for each in along if each.versions))

    def _tasks(self) -> list[Task]:
        return [state for state in self.fold.states.values() if isinstance(state, Task)]

    def _below(self, task_id: str, depth: int = 1) -> list[tuple[Task, int]]:
        """Return the descendants, upper levels first."""
        own = [each for each in self._tasks() if each.parent_id == task_id]
        deeper = [found for each in own for found in self._below(each.id, depth + 1)]
        return sorted([*((each, depth) for each in own), *deeper], key=lambda found: found[1])

    async def lines(self, task_ids: Collection[str]) -> Lines:
        """See `api.commands.in_flight.Rows`."""
        found = [each for each in self._tasks() if each.id in task_ids]
        found += [above for task in found for above, _ in self._above(task)]
        holders = {each.id: self.fold.held.get(f"task:{each.id}") for each in found}
        return Lines(
            {each.id: each for each in found}, {key: at for key, at in holders.items() if at is not None}
        )

    def _above(self, task: Task) -> list[tuple[Task, int]]:
        found: list[tuple[Task, int]] = []
        above = self.fold.states.get(task_stream(task.parent_id or ""))
        while isinstance(above, Task) and above.id not in {each.id for each, _ in found}:
            found.append((above, -1 - len(found)))
            above = self.fold.states.get(task_stream(above.parent_id or ""))
        return found

    async def occupied(self, list_id: str) -> Occupied:
        """See `api.commands.load_context.Around`."""
        there = [
            t for t in self._tasks() if t.list_id == list_id and t.stage is not None and t.deleted_at is None
        ]
        return Counter((t.stage or "", t.status) for t in there)

    async def comment(self, task_id: str, comment_id: str) -> PriorComment | None:
        """See `api.commands.load_context.Around`."""
        return self._comments(task_id).get(comment_id)

    async def commenters(self, task_id: str) -> frozenset[str]:
        """See `api.commands.load_context.Around`."""
        return frozenset(comment.author for comment in self._comments(task_id).values())

    def _accepted_at(self, stream: str, version: int) -> Folded | None:
        return next(
            (
                each
                for each in self.folded
                if each.outcome == "accepted"
                and each.record is not None
                and (each.record.stream, each.record.version) == (stream, version)
            ),
            None,
        )

    def _comments(self, task_id: str) -> dict[str, PriorComment]:
        found: dict[str, PriorComment] = {}
        for record in self.accepted_of(f"task:{task_id}"):
            match record.data:
                case TaskCommented(comment_id=comment_id, text=text):
                    found[comment_id] = PriorComment(record.actor, text)
                case TaskCommentEdited(comment_id=comment_id, text=text):
                    found[comment_id] = PriorComment(found[comment_id].author, text)
                case TaskCommentDeleted(comment_id=comment_id):
                    del found[comment_id]
        return found

    async def accepted(self, event_id: str) -> AcceptedEvent | None:
        """See `api.commands.in_flight.StateReader`."""
        for each in self.folded:
            record = each.record
            if each.outcome == "accepted" and record is not None and record.id == event_id:
                return AcceptedEvent(
                    each.raw.position,
                    record.stream,
                    record.version,
                    record.command_hash,
                    state_json(each.after),
                )
        return None

    async def accepted_among(self, event_ids: Sequence[str]) -> frozenset[str]:
        """See `api.commands.in_flight.StateReader`."""
        return frozenset(record.id for record in self.accepted_records).intersection(event_ids)


@dataclass(frozen=True, slots=True)
class Node:
    """Write path of one API node."""

    outcomes: Outcomes
    commands: CommandHandler

    async def execute(
        self,
        command: TaskCommand | ListCommand,
        stream: str,
        user: str = "alice",
        *,
        wait_s: float = 5.0,
        if_match: int | None = None,
        key: CommandKey | None = None,
    ) -> Applied | Pending:
        """Execute a command."""
        precondition = None if if_match is None else Precondition(frozenset({if_match}))
        return await self.commands.handle(
            CommandRequest(command, StreamId(stream), user, wait_s, precondition, key)
        )

    async def applied(
        self, command: TaskCommand | ListCommand, stream: str, user: str = "alice", **how: Any
    ) -> Applied:
        """Execute a command and return its outcome, which must be known at once."""
        result = await self.execute(command, stream, user, **how)
        assert isinstance(result, Applied)
        return result

    async def pending(
        self, command: TaskCommand | ListCommand, stream: str, user: str = "alice", **how: Any
    ) -> Pending:
        """Execute a command whose outcome must not be known yet."""
        result = await self.execute(command, stream, user, **how)
        assert isinstance(result, Pending)
        return result


def dependencies_on(world: World, node: Node, settings: Settings, reading: Any) -> Dependencies:
    """Return the parts of an API node in that world; `reading` is the pool for queries."""
    return Dependencies(
        settings=settings,
        log=world.log,
        outcomes=node.outcomes,
        commands=node.commands,
        task_actions=TaskActions(node.commands.decisions, new_id),
        inboxes=Inboxes(node.commands),
        list_reverts=ListReverts(node.commands, ListContents(reading)),
        list_copies=ListCopies(node.commands, ListContents(reading), new_id),
        tasks=TaskQueries(reading),
        lists=ListQueries(reading),
        past_lists=PastListQueries(reading),
        comments=CommentQueries(reading),
        audit=AuditQueries(reading),
        trees=TreeQueries(reading),
        tree_heads=TreeHeadQueries(Database(reading, LiveGeneration("t", 1, 1), "t")),
        tree_head_topic=TreeHeadTopic(settings),
        audit_events=AuditEvents(reading),
        audit_export=AuditExport(Database(reading, LiveGeneration("t", 1, 1), "t")),
        exports=open_jobs(settings, now),
        access=LoggedAccess(node.commands, now),
        dead_letters=DeadLetterQueries(reading),
        workers=Workers(Database(reading, LiveGeneration("t", 1, 1), "t")),
        missing_tables=partial(missing_tables, Database(reading, LiveGeneration("t", 1, 1), "t")),
        activity=ActivityQueries(reading),
        audit_sql=AuditSql(None, LiveGeneration("t", 1, 1), "t"),
        statistics=StatisticsQueries(Database(reading, LiveGeneration("t", 1, 1), "t")),
        notifications=NotificationQueries(reading),
        verifier=Verifier.from_settings(settings),
        presence=Presence("node", 1).users,
        feed_alive=lambda: True,
        clock=now,
        new_id=new_id,
        node="a node of tests",
        metrics=Metrics("a node of tests", RelayCounters(), Counters(), QuietFeed()),
    )


@dataclass
class QuietFeed:
    """A feed of updates that works."""

    restarts: int = 0
    alive: bool = True


def new_task(user: str = "alice", **fields: Any) -> CreateTask:
    """Return the command that creates a task in the user's inbox."""
    return CreateTask.model_validate({"title": "Buy milk", "list_id": inbox_id(user), **fields})


def key_of(key: str, body: Any, user: str = "alice") -> CommandKey:
    """Return the value that an `Idempotency-Key` stands for."""
    found = command_key(user, key, method="POST", path="/api/tasks", body=body)
    assert found is not None
    return found
