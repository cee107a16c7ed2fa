"""A replay as server-sent events: a response to which one replay is written at the pace of its reader."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import ExitStack
from typing import Any

from api.auth import Identity
from api.protocol.close_codes import CloseReason
from api.protocol.frames import JSON, Sendable
from api.protocol.server_messages import goodbye
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.relay.list_watches import ListWatch
from api.relay.replays import failure_reason, plan_of
from api.replay.player import Player
from api.transports.connection_lifecycle import take_quotas
from api.transports.sse.encoder import event_lines
from api.transports.sse.paced_stream import PacedStream, StreamOutput
from api.transports.sse.replay_cursor import ReplayRequest, cursor_of
from app.channels import Channel
from app.errors import NotFound


class ReplayStream(PacedStream):
    """The response. It ends with its replay, with its token, or with the node."""

    def __init__(
        self,
        relay: Relay,
        connection_registry: ConnectionRegistry,
        identity: Identity,
        action: ReplayRequest,
        check: Callable[[], Awaitable[object]],
    ) -> None:
        """Create a response; `check` checks access, and raises `TaskError`."""
        super().__init__(relay, connection_registry, identity)
        self._action = action
        self._check = check

    async def _admitted(self, stack: ExitStack) -> Coroutine[Any, Any, None]:
        relay, node, list_id, user = self._relay, self._relay.replays, self._action.list_id, self.user
        watch = ListWatch(list_id, user, self._end)
        node.watches.add(watch)
        stack.callback(node.watches.discard, watch)
        await self._check()
        plan = await plan_of(node.past, list_id, self._action.options, self._action.after)
        if watch not in node.watches:
            raise NotFound("no such list")
        take_quotas(stack, relay, user, node.quota)
        output = ReplayOutput(self._output)
        channel = Channel(f"replay:{list_id}")
        self._player = Player(node.past, channel, plan, output, node.turns, node.clock)
        return self._player.run(until_end=True)

    def _say_end(self, reason: CloseReason | str | None, error: BaseException | None) -> None:
        if error is not None:
            reason = failure_reason(error)
        if isinstance(reason, str):
            self._player.end(reason)
        elif reason is not None:
            ReplayOutput(self._output).send(goodbye(reason))


class ReplayOutput:
    """The output of a replay: its messages as events."""

    def __init__(self, output: StreamOutput) -> None:
        self._output = output
        self.ready = output.ready

    def send(self, messages: Sendable) -> None:
        """See `Output.send`."""
        for payload in messages.payloads(JSON):
            self._output.add(event_of(payload))


def event_of(payload: bytes) -> bytes:
    """Return a message of a replay as an event; an update and the end have an id to resume from."""
    name, cursor = cursor_of(payload)
    mark = b"" if cursor is None else b"id: %s\n" % cursor
    return b"%s%s\n" % (event_lines(name, payload), mark)
