"""The states of tasks as JSON, from the audit: the newest ones, and earlier ones.

The audit has every state as the API sends it. A state that is only passed on is therefore not decoded, which
takes a fraction of the time of reading its columns and encoding them again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, cast

from app.log.updates import state_from_json
from app.stream_ids import task_stream
from app.tasks.state import Task
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Source
from projections.postgres.periods import PERIODS, Clock
from projections.postgres.sql_parameters import array
from projections.read_models.audit_rows import state_columns
from projections.read_models.packed_states import unpack


def newest_state(task_id: str, condition: str = "true") -> str:
    """Return the subquery for the newest state of a task among the events that meet a condition."""
    return f"""
        SELECT version, {state_columns()} FROM audit
        WHERE {stream_sql.is_stream(stream_sql.stream_of("task", task_id))} AND outcome = 'accepted'
          AND state IS NOT NULL AND {condition}
        ORDER BY version DESC LIMIT 1
    """  # noqa: S608


_WANTED = (
    f"SELECT id, version, list_id, state FROM unnest({array('$1', 'text')}) AS wanted(id) CROSS JOIN LATERAL"  # noqa: S608
)
NEWEST = f"{_WANTED} ({newest_state('wanted.id')}) AS newest"
# The ends of versions never go back, so the first version that has not ended by then is found by halving: a
# task with thousands of versions takes a few steps more. It is valid if it has begun.
AS_OF: Mapping[Clock, str] = {
    clock: f"""
        SELECT wanted.id, valid.version, found.list_id, found.state
        FROM unnest({array("$1", "text")}) AS wanted(id) JOIN tasks ON tasks.id = wanted.id
        CROSS JOIN LATERAL (
            SELECT tasks.version WHERE tasks.{since} <= $2
            UNION ALL SELECT version FROM task_versions WHERE tasks.{since} > $2
                AND task_versions.id = tasks.id AND {since} <= $2 AND version = (
                    WITH RECURSIVE halved(first, last) AS (
                        SELECT 1::bigint, tasks.version
                        UNION ALL SELECT
                            CASE WHEN ended.already THEN middle + 1 ELSE first END,
                            CASE WHEN ended.already THEN last ELSE middle END
                        FROM halved CROSS JOIN LATERAL (SELECT (first + last) / 2 AS middle) AS half
                        CROSS JOIN LATERAL (
                            SELECT {until} <= $2 AS already FROM task_versions
                            WHERE id = tasks.id AND version = half.middle
                        ) AS ended WHERE first < last
                    ) SELECT first FROM halved WHERE first = last
                )
        ) AS valid
        CROSS JOIN LATERAL (
            SELECT {state_columns()} FROM audit
            WHERE {stream_sql.is_stream(stream_sql.stream_of("task", "wanted.id"))}
                AND audit.version = valid.version AND outcome = 'accepted' AND state IS NOT NULL LIMIT 1
        ) AS found
    """  # noqa: S608
    for clock, (since, until) in PERIODS.items()
}
AT_VERSION = f"""
    SELECT version, {state_columns()} FROM audit
    WHERE {stream_sql.is_stream("$1")} AND version = $2 AND outcome = 'accepted' AND state IS NOT NULL
"""  # noqa: S608


class TaskState(NamedTuple):
    """The state of a task after `version` events, as JSON."""

    id: str
    version: int
    json: bytes

    @classmethod
    def unpacked(cls, task_id: str, version: int, list_id: str, state: bytes) -> TaskState:
        """Return the state in a row of the audit."""
        return cls(task_id, version, unpack(state, task_stream(task_id), list_id))

    def decode(self) -> Task:
        """Return the task."""
        return cast("Task", state_from_json("task", self.json))


async def states(
    source: Source, ids: Sequence[str], time: datetime | None = None, clock: Clock = "event"
) -> dict[str, TaskState]:
    """Return the states of tasks by id, the newest or those at `time`; omit ids without one."""
    rows = await (source.fetch(NEWEST, ids) if time is None else source.fetch(AS_OF[clock], ids, time))
    return {row["id"]: TaskState.unpacked(*row) for row in rows}


async def state_at_version(source: Source, task_id: str, version: int) -> TaskState | None:
    """Return the state of a task after its first `version` events."""
    row = await source.fetchrow(AT_VERSION, task_stream(task_id), version)
    return None if row is None else TaskState.unpacked(task_id, *row)
