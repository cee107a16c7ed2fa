"""Creation of many tasks of one list together: one read of the list, one append, one wait for all outcomes.

It is a fast path for the usual case. Everything else (a refusal, which must be decided on recent rows; a
repeat of an earlier command; a lost race) is left to `CommandHandler.handle`, one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from api.commands.load_context import LoadState, load_context
from app.deciders import decide
from app.errors import TaskError
from app.log.fold import State
from app.tasks.events import TaskCreated
from app.tasks.ranks import rank_in_batch

if TYPE_CHECKING:
    from api.commands.in_flight import ReadYourWritesReader
    from api.commands.requests import CommandRequest
    from app.log.ports import Clock

_TICK = timedelta(microseconds=1)


async def decided(
    requests: Sequence[CommandRequest], reader: ReadYourWritesReader, clock: Clock, event_ids: Sequence[str]
) -> list[tuple[TaskCreated, datetime] | None]:
    """Return the events of creations, each with its time; None for one that must be decided separately.

    Their times and ranks follow the order of the requests.
    """
    load, done = _cached(reader.state), await reader.rows.accepted_among(event_ids)
    found: list[tuple[TaskCreated, datetime] | None] = []
    now = clock()
    for place, (request, event_id) in enumerate(zip(requests, event_ids, strict=True)):
        now = max(clock(), now + _TICK)
        event = None
        if event_id not in done and reader.in_flight.of_event(event_id) is None:
            event = await _event(request, load, reader, now, place)
        found.append(None if event is None else (event, now))
    return found


async def _event(
    request: CommandRequest, load: LoadState, reader: ReadYourWritesReader, now: datetime, place: int
) -> TaskCreated | None:
    try:
        context = await load_context(request.command, None, request.user, now, load, reader.rows)
        event = decide(request.command, None, context)
    except TaskError:
        return None
    if not isinstance(event, TaskCreated):
        return None
    return replace(event, rank=rank_in_batch(now, place, request.stream.removeprefix("task:")))


def _cached(load: LoadState) -> LoadState:
    """Return `load` with a cache, so that it loads each stream once."""
    known: dict[str, State | None] = {}

    async def cached(stream: str) -> State | None:
        if stream not in known:
            known[stream] = await load(stream)
        return known[stream]

    return cached
