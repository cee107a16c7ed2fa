"""Creating many tasks of one list together: one look at the list, one append, one wait for all outcomes.

It is a short cut for the usual case. Whatever needs more than that (a refusal, which has to be made on recent
rows; a repetition of what was done before; a lost race) is left to `CommandHandler.handle`, one by one.
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
    calls: Sequence[CommandRequest], sight: ReadYourWritesReader, clock: Clock, event_ids: Sequence[str]
) -> list[tuple[TaskCreated, datetime] | None]:
    """Return the events of creations, each with its time; None for one that has to be decided by itself.

    They come in the order of the calls, in time and by rank.
    """
    load, done = _remembering(sight.state), await sight.rows.accepted_among(event_ids)
    found: list[tuple[TaskCreated, datetime] | None] = []
    now = clock()
    for place, (call, event_id) in enumerate(zip(calls, event_ids, strict=True)):
        now = max(clock(), now + _TICK)
        event = None
        if event_id not in done and sight.pending.of_event(event_id) is None:
            event = await _event(call, load, sight, now, place)
        found.append(None if event is None else (event, now))
    return found


async def _event(
    call: CommandRequest, load: LoadState, sight: ReadYourWritesReader, now: datetime, place: int
) -> TaskCreated | None:
    try:
        around = await load_context(call.command, None, call.user, now, load, sight.rows)
        event = decide(call.command, None, around)
    except TaskError:
        return None
    if not isinstance(event, TaskCreated):
        return None
    return replace(event, rank=rank_in_batch(now, place, call.stream.removeprefix("task:")))


def _remembering(load: LoadState) -> LoadState:
    """Return `load` that loads each stream once."""
    known: dict[str, State | None] = {}

    async def remembered(stream: str) -> State | None:
        if stream not in known:
            known[stream] = await load(stream)
        return known[stream]

    return remembered
