"""Statistics of lists over HTTP."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, Field
from pydantic_core import to_json
from starlette.requests import Request
from starlette.responses import Response

from api.endpoints.lists import unseen_list
from api.http.dependencies import caller_of, dependencies_of
from api.http.query import Instant, Query
from api.http.requests import query_of
from api.http.responses import json_answer
from api.http.routing import Endpoint
from app.positions import positions_from_json
from app.statistics.calendar import MOST_DAYS, USUAL_DAYS
from app.statistics.forecast import DEFAULT_SEED, MOST_TASKS
from app.statistics.report import GroupBy, Statistics
from app.values import ListId, TimeZone, calendar_day
from projections.queries.statistics import NoSuchList, Wanted

DayOfCalendar = Annotated[date, BeforeValidator(calendar_day)]


class StatisticsQuery(Query):
    """A selection of statistics."""

    list_id: ListId | None = Field(
        None, description="Statistics of this list; by default those of all your lists together"
    )
    from_: DayOfCalendar | None = Field(
        None, alias="from", description=f"The first day; by default {USUAL_DAYS} days up to the last one"
    )
    to: DayOfCalendar | None = Field(
        None, description=f"The last day, by default today; a range has at most {MOST_DAYS:,} days"
    )
    time_zone: TimeZone | None = Field(
        None, description="Time zone of the days; by default the list's, or UTC"
    )
    group_by: GroupBy | None = Field(None, description="Also return the numbers of each group of tasks")
    as_of: Instant | None = Field(None, description="Statistics as they were at this time, RFC 3339")
    as_recorded_at: Instant | None = Field(
        None, description="Statistics as they were known at this time: of the events that the log had then"
    )
    forecast: int | None = Field(
        None, ge=1, le=MOST_TASKS, description="Number of tasks to forecast; by default all open ones"
    )
    seed: int = Field(DEFAULT_SEED, ge=0, le=2**53, description="Seed of the forecast")


async def statistics(request: Request) -> Response:
    """GET /api/stats."""
    query = query_of(request, StatisticsQuery)
    deps = dependencies_of(request)
    wanted = Wanted(
        list_id=query.list_id,
        first=query.from_,
        last=query.to,
        time_zone=query.time_zone,
        group_by=query.group_by,
        as_of=query.as_of,
        as_recorded_at=query.as_recorded_at,
        forecast=query.forecast,
        seed=query.seed,
    )
    try:
        found = await deps.statistics.of_user(caller_of(request).user, wanted, deps.clock())
    except NoSuchList:
        raise await unseen_list(request, query.list_id or "") from None
    return json_answer(to_json(found), positions=positions_from_json(found.positions))


ENDPOINTS: tuple[Endpoint, ...] = (
    Endpoint(
        "GET",
        "/api/stats",
        statistics,
        "Get statistics of a list, or of all your lists: days, times, cumulative flow and a forecast",
        "statistics",
        query=StatisticsQuery,
        answers={200: Statistics},
    ),
)
