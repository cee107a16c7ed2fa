"""The read model of members, and the SQL that says what a user may see and do in a list.

Other queries embed these fragments, whose arguments are expressions: a column, or a parameter such as `$1`.
What each role may do is defined in `app.authorisation`.
"""

from __future__ import annotations

from pydantic_core import to_json
from sqlalchemy import Column, Index, Table, Text

from app.authorisation import roles_for
from app.lists.commands import RestoreList
from app.lists.members import OWNER, members_of
from app.lists.state import TaskList
from app.values import Command
from projections.postgres.connections import Connection
from projections.postgres.tables import read_models
from projections.read_models.projected import ProjectedBatch

list_members = Table(
    "list_members",
    read_models,
    Column("list_id", Text, primary_key=True),
    Column("user_id", Text, primary_key=True),
    Column("role", Text, nullable=False),
    Index("list_members_by_user", "user_id"),
)
"""The members of each list that is not deleted. All of them may read the list and its tasks."""

TABLES = (list_members,)
VERSION = 1

_FORGET = "DELETE FROM list_members WHERE list_id = ANY($1)"
_WRITE = """
    INSERT INTO list_members (list_id, user_id, role)
    SELECT list_id, user_id, role
    FROM json_to_recordset($1::json) AS member(list_id text, user_id text, role text)
"""


async def write(connection: Connection, batch: ProjectedBatch) -> None:
    """Write the members of every list that the batch changed, while it exists."""
    newest = batch.newest(TaskList)
    if not newest:
        return
    await connection.execute(_FORGET, list(newest))
    members = [
        {"list_id": task_list.id, "user_id": user, "role": role}
        for task_list, _ in newest.values()
        if task_list.deleted_at is None
        for user, role in members_of(task_list)
    ]
    await connection.execute(_WRITE, to_json(members).decode())


# --- fragments -------------------------------------------------------------------------------------------


def lists_of(user: str) -> str:
    """Return a query for the ids of the lists that a user sees, as `list_id`."""
    return f"SELECT list_id FROM list_members WHERE user_id = {user}"  # noqa: S608


def seen_by(user: str, list_id: str) -> str:
    """Return a join that keeps the rows whose list a user sees.

    An example is `FROM tasks {seen_by("$1", "tasks.list_id")}`. After `LEFT` it keeps all rows, and
    `SEEN_LIST` is null where the user does not see the list.
    """
    return f"JOIN list_members ON list_members.list_id = {list_id} AND list_members.user_id = {user}"


def all_seen_by(user: str) -> str:
    """Return a join with all lists that a user sees, each as `SEEN_LIST`."""
    return f"JOIN list_members ON list_members.user_id = {user}"


SEEN_LIST = "list_members.list_id"


def membership(user: str, list_id: str) -> str:
    """Return a query with one row, without columns, if a user sees a list."""
    return f"SELECT FROM list_members WHERE list_id = {list_id} AND user_id = {user}"


def may(command: type[Command]) -> str:
    """Return the condition, after `seen_by`, that the user's role permits a command."""
    roles = ", ".join(f"'{role}'" for role in sorted(roles_for(command)))
    return f"list_members.role IN ({roles})"


def may_restore(holders: str) -> str:
    """Return the condition that a list is deleted, and that one of `holders` is a member of it.

    `holders` is an array of JSON objects (`restorers`).
    """
    return f"lists.deleted_at IS NOT NULL AND lists.members @> ANY({holders}::jsonb[])"


def restorers(user: str) -> list[str]:
    """Return the user with each role that may restore a list, as JSON of the column `members`."""
    return [to_json({user: role}).decode() for role in sorted(roles_for(RestoreList))]


WITHOUT_OWNER = f"""
    NOT jsonb_path_exists(members, '$.* ? (@ == "{OWNER}")')
    OR (inbox AND (deleted_at IS NOT NULL OR members ->> created_by IS DISTINCT FROM '{OWNER}'))
"""
"""The condition that a list has no owner, or is an inbox that its user does not own."""
