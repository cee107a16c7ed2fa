"""Creation of many tasks of one list together: one read of the list, one append, one wait for all outcomes.

It is a fast path for the usual case. Everything else (a refusal, which must be decided on recent rows; a
repeat of an earlier command; a lost race) is left to `CommandHandler.handle`, one by one.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import datetime, timedelta

from api.commands.event_writer import Append, EventWriter
from api.commands.in_flight import ReadYourWritesReader
from api.commands.load_context import LoadState, load_context
from api.commands.requests import CommandRequest, CommandResult, Decision
from api.commands.stream_locks import LOCK_WAIT_S, StreamLocks
from app.deciders import decide
from app.errors import TaskError
from app.ids import IdFactory
from app.log.fold import State
from app.log.ports import Clock
from app.stream_ids import StreamId
from app.tasks.events import TaskCreated
from app.tasks.ranks import rank_in_batch

_TICK = timedelta(microseconds=1)


class BatchCreation:
    """Creates tasks of one list, without parents, with one append."""

    def __init__(
        self,
        reader: ReadYourWritesReader,
        writer: EventWriter,
        locks: StreamLocks,
        *,
        clock: Clock,
        new_id: IdFactory,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._locks = locks
        self._clock = clock
        self._new_id = new_id

    async def create(self, requests: Sequence[CommandRequest]) -> list[CommandResult | TaskError | None]:
        """Create tasks under the lock of their list; return None for those to be handled separately."""
        deadline = time.monotonic() + requests[0].wait_s
        requests = [
            request if request.key else replace(request, event_id=self._new_id()) for request in requests
        ]
        found: list[CommandResult | TaskError | None] = [None] * len(requests)
        with ExitStack() as expecting:
            # Consecutive requests create in their order, even if the first has to wait.
            async with self._locks.hold(f"creations by {requests[0].user}", LOCK_WAIT_S):
                appends = await self._appends(requests)
                written = await self._writer.append(list(appends.values()), expecting)
            for place, appended in zip(appends, written, strict=True):
                try:
                    found[place] = await self._writer.result(appended, deadline)
                except TaskError as error:
                    found[place] = error
        return found

    async def _appends(self, requests: Sequence[CommandRequest]) -> dict[int, Append]:
        """Return the records of creations by index; without those that must be decided separately."""
        ids = [request.known_event_id or "" for request in requests]
        decisions = await decided(requests, self._reader, self._clock, ids)
        return {
            place: Append(request, self._writer.record_of(request, Decision(None, *each), each[0]), None)
            for place, (request, each) in enumerate(zip(requests, decisions, strict=True))
            if each is not None
        }


async def decided(
    requests: Sequence[CommandRequest], reader: ReadYourWritesReader, clock: Clock, event_ids: Sequence[str]
) -> list[tuple[TaskCreated, datetime] | None]:
    """Return the events of creations, each with its time; None for one that must be decided separately.

    Their times and ranks follow the order of the requests.
    """
    load, done = _cached(reader.state), await reader.rows.accepted_among(event_ids)
    found: list[tuple[TaskCreated, datetime] | None] = []
    now = clock()
    for index, (request, event_id) in enumerate(zip(requests, event_ids, strict=True)):
        now = max(clock(), now + _TICK)
        event = None
        if event_id not in done and reader.in_flight.of_event(event_id) is None:
            event = await _event(request, load, reader, now, index)
        found.append(None if event is None else (event, now))
    return found


async def _event(
    request: CommandRequest, load: LoadState, reader: ReadYourWritesReader, now: datetime, index: int
) -> TaskCreated | None:
    try:
        context = await load_context(request.command, None, request.user, now, load, reader.rows)
        event = decide(request.command, None, context)
    except TaskError:
        return None
    if not isinstance(event, TaskCreated):
        return None
    return replace(event, rank=rank_in_batch(now, index, request.stream.key))


def _cached(load: LoadState) -> LoadState:
    """Return `load` with a cache, so that it loads each stream once."""
    known: dict[str, State | None] = {}

    async def cached(stream: StreamId) -> State | None:
        if stream not in known:
            known[stream] = await load(stream)
        return known[stream]

    return cached
