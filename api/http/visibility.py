"""The check of routes whether a user may see a task or list."""

from __future__ import annotations

from api.http.dependencies import Dependencies
from app.channels import Channel
from app.stream_ids import StreamId


async def may_see(deps: Dependencies, user: str, subject: StreamId | Channel) -> bool:
    """Return True if a user may see the task or list of a stream or channel; False for other kinds."""
    match subject.kind:
        case "task":
            return await deps.tasks.may_see(user, subject.key)
        case "list":
            return await deps.lists.may_see(user, subject.key)
        case _:
            return False
