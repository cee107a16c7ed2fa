"""Withdrawal of a record that was appended to a stream which a parked record holds meanwhile.

It is parked behind that record, and would be folded when an administrator resolves that, however late, or be
superseded then by a similar one. So its author gets a refusal, and the record is never retried.
"""

from __future__ import annotations

from api.commands.outcomes import Outcomes
from app.errors import Conflict
from app.ids import IdFactory
from app.log.ports import Clock, EventLog
from app.log.records import Record, StreamResumed
from app.log.updates import Update
from app.positions import Position


def held(holder: str) -> Conflict:
    """Return the refusal of a command on a stream that waits for the record at `holder`."""
    return Conflict(
        f"this waits for the record {holder}, which is parked: an administrator has to retry or skip it "
        f"(tasktape dead-letters list)"
    )


async def withdraw(
    parked: Record,
    position: Position,
    log: EventLog,
    outcomes: Outcomes,
    *,
    clock: Clock,
    new_id: IdFactory,
    wait_s: float,
) -> Update | None:
    """Withdraw our own parked record; return the withdrawal's outcome, None if it is not known in time.

    Raise `Unavailable`.
    """
    control = Record(
        id=new_id(),
        stream=parked.stream,
        version=0,
        time=clock(),
        actor=parked.actor,
        source=parked.source,
        data=StreamResumed((str(position),)),
        correlation_id=parked.correlation_id,
        causation_id=parked.id,
        traceparent=parked.traceparent,
    )
    with outcomes.expect(control.id) as expectation:
        [control_position] = await log.append([control], partition=position.partition)
        return await expectation.at(control_position, wait_s)
