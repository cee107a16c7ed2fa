"""Read models with many tasks, made by SQL, like those of a team after three years.

The older two thirds are mostly done. Words, tags, stages and people are distributed unevenly: a few
are on half of the tasks, many on a handful. Dora joined recently, so her tasks are at one end of the order.
"""

from __future__ import annotations

from datetime import UTC, datetime

import asyncpg

from app.stream_ids import task_stream
from app.text.collation import collation_key
from benchmarks.blocks import blocks_sql
from projections.read_models.packed_states import PACKED, pack
from projections.read_models.tasks import STATE_COLUMNS

TASKS = 200_000
LISTS = 400
"""Half of the tasks are in list 0, the others are spread over so many lists."""
PACKED_TOGETHER = 10_000
"""The tasks whose states are packed at a time."""
NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
"""When the newest task was created; one every eight minutes came before it."""


def list_id(number: int) -> str:
    """Return the id of a list: of the big one, 0, or of one from 1 to `LISTS`."""
    return f"10000000-0000-4000-8000-{number:012d}"


async def fill(
    connection: asyncpg.Connection[asyncpg.Record],
    tasks: int = TASKS,
    versions: int = 0,
    *,
    history: bool = False,
) -> None:
    """Fill the empty tables of the search path. Alice sees every list, bob every tenth of the small ones.

    Each task has so many past versions, spread evenly from its creation to its last change. With
    `history`, tasks change for years, and the audit has every version.
    The tables do not survive a crash of the server. That, and making the indexes last, halves the time.
    """
    await connection.execute("SET maintenance_work_mem = '256MB'")
    for table in _FILLED:
        await connection.execute(f"ALTER TABLE {table} SET UNLOGGED")
    indexes = await connection.fetch(_INDEXES, _FILLED)
    for index in indexes:
        await connection.execute(f"DROP INDEX {index['name']}")
    await connection.execute(_MANY_LISTS, LISTS, NOW)
    await connection.execute(_MEMBERS)
    await connection.execute(_DRAWN, tasks, LISTS, NOW, history)
    titles = await connection.fetch("SELECT DISTINCT title FROM drawn")
    keys = [(title, collation_key(title)) for (title,) in titles]
    await connection.execute("CREATE TEMPORARY TABLE title_orders (title text, title_order text)")
    await connection.copy_records_to_table("title_orders", records=keys)
    await connection.execute(_MANY_TASKS, versions + 1)
    await connection.execute(_MANY_VERSIONS, versions)
    await connection.execute("DROP TABLE drawn, title_orders")
    await connection.execute("CREATE TEMPORARY TABLE states (id text, bytes integer, packed bytea)")
    await _pack_states(connection)
    await connection.execute(_STATES, versions if history else 0)
    await connection.execute("DROP TABLE states")
    await connection.execute(_COMMENTS)
    await connection.execute(_DOCUMENTS)
    for index in indexes:
        await connection.execute(index["definition"])
    await connection.execute(
        "VACUUM (ANALYZE) tasks, task_search, task_versions, audit, comments, lists, list_members"
    )


async def _pack_states(connection: asyncpg.Connection[asyncpg.Record]) -> None:
    """Pack the states of tasks as the audit has them: SQL cannot."""
    async with connection.transaction():
        tasks = await connection.cursor(_JSON)
        while rows := await tasks.fetch(PACKED_TOGETHER):
            records = [
                (task_id, len(json), _packed(task_id, of_list, json)) for task_id, of_list, json in rows
            ]
            await connection.copy_records_to_table("states", records=records)


def _packed(task_id: str, of_list: str, json: str) -> bytes:
    packed = pack(json.encode(), task_stream(task_id), of_list)
    assert packed.startswith(PACKED)
    return packed


_FILLED = ["tasks", "task_search", "task_versions", "audit"]
_INDEXES = """
    SELECT indexname AS name, indexdef AS definition FROM pg_indexes
    WHERE schemaname = current_schema AND tablename = ANY($1) AND indexname NOT LIKE '%pkey'
"""
_MANY_LISTS = """
    INSERT INTO lists (id, name, inbox, members, stages, version, created_at, created_by, updated_at)
    SELECT '10000000-0000-4000-8000-' || lpad(n::text, 12, '0'), 'List ' || n, false, '{}', '[]', 1,
        $2::timestamptz, 'alice', $2
    FROM generate_series(0, $1::int) n
"""
_MEMBERS = """
    INSERT INTO list_members (list_id, user_id, role)
    SELECT id, 'alice', 'owner' FROM lists UNION ALL
    SELECT id, 'bob', 'editor' FROM lists WHERE name LIKE '%7'
"""
# dice(n, of) is 0 to of - 1; the square of an even die is uneven.
_DRAWN = """
    CREATE TEMPORARY TABLE drawn AS WITH numbers AS (
        SELECT n, n::float / $1::int AS age, $3::timestamptz - ($1 - n) * interval '8 minutes' AS created_at,
            abs(hashint4(n)) AS h, abs(hashint4(n + 1000000)) AS g, abs(hashint4(n + 2000000)) AS f
        FROM generate_series(1, $1) n
    )
        SELECT n, created_at, h, g, f,
            '10000000-0000-4000-8000-' || lpad(
                (CASE WHEN n % 2 = 0 THEN 0 ELSE 1 + g % $2::int END)::text, 12, '0') AS list_id,
            CASE WHEN h % 100 < CASE WHEN age < 0.66 THEN 97 ELSE 30 END THEN 'done' ELSE 'open' END
                AS status,
            CASE WHEN f % 10 < 4 THEN 'Stage ' || ((f / 10) % 12) * ((g / 10) % 12) / 12 END AS stage,
            CASE WHEN g % 100 < 60 THEN 'none' WHEN g % 100 < 75 THEN 'low' WHEN g % 100 < 87 THEN 'medium'
                WHEN g % 100 < 96 THEN 'high' ELSE 'urgent' END AS priority,
            CASE WHEN h % 7 < 4 THEN ARRAY['tag' || ((h / 7) % 15) * ((g / 7) % 15)] ELSE '{}' END
                || CASE WHEN g % 7 < 2 THEN ARRAY['home'] ELSE '{}' END AS tags,
            CASE WHEN f % 5 < 3 THEN ARRAY['person' || ((f / 5) % 6) * ((h / 5) % 6)] ELSE '{}' END
                || CASE WHEN age > 0.97 AND f % 3 = 0 THEN ARRAY['dora'] ELSE '{}' END AS assignees,
            CASE WHEN f % 2 = 0 THEN (created_at + (h % 60) * interval '1 day')::date END AS due,
            created_at + CASE WHEN $4 THEN ($3 - created_at) * (g % 1000 / 1000.0)
                ELSE (f % 90) * interval '1 day' END AS changed_at,
            CASE WHEN h % 25 = 0 THEN 'parent' || h % 2000 END AS parent_id,
            CASE WHEN h % 2 = 0 THEN 'Meeting with w' ELSE 'Write to w' END || ((h / 3) % 40) * ((g / 3) % 40)
                || ' about w' || f % 20000 || CASE WHEN h % 9 = 0 THEN ' and follow up' ELSE '' END AS title,
            CASE WHEN g % 3 = 0 THEN (
                SELECT string_agg('w' || abs(hashint4(n * 40 + k)) % (k * k * 5), ' ')
                FROM generate_series(1, 30) k
            ) ELSE '' END AS notes
        FROM numbers
"""
_MANY_TASKS = """
    INSERT INTO tasks (id, list_id, title, notes, status, stage, priority, due, tags, assignees, parent_id,
        recurrence_from, reminders, reminded, comment_count, rank, version, created_at, created_by,
        updated_at, completed_at, since, known_since, due_at, priority_order, title_order, status_bucket,
        facets)
    SELECT '20000000-0000-7000-8000-' || lpad(n::text, 12, '0'), list_id, title, notes, status, stage,
        priority, due::text, tags, assignees, parent_id, 'due', '[]', '{}', 0,
        lpad(to_hex(n + 1700000000), 13, '0') || 'i', $1, created_at, 'alice',
        changed_at, CASE status WHEN 'done' THEN created_at END, changed_at, changed_at,
        due + interval '1 day - 1 microsecond',
        array_position(ARRAY['none', 'low', 'medium', 'high', 'urgent'], priority) - 1, title_order,
        CASE status WHEN 'open' THEN 0 ELSE 1 END,
        ARRAY['list:' || list_id, 'is:' || status, 'p:' || priority, 'by:alice']
            || CASE WHEN stage IS NULL THEN '{}' ELSE ARRAY['stage:' || stage] END
            || CASE WHEN parent_id IS NULL THEN '{}' ELSE ARRAY['parent:' || parent_id, 'has:parent'] END
            || ARRAY(SELECT 'tag:' || tag FROM unnest(tags) tag)
            || ARRAY(SELECT 'assignee:' || assignee FROM unnest(assignees) assignee)
            || CASE WHEN notes = '' THEN '{}' ELSE ARRAY['has:notes'] END
            || CASE WHEN due IS NULL THEN '{}' ELSE ARRAY['has:due'] END
    FROM drawn JOIN title_orders USING (title)
"""
# All but the last third of the versions are open.
_MANY_VERSIONS = f"""
    INSERT INTO task_versions (id, version, since, until, known_since, known_until, list_id, status_bucket,
        rank, created_at, updated_at, due_at, priority_order, title_order, estimate, due, facets, blocks)
    SELECT id, version, first, last, first, last, list_id, was.status_bucket, rank, created_at, first, due_at,
        priority_order, title_order, estimate, due,
        CASE WHEN was.status_bucket = t.status_bucket THEN facets
            ELSE array_replace(facets, 'is:done', 'is:open') END,
        {blocks_sql("first", "last", "first", "last")}
    FROM tasks t CROSS JOIN generate_series(1, $1::int) AS version(version), LATERAL (SELECT
        created_at + (since - created_at) * (version.version - 1) / $1 AS first,
        created_at + (since - created_at) * version.version / $1 AS last,
        CASE WHEN 3 * version.version > 2 * $1 THEN t.status_bucket ELSE 0 END AS status_bucket
    ) AS was
""".replace("SELECT id, version,", "SELECT id, version.version,")
_JSON = f"""
    SELECT id, list_id, row_to_json(state)::text AS json
    FROM (SELECT {", ".join(STATE_COLUMNS)} FROM tasks) AS state
"""
_STATES = """
    INSERT INTO audit (partition, "offset", outcome, stream, version, time, recorded_at,
        list_id, state_bytes, state)
    SELECT 0, row_number() OVER (), 'accepted', 'task:' || id, number,
        created_at + (since - created_at) * (number - version + $1) / greatest($1, 1),
        created_at + (since - created_at) * (number - version + $1) / greatest($1, 1),
        list_id::uuid, bytes, packed
    FROM tasks JOIN states USING (id) CROSS JOIN generate_series(version - $1::int, version) AS number
"""
_COMMENTS = """
    INSERT INTO comments (task_id, id, author, text, mentions, created_at)
    SELECT id, id, 'bob', 'I asked about it: comment' || abs(hashtext(id)) % 5000, '{}', created_at
    FROM tasks WHERE abs(hashtext(id)) % 20 = 0
"""
_DOCUMENTS = r"""
    INSERT INTO task_search (task_id, list_id, status_bucket, priority_order, created_at, updated_at, due_at,
        due, rank, title_order, facets, since, known_since, document)
    SELECT tasks.id, list_id, status_bucket, priority_order, tasks.created_at, updated_at, due_at, due, rank,
        title_order, facets, since, known_since, to_tsvector('simple', title) || to_tsvector('simple', notes)
        || to_tsvector('simple', coalesce(comments.text, ''))
        || regexp_replace(to_tsvector('simple', title)::text, $$'(\w)$$, $$'=\1$$, 'g')::tsvector
    FROM tasks LEFT JOIN comments ON comments.task_id = tasks.id
"""
