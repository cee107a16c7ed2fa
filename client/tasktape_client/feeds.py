"""Calls on what concerns the caller: who one is, notifications, activity."""

from __future__ import annotations

from datetime import datetime
from typing import Unpack

from tasktape_client.calls import Calls, Items, Options, path_of, typed
from tasktape_client.models import ActivityGroup, Me, Notification, Unread


class FeedCalls(Calls):
    """What concerns the caller. All of it raises `TasktapeError`, and commands `Pending`."""

    async def me(self) -> Me:
        """Who one is there, and how many notifications are unread."""
        return typed(Me, (await self.read(path_of("me"))).body)

    def notifications(self, *, unread: bool = False, at_most: int | None = None) -> Items[Notification]:
        """What one was told, the newest first; only what is `unread`, if asked for."""
        return self._items(
            Notification, path_of("notifications"), {"unread": "true"} if unread else {}, at_most
        )

    async def read_notification(self, notification_id: str, **options: Unpack[Options]) -> Notification:
        """Say that one has seen it."""
        return await self._mark(notification_id, "read", **options)

    async def unread_notification(self, notification_id: str, **options: Unpack[Options]) -> Notification:
        """Say that one wants to see it again."""
        return await self._mark(notification_id, "unread", **options)

    async def read_all_notifications(self, until: datetime | None = None, **options: Unpack[Options]) -> int:
        """Say that one has seen all there are, or all up to a time; how many are unread after it."""
        body = None if until is None else {"until": until}
        answer = await self.command("POST", path_of("notifications", "read-all"), body, **options)
        return typed(Unread, answer.body).unread

    async def _mark(self, notification_id: str, action: str, **options: Unpack[Options]) -> Notification:
        answer = await self.command("POST", path_of("notifications", notification_id, action), **options)
        return typed(Notification, answer.body)

    def activity(
        self, *, list_id: str | None = None, actor: str | None = None, at_most: int | None = None
    ) -> Items[ActivityGroup]:
        """What happened in one's lists, grouped, the newest first."""
        params = {"list_id": list_id, "actor": actor}
        return self._items(ActivityGroup, path_of("activity"), params, at_most)
