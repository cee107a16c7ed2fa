"""The write path: from the request of a command to its result, under the locks that its rules need."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace

from api.commands.batch_creation import BatchCreation
from api.commands.cascades import Cascades
from api.commands.decisions import Decisions
from api.commands.event_writer import EventWriter
from api.commands.execution import Execution
from api.commands.in_flight import InFlightWrites, StateReader
from api.commands.lock_plan import LockPlan
from api.commands.outcomes import Outcomes
from api.commands.requests import CommandRequest, CommandResult
from api.commands.stream_locks import StreamLocks
from api.commands.structure_locks import Hold, StructureLocks
from app.errors import TaskError, Unavailable
from app.ids import IdFactory
from app.log.ports import Clock, EventLog
from app.stream_ids import StreamId
from projections.queries.sub_tasks import Lines

MAX_LOCK_TRIES = 8
"""The most plans for locks, as the structure may change before they are acquired."""


class CommandHandler:
    """Carries out commands on the log."""

    def __init__(
        self,
        log: EventLog,
        outcomes: Outcomes,
        reader: StateReader,
        *,
        clock: Clock,
        new_id: IdFactory,
        structure_locks: StructureLocks | None = None,
    ) -> None:
        """Create a handler; without `structure_locks`, rules across streams hold in this process only."""
        self._rows = reader
        self._structure_locks = structure_locks or StructureLocks(outcomes.wait_reached)
        in_flight, locks = InFlightWrites(outcomes.reached), StreamLocks()
        writer = EventWriter(log, outcomes, reader, in_flight, clock=clock, new_id=new_id)
        self.decisions = Decisions(reader, outcomes, in_flight, clock)
        self._execution = Execution(self.decisions, writer, locks)
        self._cascades = Cascades(self._execution, self.decisions, reader)
        self._batches = BatchCreation(self.decisions.reader, writer, locks, clock=clock, new_id=new_id)

    async def handle(self, request: CommandRequest) -> CommandResult:
        """Carry out one command, with its effects on other tasks.

        Raise `TaskError` only if its event was not written or had no effect.
        """
        deadline = time.monotonic() + request.wait_s
        plan, lines = await self.decisions.plan(request)
        if plan.modes:
            async with self._locked(request, plan, lines) as (locked, plan):
                result = await self._cascades.execute(locked, plan, deadline)
        else:  # as for most edits
            result = await self._cascades.execute(request, plan, deadline)
        return await self._cascades.with_first_effects(request, result)

    async def create_together(self, requests: Sequence[CommandRequest]) -> list[CommandResult | TaskError]:
        """Create tasks of one list with one append; return results as `handle`, in the order of `requests`.

        None of them has a parent, and all wait as long as the first. Raise `Unavailable` if the list's lock
        cannot be acquired in time.
        """
        async with self._locked(requests[0], *await self.decisions.plan(requests[0])) as (locked, _):
            requests = [replace(request, hold=locked.hold) for request in requests]
            found = await self._batches.create(requests)
            return [
                await self._created(request) if each is None else each
                for request, each in zip(requests, found, strict=True)
            ]

    async def _created(self, request: CommandRequest) -> CommandResult | TaskError:
        try:
            return await self._execution.execute(request)
        except TaskError as error:
            return error

    @asynccontextmanager
    async def _locked(
        self, request: CommandRequest, plan: LockPlan, lines: Lines
    ) -> AsyncIterator[tuple[CommandRequest, LockPlan]]:
        """Hold the locks that a command needs, planned on rows read under the locks.

        They also cover commands that are carried out with it and get the same `hold`. Raise `Unavailable` if
        the locks cannot be acquired in time.
        """
        for _ in range(MAX_LOCK_TRIES):
            async with self._structure_locks.hold(plan.modes) as hold:
                now, lines = (plan, lines) if plan.is_certain else await self.decisions.plan(request)
                if plan.covers(now):
                    yield replace(request, hold=hold, lines=lines), now
                    return
            plan = now
        raise Unavailable("the tasks and lists around this are being moved concurrently; try again")

    @asynccontextmanager
    async def sharing(self, stream: StreamId) -> AsyncIterator[Hold]:
        """Share the lock of a list, as for creating tasks in it. Raise `Unavailable` on a timeout."""
        async with self._structure_locks.hold({stream: False}) as hold:
            yield hold

    async def tops(self, task_ids: Collection[str]) -> Mapping[str, str]:
        """Map each task to its topmost ancestor; tasks that do not exist are left out."""
        return await self._rows.tops(task_ids)
