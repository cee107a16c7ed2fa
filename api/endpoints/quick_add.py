"""Quick add over HTTP: parse a text as a task, to create the task or to preview it."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import Field, TypeAdapter
from starlette.requests import Request
from starlette.responses import Response

from api.commands.requests import Applied, CommandResult
from api.commands.side_effects import CommandedTask
from api.commands.task_actions import NewTask
from api.http.dependencies import caller_of, dependencies_of
from api.http.query import Query
from api.http.requests import query_of
from api.http.responses import object_answer
from api.http.routing import Endpoint
from app.authorisation import visible_members
from app.errors import FieldError, Invalid
from app.lists.state import TaskList
from app.quick_add.parser import MAX_QUICK_CHARS, QuickContext, QuickTask, ReadParts, UnreadParts, read_quick
from app.stream_ids import list_stream
from app.validation import validated
from app.values import ListId, TaskId, TimeZone

ADDED = ("tags", "assignees")
"""Fields to which a text adds; other fields that are given are not parsed from it."""


class CreateQuery(Query):
    """Options for creating a task."""

    quick: bool = Field(
        False, description="Parse dates, recurrence, #tag, @person and !priority from `title`"
    )
    time_zone: TimeZone | None = Field(
        None, description="Time zone of the times in a quick text; by default the task's `time_zone`, or UTC"
    )


class QuickQuery(Query):
    """A text to parse, and the list its task would go to."""

    text: str = Field(
        max_length=MAX_QUICK_CHARS, description="The text that `title` would have with `quick=1`"
    )
    list_id: ListId | None = Field(
        None, description="List whose members may be assigned; by default your inbox"
    )
    parent_id: TaskId | None = Field(None, description="Parent whose list is used, without `list_id`")
    time_zone: TimeZone = Field("UTC", description="Time zone of the times in the text")


@dataclass(frozen=True, slots=True)
class QuickReading:
    """The parsed parts of a text: `at` and `length`, in characters, locate the part of each field."""

    parts: ReadParts
    unread: UnreadParts


@dataclass(frozen=True, slots=True)
class CreatedTask(CommandedTask):
    """A new task, and, with `quick=1`, the parsed parts of its text, if there are any."""

    quick: Annotated[
        QuickReading | None, Field(description="The parsed parts of a quick text, if there are any")
    ] = None


_READING = TypeAdapter(QuickReading)


async def preview_quick(request: Request) -> Response:
    """GET /api/quick-add."""
    query = query_of(request, QuickQuery)
    where = validated(NewTask, {"title": "-", "list_id": query.list_id, "parent_id": query.parent_id})
    return object_answer(await _read(request, query.text, where, query.time_zone, given=()))


async def read_body(
    request: Request, body: Mapping[str, Any], zone: str | None
) -> tuple[dict[str, Any], QuickTask]:
    """Return the body of a new task with the fields parsed from its title, and the result of parsing.

    Fields of the body take precedence; a text only adds to tags and assignees. Raise `Invalid`.
    """
    text = body.get("title")
    if not isinstance(text, str) or not text.strip():
        raise Invalid([FieldError("title", "must be a non-empty text")])
    if len(text) > MAX_QUICK_CHARS:
        raise Invalid([FieldError("title", f"must have at most {MAX_QUICK_CHARS} characters")])
    where = validated(NewTask, {**body, "title": "-"})
    given = [name for name in body if name not in ADDED]
    read = await _read(request, text, where, zone or where.time_zone or "UTC", given=given)
    if not read.title.strip():
        parsed = "".join(f", {part.text!r} as {part.field}" for part in read.parts)
        raise Invalid(
            [FieldError("title", f"has no words left for the title{parsed}; quotes keep text as it is")]
        )
    added = {name: [*getattr(where, name), *read.fields.get(name, ())] for name in ADDED}
    own = {name: value for name, value in body.items() if name not in ADDED}
    return {**read.fields, **own, **added, "title": read.title}, read


def with_reading(result: CommandResult, read: QuickTask) -> CommandResult:
    """Return the result of creating a task with the parsed parts of its text, if there are any."""
    is_read = read.parts or read.unread
    if not is_read or not isinstance(result, Applied) or not result.body.endswith(b"}"):
        return result
    reading = _READING.dump_json(QuickReading(read.parts, read.unread))
    return replace(result, body=b'%s,"quick":%s}' % (result.body[:-1], reading))


async def _read(
    request: Request, text: str, where: NewTask, zone: str, *, given: Collection[str]
) -> QuickTask:
    deps, user = dependencies_of(request), caller_of(request).user
    list_id = await deps.task_actions.list_of(where, user)
    home = await deps.commands.decisions.state(list_stream(list_id))
    people = visible_members(home, user) if isinstance(home, TaskList) else ()
    context = QuickContext(deps.clock(), ZoneInfo(zone), user, tuple(people or (user,)), given)
    return read_quick(text, context)


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/quick-add",
        preview_quick,
        "Parse a quick text as a task, and create nothing",
        "tasks",
        query=QuickQuery,
        answers={200: QuickTask},
    ),
)
