"""Decisions on commands: on the newest state this node knows, and refusals on recent rows only."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from functools import partial
from typing import TypeVar

from api.commands.idempotency import CommandKey
from api.commands.in_flight import NO_LINES, InFlightWrites, ReadYourWritesReader, StateReader
from api.commands.load_context import LoadState, load_context
from api.commands.lock_plan import LockPlan, lock_plan
from api.commands.outcomes import Outcomes
from api.commands.requests import (
    Applied,
    CommandRequest,
    CommandResult,
    Decision,
    Pending,
    check_none_match,
    check_same,
    merged_command,
    shown,
)
from api.read_consistency import check_recent, retry_refusal, wait_until_recent
from app.deciders import decide
from app.errors import TaskError
from app.log.fold import State
from app.log.ports import Clock
from app.log.updates import state_from_json
from app.positions import latest
from app.stream_ids import StreamId
from app.tasks.decision_context import Change
from app.tasks.state import Task
from projections.queries.sub_tasks import Lines

T = TypeVar("T")


class Decisions:
    """Decides commands on the read models, overlaid with this node's writes in flight."""

    def __init__(
        self, reader: StateReader, outcomes: Outcomes, in_flight: InFlightWrites, clock: Clock
    ) -> None:
        self._rows = reader
        self._outcomes = outcomes
        self._in_flight = in_flight
        self._clock = clock
        self.reader = ReadYourWritesReader(reader, in_flight)

    async def decide(self, request: CommandRequest) -> Decision:
        """Return the decision on a command. Refuse it, or return no event, on recent rows only."""
        return await self.retry_refusal(
            partial(self._decide, request), lambda decision: decision.event is not None, request.lines
        )

    async def decide_or_answer(self, request: CommandRequest, deadline: float) -> Decision | CommandResult:
        """Return the decision; if refused, the result of an earlier command with the same key, if any.

        A repeat that arrived before its first attempt was visible returns that attempt's result.
        """
        try:
            return await self.decide(request)
        except TaskError:
            answered = await self.answer_of(request.key, deadline)
            if answered is None:
                raise
            return answered

    async def _decide(self, request: CommandRequest, reader: ReadYourWritesReader) -> Decision:
        now, state = self._clock(), await reader.state_unless_held(request.stream)
        context = await load_context(request.command, state, request.user, now, reader.state, reader.rows)
        check_none_match(request, state)
        command = await merged_command(request, state, reader.rows)
        return Decision(state, decide(command, state, context), now)

    async def retry_refusal(
        self,
        ask: Callable[[ReadYourWritesReader], Awaitable[T]],
        is_accepted: Callable[[T], bool] = bool,
        lines: Lines = NO_LINES,
    ) -> T:
        """Return `ask(reader)` if accepted; otherwise ask again on a snapshot of recent rows.

        The first reader takes the tasks in `lines` from there. Raise the errors of `ask`, and `Unavailable`
        if the rows do not become recent in time.
        """
        reader = self.reader if lines is NO_LINES else replace(self.reader, lines=lines)

        async def ask_recent_rows() -> T:
            known = dict(self._outcomes.reached)  # It grows meanwhile.
            async with self._rows.moment() as (rows, reached):
                check_recent(reached, known)
                return await ask(ReadYourWritesReader(rows, self._in_flight))

        return await retry_refusal(lambda: ask(reader), ask_recent_rows, is_accepted)

    async def retry_refused_query(
        self, query: Callable[[], Awaitable[T]], is_accepted: Callable[[T], bool]
    ) -> T:
        """Return `query()` if accepted; otherwise query again once the rows are recent."""

        async def query_recent_rows() -> T:
            known = dict(self._outcomes.reached)
            check_recent(await self._rows.positions(), known)
            return await query()

        return await retry_refusal(query, query_recent_rows, is_accepted)

    async def wait_until_recent(self) -> None:
        """Wait until the rows are recent (`api.read_consistency`). Raise `Unavailable` on a timeout."""
        await wait_until_recent(self._rows.positions, self._outcomes.reached)

    async def wait_for_own_writes(self, timeout_s: float) -> None:
        """Wait until this node's writes are folded, to any stream."""
        await self._outcomes.wait_reached(self._in_flight.positions(), timeout_s)

    async def wait_for_own_write(self, stream: StreamId, deadline: float) -> None:
        """Wait until this node's write to a stream is folded, rather than decide on an assumption."""
        written, remaining_s = self._in_flight.of_stream(stream), deadline - time.monotonic()
        if written is not None and remaining_s > 0:
            await self._outcomes.wait_reached(latest([written.position]), remaining_s)

    async def plan(self, request: CommandRequest) -> tuple[LockPlan, Lines]:
        """Return the locks that a command needs, and the tasks that were read to plan them."""
        reader = self.reader

        async def lines(task_ids: Collection[str]) -> LoadState:
            nonlocal reader
            reader = await reader.with_lines(task_ids)
            return reader.state

        async def change(task: Task, version: int | None) -> Change | None:
            # The change to undo may be this node's latest write.
            await self.wait_for_own_writes(request.wait_s)
            return await self._rows.change(task, version, request.user)

        return await lock_plan(request.command, request.stream, lines, change), reader.lines

    async def state(self, stream: StreamId) -> State | None:
        """Return the newest state that this node knows."""
        return await self.reader.state(stream)

    async def answer_of(self, key: CommandKey | None, deadline: float) -> CommandResult | None:
        """Return the result of the first command with this key. Raise `KeyReused` for another command."""
        if key is None:
            return None
        written = self._in_flight.of_event(key.event_id)
        if written is not None:
            check_same(key, written.command_hash)
            remaining_s = max(0.0, deadline - time.monotonic())
            if not await self._outcomes.wait_reached(latest([written.position]), remaining_s):
                return Pending(written.position)
        first = await self._rows.accepted(key.event_id)
        if first is None:
            return None
        check_same(key, first.command_hash)
        state = state_from_json(first.stream.kind, first.state)
        return Applied(shown(state), first.version, first.position, is_repeat=True)

    async def with_free_id(self, request: CommandRequest) -> CommandRequest:
        """Return the request without its given event id if an event already has that id."""
        if request.event_id is None or await self._rows.accepted(request.event_id) is None:
            return request
        return replace(request, event_id=None)
