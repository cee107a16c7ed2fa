"""The end of the write path: records of events, their append, and what their outcomes mean for the caller."""

from __future__ import annotations

import time
from typing import assert_never

from api.commands.in_flight import InFlightWrite, InFlightWrites, StateReader
from api.commands.outcomes import Outcomes
from api.commands.requests import (
    SOURCE,
    Applied,
    CommandRequest,
    Decision,
    Pending,
    effect_of,
    perhaps_written,
    shown,
)
from api.commands.withdrawal import held, withdraw
from app.errors import Unavailable
from app.ids import IdFactory
from app.log.fold import State, evolve
from app.log.ports import Clock, EventLog
from app.log.records import Event, Record, stream_kind
from app.log.updates import Update, state_from_json
from app.positions import Position

WITHDRAW_WAIT_S = 1.0
"""The minimum time to wait for the withdrawal of a parked record."""


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

    async def append(
        self, request: CommandRequest, record: Record, state: State | None, deadline: float
    ) -> Applied | Pending | None:
        """Append, and wait for the outcome; return None if the command must be decided again."""
        with self._outcomes.expect(record.id) as expectation:
            try:
                [position] = await self._log.append([record])
            except Unavailable as error:
                accepted = expectation.accepted()
                if accepted is not None:
                    return effect_of(accepted)
                raise perhaps_written(error) from error
            update = await expectation.at(position, max(0.0, deadline - time.monotonic()))
        return await self.result_of(request, record, state, position, update, deadline)

    async def result_of(
        self,
        request: CommandRequest,
        record: Record,
        state: State | None,
        position: Position,
        update: Update | None,
        deadline: float,
    ) -> Applied | Pending | None:
        """Return the outcome of a record; None if superseded. Raise `Conflict` if its stream is held."""
        if update is None:
            written = InFlightWrite(position, record.id, record.command_hash, evolve(state, record))
            self._in_flight.add(request.stream, written)
            if request.hold is not None:
                request.hold.until(position)
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
            state = state_from_json(stream_kind(done.stream), done.state)
            return Applied(shown(state), done.version, done.position)
        _, holder = await self._reader.newest(record.stream)
        raise held(holder or str(position))
