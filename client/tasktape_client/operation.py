"""Calls on the log: outcomes, imports, dead letters, readiness."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from pydantic_core import to_json

from tasktape_client.calls import JSON, Calls, Items, path_of, typed
from tasktape_client.errors import TasktapeError
from tasktape_client.models import (
    ConnectedUser,
    DeadLetter,
    Imported,
    LettersWritten,
    Outcome,
    Present,
    Readiness,
)
from tasktape_client.positions import Positions, format_positions
from tasktape_client.transport import PASSING, Call

STEP_S = 20
"""The wait for read models that one request asks of the server."""


class OperationCalls(Calls):
    """The calls on the log. They raise `TasktapeError`."""

    async def outcome(self, position: str) -> Outcome:
        """Return the outcome of a written event; `pending` while it is not known."""
        return typed(Outcome, (await self.read(path_of("outcomes", position))).body)

    async def visible(self, positions: Positions, limit_s: float) -> bool:
        """Wait until the read models include positions. Return False at the time limit."""
        deadline = time.monotonic() + limit_s
        headers = {"Tasktape-Position": format_positions(positions), "Prefer": f"wait={STEP_S}"}
        while time.monotonic() < deadline:
            try:
                await self._transport.send(Call("GET", path_of("me"), headers=headers))
            except TasktapeError as error:
                if error.status is not None and error.status not in PASSING:
                    raise
            else:
                return True
        return False

    async def import_tasks(
        self,
        tasks: Iterable[Mapping[str, Any] | bytes],
        *,
        list_id: str | None = None,
        list_name: str | None = None,
        since: Positions | None = None,
        add_stages: bool = False,
        correlation_id: str | None = None,
    ) -> Imported:
        """Import tasks with their histories, as JSON or as objects; without tasks, only find the list.

        Events that are already there are not written again. Read models that include `since` suffice to find
        those; a retry waits for read models that include the writes of its first attempt. `add_stages` adds
        missing stages to the list, instead of using its existing ones.
        """
        where = {"id": list_id} if list_id is not None else {"name": list_name}
        parts = b",".join(task if isinstance(task, bytes) else to_json(task) for task in tasks)
        how = b',"add_stages":true' if add_stages else b""
        body = b'{"list":%s%s,"tasks":[%s]}' % (to_json(where), how, parts)
        headers = {"Content-Type": JSON}
        if correlation_id is not None:
            headers["X-Correlation-ID"] = correlation_id
        first = {"Tasktape-Position": format_positions(since)} if since else {}
        answer = await self._transport.send(
            Call(
                "POST",
                path_of("import"),
                content=body,
                headers=headers | first,
                again=headers | {"Prefer": f"wait={STEP_S}"},
            )
        )
        return typed(Imported, answer.body)

    def dead_letters(self, *, at_most: int | None = None) -> Items[DeadLetter]:
        """Return the records that could not be folded, and those behind them. For administrators."""
        return self._items(DeadLetter, path_of("dead-letters"), at_most=at_most)

    async def retry_dead_letter(self, position: str) -> LettersWritten:
        """Retry a parked record, and those behind it. For administrators."""
        return await self._settle(position, "retry")

    async def skip_dead_letter(self, position: str) -> LettersWritten:
        """Skip a parked record permanently, and retry those behind it. For administrators."""
        return await self._settle(position, "skip")

    async def _settle(self, position: str, action: str) -> LettersWritten:
        answer = await self.command("POST", path_of("dead-letters", position, action))
        return typed(LettersWritten, answer.body)

    async def presence(self, channel: str) -> Present:
        """Return the users who are on a channel, such as `task:{id}`, now."""
        return typed(Present, (await self.read(path_of("presence"), {"channel": channel})).body)

    def connections(self, user: str | None = None, *, at_most: int | None = None) -> Items[ConnectedUser]:
        """Return the users who are connected to any node, or one of them. For administrators."""
        return self._items(ConnectedUser, path_of("connections"), {"user": user}, at_most)

    async def readiness(self) -> Readiness:
        """Return the state of the services behind the API."""
        return typed(
            Readiness, (await self._transport.send(Call("GET", "/readyz", accepted=frozenset({503})))).body
        )
