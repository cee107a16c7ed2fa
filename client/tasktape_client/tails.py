"""Tails: the events of the audit that match a query, as they are recorded."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, AsyncIterable, Mapping
from contextlib import aclosing
from typing import Any, NamedTuple

from tasktape_client.calls import path_of, query_of, typed
from tasktape_client.connection_events import ConnectionListener, Disconnected
from tasktape_client.errors import TasktapeError
from tasktape_client.models import AuditEvent
from tasktape_client.patience import Patience
from tasktape_client.positions import format_positions, parse_positions, positions_to_json
from tasktape_client.transport import PASSING, Call, Transport, foreign

RECONNECT = Patience(first_delay_s=0.5, longest_delay_s=10.0)
MAX_EVENT_BYTES = 16 * 1_048_576


class ServerEvent(NamedTuple):
    """One server-sent event; `name` is empty if it only carries an id."""

    name: str
    data: str
    id: str | None


class AuditTail:
    """New events that match a query. A lost connection is restored, without a gap or a duplicate."""

    def __init__(
        self,
        transport: Transport,
        filters: Mapping[str, Any],
        since: Mapping[str, int] | None,
        *,
        on_connection: ConnectionListener | None = None,
        patience: Patience = RECONNECT,
    ) -> None:
        self._transport = transport
        self._filters = filters
        self._place = (
            None if since is None else format_positions({int(p): at for p, at in since.items()}) or ","
        )
        self._notify: ConnectionListener = on_connection or (lambda _: None)
        self._patience = patience
        self._failures = 0

    @property
    def positions(self) -> dict[str, int]:
        """Return the positions up to which all events were yielded, to pass as `since` later."""
        return positions_to_json(parse_positions(self._place or ""))

    async def __aiter__(self) -> AsyncGenerator[AuditEvent]:
        """Yield events. Raise `TasktapeError` if the query is refused, or may no longer be followed."""
        while True:
            try:
                async with aclosing(self._events()) as events:
                    async for event in events:
                        yield event
                delay_s, reason = self._patience.delay_s(1), "the server ended the stream"
            except Interrupted as interrupted:
                delay_s, reason = interrupted.delay_s, interrupted.reason
            except TasktapeError as error:
                if error.status is not None and error.status not in PASSING:
                    raise
                self._failures += 1
                delay_s, reason = (
                    self._patience.delay_s(self._failures, error.retry_after_s or 0.0),
                    str(error),
                )
            self._notify(Disconnected(reason, delay_s))
            await asyncio.sleep(delay_s)

    async def _events(self) -> AsyncGenerator[AuditEvent]:
        """Yield the events of one connection."""
        headers = {} if self._place is None else {"Last-Event-ID": self._place}
        call = Call("GET", path_of("audit", "stream"), params=query_of(self._filters), headers=headers)
        async with self._transport.stream(call) as chunks:
            self._failures = 0
            async for event in server_events(chunks):
                found = self._taken(event)
                if event.id is not None:
                    self._place = event.id
                if found is not None:
                    yield found

    def _taken(self, event: ServerEvent) -> AuditEvent | None:
        match event.name:
            case "event":
                return typed(AuditEvent, _decoded(event))
            case "ended":
                raise TasktapeError(f"the tail ended: {_decoded(event)['reason']}", code="ended", status=200)
            case "goodbye":
                raise _interruption(_decoded(event))
        return None


def _place_of(positions: Mapping[str, int]) -> str:
    return format_positions({int(partition): offset for partition, offset in positions.items()}) or ","


class Interrupted(Exception):
    """The server ended the connection, and the next attempt is to be made after a time."""

    def __init__(self, reason: str, delay_s: float) -> None:
        super().__init__(reason)
        self.reason = reason
        self.delay_s = delay_s


def _interruption(goodbye: Mapping[str, Any]) -> Interrupted:
    first_ms, last_ms = goodbye["retry_after_ms"]
    return Interrupted(goodbye["reason"], random.uniform(first_ms, last_ms) / 1000)  # noqa: S311


def _decoded(event: ServerEvent) -> Any:
    try:
        return json.loads(event.data)
    except ValueError:
        raise foreign("the server's event stream") from None


async def server_events(chunks: AsyncIterable[bytes]) -> AsyncGenerator[ServerEvent]:
    """Yield the events of a stream (HTML, 9.2.6). Raise `TasktapeError` for one that is too long."""
    name, data, place = "", "", None
    async for line in lines(chunks):
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if name or place is not None:
                yield ServerEvent(name, data, place)
            name, data, place = "", "", None
        elif field == "event":
            name = value
        elif field == "data":
            data += value
        elif field == "id":
            place = value


async def lines(chunks: AsyncIterable[bytes]) -> AsyncGenerator[str]:
    """Yield the lines of a stream, which end with a line feed only: JSON may contain other separators."""
    rest = b""
    async for chunk in chunks:
        *complete, rest = (rest + chunk).split(b"\n")
        for line in complete:
            yield line.decode()
        if len(rest) > MAX_EVENT_BYTES:
            raise foreign("the server's event stream")
