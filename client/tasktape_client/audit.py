"""Calls on the audit: what happened, by whom, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from tasktape_client.calls import Calls, Items, path_of, typed
from tasktape_client.models import AuditEvent, AuditGroup, Story
from tasktape_client.transport import foreign

Filters = Mapping[str, "str | int | datetime | Sequence[str] | None"]
"""Filters by name, as in the reference of the audit; the server refuses unknown ones."""


class AuditCalls(Calls):
    """The calls on the audit. They raise `TasktapeError`."""

    def audit_events(
        self, filters: Filters | None = None, *, at_most: int | None = None
    ) -> Items[AuditEvent]:
        """Return the events that match all filters; by default all that the caller may see."""
        return self._items(AuditEvent, path_of("audit", "events"), filters, at_most)

    async def audit_counts(self, group_by: str, filters: Filters | None = None) -> list[AuditGroup]:
        """Return the number of matching events by the value of one of their fields, or by time."""
        answer = await self.read(path_of("audit", "events"), {**(filters or {}), "group_by": group_by})
        if not isinstance(answer.body, Mapping) or not isinstance(answer.body.get("groups"), list):
            raise foreign("the server", answer.status)
        return [typed(AuditGroup, each) for each in answer.body["groups"]]

    async def audit_story(self, correlation_id: str) -> Story:
        """Return the events of a request and of what followed from it."""
        params = {"correlation_id": correlation_id, "view": "tree"}
        return typed(Story, (await self.read(path_of("audit", "events"), params)).body)
