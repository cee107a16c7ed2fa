"""The tasks of a list at an earlier time, beside their present states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import asyncpg

from app.lists.state import TaskList
from app.log.fold import State
from app.log.updates import state_from_json
from app.stream_ids import list_stream
from app.tasks.state import Task
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Connection
from projections.postgres.snapshots import snapshot
from projections.read_models import lists, tasks
from projections.task_search.task_states import states

READ_AT_ONCE = 1_000
"""The number of tasks that one statement reads."""

_HERE = "SELECT id FROM tasks WHERE list_id = $1 AND deleted_at IS NULL ORDER BY id LIMIT $2"
_CHANGED_HERE = """
    SELECT id FROM tasks WHERE list_id = $1 AND (updated_at > $3 OR created_at > $3) ORDER BY id LIMIT $2
"""
_LEFT = f"""
    SELECT DISTINCT {stream_sql.KEY} AS id FROM audit
    WHERE left_list_id = $1 AND outcome = 'accepted' AND {stream_sql.IS_TASK} ORDER BY id LIMIT $2
"""  # noqa: S608
_LIST_AS_OF = """
    SELECT state FROM audit WHERE stream = $1 AND outcome = 'accepted' AND state IS NOT NULL AND time <= $2
    ORDER BY version DESC LIMIT 1
"""


class TooManyTasks(Exception):
    """Error if more tasks must be read than a caller allows."""


@dataclass(frozen=True, slots=True)
class ListChanges:
    """The tasks that are or were in a list and changed since, now and then, and the lists they are in."""

    now: Mapping[str, Task]
    then: Mapping[str, Task]
    lists: Mapping[str, TaskList]


class ListContents:
    """The queries, on a pool of the live generation. The caller checks permissions."""

    def __init__(self, pool: asyncpg.Pool[asyncpg.Record]) -> None:
        self._pool = pool

    async def changes_since(self, list_id: str, time: datetime, *, at_most: int) -> ListChanges:
        """Return the tasks that are in a list, or were at `time`, and have changed since.

        Raise `TooManyTasks` if more than `at_most` tasks have changed.
        """
        async with snapshot(self._pool) as connection:
            here = await connection.fetch(_CHANGED_HERE, list_id, at_most + 1, time)
            left = await connection.fetch(_LEFT, list_id, at_most + 1)
            ids = sorted({row["id"] for row in (*here, *left)})
            if len(ids) > at_most:
                raise TooManyTasks
            now, then = await _now(connection, ids), await _then(connection, ids, time)
            concerned = {
                task_id: task
                for task_id, task in now.items()
                if list_id in (task.list_id, then[task_id].list_id if task_id in then else None)
            }
            places = {task.list_id for each in (now, then) for task in each.values()}
            return ListChanges(
                concerned,
                {task_id: task for task_id, task in then.items() if task_id in concerned},
                await lists.load(connection, sorted(places)),
            )

    async def as_of(self, list_id: str, time: datetime, *, at_most: int) -> Mapping[str, Task]:
        """Return the tasks that were in a list at `time`, by id. Raise `TooManyTasks`."""
        async with snapshot(self._pool) as connection:
            rows = [
                *await connection.fetch(_CHANGED_HERE, list_id, at_most + 1, time),
                *await connection.fetch(_HERE, list_id, at_most + 1),
                *await connection.fetch(_LEFT, list_id, at_most + 1),
            ]
            ids = sorted({row["id"] for row in rows})
            if len(ids) > at_most:
                raise TooManyTasks
            found = await _then(connection, ids, time)
        return {
            task_id: task
            for task_id, task in found.items()
            if task.list_id == list_id and task.deleted_at is None
        }

    async def list_as_of(self, list_id: str, time: datetime) -> TaskList | None:
        """Return the state of a list at `time`, or None if it did not exist."""
        state = await self._pool.fetchval(_LIST_AS_OF, list_stream(list_id), time)
        found: State | None = None if state is None else state_from_json("list", state)
        return found if isinstance(found, TaskList) else None


async def _now(connection: Connection, ids: Sequence[str]) -> dict[str, Task]:
    found: dict[str, Task] = {}
    for first in range(0, len(ids), READ_AT_ONCE):
        found |= await tasks.load(connection, list(ids[first : first + READ_AT_ONCE]))
    return found


async def _then(connection: Connection, ids: Sequence[str], time: datetime) -> dict[str, Task]:
    found: dict[str, Task] = {}
    for first in range(0, len(ids), READ_AT_ONCE):
        part = await states(connection, ids[first : first + READ_AT_ONCE], time)
        found |= {task_id: state.decode() for task_id, state in part.items()}
    return found
