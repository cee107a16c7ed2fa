"""Replays: their limits on a node, their access, and those of one session."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from api.protocol.client_messages import Control, Refused, Subscribe
from api.protocol.frames import EncodedMessage, Sendable
from api.protocol.limits import MAX_REPLAYS
from api.protocol.replay_options import ReplayOptions
from api.protocol.server_messages import Subscribed, positions_json
from api.relay.list_watches import ListWatch, ListWatches
from api.relay.rate_limits import Quota
from api.replay.player import Clock, LoopClock, Output, Plan, Player
from api.replay.source import Past
from api.replay.turns import Turns
from app.channels import Channel
from app.errors import Unavailable
from app.positions import Positions
from projections.queries.replay import Place

log = structlog.get_logger(__name__)

TOO_MANY = f"a user has at most {MAX_REPLAYS} replays at a time: unsubscribe from one of them first"
UNREADABLE = "the past cannot be read now; try again"
FAILED = "internal error"
WAITING_BYTES = 64 * 1024
"""A replay sends no more while more is waiting for its reader. It lies below the mark of slow readers."""
FIRST_DELAY_S, LONGEST_DELAY_S = 0.001, 0.1


@dataclass(frozen=True, slots=True)
class ReplayNode:
    """The state that all replays of a node share."""

    past: Past
    watches: ListWatches
    turns: Turns
    quota: Quota = field(default_factory=lambda: Quota(MAX_REPLAYS))
    """By user."""
    clock: Clock = field(default_factory=LoopClock)


class Sink(Protocol):
    """The part of a session's sink that replays need."""

    @property
    def closed(self) -> bool:
        """Return True if nothing more is accepted."""

    @property
    def waiting_bytes(self) -> int:
        """Return the number of bytes that are queued."""

    def push(self, messages: Sendable) -> object:
        """Send messages; never wait."""


class SinkOutput:
    """The output of a replay to a session's sink."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self.send = sink.push

    async def ready(self) -> None:
        """Wait until little is queued, so that a slow reader slows its replay, and is not closed for it."""
        delay_s = FIRST_DELAY_S
        while self._sink.waiting_bytes > WAITING_BYTES and not self._sink.closed:
            await asyncio.sleep(delay_s)
            delay_s = min(2 * delay_s, LONGEST_DELAY_S)


async def plan_of(past: Past, list_id: str, options: ReplayOptions, after: Place | None = None) -> Plan:
    """Return the plan of a replay, with the ends of the list's past where none are given.

    With `after`, it continues there.
    """
    first, last = options.first, options.last
    if first is None or last is None:
        span = await past.span(list_id)
        if last is None:
            end = datetime.now(UTC) if span is None else span.last
            last = end if first is None else max(first, end)
        if first is None:
            begin = last if span is None else _just_before(span.first)
            first = min(begin, last)
    return Plan(list_id, first, last, options.speed, options.types, options.max_gap_ms / 1000, after)


def failure_reason(error: BaseException) -> str:
    """Return the reason to send for an error of a player. Log one that is not about reading the past."""
    if isinstance(error, Unavailable):
        return UNREADABLE
    log.error("a replay failed", exc_info=error)
    return FAILED


def _just_before(time: datetime) -> datetime:
    try:
        return time - timedelta(microseconds=1)
    except OverflowError:
        return time


class Replay:
    """A running replay, which counts for its user until `stop`."""

    def __init__(
        self, node: ReplayNode, watch: ListWatch, player: Player, ended: Callable[[str], None]
    ) -> None:
        self._node = node
        self._watch = watch
        self._player = player
        self._ended = ended
        self.control = player.control
        self._task = asyncio.create_task(player.run(), name="replay")
        self._task.add_done_callback(self._done)

    def stop(self) -> None:
        """End it, without its reason, and answer the controls that wait."""
        self._node.watches.discard(self._watch)
        self._task.remove_done_callback(self._done)
        self._task.cancel()
        self._player.refuse_controls()

    def tell_end(self, reason: str) -> None:
        """Send the reason for which it was stopped."""
        self._player.end(reason)

    def _done(self, task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        self._ended(FAILED if error is None else failure_reason(error))


class SessionReplays:
    """The replays of one session, by channel."""

    def __init__(self, node: ReplayNode, user: str, sink: Sink, removed: Callable[[Channel], None]) -> None:
        self._node = node
        self._user = user
        self._output: Output = SinkOutput(sink)
        self._removed = removed
        """Called with the channel of a replay that has ended for good, after its reason."""
        self._running: dict[Channel, Replay] = {}

    def control(self, message: Control) -> None:
        """Pass a control to its replay. Raise `Refused`."""
        replay = self._running.get(message.channel)
        if replay is None:
            raise Refused(message.id, "not_subscribed", "this socket is not subscribed to this replay")
        replay.control(message)

    async def start(
        self,
        message: Subscribe,
        check: Callable[[], Awaitable[object]],
        positions: Callable[[], Positions],
    ) -> None:
        """Start a replay, in place of one of the same channel.

        `check` checks access, and `positions` returns those that the client has reached, which stay the same.
        Raise the errors of `check`, `Refused`, or `Unavailable`.
        """
        node, channel = self._node, message.channel
        if channel.kind != "replay" or message.since is not None:
            raise Refused(message.id, "malformed", "replay is of channels replay:…, which have no since")
        # From before the check, so that no loss of access is missed.
        watch = ListWatch(channel.key, self._user, lambda reason: self._end(channel, reason))
        node.watches.add(watch)
        try:
            await check()
            plan = await plan_of(node.past, channel.key, message.replay or ReplayOptions())
            self._take_place(message, watch)
        except BaseException:
            node.watches.discard(watch)
            raise
        reply = Subscribed(id=message.id, channel=channel, positions=positions_json(positions()))
        self._output.send(EncodedMessage(reply.encode()))
        player = Player(node.past, channel, plan, self._output, node.turns, node.clock)
        self._running[channel] = Replay(node, watch, player, lambda reason: self._end(channel, reason))

    def _take_place(self, message: Subscribe, watch: ListWatch) -> None:
        """Count a replay for its user, in place of one of the same channel. Raise `Refused`."""
        if watch not in self._node.watches:
            raise Refused(message.id, "not_found", "no such list")
        self.stop(message.channel)
        if not self._node.quota.take(self._user):
            raise Refused(message.id, "too_many", TOO_MANY)

    def _end(self, channel: Channel, reason: str) -> None:
        """End the replay of a channel for good, if there is one, and send the reason."""
        replay = self._running.get(channel)
        if replay is not None:
            self.stop(channel)
            replay.tell_end(reason)
            self._removed(channel)

    def stop(self, channel: Channel) -> bool:
        """End the replay of a channel; return False if there is none."""
        replay = self._running.pop(channel, None)
        if replay is None:
            return False
        replay.stop()
        self._node.quota.release(self._user)
        return True

    def close(self) -> None:
        """End all of them."""
        for channel in list(self._running):
            self.stop(channel)
