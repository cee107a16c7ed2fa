"""A small world for policies: a log and read models in memory, and policy loops that run step by step."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta

from app.lists.events import ListCreated
from app.log.fold import Fold, Folded, State, decoded
from app.log.records import RawRecord, Record
from app.policies import POLICY_PREFIX, Successor
from app.stream_ids import StreamId
from app.tasks.commands import TaskCommand
from app.tasks.decide import decide
from app.tasks.events import TaskEvent
from app.tasks.state import Task
from projections.queries.policies import Reacting
from projections.read_models.projected import Projected, project
from streams.policies.recurrence import PolicyLoop
from tests.folding import fold_log
from tests.memory_log import MemoryEventLog
from tests.spec import LIST_ID, START, record_of, surroundings

PARTITIONS = 2


class MemoryReadModels:
    """Read models of the fold, as far as they are made to follow the log."""

    def __init__(self, log: MemoryEventLog) -> None:
        self._log = log
        self._fold = Fold()
        self._projected: list[Projected] = []
        self._ends = dict.fromkeys(range(log.partitions), 0)
        self.saved: dict[int, int] = {}

    def project(self, partition: int, most: int) -> tuple[list[RawRecord], list[Projected]]:
        """Project some records of a partition, and return them with their outcomes."""
        first = self._ends[partition]
        raws = [raw for raw in self._log.records if raw.position.partition == partition][first : first + most]
        projected = [project(self._fold.apply(raw, decoded(raw)), tells=False) for raw in raws]
        self._projected += projected
        self._ends[partition] += len(raws)
        return raws, projected

    def state(self, stream: str) -> State | None:
        """Return the newest state of a stream."""
        return self._fold.states.get(StreamId(stream))

    async def checkpoints(self, partitions: Collection[int]) -> Mapping[int, int]:
        return {partition: self.saved.get(partition, 0) for partition in partitions}

    async def advance(self, checkpoints: Mapping[int, int]) -> None:
        for partition, checkpoint in checkpoints.items():
            self.saved[partition] = max(checkpoint, self.saved.get(partition, 0))

    async def projected(self) -> Mapping[int, int]:
        return dict(self._ends)

    async def reacting(self, partition: int, first: int, end: int, limit: int) -> Sequence[Reacting]:
        found = [
            row
            for each in self._projected
            if each.reacts and (row := row_of(each)).position.partition == partition
        ]
        return sorted(
            (row for row in found if first <= row.position.offset < end), key=lambda row: row.position
        )[:limit]

    async def successors(self, wanted: Collection[tuple[str, str]]) -> Mapping[tuple[str, str], Successor]:
        return {
            (task_id, stream): self._successor(task, stream)
            for task_id, stream in wanted
            if isinstance(task := self.state(f"task:{task_id}"), Task)
        }

    async def states(self, streams: Collection[str]) -> Mapping[str, State]:
        return {stream: state for stream in streams if (state := self.state(stream)) is not None}

    def _successor(self, task: Task, cause_stream: str) -> Successor:
        events = [
            record
            for each in self._projected
            if each.folded.outcome == "accepted" and (record := each.folded.record) is not None
        ]
        mine = [record for record in events if record.stream == f"task:{task.id}" and record.version]
        ours = [record for record in mine if record.source.startswith(POLICY_PREFIX)]
        causes = {record.causation_id for record in ours}
        children = [state for state in self._fold.states.values() if isinstance(state, Task)]
        return Successor(
            task,
            touched=len(ours) < len(mine)
            or any(child.parent_id == task.id and child.deleted_at is None for child in children),
            event_ids=frozenset(record.id for record in ours),
            newest_cause=max(
                (
                    record.version
                    for record in events
                    if record.stream == cause_stream and record.id in causes
                ),
                default=0,
            ),
        )


def row_of(projected: Projected) -> Reacting:
    """Return the row of the audit that a reaction begins with."""
    record = projected.folded.record
    assert record is not None
    return Reacting(
        projected.folded.raw.position,
        record.stream,
        record.id,
        record.version,
        record.actor,
        record.correlation_id,
        record.causation_id,
        projected.state,
        json.dumps({name: former for name, (former, _) in json.loads(projected.event.changes).items()}),
    )


class World:
    """A log, read models that follow it on request, and changes to both."""

    def __init__(self) -> None:
        self._now = START
        self.log = MemoryEventLog(PARTITIONS, self.clock)
        self.reads = MemoryReadModels(self.log)
        self.listeners: list[Callable[[Mapping[int, Sequence[RawRecord]], Sequence[Projected]], None]] = []
        self._ids = 0

    def clock(self) -> datetime:
        """Return a time that advances with each call."""
        self._now += timedelta(seconds=1)
        return self._now

    async def begin(self, *events: TaskEvent, keys: Sequence[str] = ()) -> None:
        """Write a list, and tasks in it, one of each of these beginnings."""
        await self.log.append([record_of(ListCreated("Home"), 1, id="home", stream=f"list:{LIST_ID}")])
        for key, event in zip(keys, events, strict=True):
            await self.append(f"task:{key}", event, 1)
        self.project_all()

    async def append(self, stream: str, event: TaskEvent, version: int, **given: str) -> None:
        """Append an event as an API node does."""
        self._ids += 1
        await self.log.append(
            [record_of(event, version, id=f"event-{self._ids}", stream=stream, time=self.clock(), **given)]
        )

    async def command(self, stream: str, command: TaskCommand) -> None:
        """Execute a user's command, if it has an effect according to the read models."""
        task, home = self.reads.state(stream), self.reads.state(f"list:{LIST_ID}")
        assert isinstance(task, Task)
        event = decide(command, task, surroundings(now=self.clock(), home=home))
        if event is not None:
            await self.append(stream, event, task.version + 1)

    def project(self, partition: int, most: int) -> None:
        """Project the log, and notify listeners."""
        raws, projected = self.reads.project(partition, most)
        if raws:
            for tell in self.listeners:
                tell({partition: raws}, projected)

    def project_all(self) -> None:
        """Project the log to its end."""
        for partition in range(PARTITIONS):
            self.project(partition, 10_000)

    async def is_through(self) -> bool:
        """Return whether policies have processed the whole log, and saved that."""
        ends = await self.log.ends()
        return all(self.reads.saved.get(partition, 0) == end for partition, end in ends.items())

    def outcome(self) -> tuple[Fold, list[Folded]]:
        """Return the fold of the log."""
        return fold_log(self.log.records)

    def policy_records(self) -> list[Folded]:
        """Return the records of policies, with their outcomes."""
        return [
            each
            for each in self.outcome()[1]
            if each.record is not None and each.record.source.startswith(POLICY_PREFIX)
        ]

    def tasks(self) -> dict[str, Task]:
        """Return the log's tasks by id."""
        states = self.outcome()[0].states.values()
        return {state.id: state for state in states if isinstance(state, Task)}


class Worker:
    """A policy loop that stops wherever it waits for the database or the log, and continues when stepped."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.assigned = frozenset(range(PARTITIONS))
        self._gate: asyncio.Future[None] | None = None
        self._round: asyncio.Task[float] | None = None
        self._start()

    def _start(self) -> None:
        gated = Gated(self._world, self._pause)
        self._now_s = 0.0
        self._loop = PolicyLoop(
            gated,  # type: ignore[arg-type]
            gated,  # type: ignore[arg-type]
            lambda: self.assigned,
            clock=self._world.clock,
            monotonic_s=self._time,
        )
        self._world.listeners.append(self._loop.on_committed)

    def _time(self) -> float:
        """Return a time an hour later than the last: no pause delays a reaction."""
        self._now_s += 3600.0
        return self._now_s

    async def _pause(self) -> None:
        self._gate = asyncio.get_running_loop().create_future()
        await self._gate

    async def step(self) -> None:
        """Run to the next place where it waits."""
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._loop.round())
        elif self._gate is not None:
            self._gate.set_result(None)
            self._gate = None
        # Nothing else runs here: this is how it is let run.
        while self._gate is None and not self._round.done():  # noqa: ASYNC110
            await asyncio.sleep(0)
        if self._round.done():
            self._round.result()

    async def finish(self) -> None:
        """Run to the end of the round."""
        await self.step()
        while self._round is not None and not self._round.done():
            await self.step()

    async def crash(self) -> None:
        """Stop at the current place, and start again with an empty memory."""
        if self._round is not None:
            self._round.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._round
        self._world.listeners.remove(self._loop.on_committed)
        self._gate = self._round = None
        self._start()


class Gated:
    """Read models and log of a world; it waits after each query, and around each append."""

    def __init__(self, world: World, pause: Callable[[], object]) -> None:
        self._world = world
        self._pause = pause

    def __getattr__(self, name: str) -> object:
        where = self._world.reads if hasattr(MemoryReadModels, name) else self._world.log
        ask = getattr(where, name)
        if name == "partition_of":
            return ask

        async def gated(*arguments: object) -> object:
            answer = await ask(*arguments)
            await self._pause()  # type: ignore[misc]
            return answer

        return gated

    async def append(self, records: Sequence[Record]) -> object:
        """Append, unless the world ends before."""
        await self._pause()  # type: ignore[misc]
        positions = await self._world.log.append(records)
        await self._pause()  # type: ignore[misc]
        return positions
