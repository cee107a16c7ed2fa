"""The write path: decide on the newest state, append one event, and wait for what became of it.

Kafka has no conditional append, so two nodes may stamp the same version; the fold accepts the first and
supersedes the other, whose node decides again. Within this process a lock keeps a stream's commands in line.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar, assert_never

from api.commands.batch_creation import decided
from api.commands.idempotency import CommandKey
from api.commands.in_flight import (
    NO_LINES,
    InFlightWrite,
    InFlightWrites,
    ReadYourWritesReader,
    Rows,
    StateReader,
)
from api.commands.load_context import load_context
from api.commands.lock_plan import LoadState, LockPlan, lock_plan
from api.commands.outcomes import Outcomes
from api.commands.requests import (
    SOURCE,
    Applied,
    CommandRequest,
    Decision,
    Pending,
    check_none_match,
    check_same,
    effect_of,
    merged_command,
    perhaps_written,
    shown,
)
from api.commands.stream_locks import StreamLocks
from api.commands.structure_locks import Hold, StructureLocks
from api.commands.withdrawal import held, withdraw
from api.read_consistency import retry_refusal_on_recent_rows, wait_until_recent
from app.deciders import decide
from app.errors import TaskError, Unavailable
from app.ids import IdFactory
from app.log.fold import State, evolve
from app.log.ports import Clock, EventLog
from app.log.records import Event, Record, stream_kind
from app.log.updates import Update, state_from_json
from app.positions import Position
from app.tasks.decision_context import Change
from app.tasks.state import Task
from projections.queries.sub_tasks import Lines

T = TypeVar("T")

MAX_TRIES = 64
"""How often a command is decided again after losing a race; each try is won by one of the racing nodes."""
MAX_LOCK_TRIES = 8
"""How often locks are planned again because things were arranged anew before they were had."""
LOCK_WAIT_S = 15.0
JITTER_MS = 4.0
WITHDRAW_WAIT_S = 1.0
"""At least so long it is waited for what is taken back to be gone."""


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
        """Without `structure_locks`, rules that span streams are kept among this process's commands only."""
        self._log = log
        self._outcomes = outcomes
        self._reader = reader
        self._clock = clock
        self._new_id = new_id
        self._locks = StreamLocks()
        self._structure_locks = structure_locks or StructureLocks(outcomes.wait_reached)
        self._pending = InFlightWrites(outcomes.reached)
        self._sight = ReadYourWritesReader(reader, self._pending)

    async def handle(self, call: CommandRequest) -> Applied | Pending:
        """Carry out one command. Raises a `TaskError` only if its event was not written, or had no effect."""
        if call.hold is not None:
            return await self._handle(call)
        async with self.locked(call) as (locked, _):
            return await self._handle(locked)

    @asynccontextmanager
    async def locked(self, call: CommandRequest) -> AsyncIterator[tuple[CommandRequest, LockPlan]]:
        """Hold the locks that a command needs, planned on rows as of the locks.

        Commands that come along with it, and are given the same `hold`, are under these locks too. Raises
        `Unavailable` if they are not to be had in time.
        """
        plan, lines = await self._plan(call)
        for _ in range(MAX_LOCK_TRIES):
            if not plan.modes:
                yield replace(call, hold=Hold()), plan
                return
            async with self._structure_locks.hold(plan.modes) as hold:
                now, lines = (plan, lines) if plan.is_certain else await self._plan(call)
                if plan.covers(now):
                    yield replace(call, hold=hold, lines=lines), now
                    return
            plan = now
        raise Unavailable("what is around this is being moved all the time; try again")

    @asynccontextmanager
    async def sharing(self, stream: str) -> AsyncIterator[Hold]:
        """Share the lock of a list, as for creating tasks in it. Raises `Unavailable` if that takes long."""
        async with self._structure_locks.hold({stream: False}) as hold:
            yield hold

    async def _plan(self, call: CommandRequest) -> tuple[LockPlan, Lines]:
        """Return the locks that a command needs, and the tasks that were read to find that out."""
        sight = self._sight

        async def lines(task_ids: Collection[str]) -> LoadState:
            nonlocal sight
            sight = await sight.with_lines(task_ids)
            return sight.state

        async def change(task: Task, version: int | None) -> Change | None:
            # What this node wrote last may be what is to be undone.
            await self._outcomes.wait_reached(self._pending.positions(), call.wait_s)
            return await self._reader.change(task, version, call.user)

        plan = await lock_plan(call.command, call.stream, lines, change)
        return plan, sight.lines

    async def _handle(self, call: CommandRequest) -> Applied | Pending:
        async with self._locks.hold(call.stream, LOCK_WAIT_S):
            deadline = time.monotonic() + call.wait_s
            if call.key is not None:
                answered = await self._answer_of(call.key, deadline)
                if answered is not None:
                    return answered
            await self._settle(call, deadline)
            return await self._race(call, deadline)

    async def create_together(self, calls: Sequence[CommandRequest]) -> list[Applied | Pending | TaskError]:
        """Create tasks of one list, as `handle` does one by one, with one append; in the order of the calls.

        None of them has a parent, and all wait as long as the first. Raises `Unavailable` if the list's lock
        is not to be had in time.
        """
        async with self.locked(calls[0]) as (locked, _):
            under_lock = [replace(call, hold=locked.hold) for call in calls]
            found = await self._created_together(under_lock)
            return [
                await self._alone(call) if each is None else each
                for call, each in zip(under_lock, found, strict=True)
            ]

    async def _alone(self, call: CommandRequest) -> Applied | Pending | TaskError:
        try:
            return await self.handle(call)
        except TaskError as error:
            return error

    async def _created_together(
        self, calls: Sequence[CommandRequest]
    ) -> list[Applied | Pending | TaskError | None]:
        """Return what became of those that need no more than this; None for others."""
        deadline = time.monotonic() + calls[0].wait_s
        calls = [call if call.key else replace(call, event_id=self._new_id()) for call in calls]
        found: list[Applied | Pending | TaskError | None] = [None] * len(calls)
        with ExitStack() as stack:
            # Requests that come one after the other create in that order, also if the first has to wait.
            async with self._locks.hold(f"creations by {calls[0].user}", LOCK_WAIT_S):
                records = await self._new_records(calls)
                expected = {
                    place: stack.enter_context(self._outcomes.expect(record.id))
                    for place, record in records.items()
                }
                try:
                    positions = await self._log.append(list(records.values())) if records else []
                except Unavailable as error:
                    for place, expectation in expected.items():
                        accepted = expectation.accepted()
                        found[place] = effect_of(accepted) if accepted else perhaps_written(error)
                    return found
            for (place, expectation), position in zip(expected.items(), positions, strict=True):
                update = await expectation.at(position, max(0.0, deadline - time.monotonic()))
                record, call = records[place], calls[place]
                try:
                    found[place] = await self._outcome(call, record, None, position, update, deadline)
                except TaskError as refused:
                    found[place] = refused
        return found

    async def _new_records(self, calls: Sequence[CommandRequest]) -> dict[int, Record]:
        """Return the records of creations, by their places; without those that are decided by themselves."""
        ids = [call.key.event_id if call.key else call.event_id or "" for call in calls]
        decisions = await decided(calls, self._sight, self._clock, ids)
        return {
            place: self._record(call, Decision(None, *each), each[0])
            for place, (call, each) in enumerate(zip(calls, decisions, strict=True))
            if each is not None
        }

    async def answer_of(self, key: CommandKey, wait_s: float) -> Applied | Pending | None:
        """The answer that the first command with this key got. Raises `KeyReused` if it was another one."""
        return await self._answer_of(key, time.monotonic() + wait_s)

    async def preview(self, call: CommandRequest) -> Decision:
        """What would be made of a command now; nothing is written. Raises as `handle`.

        What this node wrote before, to whichever stream, has the chance to be folded first.
        """
        await self._outcomes.wait_reached(self._pending.positions(), call.wait_s)
        decision = await self._decided(call)
        if decision.event is None:
            return decision
        return replace(decision, after=evolve(decision.state, self._record(call, decision, decision.event)))

    async def state(self, stream: str) -> State | None:
        """The newest state that this node knows of."""
        return await self._sight.state(stream)

    async def wait_until_recent(self) -> None:
        """Wait until the rows are recent (`api.read_consistency`). Raise `Unavailable` if that takes long."""
        await wait_until_recent(self._reader.positions, self._outcomes.reached)

    async def retry_refusal_on_recent_rows(
        self,
        ask: Callable[[ReadYourWritesReader], Awaitable[T]],
        stands: Callable[[T], bool] = bool,
    ) -> T:
        """Return `ask` of the rows; of recent rows if it is a refusal or does not stand.

        Raises as `ask`, and `Unavailable` if the rows are not recent before long.
        """
        rows: Rows = self._reader
        return await retry_refusal_on_recent_rows(
            rows,
            self._reader.moment,
            self._outcomes.reached,
            lambda rows: ask(ReadYourWritesReader(rows, self._pending)),
            stands,
        )

    async def _race(self, call: CommandRequest, deadline: float) -> Applied | Pending:
        """Decide and append until the event is accepted, or its outcome does not come in time."""
        for attempt in range(MAX_TRIES):
            if attempt:
                await asyncio.sleep(random.uniform(0, JITTER_MS) / 1000)  # noqa: S311
                call = replace(await self._with_free_id(call), lines=NO_LINES)
            try:
                decision = await self._decided(call)
            except TaskError:
                # A repeat that came before its first attempt was visible finds that attempt's work.
                answered = await self._answer_of(call.key, deadline) if call.key else None
                if answered is None:
                    raise
                return answered
            if decision.event is None:
                assert decision.state is not None
                return Applied(shown(decision.state), decision.state.version, None)
            record = self._record(call, decision, decision.event)
            result = await self._append(call, record, decision.state, deadline)
            if result is not None:
                return result
        raise Unavailable("too many others change this at the same time; nothing was changed")

    async def _with_free_id(self, call: CommandRequest) -> CommandRequest:
        """The call without the id that was named for its event, if an event has it already."""
        if call.event_id is None or await self._reader.accepted(call.event_id) is None:
            return call
        return replace(call, event_id=None)

    def _record(self, call: CommandRequest, decision: Decision, event: Event) -> Record:
        return Record(
            id=call.key.event_id if call.key else call.event_id or self._new_id(),
            stream=call.stream,
            version=1 if decision.state is None else decision.state.version + 1,
            time=decision.time,
            actor=call.user,
            source=SOURCE,
            data=event,
            correlation_id=call.correlation_id,
            causation_id=call.causation_id,
            traceparent=call.traceparent,
            command_hash=call.key.command_hash if call.key else None,
        )

    async def _decided(self, call: CommandRequest) -> Decision:
        """What to make of a command; that it is refused, or makes nothing, is said on recent rows only."""
        if call.lines is not NO_LINES:
            with suppress(TaskError):
                decision = await self._decide(call, replace(self._sight, lines=call.lines))
                if decision.event is not None:
                    return decision
        return await self.retry_refusal_on_recent_rows(
            partial(self._decide, call), lambda decision: decision.event is not None
        )

    async def _decide(self, call: CommandRequest, sight: ReadYourWritesReader) -> Decision:
        now, state = self._clock(), await sight.unheld(call.stream)
        around = await load_context(call.command, state, call.user, now, sight.state, sight.rows)
        check_none_match(call, state)
        command = await merged_command(call, state, sight.rows)
        return Decision(state, decide(command, state, around), now)

    async def _append(
        self, call: CommandRequest, record: Record, state: State | None, deadline: float
    ) -> Applied | Pending | None:
        """Append, and wait for the outcome; None asks for another try."""
        with self._outcomes.expect(record.id) as expectation:
            try:
                [position] = await self._log.append([record])
            except Unavailable as error:
                accepted = expectation.accepted()
                if accepted is not None:
                    return effect_of(accepted)
                raise perhaps_written(error) from error
            update = await expectation.at(position, max(0.0, deadline - time.monotonic()))
        result = await self._outcome(call, record, state, position, update, deadline)
        return result or (await self._answer_of(call.key, deadline) if call.key else None)

    async def _outcome(
        self,
        call: CommandRequest,
        record: Record,
        state: State | None,
        position: Position,
        update: Update | None,
        deadline: float,
    ) -> Applied | Pending | None:
        """Return what became of a record; None if superseded. Raises `Conflict` if its stream is held."""
        if update is None:
            written = InFlightWrite(position, record.id, record.command_hash, evolve(state, record))
            self._pending.add(call.stream, written)
            if call.hold is not None:
                call.hold.until(position)
            return Pending(position)
        match update.outcome:
            case "accepted":
                return effect_of(update)
            case "parked":
                return await self._withdrawn(record, position, deadline)
            case "superseded":
                return None
            case _:
                assert_never(update.outcome)

    async def _withdrawn(self, record: Record, position: Position, deadline: float) -> Applied | Pending:
        """Take back what was parked. Raises `Conflict`, unless it was tried again and done before."""
        wait_s = max(WITHDRAW_WAIT_S, deadline - time.monotonic())
        clock, new_id = self._clock, self._new_id
        taken_back = await withdraw(
            record, position, self._log, self._outcomes, clock=clock, new_id=new_id, wait_s=wait_s
        )
        if taken_back is None:
            return Pending(position)
        done = await self._reader.accepted(record.id)
        if done is not None:
            state = state_from_json(stream_kind(done.stream), done.state)
            return Applied(shown(state), done.version, done.position)
        _, holder = await self._reader.newest(record.stream)
        raise held(holder or str(position))

    async def _settle(self, call: CommandRequest, deadline: float) -> None:
        """Give what this node wrote before the chance to be folded, rather than decide on a guess."""
        written = self._pending.of_stream(call.stream)
        remaining_s = deadline - time.monotonic()
        if written is not None and remaining_s > 0:
            await self._outcomes.wait_reached(
                {written.position.partition: written.position.offset}, remaining_s
            )

    async def _answer_of(self, key: CommandKey, deadline: float) -> Applied | Pending | None:
        """The answer that the first command with this key got. Raises `KeyReused` if it was another one."""
        written = self._pending.of_event(key.event_id)
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
