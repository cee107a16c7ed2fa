"""Quick add over HTTP: a text is read as a task, to create it or to show what it would be."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from api.commands.requests import Applied, Pending
from api.commands.side_effects import CommandedTask
from api.commands.task_actions import NewTask
from api.http.dependencies import caller_of, dependencies_of
from api.http.query import Query
from api.http.requests import query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from app.authorisation import role_in
from app.errors import FieldError, Invalid
from app.lists.state import TaskList
from app.quick_add.parser import MAX_QUICK_CHARS, QuickContext, QuickTask, ReadParts, UnreadParts, read_quick
from app.validation import validated
from app.values import ListId, TaskId, TimeZone

ADDED = ("tags", "assignees")
"""Fields to which a text adds; others that are given are not looked for in it."""


class CreateQuery(Query):
    """How a new task is given."""

    quick: bool = Field(False, description="Read `title` for dates, recurrence, #tag, @person and !priority")
    time_zone: TimeZone | None = Field(
        None, description="Of the times in a quick text; the task's `time_zone`, or UTC, unless given"
    )


class QuickQuery(Query):
    """A text to read, and where its task would go."""

    text: str = Field(max_length=MAX_QUICK_CHARS, description="What `title` would be with `quick=1`")
    list_id: ListId | None = Field(None, description="Whose members may be assigned; your inbox unless given")
    parent_id: TaskId | None = Field(None, description="The task whose list it is, without `list_id`")
    time_zone: TimeZone = Field("UTC", description="Of the times in the text")


@dataclass(frozen=True, slots=True)
class QuickReading:
    """What was read of a text: `at` and `length`, in characters, say which part is which field."""

    parts: ReadParts
    unread: UnreadParts


@dataclass(frozen=True, slots=True)
class CreatedTask(CommandedTask):
    """A new task, and, with `quick=1`, what was read of its text, if anything was."""

    quick: Annotated[
        QuickReading | None, Field(description="What was read of a quick text, if anything was")
    ] = None


_READING = TypeAdapter(QuickReading)


async def preview_quick(request: Request) -> Response:
    """GET /api/quick-add."""
    query = query_of(request, QuickQuery)
    where = NewTask(title="-", list_id=query.list_id, parent_id=query.parent_id)
    return object_answer(await _read(request, query.text, where, query.time_zone, given=()))


async def read_body(
    request: Request, body: Mapping[str, Any], zone: str | None
) -> tuple[dict[str, Any], QuickTask]:
    """Return the body of a new task with what its title says, and what was read. Raises `Invalid`.

    What the body itself gives comes first: a text only adds to tags and assignees.
    """
    text = body.get("title")
    if not isinstance(text, str) or not text.strip():
        raise Invalid([FieldError("title", "must be a text to read")])
    if len(text) > MAX_QUICK_CHARS:
        raise Invalid([FieldError("title", f"must have at most {MAX_QUICK_CHARS} characters")])
    where = validated(NewTask, {**body, "title": "-"})
    given = [name for name in body if name not in ADDED]
    read = await _read(request, text, where, zone or where.time_zone or "UTC", given=given)
    if not read.title.strip():
        said = "".join(f", {part.text!r} as {part.field}" for part in read.parts)
        raise Invalid(
            [FieldError("title", f"has no words left for the title{said}; quotes keep text as it is")]
        )
    added = {name: [*getattr(where, name), *read.fields.get(name, ())] for name in ADDED}
    own = {name: value for name, value in body.items() if name not in ADDED}
    return {**read.fields, **own, **added, "title": read.title}, read


def with_reading(result: Applied | Pending, read: QuickTask) -> Applied | Pending:
    """Return the result of creating a task with what was read of its text, if anything was."""
    is_read = read.parts or read.unread
    if not is_read or not isinstance(result, Applied) or not result.body.endswith(b"}"):
        return result
    reading = _READING.dump_json(QuickReading(read.parts, read.unread))
    return replace(result, body=b'%s,"quick":%s}' % (result.body[:-1], reading))


async def _read(
    request: Request, text: str, where: NewTask, zone: str, *, given: Collection[str]
) -> QuickTask:
    deps, user = dependencies_of(request), caller_of(request).user
    list_id = await deps.task_actions.list_for(where, user)
    home = await deps.commands.state(f"list:{list_id}")
    members = home.members if isinstance(home, TaskList) and role_in(home, user) is not None else (user,)
    context = QuickContext(deps.clock(), ZoneInfo(zone), user, tuple(members), given)
    return read_quick(text, context)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/quick-add",
        preview_quick,
        "Read a quick text as a task, and create nothing",
        "tasks",
        query=QuickQuery,
        answers={200: QuickTask},
    ),
)
