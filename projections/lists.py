"""The read models of lists: one row a list, and who may see which."""

from __future__ import annotations

import asyncpg
from pydantic_core import from_json, to_json

from app.lists import TaskList
from projections.projection import Connection, Projected, Source

STATE_COLUMNS = tuple(TaskList.__dataclass_fields__)
_COLUMNS = ", ".join(STATE_COLUMNS)
_LOAD = f"SELECT {_COLUMNS} FROM lists WHERE id = ANY($1)"  # noqa: S608
_UPSERT = f"""
    INSERT INTO lists ({_COLUMNS}) SELECT {_COLUMNS} FROM json_populate_recordset(NULL::lists, $1::json)
    ON CONFLICT (id) DO UPDATE SET {", ".join(f"{name} = excluded.{name}" for name in STATE_COLUMNS[1:])}
"""  # noqa: S608
_FORGET_MEMBERS = "DELETE FROM list_members WHERE list_id = ANY($1)"
_WRITE_MEMBERS = """
    INSERT INTO list_members (list_id, user_id, role)
    SELECT list_id, user_id, role
    FROM json_to_recordset($1::json) AS member(list_id text, user_id text, role text)
"""


async def load(source: Source, ids: list[str]) -> dict[str, TaskList]:
    """The states of lists by id; ids without a list are absent."""
    rows = await source.fetch(_LOAD, ids)
    return {row["id"]: list_from_row(row) for row in rows}


def list_from_row(row: asyncpg.Record) -> TaskList:
    """A list from a row that starts with the columns in `STATE_COLUMNS`, in their order."""
    values = list(row.values())[: len(STATE_COLUMNS)]
    values[_MEMBERS] = from_json(values[_MEMBERS])
    values[_STAGES] = tuple(from_json(values[_STAGES]))
    return TaskList(*values)


_MEMBERS = STATE_COLUMNS.index("members")
_STAGES = STATE_COLUMNS.index("stages")


async def write(connection: Connection, batch: list[Projected]) -> None:
    """Write the newest state of every list that the batch changed, and its members while it exists."""
    newest = {
        projected.folded.after.id: (projected.folded.after, projected.state)
        for projected in batch
        if projected.folded.outcome == "accepted" and isinstance(projected.folded.after, TaskList)
    }
    if not newest:
        return
    await connection.execute(_UPSERT, (b"[%s]" % b",".join(state for _, state in newest.values())).decode())
    await connection.execute(_FORGET_MEMBERS, list(newest))
    members = [
        {"list_id": task_list.id, "user_id": user, "role": role}
        for task_list, _ in newest.values()
        if task_list.deleted_at is None
        for user, role in task_list.members.items()
    ]
    await connection.execute(_WRITE_MEMBERS, to_json(members).decode())
