"""Calls on lists and their members."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, Unpack

from tasktape_client.calls import PAGE_LIMIT, Calls, Creation, Items, Options, path_of, typed
from tasktape_client.models import AuditEvent, CopiedList, ListDiff, ListRevert, Role, Stage, TaskList


class ListCalls(Calls):
    """The calls on lists. They raise `TasktapeError`, and commands also `Pending`."""

    def lists(
        self,
        *,
        deleted: bool = False,
        as_of: datetime | str | None = None,
        as_recorded_at: datetime | str | None = None,
        at_most: int | None = None,
    ) -> Items[TaskList]:
        """Return the caller's lists, or the deleted lists that the caller may restore, last deleted first.

        With a time, return them as they were at that time, or as the log knew them.
        """
        params: dict[str, Any] = {"as_of": as_of, "as_recorded_at": as_recorded_at}
        params |= {"deleted": "true"} if deleted else {}
        return self._items(TaskList, path_of("lists"), params, at_most)

    async def list(
        self,
        list_id: str,
        *,
        as_of: datetime | str | None = None,
        as_recorded_at: datetime | str | None = None,
    ) -> TaskList:
        """Return a list: now, at a time, or as the log knew it at a time."""
        params = {"as_of": as_of, "as_recorded_at": as_recorded_at}
        return typed(TaskList, (await self.read(path_of("lists", list_id), params)).body)

    async def diff(
        self,
        list_id: str,
        start: datetime | str,
        end: datetime | str | None = None,
        *,
        recorded: bool = False,
    ) -> ListDiff:
        """Return what differs in a list between two times, the second by default now.

        With `recorded`, compare what the log knew at these times.
        """
        suffix = "_recorded_at" if recorded else ""
        params: dict[str, Any] = {f"from{suffix}": start, f"to{suffix}": end, "limit": PAGE_LIMIT}
        path, pages = path_of("lists", list_id, "diff"), list[ListDiff]()
        while not pages or params["cursor"] is not None:
            pages.append(typed(ListDiff, (await self.read(path, params)).body))
            params["cursor"] = pages[-1].next_cursor
        kinds = ("added", "removed", "moved", "changed")
        found = {kind: tuple(each for page in pages for each in getattr(page, kind)) for kind in kinds}
        return pages[0].model_copy(update={**found, "next_cursor": None})

    async def create_list(
        self,
        name: str,
        *,
        stages: Sequence[Stage] = (),
        time_zone: str | None = None,
        **options: Unpack[Options],
    ) -> TaskList:
        """Create a list, owned by the caller."""
        given = {"stages": stages or None, "time_zone": time_zone}
        body = {"name": name} | {field: value for field, value in given.items() if value is not None}
        return await self._change("POST", path_of("lists"), body, **options)

    async def rename_list(self, list_id: str, name: str, **options: Unpack[Options]) -> TaskList:
        """Rename a list."""
        return await self._change("PATCH", path_of("lists", list_id), {"name": name}, **options)

    async def set_stages(self, list_id: str, stages: Sequence[Stage], **options: Unpack[Options]) -> TaskList:
        """Set the stages of a list, in order, each with its status category: open, active or done."""
        return await self._change("PATCH", path_of("lists", list_id), {"stages": stages}, **options)

    async def set_time_zone(
        self, list_id: str, time_zone: str | None, **options: Unpack[Options]
    ) -> TaskList:
        """Set the time zone in which the days of a list's statistics begin; None means UTC."""
        return await self._change("PATCH", path_of("lists", list_id), {"time_zone": time_zone}, **options)

    async def delete_list(self, list_id: str, **options: Unpack[Options]) -> None:
        """Delete a list with its tasks."""
        await self.command("DELETE", path_of("lists", list_id), **options)

    async def restore_list(self, list_id: str, **options: Unpack[Options]) -> TaskList:
        """Restore a deleted list, with its members, stages and tasks."""
        return await self._change("POST", path_of("lists", list_id, "restore"), {}, **options)

    async def revert_list(
        self,
        list_id: str,
        as_of: datetime | str | None = None,
        *,
        as_recorded_at: datetime | str | None = None,
        dry_run: bool = False,
        **options: Unpack[Creation],
    ) -> ListRevert:
        """Return the tasks of a list to how they were at a time, or to how the log knew them at a time.

        With `dry_run`, only report the changes.
        """
        body = {**_times(as_of, as_recorded_at), "dry_run": dry_run}
        answer = await self.command("POST", path_of("lists", list_id, "revert"), body, **options)
        return typed(ListRevert, answer.body)

    async def copy_list(
        self,
        list_id: str,
        as_of: datetime | str | None = None,
        *,
        as_recorded_at: datetime | str | None = None,
        name: str | None = None,
        **options: Unpack[Creation],
    ) -> CopiedList:
        """Copy a list as it was at a time, or as the log knew it at a time, into a new list of the caller."""
        body = {**_times(as_of, as_recorded_at), "name": name}
        answer = await self.command("POST", path_of("lists", list_id, "copies"), body, **options)
        return typed(CopiedList, answer.body)

    async def set_member(
        self, list_id: str, user: str, role: Role = "editor", **options: Unpack[Options]
    ) -> TaskList:
        """Add a member to a list, or change the role of a member."""
        return await self._change(
            "PUT", path_of("lists", list_id, "members", user), {"role": role}, **options
        )

    async def remove_member(self, list_id: str, user: str, **options: Unpack[Options]) -> None:
        """Remove a member from a list."""
        await self.command("DELETE", path_of("lists", list_id, "members", user), **options)

    async def leave_list(self, list_id: str, **options: Unpack[Options]) -> None:
        """Leave a list that others own."""
        await self.command("POST", path_of("lists", list_id, "leave"), **options)

    async def hand_over(self, list_id: str, to: str, **options: Unpack[Options]) -> TaskList:
        """Make another member the owner, and the caller an editor."""
        return await self._change("POST", path_of("lists", list_id, "hand-over"), {"to": to}, **options)

    def list_history(
        self, list_id: str, *, outcome: Literal["accepted", "all"] = "accepted", at_most: int | None = None
    ) -> Items[AuditEvent]:
        """Return the events of a list; `all` includes superseded ones."""
        return self._items(AuditEvent, path_of("lists", list_id, "history"), {"outcome": outcome}, at_most)

    async def _change(self, method: str, path: str, body: object, **options: Unpack[Options]) -> TaskList:
        return typed(TaskList, (await self.command(method, path, body, **options)).body)


def _times(as_of: datetime | str | None, as_recorded_at: datetime | str | None) -> dict[str, str]:
    times = {"as_of": as_of, "as_recorded_at": as_recorded_at}
    return {
        name: time.isoformat() if isinstance(time, datetime) else time
        for name, time in times.items()
        if time is not None
    }
