"""A tail of the audit as server-sent events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from typing import Any

import structlog
from pydantic_core import to_json

from api.auth import Identity
from api.protocol.close_codes import CloseReason
from api.protocol.frames import JSON
from api.protocol.server_messages import goodbye
from api.relay.connections import ConnectionRegistry
from api.relay.context import Relay
from api.relay.tails import Tail, TailNode
from api.transports.connection_lifecycle import take_quotas
from api.transports.sse.encoder import event_lines
from api.transports.sse.paced_stream import PacedStream, StreamOutput
from app.audit.access import Reader
from app.audit.descriptions import described_json
from app.audit.query import AuditQuery
from app.errors import TaskError
from app.positions import Positions, format_positions
from projections.queries.audit_tail import TailPage
from projections.queries.descriptions import Described

log = structlog.get_logger(__name__)

FAILED = "internal error"


@dataclass(frozen=True, slots=True)
class TailRequest:
    """The parameters of a tail: the question, and the positions to begin after, by default the present."""

    query: AuditQuery
    reader: Reader
    since: Positions | None


class TailStream(PacedStream):
    """The response. It ends with the right to ask the question, with its token, or with the node."""

    def __init__(
        self,
        relay: Relay,
        connection_registry: ConnectionRegistry,
        identity: Identity,
        node: TailNode,
        action: TailRequest,
        check: Callable[[], Awaitable[object]],
    ) -> None:
        """Create a response; `check` checks access, and raises `TaskError`."""
        super().__init__(relay, connection_registry, identity)
        self._node = node
        self._action = action
        self._check = check

    async def _admitted(self, stack: ExitStack) -> Coroutine[Any, Any, None]:
        node, action = self._node, self._action
        take_quotas(stack, self._relay, self.user, node.quota)
        output = TailEvents(self._output)
        tail = Tail(node, action.query, action.reader, output, self._check)
        # From before the check, so that no loss of access is missed.
        stack.enter_context(node.arrivals.calling(tail.wake))
        await self._check()
        since = await node.audit.positions() if action.since is None else action.since
        output.begin(since)
        return tail.run(since)

    def _say_end(self, reason: CloseReason | str | None, error: BaseException | None) -> None:
        if isinstance(error, TaskError):
            reason = error.detail
        elif error is not None:
            log.error("a tail failed", exc_info=error)
            reason = FAILED
        if isinstance(reason, CloseReason):
            [payload] = goodbye(reason).payloads(JSON)
            self._output.add(b"%s\n" % event_lines(b"goodbye", payload))
        else:
            self._output.add(b"%s\n" % event_lines(b"ended", to_json({"type": "ended", "reason": reason})))


class TailEvents:
    """The events of a tail, each with the positions after it as its id."""

    def __init__(self, output: StreamOutput) -> None:
        self._output = output
        self._reached: dict[int, int] = {}
        self.ready = output.ready

    def begin(self, since: Positions) -> None:
        """Give the client the place to resume from before the first event."""
        self._reached = dict(since)
        self._output.add(self._id())

    def send(self, page: TailPage) -> None:
        """See `TailOutput.send`."""
        for event, description in _in_time(page.events):
            self._reached[event.position.partition] = event.position.offset
            lines = event_lines(b"event", described_json(event, description))
            self._output.add(b"%s%s" % (lines, self._id()))
        if self._reached != page.reached:
            self._reached = dict(page.reached)
            # An id without data: clients keep it, and no event is dispatched (HTML, 9.2.6).
            self._output.add(self._id())

    def _id(self) -> bytes:
        # Browsers treat an empty id as none.
        return b"id: %s\n\n" % (format_positions(self._reached) or ",").encode()


def _in_time(events: Sequence[Described]) -> Iterable[Described]:
    """Return events in the order of recording, those of each partition in their own order."""
    in_order = sorted(events, key=lambda each: each.event.position)
    partitions = [list(some) for _, some in groupby(in_order, key=lambda each: each.event.position.partition)]
    return merge(*partitions, key=lambda each: each.event.recorded_at)
