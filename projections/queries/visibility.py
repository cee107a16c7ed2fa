"""Visibility: users see the tasks of the lists that they are members of."""

from __future__ import annotations

from collections.abc import Collection

import asyncpg

from app.errors import Unavailable
from projections.postgres.batch_loader import BatchLoader
from projections.postgres.database import DATABASE_UNAVAILABLE, Database
from projections.postgres.sql_parameters import array
from projections.read_models.members import SEEN_LIST, all_seen_by, seen_by

_CHECKPOINTS = """
    (SELECT array_agg(partition ORDER BY partition) FROM checkpoints) AS partitions,
    (SELECT array_agg(next_offset ORDER BY partition) FROM checkpoints) AS reached
"""
_LISTS = f"""
    SELECT asked.user_id, array_remove(array_agg({SEEN_LIST}), NULL) AS lists, {_CHECKPOINTS}
    FROM unnest({array("$1", "text")}) AS asked(user_id)
    LEFT {all_seen_by("asked.user_id")}
    GROUP BY asked.user_id
"""  # noqa: S608
_LISTS_OF_TASKS = f"""
    SELECT asked.id, asked.user_id, {SEEN_LIST}, {_CHECKPOINTS}
    FROM unnest({array("$1", "text")}, {array("$2", "text")}) AS asked(id, user_id)
    LEFT JOIN tasks ON tasks.id = asked.id
    LEFT {seen_by("asked.user_id", "tasks.list_id")}
"""  # noqa: S608


class MemberVisibility:
    """The present visibility in the read models. Its methods raise `Unavailable`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lists = BatchLoader(self._lists_at)
        self._tasks = BatchLoader(self._lists_of_tasks)

    async def lists_at(self, user: str) -> tuple[set[str], dict[int, int]]:
        """Return the lists that the user may see as a member, and the positions of the read models."""
        found = await self._lists.load(user)
        assert found is not None
        return found

    async def lists_of(self, user: str) -> set[str]:
        """Return the lists that the user may see as a member."""
        lists, _ = await self.lists_at(user)
        return lists

    async def list_of_task_at(self, user: str, task_id: str) -> tuple[str | None, dict[int, int]]:
        """Return the list of a task, deleted or not, and the positions; None if the user may not see it."""
        found = await self._tasks.load((task_id, user))
        assert found is not None
        return found

    async def _lists_at(self, users: Collection[str]) -> dict[str, tuple[set[str], dict[int, int]]]:
        rows = await self._fetch(_LISTS, list(users))
        return {row["user_id"]: (set(row["lists"]), _reached(row)) for row in rows}

    async def _lists_of_tasks(
        self, asked: Collection[tuple[str, str]]
    ) -> dict[tuple[str, str], tuple[str | None, dict[int, int]]]:
        ids, users = [task_id for task_id, _ in asked], [user for _, user in asked]
        rows = await self._fetch(_LISTS_OF_TASKS, ids, users)
        return {(row["id"], row["user_id"]): (row["list_id"], _reached(row)) for row in rows}

    async def _fetch(self, statement: str, *parameters: object) -> list[asyncpg.Record]:
        try:
            return await self._database.pool.fetch(statement, *parameters)
        except DATABASE_UNAVAILABLE as error:
            raise Unavailable("the database is unavailable") from error


def _reached(row: asyncpg.Record) -> dict[int, int]:
    pairs = zip(row["partitions"] or (), row["reached"] or (), strict=True)
    return {partition: next_offset - 1 for partition, next_offset in pairs}
