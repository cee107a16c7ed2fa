"""The player of a replay: a task that sends the state at the start, then the events when they are due.

It alone sends the messages of its replay, so a reply to a control stands at its place among them: no update
follows a pause, and none from before a seek follows its snapshot.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Protocol

from api.protocol.client_messages import Control, Refused
from api.protocol.frames import EncodedMessage, PayloadBatch, Sendable
from api.protocol.replay_messages import State, snapshot_message, state_message, update_prefix
from api.protocol.server_messages import Error
from api.read_consistency import retry_while_unavailable
from api.replay.schedule import Schedule
from api.replay.source import EventReader, Past
from api.replay.turns import Turns
from app.channels import Channel
from projections.queries.replay import START, Place, end_of

TURN_EVENTS = 32
"""The most events that are sent in one turn: so others wait for a millisecond at most."""
TURN_BYTES = 96 * 1024
QUIET_S = 0.02
"""A replay that is not late waits so long after a turn, so that events close together take one turn."""
MAX_CONTROLS_AHEAD = 64
GONE = "the replay has ended"


class Output(Protocol):
    """The output of a replay."""

    async def ready(self) -> None:
        """Wait until the reader has accepted most of what was sent."""

    def send(self, messages: Sendable) -> object:
        """Send messages; never wait."""


class Clock(Protocol):
    """The time of a replay."""

    def now_s(self) -> float:
        """Return the seconds since some fixed time."""

    async def wait(self, woken: asyncio.Event, until_s: float | None) -> None:
        """Wait until the event is set, or until a time."""


class LoopClock:
    """The clock of the event loop."""

    def now_s(self) -> float:
        """See `Clock.now_s`."""
        return asyncio.get_running_loop().time()

    async def wait(self, woken: asyncio.Event, until_s: float | None) -> None:
        """See `Clock.wait`."""
        try:
            async with asyncio.timeout_at(until_s):
                await woken.wait()
        except TimeoutError:
            return


@dataclass(frozen=True, slots=True)
class Plan:
    """The part of a list's past to replay, and its pace. The events in `(first, last]` are replayed."""

    list_id: str
    first: datetime
    last: datetime
    speed: float
    types: Sequence[str] | None
    max_gap_s: float
    after: Place | None = None
    """The place from which to continue, without a snapshot."""


class Player:
    """One replay. `run` it as a task; `control` never waits."""

    def __init__(
        self, past: Past, channel: Channel, plan: Plan, output: Output, turns: Turns, clock: Clock
    ) -> None:
        self._past = past
        self._channel = channel
        self._plan = plan
        self._output = output
        self._turns = turns
        self._clock = clock
        self._reader = EventReader(past, plan.list_id, plan.last, plan.types)
        self._schedule = Schedule(plan.speed, plan.max_gap_s, plan.first, clock.now_s())
        self._prefix = update_prefix(channel)
        self._controls: deque[Control] = deque()
        self._carrying_out: list[int | str | None] = []
        """The ids of the controls that are being carried out."""
        self._woken = asyncio.Event()
        self._quiet_until_s = 0.0
        self._is_playing = True
        self._has_ended = False
        self.at = plan.first
        """The time of the latest event sent, or of the snapshot."""

    def control(self, control: Control) -> None:
        """Carry out a control after those before it. Raise `Refused` if too many are waiting."""
        if len(self._controls) >= MAX_CONTROLS_AHEAD:
            raise Refused(control.id, "too_many", "this replay has too many controls to carry out")
        self._controls.append(control)
        self._woken.set()

    async def run(self, *, until_end: bool = False) -> None:
        """Play until cancelled, or until the end. Raise `Unavailable` if the past cannot be read."""
        try:
            if self._plan.after is None:
                await self._move(self._plan.first)
            else:
                self._continue(self._plan.after)
            self._tell()
            while not (until_end and self._has_ended):
                self._woken.clear()
                if self._controls:
                    await self._carry_out()
                elif self._is_playing and not self._has_ended:
                    await self._play()
                else:
                    await self._clock.wait(self._woken, None)
        finally:
            self._reader.close()

    # --- playing -----------------------------------------------------------------------------------------

    async def _play(self) -> None:
        """Send the events that are due, or wait until one is."""
        following = await self._following()
        if following is None:
            self._reach_end()
            self._tell()
            return
        due_s = self._schedule.due_s(following)
        if due_s > self._clock.now_s():
            await self._clock.wait(self._woken, max(due_s, self._quiet_until_s))
            return
        await self._output.ready()
        async with self._turns:
            self._send_due(self._clock.now_s())

    def _send_due(self, now_s: float) -> None:
        schedule = self._schedule

        def is_due(at: datetime) -> bool:
            if schedule.due_s(at) > now_s:
                return False
            schedule.sent(at, now_s)
            self.at = at
            return True

        self._send(self._reader.take(self._prefix, is_due, TURN_EVENTS, TURN_BYTES))
        self._quiet_until_s = now_s + QUIET_S

    def _send(self, updates: Sequence[bytes]) -> None:
        if updates:
            self._output.send(PayloadBatch(updates))
            self._turns.counters.delivered += len(updates)

    def _reach_end(self) -> None:
        self._has_ended = True
        self.at = self._plan.last

    async def _following(self) -> datetime | None:
        return await retry_while_unavailable(self._reader.following)

    # --- controls ----------------------------------------------------------------------------------------

    async def _carry_out(self) -> None:
        control, now_s = self._controls.popleft(), self._clock.now_s()
        self._carrying_out = ids = [control.id]
        match control.action:
            case "pause":
                self._pause(now_s)
            case "resume":
                if not self._is_playing:
                    self._schedule.resume(now_s)
                    self._is_playing = True
            case "step":
                self._pause(now_s)
                await self._step()
            case "seek":
                # Whoever drags a slider wants to see where it stops.
                while self._controls and self._controls[0].action == "seek":
                    control = self._controls.popleft()
                    ids.append(control.id)
                assert control.at is not None
                await self._move(min(max(control.at, self._plan.first), self._plan.last))
            case "speed":
                assert control.speed is not None
                if self._is_playing:
                    self._schedule.pause(self._reader.loaded, now_s)
                self._schedule.speed = control.speed
        self._carrying_out = []
        for message_id in ids:
            self._tell(message_id)

    def _pause(self, now_s: float) -> None:
        if self._is_playing:
            self._schedule.pause(self._reader.loaded, now_s)
            self._is_playing = False

    async def _step(self) -> None:
        """Send the next event at once."""
        if await self._following() is None:
            self._reach_end()
            return
        await self._output.ready()

        def is_first(at: datetime) -> bool:
            self._schedule.sent(at, self._clock.now_s())
            self.at = at
            return True

        self._send(self._reader.take(self._prefix, is_first, 1, TURN_BYTES))

    async def _move(self, time: datetime) -> None:
        """Send the state at a time, in parts, and continue with the events after it."""
        plan, past = self._plan, self._past
        self._reader.move(end_of(time))
        self._has_ended = False
        task_list = await retry_while_unavailable(partial(past.list_at, plan.list_id, time))
        place, part = START, 0
        while True:
            page = await retry_while_unavailable(partial(past.tasks, plan.list_id, time, place))
            await self._output.ready()
            more = page.end is not None
            if page.tasks or not more:
                message = snapshot_message(self._channel, time, task_list, page.tasks, part=part, more=more)
                self._output.send(EncodedMessage(message))
                part += 1
            if page.end is None:
                break
            place = page.end
        self._schedule.move(time, self._clock.now_s())
        self.at = time

    def _continue(self, place: Place) -> None:
        """Continue with the events after a place."""
        self._reader.move(place)
        self._schedule.move(place.at, self._clock.now_s())
        self.at = place.at

    def _tell(self, message_id: int | str | None = None, reason: str | None = None) -> None:
        """Send the state that the replay is in."""
        state: State = "playing" if self._is_playing else "paused"
        if self._has_ended:
            state = "ended"
        message = state_message(
            self._channel,
            state,
            self.at,
            speed=self._schedule.speed,
            message_id=message_id,
            reason=reason,
        )
        self._output.send(EncodedMessage(message))

    def refuse_controls(self) -> None:
        """Answer the controls that are not carried out; the caller has cancelled its task."""
        for message_id in (*self._carrying_out, *(control.id for control in self._controls)):
            if message_id is not None:
                error = Error(id=message_id, code="not_subscribed", message=GONE)
                self._output.send(EncodedMessage(error.encode()))
        self._controls.clear()
        self._carrying_out = []

    def end(self, reason: str) -> None:
        """Send that the replay has ended for good; the caller has cancelled its task."""
        self._has_ended = True
        self._tell(reason=reason)
