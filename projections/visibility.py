"""Who may see what: one sees the tasks of the lists that one is a member of."""

from __future__ import annotations

from app.authorisation import ALLOWED, ReadList
from app.errors import Unavailable
from projections.database import AWAY, Database

_READERS = sorted(ALLOWED[ReadList])
_LISTS = "SELECT list_id FROM list_members WHERE user_id = $1 AND role = ANY($2)"
_LIST_OF_TASK = """
    SELECT tasks.list_id FROM tasks JOIN list_members USING (list_id)
    WHERE tasks.id = $1 AND user_id = $2 AND role = ANY($3)
"""


class MemberVisibility:
    """Visibility as the read models have it now. Its methods raise `Unavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def lists_of(self, user: str) -> set[str]:
        """The lists that the user may see, as a member of them."""
        try:
            rows = await self._database.pool.fetch(_LISTS, user, _READERS)
        except AWAY as error:
            raise Unavailable("the database is away") from error
        return {row["list_id"] for row in rows}

    async def list_of_task(self, user: str, task_id: str) -> str | None:
        """The list of a task, deleted ones included, that the user may see, or None."""
        try:
            list_id: str | None = await self._database.pool.fetchval(_LIST_OF_TASK, task_id, user, _READERS)
        except AWAY as error:
            raise Unavailable("the database is away") from error
        return list_id
