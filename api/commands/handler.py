"""The write path: decide on the newest state, append one event, and wait for its outcome.

Kafka has no conditional append, so two nodes may stamp the same version; the fold accepts the first and
supersedes the other, whose node decides again. Within this process a lock serializes a stream's commands.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from api.commands.batch_creation import BatchCreation
from api.commands.event_writer import EventWriter
from api.commands.idempotency import CommandKey
from api.commands.in_flight import (
    NO_LINES,
    InFlightWrites,
    ReadYourWritesReader,
    Rows,
    StateReader,
)
from api.commands.load_context import load_context
from api.commands.lock_plan import LoadState, LockPlan, lock_plan
from api.commands.outcomes import Outcomes
from api.commands.requests import (
    Applied,
    CommandRequest,
    Decision,
    Pending,
    check_none_match,
    check_same,
    merged_command,
    shown,
)
from api.commands.stream_locks import LOCK_WAIT_S, StreamLocks
from api.commands.structure_locks import Hold, StructureLocks
from api.read_consistency import retry_refusal_on_recent_rows, wait_until_recent
from app.deciders import decide
from app.errors import TaskError, Unavailable
from app.ids import IdFactory
from app.log.fold import State, evolve
from app.log.ports import Clock, EventLog
from app.log.records import stream_kind
from app.log.updates import state_from_json
from app.tasks.decision_context import Change
from app.tasks.state import Task
from projections.queries.sub_tasks import Lines

T = TypeVar("T")

MAX_TRIES = 64
"""The most decisions for one command that loses races; each attempt is won by one of the racing nodes."""
MAX_LOCK_TRIES = 8
"""The most plans for locks, as the structure may change before they are acquired."""
JITTER_MS = 4.0


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
        self._outcomes = outcomes
        self._reader = reader
        self._clock = clock
        self._locks = StreamLocks()
        self._structure_locks = structure_locks or StructureLocks(outcomes.wait_reached)
        self._in_flight = InFlightWrites(outcomes.reached)
        self._own_writes_reader = ReadYourWritesReader(reader, self._in_flight)
        self._writer = EventWriter(log, outcomes, reader, self._in_flight, clock=clock, new_id=new_id)
        self._batches = BatchCreation(
            log, outcomes, self._own_writes_reader, self._writer, self._locks, clock=clock, new_id=new_id
        )

    async def handle(self, request: CommandRequest) -> Applied | Pending:
        """Carry out one command. Raise `TaskError` only if its event was not written or had no effect."""
        if request.hold is not None:
            return await self._handle(request)
        async with self.locked(request) as (locked, _):
            return await self._handle(locked)

    @asynccontextmanager
    async def locked(self, request: CommandRequest) -> AsyncIterator[tuple[CommandRequest, LockPlan]]:
        """Hold the locks that a command needs, planned on rows read under the locks.

        They also cover commands that are carried out with it and get the same `hold`. Raise `Unavailable` if
        the locks cannot be acquired in time.
        """
        plan, lines = await self._plan(request)
        for _ in range(MAX_LOCK_TRIES):
            if not plan.modes:
                yield replace(request, hold=Hold()), plan
                return
            async with self._structure_locks.hold(plan.modes) as hold:
                now, lines = (plan, lines) if plan.is_certain else await self._plan(request)
                if plan.covers(now):
                    yield replace(request, hold=hold, lines=lines), now
                    return
            plan = now
        raise Unavailable("the tasks and lists around this are being moved concurrently; try again")

    @asynccontextmanager
    async def sharing(self, stream: str) -> AsyncIterator[Hold]:
        """Share the lock of a list, as for creating tasks in it. Raise `Unavailable` on a timeout."""
        async with self._structure_locks.hold({stream: False}) as hold:
            yield hold

    async def _plan(self, request: CommandRequest) -> tuple[LockPlan, Lines]:
        """Return the locks that a command needs, and the tasks that were read to plan them."""
        reader = self._own_writes_reader

        async def lines(task_ids: Collection[str]) -> LoadState:
            nonlocal reader
            reader = await reader.with_lines(task_ids)
            return reader.state

        async def change(task: Task, version: int | None) -> Change | None:
            # The change to undo may be this node's latest write.
            await self._outcomes.wait_reached(self._in_flight.positions(), request.wait_s)
            return await self._reader.change(task, version, request.user)

        plan = await lock_plan(request.command, request.stream, lines, change)
        return plan, reader.lines

    async def _handle(self, request: CommandRequest) -> Applied | Pending:
        async with self._locks.hold(request.stream, LOCK_WAIT_S):
            deadline = time.monotonic() + request.wait_s
            if request.key is not None:
                answered = await self._answer_of(request.key, deadline)
                if answered is not None:
                    return answered
            await self._wait_for_own_write(request, deadline)
            return await self._race(request, deadline)

    async def create_together(
        self, requests: Sequence[CommandRequest]
    ) -> list[Applied | Pending | TaskError]:
        """Create tasks of one list with one append; return results as `handle`, in the order of `requests`.

        None of them has a parent, and all wait as long as the first. Raise `Unavailable` if the list's lock
        cannot be acquired in time.
        """
        async with self.locked(requests[0]) as (locked, _):
            under_lock = [replace(request, hold=locked.hold) for request in requests]
            found = await self._batches.create(under_lock)
            return [
                await self._handle_one(request) if each is None else each
                for request, each in zip(under_lock, found, strict=True)
            ]

    async def _handle_one(self, request: CommandRequest) -> Applied | Pending | TaskError:
        try:
            return await self.handle(request)
        except TaskError as error:
            return error

    async def answer_of(self, key: CommandKey, wait_s: float) -> Applied | Pending | None:
        """Return the response to the first command with this key. Raise `KeyReused` for another command."""
        return await self._answer_of(key, time.monotonic() + wait_s)

    async def preview(self, request: CommandRequest) -> Decision:
        """Return the decision on a command now, without writing. Raise as `handle`.

        Wait first for this node's earlier writes, to any stream, to be folded.
        """
        await self._outcomes.wait_reached(self._in_flight.positions(), request.wait_s)
        decision = await self._decided(request)
        if decision.event is None:
            return decision
        return replace(
            decision, after=evolve(decision.state, self._writer.record_of(request, decision, decision.event))
        )

    async def state(self, stream: str) -> State | None:
        """Return the newest state that this node knows."""
        return await self._own_writes_reader.state(stream)

    async def wait_until_recent(self) -> None:
        """Wait until the rows are recent (`api.read_consistency`). Raise `Unavailable` on a timeout."""
        await wait_until_recent(self._reader.positions, self._outcomes.reached)

    async def retry_refusal_on_recent_rows(
        self,
        ask: Callable[[ReadYourWritesReader], Awaitable[T]],
        is_accepted: Callable[[T], bool] = bool,
    ) -> T:
        """Return `ask(reader)` if accepted; otherwise retry it on recent rows.

        Raise the errors of `ask`, and `Unavailable` if the rows do not become recent in time.
        """
        rows: Rows = self._reader
        return await retry_refusal_on_recent_rows(
            rows,
            self._reader.moment,
            self._outcomes.reached,
            lambda rows: ask(ReadYourWritesReader(rows, self._in_flight)),
            is_accepted,
        )

    async def _race(self, request: CommandRequest, deadline: float) -> Applied | Pending:
        """Decide and append until the event is accepted, or its outcome does not arrive in time."""
        for attempt in range(MAX_TRIES):
            if attempt:
                await asyncio.sleep(random.uniform(0, JITTER_MS) / 1000)  # noqa: S311
                request = replace(await self._with_free_id(request), lines=NO_LINES)
            try:
                decision = await self._decided(request)
            except TaskError:
                # A repeat that arrived before its first attempt was visible returns that attempt's result.
                answered = await self._answer_of(request.key, deadline) if request.key else None
                if answered is None:
                    raise
                return answered
            if decision.event is None:
                assert decision.state is not None
                return Applied(shown(decision.state), decision.state.version, None)
            record = self._writer.record_of(request, decision, decision.event)
            result = await self._writer.append(request, record, decision.state, deadline)
            if result is None and request.key is not None:
                result = await self._answer_of(request.key, deadline)
            if result is not None:
                return result
        raise Unavailable("too many others change this at the same time; nothing was changed")

    async def _with_free_id(self, request: CommandRequest) -> CommandRequest:
        """Return the request without its given event id if an event already has that id."""
        if request.event_id is None or await self._reader.accepted(request.event_id) is None:
            return request
        return replace(request, event_id=None)

    async def _decided(self, request: CommandRequest) -> Decision:
        """Decide on a command; refuse it, or return no event, on recent rows only."""
        if request.lines is not NO_LINES:
            with suppress(TaskError):
                decision = await self._decide(request, replace(self._own_writes_reader, lines=request.lines))
                if decision.event is not None:
                    return decision
        return await self.retry_refusal_on_recent_rows(
            partial(self._decide, request), lambda decision: decision.event is not None
        )

    async def _decide(self, request: CommandRequest, reader: ReadYourWritesReader) -> Decision:
        now, state = self._clock(), await reader.state_unless_held(request.stream)
        context = await load_context(request.command, state, request.user, now, reader.state, reader.rows)
        check_none_match(request, state)
        command = await merged_command(request, state, reader.rows)
        return Decision(state, decide(command, state, context), now)

    async def _wait_for_own_write(self, request: CommandRequest, deadline: float) -> None:
        """Wait for this node's earlier write to be folded, rather than decide on an assumption."""
        written = self._in_flight.of_stream(request.stream)
        remaining_s = deadline - time.monotonic()
        if written is not None and remaining_s > 0:
            await self._outcomes.wait_reached(
                {written.position.partition: written.position.offset}, remaining_s
            )

    async def _answer_of(self, key: CommandKey, deadline: float) -> Applied | Pending | None:
        """Return the response to the first command with this key. Raise `KeyReused` for another command."""
        written = self._in_flight.of_event(key.event_id)
        if written is not None:
            check_same(key, written.command_hash)
            where = {written.position.partition: written.position.offset}
            if not await self._outcomes.wait_reached(where, max(0.0, deadline - time.monotonic())):
                return Pending(written.position)
        first = await self._reader.accepted(key.event_id)
        if first is None:
            return None
        check_same(key, first.command_hash)
        state = state_from_json(stream_kind(first.stream), first.state)
        return Applied(shown(state), first.version, first.position, is_repeat=True)
