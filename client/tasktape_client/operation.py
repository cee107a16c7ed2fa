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
"""How long a server is asked to wait for its read models at a time."""


class OperationCalls(Calls):
    """What has to do with the log itself. All of it raises `TasktapeError`."""

    async def outcome(self, position: str) -> Outcome:
        """What became of a written event; `pending` while that is not known."""
        return typed(Outcome, (await self.read(path_of("outcomes", position))).body)

    async def visible(self, positions: Positions, limit_s: float) -> bool:
        """Wait until the read models have reached positions; False if they do not in time."""
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
        """Import tasks with their histories, each as JSON or what makes it; without any, find the list.

        What is there already is not written again. Read models that have reached `since` will do to see what
        is; but a repetition has to see what its first attempt may have written. `add_stages` gives the list
        the stages that it lacks, instead of taking those that it has.
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
        """Records that could not be folded, and those that wait behind them. For administrators."""
        return self._items(DeadLetter, path_of("dead-letters"), at_most=at_most)

    async def retry_dead_letter(self, position: str) -> LettersWritten:
        """Try a parked record again, and those behind it. For administrators."""
        return await self._settle(position, "retry")

    async def skip_dead_letter(self, position: str) -> LettersWritten:
        """Pass over a parked record for good, and try those behind it. For administrators."""
        return await self._settle(position, "skip")

    async def _settle(self, position: str, action: str) -> LettersWritten:
        answer = await self.command("POST", path_of("dead-letters", position, action))
        return typed(LettersWritten, answer.body)

    async def presence(self, channel: str) -> Present:
        """Who is on a channel, such as `task:{id}`, now."""
        return typed(Present, (await self.read(path_of("presence"), {"channel": channel})).body)

    def connections(self, user: str | None = None, *, at_most: int | None = None) -> Items[ConnectedUser]:
        """Who is connected to any node, or only one user. For administrators."""
        return self._items(ConnectedUser, path_of("connections"), {"user": user}, at_most)

    async def readiness(self) -> Readiness:
        """Whether everything behind the API works."""
        return typed(
            Readiness, (await self._transport.send(Call("GET", "/readyz", accepted=frozenset({503})))).body
        )
