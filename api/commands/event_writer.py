"""The end of the write path: records of events, their append, and what their outcomes mean for the caller."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import assert_never

from api.commands.in_flight import InFlightWrite, InFlightWrites, StateReader
from api.commands.outcomes import Expectation, Outcomes
from api.commands.requests import (
    SOURCE,
    Applied,
    CommandRequest,
    CommandResult,
    Decision,
    Pending,
    applied_by,
    shown,
)
from api.commands.withdrawal import held, withdraw
from app.errors import Unavailable
from app.ids import IdFactory
from app.log.event_json import read_update
from app.log.fold import State, evolve
from app.log.ports import Clock, EventLog
from app.log.records import Event, Record
from app.log.updates import state_from_json
from app.positions import Position

WITHDRAW_WAIT_S = 1.0
"""The minimum time to wait for the withdrawal of a parked record."""


@dataclass(frozen=True, slots=True)
class Append:
    """A record to append for a request; `state` is the one that it was decided on."""

    request: CommandRequest
    record: Record
    state: State | None


@dataclass(frozen=True, slots=True)
class Appended:
    """A record that was appended at `position`, or perhaps was if there is an error instead."""

    append: Append
    expectation: Expectation
    position: Position | Unavailable


class EventWriter:
    """Appends the events of decisions, and waits for their outcomes."""

    def __init__(
        self,
        log: EventLog,
        outcomes: Outcomes,
        reader: StateReader,
        in_flight: InFlightWrites,
        *,
        clock: Clock,
        new_id: IdFactory,
    ) -> None:
        self._log = log
        self._outcomes = outcomes
        self._reader = reader
        self._in_flight = in_flight
        self._clock = clock
        self._new_id = new_id

    def record_of(self, request: CommandRequest, decision: Decision, event: Event) -> Record:
        """Return the record of an event that a request has led to."""
        return Record(
            id=request.known_event_id or self._new_id(),
            stream=request.stream,
            version=1 if decision.state is None else decision.state.version + 1,
            time=decision.time,
            actor=request.user,
            source=SOURCE,
            data=event,
            correlation_id=request.correlation_id,
            causation_id=request.causation_id,
            traceparent=request.traceparent,
            command_hash=request.key.command_hash if request.key else None,
        )

    async def write(
        self, request: CommandRequest, record: Record, state: State | None, deadline: float
    ) -> CommandResult | None:
        """Append a record, and return its `result`."""
        with ExitStack() as expecting:
            [appended] = await self.append([Append(request, record, state)], expecting)
            return await self.result(appended, deadline)

    async def append(self, appends: Sequence[Append], expecting: ExitStack) -> list[Appended]:
        """Append records together. Their outcomes are expected until `expecting` is closed."""
        expected = [expecting.enter_context(self._outcomes.expect(each.record.id)) for each in appends]
        positions: Sequence[Position | Unavailable]
        try:
            positions = await self._log.append([each.record for each in appends])
        except Unavailable as error:
            positions = [error] * len(appends)
        return [Appended(*each) for each in zip(appends, expected, positions, strict=True)]

    async def result(self, appended: Appended, deadline: float) -> CommandResult | None:
        """Return the result of a record, None if it is superseded.

        Raise `Conflict` if its stream is held, and `Unavailable` if it is not known to be written.
        """
        position, append = appended.position, appended.append
        if isinstance(position, Unavailable):
            accepted = appended.expectation.accepted()
            if accepted is None:
                raise Unavailable(f"{position.detail}; the event may have been written") from position
            return applied_by(accepted, read_update(accepted.value)["event"]["version"])
        update = await appended.expectation.at(position, max(0.0, deadline - time.monotonic()))
        if update is None:
            return self._pending(append, position)
        match update.outcome:
            case "accepted":
                return applied_by(update, append.record.version)
            case "parked":
                return await self._withdrawn(append.record, position, deadline)
            case "superseded":
                return None
            case _:
                assert_never(update.outcome)

    def _pending(self, append: Append, position: Position) -> Pending:
        """Keep a write as in flight, and the locks of its command until it is visible."""
        request, record = append.request, append.record
        after = evolve(append.state, record)
        self._in_flight.add(request.stream, InFlightWrite(position, record.id, record.command_hash, after))
        if request.hold is not None:
            request.hold.until(position)
        return Pending(position)

    async def _withdrawn(self, record: Record, position: Position, deadline: float) -> CommandResult:
        """Withdraw a parked record. Raise `Conflict`, unless it was retried and accepted before."""
        wait_s = max(WITHDRAW_WAIT_S, deadline - time.monotonic())
        clock, new_id = self._clock, self._new_id
        taken_back = await withdraw(
            record, position, self._log, self._outcomes, clock=clock, new_id=new_id, wait_s=wait_s
        )
        if taken_back is None:
            return Pending(position)
        done = await self._reader.accepted(record.id)
        if done is not None:
            state = state_from_json(done.stream.kind, done.state)
            return Applied(shown(state), done.version, done.position)
        _, holder = await self._reader.newest(record.stream)
        raise held(holder or str(position))
