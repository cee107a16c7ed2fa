"""The statement that sums up the changes of lists by day.

A change holds from its time until that of the next change of the task in the list. If a change has an
earlier time than one before it, the earlier values hold only until then: at any time the newest version with
a time up to then holds, as everywhere (`as_of`). So `since` is the smallest time of this and all later
changes.

A day is a number from 1, by its bounds: a parameter, so that days are those of any time zone. Changes before
the first day count for it. Where a number of tasks is needed, the changes of that number are returned.
"""

from __future__ import annotations

from functools import cache

from app.statistics.changes import Counted, Place
from app.statistics.percentiles import SHOWN
from app.statistics.report import GroupBy

# $1 lists; $2, $3, $4 lists, stages, and whether tasks wait there; $5 as of; $6 as recorded at; $7 the bounds
# of the days; $8 the moment; $9 the number of open tasks returned.
_TURNS = int(Counted.COMPLETED | Counted.REOPENED)
_PERCENTILES = f"ARRAY[{', '.join(map(str, SHOWN))}]"
_SPELLS = f"""
    waits AS (
        SELECT * FROM unnest($2::text[], $3::text[], $4::boolean[]) AS w(list_id, stage, waits)
    ), spell AS MATERIALIZED (
        SELECT found.*, coalesce(
            NOT waits.waits, found.stage IS NULL OR found.stage IS DISTINCT FROM found.first_stage
        ) AS started
        FROM unnest($1::text[]) AS wanted(id) CROSS JOIN LATERAL (
            SELECT flow.*, lag(flow.since) OVER versions AS until FROM (
                SELECT task_flow.*, min("at") OVER versions AS since,
                    last_value(stage) OVER (
                        versions ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING
                    ) AS first_stage,
                    count(*) FILTER (WHERE counted & {_TURNS} <> 0) OVER versions AS turns
                FROM task_flow
                WHERE list_id = wanted.id AND ($5::timestamptz IS NULL OR "at" <= $5)
                  AND ($6::timestamptz IS NULL OR recorded_at <= $6)
                WINDOW versions AS (PARTITION BY task_id ORDER BY version DESC)
            ) AS flow
            WINDOW versions AS (PARTITION BY task_id ORDER BY version DESC)
        ) AS found
        LEFT JOIN waits ON waits.list_id = found.list_id AND waits.stage = found.stage
    ), last AS (
        SELECT cardinality($7::timestamptz[]) - 1 AS day
    ), held AS MATERIALIZED (
        SELECT list_id, task_id, place, stage, priority, assignees, tags, estimate, due_at, started, since,
            greatest(width_bucket(since, $7), 1) AS first,
            coalesce(width_bucket(until, $7), last.day + 1) AS upto,
            CASE WHEN due_at <= $8 THEN greatest(width_bucket(greatest(since, due_at), $7), 1) END AS late
        FROM spell, last
        WHERE place <> {int(Place.GONE)} AND (until IS NULL OR since < until)
    ), start AS MATERIALIZED (
        SELECT list_id, task_id, min(since) AS "at" FROM held WHERE started GROUP BY list_id, task_id
    ), finish AS MATERIALIZED (
        SELECT width_bucket(spell."at", $7) AS day,
            extract(epoch FROM spell."at" - spell.created_at)::float AS lead_s,
            extract(epoch FROM spell."at" - coalesce(start."at", spell.created_at))::float AS cycle_s
        FROM spell LEFT JOIN start USING (list_id, task_id)
        WHERE counted & {int(Counted.COMPLETED)} <> 0 AND turns = 1
          AND spell."at" >= $7[1] AND spell."at" < $7[cardinality($7)]
    ), open AS MATERIALIZED (
        SELECT spell.task_id, spell.list_id, spell.stage, spell.created_at,
            CASE WHEN spell.started THEN start."at" END AS started_at
        FROM spell LEFT JOIN start USING (list_id, task_id)
        WHERE place = {int(Place.OPEN)} AND until IS NULL
    )
"""  # noqa: S608
_KEYS: dict[GroupBy, str] = {
    "list": "ARRAY[list_id]",
    "stage": "ARRAY[stage]",
    "priority": "ARRAY[priority]",
    "assignee": "coalesce(assignees, ARRAY[NULL::text])",
    "tag": "coalesce(tags, ARRAY[NULL::text])",
}


@cache
def statement(group_by: GroupBy | None) -> str:
    """Return the statement, with the sums of groups if wanted. Each column is JSON."""
    columns = {
        "levels": _levels("place, started, stage", "sum(change), coalesce(sum(change * estimate), 0)"),
        "overdue": _overdue(""),
        "events": f"""
            SELECT json_build_array(width_bucket("at", $7), {_counts()},
                coalesce(sum(estimate) FILTER (WHERE counted & {int(Counted.COMPLETED)} <> 0), 0)) AS row
            FROM spell WHERE {_IN_DAYS} GROUP BY width_bucket("at", $7)
        """,  # noqa: S608
        "throughput": "SELECT json_build_array(day, count(*)) AS row FROM finish GROUP BY day",
        "oldest": """
            SELECT json_build_array(task_id, list_id, stage, extract(epoch FROM created_at),
                extract(epoch FROM started_at)) AS row
            FROM (SELECT * FROM open ORDER BY created_at, task_id LIMIT $9) AS oldest
        """,
    }
    if group_by is not None:
        key = _KEYS[group_by]
        columns |= {
            "group_levels": _levels("key, place", "sum(change)", key),
            "group_overdue": _overdue("key, ", key),
            "group_events": f"""
                SELECT json_build_array(width_bucket("at", $7), key, {_count(Counted.CREATED)},
                    {_count(Counted.COMPLETED)}) AS row
                FROM spell CROSS JOIN unnest({key}) AS key WHERE {_IN_DAYS}
                GROUP BY width_bucket("at", $7), key
            """,  # noqa: S608
        }
    return f"""
        WITH {_SPELLS} SELECT
            {", ".join(_all(query, name) for name, query in columns.items())},
            {_durations("finish", "greatest(lead_s, 0)")} AS lead_time,
            {_durations("finish", "greatest(cycle_s, 0)")} AS cycle_time,
            {_durations("open", "greatest(extract(epoch FROM $8 - created_at)::float, 0)")} AS age,
            (SELECT to_json(count(*)) FROM open) AS open_count,
            (SELECT to_json(count(*)) FROM spell) AS changes
    """  # noqa: S608


def _all(query: str, name: str) -> str:
    """Return a column with all values of a query."""
    return f"(SELECT json_agg(row) FROM ({query}) AS rows) AS {name}"  # noqa: S608


_IN_DAYS = 'counted <> 0 AND "at" >= $7[1] AND "at" < $7[cardinality($7)]'


def _levels(by: str, sums: str, key: str = "") -> str:
    """Return a query for the changes of the number of tasks, by the day and these columns."""
    source = f"held CROSS JOIN unnest({key}) AS key" if key else "held"
    return f"""
        SELECT json_build_array(day, {by}, {sums}) AS row FROM (
            SELECT held.*, each.day, each.change {", key" if key else ""} FROM {source}
            CROSS JOIN LATERAL (VALUES (first, 1), (upto, -1)) AS each(day, change), last
            WHERE first < upto AND each.day <= last.day
        ) AS changes GROUP BY day, {by} HAVING sum(change) <> 0 OR sum(change * estimate) <> 0
    """  # noqa: S608


def _overdue(by: str, key: str = "") -> str:
    """Return a query for the changes of the number of overdue tasks."""
    source = f"held CROSS JOIN unnest({key}) AS key" if key else "held"
    return f"""
        SELECT json_build_array(day, {by} sum(change)) AS row FROM (
            SELECT each.day, each.change {", key" if key else ""} FROM {source}
            CROSS JOIN LATERAL (VALUES (late, 1), (upto, -1)) AS each(day, change), last
            WHERE place = {int(Place.OPEN)} AND late < upto AND each.day <= last.day
        ) AS changes GROUP BY {by} day HAVING sum(change) <> 0
    """  # noqa: S608


def _counts() -> str:
    return ", ".join(_count(flag) for flag in Counted)


def _count(flag: Counted) -> str:
    return f"count(*) FILTER (WHERE counted & {int(flag)} <> 0)"


def _durations(source: str, seconds: str) -> str:
    return f"""
        (SELECT json_build_array(count(*), percentile_cont({_PERCENTILES}) WITHIN GROUP (ORDER BY {seconds}))
        FROM {source})
    """  # noqa: S608
