"""Calls on what concerns the caller: who one is, notifications, activity."""

from __future__ import annotations

from typing import Unpack

from tasktape.client.calls import Calls, Items, Options, path_of, typed
from tasktape.client.models import ActivityGroup, Me, Notification


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

    async def read_notification(self, notification_id: str, **options: Unpack[Options]) -> None:
        """Say that one has seen it."""
        await self.command("POST", path_of("notifications", notification_id, "read"), **options)

    async def unread_notification(self, notification_id: str, **options: Unpack[Options]) -> None:
        """Say that one wants to see it again."""
        await self.command("POST", path_of("notifications", notification_id, "unread"), **options)

    async def read_all_notifications(self, **options: Unpack[Options]) -> None:
        """Say that one has seen all there are."""
        await self.command("POST", path_of("notifications", "read-all"), **options)

    def activity(
        self, *, list_id: str | None = None, actor: str | None = None, at_most: int | None = None
    ) -> Items[ActivityGroup]:
        """What happened in one's lists, grouped, the newest first."""
        params = {"list_id": list_id, "actor": actor}
        return self._items(ActivityGroup, path_of("activity"), params, at_most)
