"""Lists at a past moment: their states, and the tasks that they contained."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

import asyncpg

from app.lists.state import TaskList
from app.log.event_json import NULL
from app.log.updates import state_from_json
from app.tasks.state import Task
from projections.postgres import stream_ids as stream_sql
from projections.postgres.connections import Source as Rows
from projections.postgres.periods import Clock, Moment
from projections.postgres.sql_parameters import Parameters, Statement
from projections.read_models.audit_rows import state_columns, state_from_row
from projections.read_models.tasks import DELETED
from projections.task_search.sources import Source, unchanged_since, versions_at
from projections.task_search.task_states import states

_TIMES: Mapping[Clock, str] = {"event": "time", "recorded": "recorded_at"}


def list_state_at(list_id: str, clock: Clock, time: str) -> str:
    """Return the subquery for the state of a list at a time."""
    return f"""
        SELECT stream, {state_columns()}, deleted_at FROM audit
        WHERE {stream_sql.is_stream(stream_sql.stream_of("list", list_id))} AND outcome = 'accepted'
          AND state IS NOT NULL AND {_TIMES[clock]} <= {time}
        ORDER BY version DESC LIMIT 1
    """  # noqa: S608


_LIST = {clock: list_state_at("$1::text", clock, "$2") for clock in _TIMES}


async def list_at(rows: Rows, list_id: str, moment: Moment) -> TaskList | None:
    """Return a list at a moment, or None if it did not exist yet."""
    row = await rows.fetchrow(_LIST[moment.clock], list_id, moment.time)
    return None if row is None else list_of_state(row)


def list_of_state(row: asyncpg.Record) -> TaskList:
    """Return a list from a row of `list_state_at`."""
    return cast("TaskList", state_from_json("list", state_from_row(row) or NULL))


async def tasks_at(rows: Rows, ids: Sequence[str], moment: Moment) -> dict[str, Task]:
    """Return tasks at a moment by id; omit those that did not exist yet."""
    found = await states(rows, ids, moment.time, moment.clock)
    return {key: state.decode() for key, state in found.items()}


def sources_at(moment: Moment) -> Sequence[Source]:
    """Return the sources that together contain every task at a moment."""
    return unchanged_since(moment), versions_at(moment)


def contained(list_id: str, sources: Sequence[Source], limit: int) -> Statement:
    """Return the statement for the ids of at most `limit` existing tasks of a list, in order."""
    parameters = Parameters()
    found = _versions(list_id, sources, parameters, deleted=False)
    limited = f"ORDER BY id LIMIT {parameters.add(limit, 'bigint')}"
    return f"SELECT id FROM ({found}) AS found {limited}", *parameters.values  # noqa: S608


def differing(
    list_id: str,
    former: Sequence[Source],
    later: Sequence[Source],
    limit: int,
    *,
    after: str = "",
    deleted: bool = False,
) -> Statement:
    """Return the statement for the ids of tasks that are not at the same version in a list, in order.

    Deleted tasks do not count as in the list, unless `deleted` is set.
    """
    parameters = Parameters()
    before, then = (_versions(list_id, sources, parameters, deleted=deleted) for sources in (former, later))
    return (
        f"""
        SELECT id FROM ({before}) AS former FULL JOIN ({then}) AS later USING (id)
        WHERE former.version IS DISTINCT FROM later.version AND id > {parameters.add(after, "text")}
        ORDER BY id LIMIT {parameters.add(limit, "bigint")}
        """,  # noqa: S608
        *parameters.values,
    )


def _versions(list_id: str, sources: Sequence[Source], parameters: Parameters, *, deleted: bool) -> str:
    """Return the query for the tasks of a list in these sources, and their versions."""
    most = DELETED if deleted else DELETED - 1
    found = (_versions_in(source, list_id, most, parameters) for source in sources)
    return " UNION ALL ".join(found)


def _versions_in(source: Source, list_id: str, most: int, parameters: Parameters) -> str:
    conditions = [
        f"t.list_id = {parameters.add(list_id, 'text')}",
        f"t.status_bucket <= {most}",
        *source.valid(parameters),
        *source.found_by(parameters),
    ]
    return f"SELECT t.id, t.version FROM {source.walked} WHERE {' AND '.join(conditions)}"  # noqa: S608
