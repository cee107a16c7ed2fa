"""A replay as server-sent events: a response to which one replay is written at the pace of its reader."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api.auth import Identity
from api.http.problems import problem
from api.protocol.close_codes import CloseReason
from api.protocol.frames import JSON, Sendable
from api.protocol.server_messages import goodbye
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.relay.list_watches import ListWatch
from api.relay.replays import failure_reason, plan_of
from api.replay.player import Player
from api.telemetry.counters import Traffic, Transport
from api.transports.connection_lifecycle import Admission, lifetime, take_quotas
from api.transports.sse.encoder import HEARTBEAT, RETRY_MS, event_lines
from api.transports.sse.replay_cursor import ReplayRequest, cursor_of
from api.transports.sse.response import HEADERS, MEDIA_TYPE, cancelled, gone
from api.transports.websocket.uvicorn_protocol import ABORT
from api.transports.websocket.wire import CLOSE_TIMEOUT_S
from app.channels import Channel
from app.errors import NotFound, TaskError


class ReplayStream(Response):
    """The response. It ends with its replay, with its token, or with the node."""

    transport: Transport = "sse"

    def __init__(
        self,
        relay: Relay,
        connection_registry: ConnectionRegistry,
        identity: Identity,
        action: ReplayRequest,
        check: Callable[[], Awaitable[object]],
    ) -> None:
        """Create a response; `check` checks access, and raises `TaskError`."""
        super().__init__(media_type=MEDIA_TYPE, headers=HEADERS)
        del self.headers["content-length"]
        self._relay = relay
        self._registry = connection_registry
        self._identity = identity
        self._action = action
        self._check = check
        self._traffic = relay.counters.traffic_of("sse", "json")
        self._output = StreamOutput(relay.ping_s, self._traffic)
        self._ended: asyncio.Future[CloseReason | str | None] = asyncio.get_running_loop().create_future()
        """The reason of the node to end the stream: a close, or a text about the list."""

    @property
    def user(self) -> str:
        """See `ClientConnection.user`."""
        return self._identity.user

    @property
    def waiting_bytes(self) -> int:
        """See `ClientConnection.waiting_bytes`."""
        return self._output.waiting_bytes

    def close(self, close_reason: CloseReason | None) -> None:
        """See `ClientConnection.close`."""
        self._end(close_reason)

    def _end(self, reason: CloseReason | str | None) -> None:
        if not self._ended.done():
            self._ended.set_result(reason)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve until one side ends it, or refuse it with a problem."""
        try:
            with ExitStack() as stack:
                stack.enter_context(Admission(self._relay, scope))
                player = await self._admitted(stack)
                await self._serve(player, scope, receive, send)
        except TaskError as refusal:
            await problem(refusal)(scope, receive, send)

    async def _admitted(self, stack: ExitStack) -> Player:
        """Return the player of a replay that may begin; `stack` releases what it takes. Raise `TaskError`."""
        relay, node, list_id, user = self._relay, self._relay.replays, self._action.list_id, self.user
        watch = ListWatch(list_id, user, self._end)
        node.watches.add(watch)
        stack.callback(node.watches.discard, watch)
        await self._check()
        plan = await plan_of(node.past, list_id, self._action.options, self._action.after)
        if watch not in node.watches:
            raise NotFound("no such list")
        take_quotas(stack, relay, user, node.quota)
        return Player(node.past, Channel(f"replay:{list_id}"), plan, self._output, node.turns, node.clock)

    async def _serve(self, player: Player, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        playing = asyncio.create_task(player.run(until_end=True))
        writing = asyncio.create_task(self._output.write(send))
        left = asyncio.create_task(gone(receive))
        tasks = (playing, writing, left)
        try:
            life = lifetime(self._relay, self._identity, self._traffic, self._end)
            with life, self._registry.present(self):
                await asyncio.wait((*tasks, self._ended), return_when=asyncio.FIRST_COMPLETED)
                if not left.done() and not writing.done():
                    playing.cancel()
                    await asyncio.wait((playing,))
                    self._say_end(player, playing)
                    await self._finish(writing, scope, send)
        finally:
            await cancelled(tasks)

    def _say_end(self, player: Player, playing: asyncio.Task[None]) -> None:
        """Add the last event, unless the replay has come to its end."""
        reason: CloseReason | str | None = self._ended.result() if self._ended.done() else None
        error = None if playing.cancelled() else playing.exception()
        if error is not None:
            reason = failure_reason(error)
        if isinstance(reason, str):
            player.end(reason)
        elif reason is not None:
            self._output.send(goodbye(reason))

    async def _finish(self, writing: asyncio.Task[None], scope: Scope, send: Send) -> None:
        """Write the rest and end; abort a client that does not read."""
        ready = asyncio.create_task(self._output.ready())
        await asyncio.wait((ready, writing), timeout=CLOSE_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        is_written = ready.done()
        ready.cancel()
        writing.cancel()
        await asyncio.wait((writing,))
        abort = scope.get("extensions", {}).get(ABORT)
        if is_written or abort is None:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            abort()


class StreamOutput:
    """The output of a replay: events that wait until the client has read those before."""

    def __init__(self, ping_s: float, traffic: Traffic) -> None:
        self._ping_s = ping_s
        self._traffic = traffic
        self._waiting: list[bytes] = [b"retry: %d\n\n" % RETRY_MS]
        self._filled = asyncio.Event()
        self._filled.set()
        self._written = asyncio.Event()
        self.waiting_bytes = 0

    def send(self, messages: Sendable) -> None:
        """See `Output.send`."""
        for payload in messages.payloads(JSON):
            event = event_of(payload)
            self._waiting.append(event)
            self.waiting_bytes += len(event)
        self._traffic.messages += messages.count
        self._written.clear()
        self._filled.set()

    async def ready(self) -> None:
        """See `Output.ready`."""
        await self._written.wait()

    async def write(self, send: Send) -> None:
        """Write events as they come, and comments while there are none."""
        while True:
            try:
                async with asyncio.timeout(self._ping_s):
                    await self._filled.wait()
            except TimeoutError:
                self._waiting.append(HEARTBEAT)
            self._filled.clear()
            body, self._waiting = b"".join(self._waiting), []
            await send({"type": "http.response.body", "body": body, "more_body": True})
            self._traffic.size_bytes += len(body)
            if not self._waiting:
                self.waiting_bytes = 0
                self._written.set()


def event_of(payload: bytes) -> bytes:
    """Return a message of a replay as an event; an update and the end have an id to resume from."""
    name, cursor = cursor_of(payload)
    mark = b"" if cursor is None else b"id: %s\n" % cursor
    return b"%s%s\n" % (event_lines(name, payload), mark)
