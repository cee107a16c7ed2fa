"""Calls on comments."""

from __future__ import annotations

from datetime import datetime
from typing import Unpack

from tasktape_client.calls import Calls, Items, Options, path_of, typed
from tasktape_client.models import Comment


class CommentCalls(Calls):
    """The calls on comments. They raise `TasktapeError`, and commands also `Pending`."""

    def comments(
        self,
        task_id: str,
        *,
        as_of: datetime | str | None = None,
        as_recorded_at: datetime | str | None = None,
        at_most: int | None = None,
    ) -> Items[Comment]:
        """Return the comments on a task, oldest first: now, at a time, or as the log knew them at a time."""
        params = {"as_of": as_of, "as_recorded_at": as_recorded_at}
        return self._items(Comment, path_of("tasks", task_id, "comments"), params, at_most)

    async def comment(self, task_id: str, text: str, **options: Unpack[Options]) -> Comment:
        """Comment on a task. `@name` mentions a member of its list."""
        answer = await self.command("POST", path_of("tasks", task_id, "comments"), {"text": text}, **options)
        return await self._one(answer.headers["location"])

    async def edit_comment(
        self, task_id: str, comment_id: str, text: str, **options: Unpack[Options]
    ) -> Comment:
        """Edit a comment."""
        path = path_of("tasks", task_id, "comments", comment_id)
        await self.command("PATCH", path, {"text": text}, **options)
        return await self._one(path)

    async def delete_comment(self, task_id: str, comment_id: str, **options: Unpack[Options]) -> None:
        """Delete a comment."""
        await self.command("DELETE", path_of("tasks", task_id, "comments", comment_id), **options)

    async def _one(self, path: str) -> Comment:
        """Read the comment, because the command returns the task."""
        return typed(Comment, (await self.read(path)).body)
