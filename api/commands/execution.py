"""Execution of a command on its stream: decide on the newest state, append one event, await its outcome.

Kafka has no conditional append, so two nodes may stamp the same version; the fold accepts the first and
supersedes the other, whose node decides again. Within this process a lock serializes a stream's commands.
"""

from __future__ import annotations

import asyncio
import random
import time
from dataclasses import replace

from api.commands.decisions import Decisions
from api.commands.event_writer import EventWriter
from api.commands.in_flight import NO_LINES
from api.commands.requests import Applied, CommandRequest, CommandResult, Decision, shown
from api.commands.stream_locks import LOCK_WAIT_S, StreamLocks
from app.errors import Unavailable
from app.log.fold import State, evolve

MAX_TRIES = 64
"""The most decisions for one command that loses races; each attempt is won by one of the racing nodes."""
JITTER_MS = 4.0


class Execution:
    """Executes commands, each on its stream only, under the structure locks that their requests hold."""

    def __init__(self, decisions: Decisions, writer: EventWriter, locks: StreamLocks) -> None:
        self._decisions = decisions
        self._writer = writer
        self._locks = locks

    async def preview(self, request: CommandRequest, deadline: float) -> Decision | CommandResult:
        """Return the decision on a command now and the state after it, without writing.

        Wait first for this node's earlier writes, to any stream, to be folded. If there is an earlier command
        with the same key, return its result instead. Raise as `execute`.
        """
        answered = await self._decisions.answer_of(request.key, deadline)
        if answered is not None:
            return answered
        # Effects on other tasks are determined once: tasks missing in old rows would stay unchanged.
        await self._decisions.wait_until_recent()
        await self._decisions.wait_for_own_writes(request.wait_s)
        decision = await self._decisions.decide_or_answer(request, deadline)
        if not isinstance(decision, Decision) or decision.event is None:
            return decision
        record = self._writer.record_of(request, decision, decision.event)
        return replace(decision, after=evolve(decision.state, record))

    async def execute(self, request: CommandRequest, decision: Decision | None = None) -> CommandResult:
        """Execute one command; `decision` is that of `preview`, used unless the stream has changed since.

        Raise `TaskError` only if its event was not written or had no effect.
        """
        async with self._locks.hold(request.stream, LOCK_WAIT_S):
            deadline = time.monotonic() + request.wait_s
            if decision is not None:
                newest = await self._decisions.state(request.stream)
                decision = decision if _version(newest) == _version(decision.state) else None
            else:
                answered = await self._decisions.answer_of(request.key, deadline)
                if answered is not None:
                    return answered
                await self._decisions.wait_for_own_write(request.stream, deadline)
            return await self._race(request, decision, deadline)

    async def _race(
        self, request: CommandRequest, decision: Decision | None, deadline: float
    ) -> CommandResult:
        """Decide and append until the event is accepted, or its outcome does not arrive in time."""
        for _ in range(MAX_TRIES):
            decided = decision or await self._decisions.decide_or_answer(request, deadline)
            if not isinstance(decided, Decision):
                return decided
            if decided.event is None:
                assert decided.state is not None
                return Applied(shown(decided.state), decided.state.version, None)
            record = self._writer.record_of(request, decided, decided.event)
            result = await self._writer.write(request, record, decided.state, deadline)
            if result is None:
                result = await self._decisions.answer_of(request.key, deadline)
            if result is not None:
                return result
            await asyncio.sleep(random.uniform(0, JITTER_MS) / 1000)  # noqa: S311
            request = replace(await self._decisions.with_free_id(request), lines=NO_LINES)
            decision = None
        raise Unavailable("too many others change this at the same time; nothing was changed")


def _version(state: State | None) -> int:
    return 0 if state is None else state.version
