"""Search for tasks over HTTP: by filters or by the search language, now or at an earlier time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import (
    BaseModel,
    Field,
    TypeAdapter,
)
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.lists import unseen_list
from api.http.cursors import Text, Time, decode_cursor, encode_cursor
from api.http.dependencies import caller_of, dependencies_of
from api.http.moments import MomentQuery, moment_of
from api.http.query import DueBound, PageQuery
from api.http.requests import query_of
from api.http.responses import page_answer
from api.http.routing import Endpoint
from app.errors import FieldError, Invalid, NotFound
from app.search.conditions import Condition, SearchError
from app.search.criteria import BeyondCalendar, Criteria, InList, criteria_of
from app.search.parser import Search, parse
from app.search.snippets import Match
from app.search.sorting import SORT_ORDERS
from app.tasks.sorting import SortOrder
from app.tasks.state import Task
from app.values import (
    ListId,
    Priority,
    Status,
    TaskId,
    TimeZone,
)
from app.zones import zone
from projections.queries.tasks import TaskPage
from projections.task_search.ordering import Order, Place
from projections.task_search.planner import NoSuchList
from projections.task_search.task_states import TaskState

RELEVANCE = "relevance"
if TYPE_CHECKING:
    Sort: TypeAlias = str
else:
    Sort = Literal[(*(sign + key for key in SORT_ORDERS for sign in ("", "-")), RELEVANCE)]


class TaskPageQuery(PageQuery, MomentQuery):
    """A search for tasks, and the order of its results."""

    list_id: ListId | None = Field(None, description="Tasks of this list")
    status: Status | None = Field(None, description="Open tasks, or done tasks")
    stage: str | None = Field(None, description="Tasks in the stage of this name")
    tag: tuple[str, ...] = Field((), description="May be repeated: tasks with all these tags", max_length=20)
    assignee: str | None = Field(None, description="Tasks assigned to this user")
    priority: Priority | None = Field(None, description="Tasks of this priority")
    due_before: DueBound | None = Field(None, description="A date, or a date-time with an offset")
    due_after: DueBound | None = Field(None, description="A date, or a date-time with an offset")
    parent_id: TaskId | None = Field(None, description="The sub-tasks of a task")
    q: str = Field("", description="A query in the search language")
    time_zone: TimeZone = Field(
        "UTC", description="Time zone of the days in `q`, `due_before` and `due_after`"
    )
    sort: Sort = Field(
        "rank",
        description="A leading minus means descending; tasks without a value come last. `relevance`: tasks"
        " with the words of `q` in their titles first, then the most recently changed",
    )


@dataclass(frozen=True, slots=True)
class FoundTask(Task):
    """A task, and, if `q` has words, where they occur in it."""

    match: Match | None = None


class TaskPageOut(BaseModel):
    """Tasks, and the positions they were read at."""

    items: list[FoundTask]
    next_cursor: str | None
    positions: dict[str, int]


_ANY_TIME = datetime(2000, 1, 1, tzinfo=UTC)


def _value_type(order: SortOrder) -> Any:
    """Return the type of an order's values in cursors."""
    types = {"text": Text, "timestamptz": Time}
    value = types.get(order.kind, Annotated[int, Field(ge=0, le=order.largest)])
    return value | None if order.nullable else value


_ENDS: Mapping[str, TypeAdapter[tuple[datetime, Any, str]]] = {
    key: TypeAdapter(tuple[Time, value, Text])  # type: ignore[valid-type]
    for key, value in {
        **{key: _value_type(order) for key, order in SORT_ORDERS.items()},
        RELEVANCE: tuple[Literal["title", "rest"], Literal["updated_at", "created_at"], Time],
    }.items()
}
"""The types of the end of a page, by sort key."""


async def list_tasks(request: Request) -> Response:
    """GET /api/tasks."""
    query = query_of(request, TaskPageQuery)
    deps, user = dependencies_of(request), caller_of(request).user
    search = _search(query, user)
    _check(query, search)
    fingerprint = query.model_dump_json(exclude={"cursor", "limit"})
    # "Today" stays the same from page to page. Where it does not matter, equal pages have equal cursors.
    timed = any(condition.field == "due" for condition in search.conditions)
    first = deps.clock() if timed else _ANY_TIME
    now, after = (first, None) if query.cursor is None else _decoded(fingerprint, query)
    moment = moment_of(query)
    wanted = _criteria(query, search, now if moment is None else moment.time)
    try:
        page = await deps.tasks.page(
            user, wanted, _order(query), after=after, limit=query.limit, moment=moment
        )
    except NoSuchList as error:
        raise await _no_list(request, error.wanted) from None
    end = None if page.end is None else encode_cursor(fingerprint, [now, page.end.value, page.end.id])
    return page_answer([_item(task, page) for task in page.items], end, page.positions)


def _check(query: TaskPageQuery, search: Search) -> None:
    """Refuse invalid combinations on every page, before a cursor of another order is read."""
    if query.sort == RELEVANCE and all(term.negated for term in search.terms):
        raise Invalid([FieldError("sort", "relevance needs words in q: there are none")])


def _order(query: TaskPageQuery) -> Order | None:
    if query.sort == RELEVANCE:
        return None
    return Order(query.sort.removeprefix("-"), descending=query.sort.startswith("-"))


def _search(query: TaskPageQuery, user: str) -> Search:
    """Return the parameters and `q` as one search."""
    try:
        search = parse(query.q, me=user)
    except SearchError as error:
        raise Invalid([FieldError("q", error.message, error.at, error.length)]) from None
    return Search((*_conditions(query), *search.conditions), search.terms)


def _conditions(query: TaskPageQuery) -> Iterator[Condition]:
    if query.list_id is not None:
        yield Condition("list", query.list_id)
    if query.status is not None:
        yield Condition("status", query.status)
    if query.stage is not None:
        yield Condition("stage", query.stage)
    for tag in query.tag:
        yield Condition("tag", tag)
    if query.assignee is not None:
        yield Condition("assignee", query.assignee)
    if query.priority is not None:
        yield Condition("priority", query.priority)
    if query.due_before is not None:
        yield Condition("due", query.due_before, "<")
    if query.due_after is not None:
        yield Condition("due", query.due_after, ">")


def _criteria(query: TaskPageQuery, search: Search, now: datetime) -> Criteria:
    try:
        return criteria_of(search, now=now, zone=zone(query.time_zone), parent_id=query.parent_id)
    except BeyondCalendar as error:
        raise _beyond(error) from None


def _beyond(error: BeyondCalendar) -> Invalid:
    condition = error.condition
    if condition.place is not None:
        return Invalid([FieldError("q", str(error), *condition.place)])
    return Invalid([FieldError("due_before" if condition.operator == "<" else "due_after", str(error))])


async def _no_list(request: Request, wanted: InList) -> Invalid | NotFound:
    if wanted.place is None:
        return await unseen_list(request, wanted.called)
    return Invalid([FieldError("q", f"you have no list named {wanted.called!r}", *wanted.place)])


def _decoded(fingerprint: str, query: TaskPageQuery) -> tuple[datetime, Place]:
    """Return the time of the first page's request, and the end of the previous page."""
    now, value, identifier = decode_cursor(
        fingerprint, query.cursor or "", _ENDS[query.sort.removeprefix("-")]
    )
    return now, Place(value, identifier)


def _item(task: TaskState, page: TaskPage) -> bytes:
    if page.matches is None:
        return task.json
    return task.json[:-1] + b',"match":%s}' % to_json(page.matches.get(task.id))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/tasks",
        list_tasks,
        "Find tasks by filters, in an order",
        "tasks",
        query=TaskPageQuery,
        answers={200: TaskPageOut},
    ),
)
