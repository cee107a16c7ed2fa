"""Calls about the caller: identity, notifications, activity."""

from __future__ import annotations

from datetime import datetime
from typing import Unpack

from tasktape_client.calls import Calls, Items, Options, path_of, typed
from tasktape_client.models import ActivityGroup, Me, Notification, Unread


class FeedCalls(Calls):
    """The calls about the caller. They raise `TasktapeError`, and commands also `Pending`."""

    async def me(self) -> Me:
        """Return the caller, with the number of unread notifications."""
        return typed(Me, (await self.read(path_of("me"))).body)

    def notifications(self, *, unread: bool = False, at_most: int | None = None) -> Items[Notification]:
        """Return the notifications of the caller, newest first; with `unread`, only the unread ones."""
        return self._items(
            Notification, path_of("notifications"), {"unread": "true"} if unread else {}, at_most
        )

    async def read_notification(self, notification_id: str, **options: Unpack[Options]) -> Notification:
        """Mark a notification as read."""
        return await self._mark(notification_id, "read", **options)

    async def unread_notification(self, notification_id: str, **options: Unpack[Options]) -> Notification:
        """Mark a notification as unread."""
        return await self._mark(notification_id, "unread", **options)

    async def read_all_notifications(self, until: datetime | None = None, **options: Unpack[Options]) -> int:
        """Mark all notifications as read, or those up to a time. Return the number of unread ones."""
        body = None if until is None else {"until": until}
        answer = await self.command("POST", path_of("notifications", "read-all"), body, **options)
        return typed(Unread, answer.body).unread

    async def _mark(self, notification_id: str, action: str, **options: Unpack[Options]) -> Notification:
        answer = await self.command("POST", path_of("notifications", notification_id, action), **options)
        return typed(Notification, answer.body)

    def activity(
        self, *, list_id: str | None = None, actor: str | None = None, at_most: int | None = None
    ) -> Items[ActivityGroup]:
        """Return the activity in the caller's lists, grouped, newest first."""
        params = {"list_id": list_id, "actor": actor}
        return self._items(ActivityGroup, path_of("activity"), params, at_most)
